//! `dynomesh app create|list|delete`.

use clap::builder::PossibleValue;
use dynomesh_core::time::Span;
use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, Row};

/// Verbs on apps.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum AppCommand {
    /// Create an app; the same app again is no error
    Create(CreateArgs),
    /// List apps
    List,
    /// Delete an app that has no dynos
    Delete(DeleteArgs),
}

/// What an app is.
#[derive(Debug, Clone, clap::Args)]
pub struct CreateArgs {
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
}

/// Which app to delete.
#[derive(Debug, Clone, clap::Args)]
pub struct DeleteArgs {
    /// Its name
    pub name: String,
}

/// A word of the command line that stands for an enum of the admin API.
macro_rules! word {
    ($(#[$doc:meta])* $type:ident = $wire:ident { $($variant:ident $word:literal $help:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type { $(#[doc = $help] $variant),+ }

        impl clap::ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                &[$($type::$variant),+]
            }
            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(match self { $($type::$variant => PossibleValue::new($word).help($help)),+ })
            }
        }

        impl $type {
            fn wire(self) -> wire::$wire {
                match self { $($type::$variant => wire::$wire::$variant),+ }
            }
            fn word(wire: wire::$wire) -> &'static str {
                match wire {
                    $(wire::$wire::$variant => $word,)+
                    wire::$wire::Unspecified => "",
                }
            }
        }
    };
}

word!(
    /// Whether a dyno takes one request at a time.
    Serial = Serial { Auto "auto" "learned from probes", Yes "yes" "one request at a time", No "no" "several at a time" }
);
word!(
    /// What becomes of the slots of a dead router.
    Orphans = Orphans { Prompt "prompt" "freed soon after its death is proven", Strict "strict" "kept until their deadline" }
);
word!(
    /// What becomes of a dispatched request whose client left.
    ClientGone = ClientGone { Finish "finish" "the dyno finishes it into the void", Cut "cut" "its connection is cut" }
);

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

#[derive(Serialize)]
struct Created {
    changed: bool,
    app: AppRow,
}

#[derive(Serialize)]
struct Deleted<'a> {
    changed: bool,
    name: &'a str,
}

pub(crate) async fn perform(command: AppCommand, client: Client, output: &Output) -> Result<(), CliError> {
    match command {
        AppCommand::Create(args) => create(args, client, output).await,
        AppCommand::List => {
            let rows: Vec<AppRow> = client.apps().await?.into_iter().map(AppRow::from).collect();
            output.list(&rows)
        }
        AppCommand::Delete(args) => {
            let changed = client.delete_app(args.name.clone()).await?.changed;
            let sentence = format!("app {} {}", args.name, if changed { "deleted" } else { "was already deleted" });
            output.one(&Deleted { changed, name: &args.name }, &sentence)
        }
    }
}

async fn create(args: CreateArgs, client: Client, output: &Output) -> Result<(), CliError> {
    let response = client.create_app(args.request()).await?;
    let changed = response.changed;
    let app = AppRow::from(response.app.unwrap_or_default());
    let done = if changed { "created" } else { "was already there" };
    let sentence = format!("app {} {done}; hosts {}, max_conns {}", app.name, app.hosts.join(" "), app.max_conns);
    output.one(&Created { changed, app }, &sentence)
}

impl CreateArgs {
    fn request(self) -> wire::CreateAppRequest {
        let policy = wire::Policy {
            max_conns: self.max_conns,
            serial: self.serial.map_or(wire::Serial::Unspecified, Serial::wire).into(),
            orphans: self.orphans.map_or(wire::Orphans::Unspecified, Orphans::wire).into(),
            probe_path: self.probe.unwrap_or_default(),
            queue_len: self.queue_len,
            queue_wait_ms: self.queue_wait.map(Span::as_millis),
            idempotency_key: self.idempotency_key,
            client_gone: self.client_gone.map_or(wire::ClientGone::Unspecified, ClientGone::wire).into(),
        };
        wire::CreateAppRequest { name: self.name, hosts: self.hosts, policy: Some(policy), ..Default::default() }
    }
}
