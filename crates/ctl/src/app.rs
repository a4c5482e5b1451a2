//! `dynomesh app create|update|get|list|delete`.

use dynomesh_core::time::Span;
use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::Session;
use crate::error::CliError;
use crate::options::WriteArgs;
use crate::output::Row;
use crate::word::{ClientGone, DynoProtocol, Orphans, Serial};

/// Verbs on apps.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum AppCommand {
    /// Create an app; the same app again is no error
    #[command(after_help = "Example:\n  dynomesh app create shop --host shop.example --max-conns 1")]
    Create(SpecArgs),
    /// Describe a known app anew; what is left out gets its default
    ///
    /// Blocks and edges follow as soon as they hear of it. With --expect, nothing is changed if somebody else was faster.
    #[command(after_help = "Example:\n  dynomesh app update shop --host shop.example --host www.shop.example --queue-wait 5s --expect 3")]
    Update(SpecArgs),
    /// Show one app with all its policy
    #[command(after_help = "Example:\n  dynomesh app get shop -o json")]
    Get(NameArgs),
    /// List apps by name
    #[command(after_help = "Example:\n  dynomesh app list")]
    List,
    /// Delete an app that has no dynos
    #[command(after_help = "Example:\n  dynomesh app delete shop")]
    Delete(DeleteArgs),
}

/// What an app is.
#[derive(Debug, Clone, clap::Args)]
pub struct SpecArgs {
    /// Name: lower-case letters, digits and inner dashes
    pub name: String,
    /// Host that edges route to the app; '*' is any host that no other app claims. May be given several times
    #[arg(long = "host", value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
    /// Requests in flight at a dyno that does not set its own limit [default: 1]
    #[arg(long, value_name = "N")]
    pub max_conns: Option<u32>,
    /// Whether its dynos take one request at a time, so that an answer proves idleness [default: auto]
    #[arg(long, value_enum, value_name = "WORD")]
    pub serial: Option<Serial>,
    /// Whether slots of a dead router are freed promptly or kept until their deadline, where no dyno proves to be idle [default: prompt]
    #[arg(long, value_enum, value_name = "WORD")]
    pub orphans: Option<Orphans>,
    /// Ask dynos whether they are up by GET of this path instead of a TCP connect
    #[arg(long, value_name = "PATH")]
    pub probe: Option<String>,
    /// Requests that may wait in a block [default: as many as the app has slots there]
    #[arg(long, value_name = "N")]
    pub queue_len: Option<u32>,
    /// Longest wait in that queue [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub queue_wait: Option<Span>,
    /// Let an Idempotency-Key header make a request idempotent
    #[arg(long)]
    pub idempotency_key: bool,
    /// What becomes of a dispatched request whose client left [default: finish]
    #[arg(long, value_enum, value_name = "WORD")]
    pub client_gone: Option<ClientGone>,
    /// How long an idle connection to a dyno is kept for the next request, at most 10m; shorter than the dyno keeps it [default: 0s, none is]
    #[arg(long, value_name = "DURATION")]
    pub keep_alive: Option<Span>,
    /// What its dynos speak [default: http1]
    #[arg(long, value_enum, value_name = "WORD")]
    pub dyno_protocol: Option<DynoProtocol>,
    /// What the write carries
    #[command(flatten)]
    pub write: WriteArgs,
}

/// Which app.
#[derive(Debug, Clone, clap::Args)]
pub struct NameArgs {
    /// Its name
    pub name: String,
}

/// Which app to delete.
#[derive(Debug, Clone, clap::Args)]
pub struct DeleteArgs {
    /// Its name
    pub name: String,
    /// What the write carries
    #[command(flatten)]
    pub write: WriteArgs,
}

/// An app as it is written for people and programs.
#[derive(Debug, Serialize)]
struct AppRow {
    name: String,
    hosts: Vec<String>,
    max_conns: u32,
    serial: &'static str,
    orphans: &'static str,
    probe: String,
    queue_len: Option<u32>,
    queue_wait_ms: u64,
    idempotency_key: bool,
    client_gone: &'static str,
    keep_alive_ms: u64,
    dyno_protocol: &'static str,
    version: u64,
    dynos: u32,
}

impl From<wire::App> for AppRow {
    fn from(app: wire::App) -> Self {
        let policy = app.policy.unwrap_or_default();
        AppRow {
            serial: Serial::word(policy.serial()),
            orphans: Orphans::word(policy.orphans()),
            client_gone: ClientGone::word(policy.client_gone()),
            keep_alive_ms: policy.keep_alive_ms.unwrap_or_default(),
            dyno_protocol: DynoProtocol::word(policy.dyno_protocol()),
            max_conns: policy.max_conns.unwrap_or_default(),
            probe: if policy.probe_path.is_empty() { "connect".into() } else { policy.probe_path },
            queue_len: policy.queue_len,
            queue_wait_ms: policy.queue_wait_ms.unwrap_or_default(),
            idempotency_key: policy.idempotency_key,
            name: app.name,
            hosts: app.hosts,
            version: app.version,
            dynos: app.dynos,
        }
    }
}

impl Row for AppRow {
    const COLUMNS: &'static [&'static str] = &["name", "hosts", "max_conns", "serial", "orphans", "dynos"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.hosts.join(","),
            self.max_conns.to_string(),
            self.serial.into(),
            self.orphans.into(),
            self.dynos.to_string(),
        ]
    }
}

impl AppRow {
    fn fields(&self) -> [(&'static str, String); 14] {
        [
            ("name", self.name.clone()),
            ("hosts", self.hosts.join(" ")),
            ("max_conns", self.max_conns.to_string()),
            ("serial", self.serial.into()),
            ("orphans", self.orphans.into()),
            ("probe", self.probe.clone()),
            ("queue_len", self.queue_len.map_or("as many as slots".into(), |len| len.to_string())),
            ("queue_wait", Span::from_millis(self.queue_wait_ms).to_string()),
            ("idempotency_key", self.idempotency_key.to_string()),
            ("client_gone", self.client_gone.into()),
            ("keep_alive", Span::from_millis(self.keep_alive_ms).to_string()),
            ("dyno_protocol", self.dyno_protocol.into()),
            ("version", self.version.to_string()),
            ("dynos", self.dynos.to_string()),
        ]
    }
}

#[derive(Serialize)]
struct Written {
    changed: bool,
    app: AppRow,
}

#[derive(Serialize)]
struct Deleted<'a> {
    changed: bool,
    name: &'a str,
}

pub(crate) async fn perform(command: AppCommand, session: &Session) -> Result<(), CliError> {
    let Session { client, output, .. } = session;
    match command {
        AppCommand::Create(args) => {
            let answer = client.write(args.create(), &args.write).await?;
            written(answer.app, answer.changed, ["created", "was already there"], session)
        }
        AppCommand::Update(args) => {
            let answer = client.write(args.update(), &args.write).await?;
            written(answer.app, answer.changed, ["updated", "was already so"], session)
        }
        AppCommand::Get(args) => {
            let row = AppRow::from(client.read(wire::GetAppRequest { name: args.name }).await?);
            output.fields(&row, &row.fields())
        }
        AppCommand::List => {
            let rows: Vec<AppRow> = client.list(wire::ListAppsRequest::default()).await?.into_iter().map(AppRow::from).collect();
            output.list(&rows)
        }
        AppCommand::Delete(args) => {
            let request = wire::DeleteAppRequest { name: args.name.clone(), options: None };
            let changed = client.write(request, &args.write).await?.changed;
            let sentence = format!("app {} {}", args.name, if changed { "deleted" } else { "was already deleted" });
            output.one(&Deleted { changed, name: &args.name }, &sentence)
        }
    }
}

fn written(app: Option<wire::App>, changed: bool, words: [&str; 2], session: &Session) -> Result<(), CliError> {
    let app = AppRow::from(app.unwrap_or_default());
    let done = words[usize::from(!changed)];
    let sentence = format!("app {} {done}; hosts {}, max_conns {}, version {}", app.name, app.hosts.join(" "), app.max_conns, app.version);
    session.output.one(&Written { changed, app }, &sentence)
}

impl SpecArgs {
    fn policy(&self) -> wire::Policy {
        wire::Policy {
            max_conns: self.max_conns,
            serial: self.serial.map_or(wire::Serial::Unspecified, Serial::wire).into(),
            orphans: self.orphans.map_or(wire::Orphans::Unspecified, Orphans::wire).into(),
            probe_path: self.probe.clone().unwrap_or_default(),
            queue_len: self.queue_len,
            queue_wait_ms: self.queue_wait.map(Span::as_millis),
            idempotency_key: self.idempotency_key,
            client_gone: self.client_gone.map_or(wire::ClientGone::Unspecified, ClientGone::wire).into(),
            keep_alive_ms: self.keep_alive.map(Span::as_millis),
            dyno_protocol: self.dyno_protocol.map_or(wire::DynoProtocol::Unspecified, DynoProtocol::wire).into(),
        }
    }

    fn create(&self) -> wire::CreateAppRequest {
        wire::CreateAppRequest { name: self.name.clone(), hosts: self.hosts.clone(), policy: Some(self.policy()), options: None }
    }

    fn update(&self) -> wire::UpdateAppRequest {
        wire::UpdateAppRequest { name: self.name.clone(), hosts: self.hosts.clone(), policy: Some(self.policy()), options: None }
    }
}
