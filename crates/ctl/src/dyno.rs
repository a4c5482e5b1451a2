//! `dynomesh dyno add|list|drain|remove`.

use dynomesh_core::time::Span;
use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, Row};
use crate::wait::{Effect, until};

/// Verbs on dynos.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum DynoCommand {
    /// Add a dyno to an app; it need not listen yet. The same dyno again is no error
    Add(AddArgs),
    /// List dynos
    List(ListArgs),
    /// Give a dyno no new requests and let what runs finish
    Drain(OneArgs),
    /// Drain a dyno, have its block release it and forget it
    Remove(OneArgs),
}

/// What a dyno is.
#[derive(Debug, Clone, clap::Args)]
pub struct AddArgs {
    /// The app it serves
    pub app: String,
    /// Where it listens, IP:PORT
    pub addr: String,
    /// Its id [default: one is made]
    #[arg(long)]
    pub id: Option<String>,
    /// Requests it may have in flight [default: the app's]
    #[arg(long, value_name = "N")]
    pub max_conns: Option<u32>,
    /// Block to own it [default: the one with the fewest slots of the app, then the fewest dynos]
    #[arg(long)]
    pub block: Option<String>,
    /// Whether to wait
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Which dynos to list.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ListArgs {
    /// Only dynos of this app
    #[arg(long)]
    pub app: Option<String>,
    /// Only dynos assigned to this block
    #[arg(long)]
    pub block: Option<String>,
}

/// One dyno.
#[derive(Debug, Clone, clap::Args)]
pub struct OneArgs {
    /// Its id
    pub id: String,
    /// Whether to wait
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Whether to wait for the effect of a committed write.
#[derive(Debug, Clone, clap::Args)]
pub struct WaitArgs {
    /// Wait until the effect is there, with progress on stderr; exit code 4 when it does not come in time
    #[arg(long)]
    pub wait: bool,
    /// Longest wait, for example 500ms, 30s or 5m
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub timeout: Span,
}

/// A dyno as it is written for people and programs.
#[derive(Debug, Serialize)]
pub(crate) struct DynoRow {
    id: String,
    app: String,
    addr: String,
    block: String,
    epoch: u64,
    phase: &'static str,
    max_conns: u32,
    in_flight: u32,
    state: &'static str,
    owner: String,
    owned_epoch: u64,
}

impl From<wire::Dyno> for DynoRow {
    fn from(dyno: wire::Dyno) -> Self {
        DynoRow {
            phase: phase_word(dyno.phase()),
            state: state_word(dyno.state()),
            id: dyno.id,
            app: dyno.app,
            addr: dyno.addr,
            block: dyno.block,
            epoch: dyno.epoch,
            max_conns: dyno.max_conns,
            in_flight: dyno.in_flight,
            owner: dyno.owner,
            owned_epoch: dyno.owned_epoch,
        }
    }
}

impl Row for DynoRow {
    const COLUMNS: &'static [&'static str] = &["id", "app", "addr", "block", "epoch", "phase", "max_conns", "in_flight", "state"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.app.clone(),
            self.addr.clone(),
            self.block.clone(),
            self.epoch.to_string(),
            self.phase.into(),
            self.max_conns.to_string(),
            self.in_flight.to_string(),
            self.state.into(),
        ]
    }
}

/// The phase as it is written.
pub(crate) fn phase_word(phase: wire::DynoPhase) -> &'static str {
    match phase {
        wire::DynoPhase::Pending => "pending",
        wire::DynoPhase::Active => "active",
        wire::DynoPhase::Draining => "draining",
        wire::DynoPhase::Released => "released",
        wire::DynoPhase::Removing => "removing",
        wire::DynoPhase::Unspecified => "unknown",
    }
}

/// The state as it is written.
pub(crate) fn state_word(state: wire::DynoState) -> &'static str {
    match state {
        wire::DynoState::Up => "up",
        wire::DynoState::Down => "down",
        wire::DynoState::Unspecified => "unknown",
    }
}

#[derive(Serialize)]
struct Changed {
    changed: bool,
    dyno: DynoRow,
}

#[derive(Serialize)]
struct Removed<'a> {
    changed: bool,
    id: &'a str,
}

pub(crate) async fn perform(command: DynoCommand, client: Client, output: &Output) -> Result<(), CliError> {
    match command {
        DynoCommand::Add(args) => add(args, &client, output).await,
        DynoCommand::List(args) => list(args, &client, output).await,
        DynoCommand::Drain(args) => drain(args, &client, output).await,
        DynoCommand::Remove(args) => remove(args, &client, output).await,
    }
}

async fn list(args: ListArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let filter = wire::ListDynosRequest { app: args.app.unwrap_or_default(), block: args.block.unwrap_or_default(), ..Default::default() };
    let rows: Vec<DynoRow> = client.dynos(filter).await?.into_iter().map(DynoRow::from).collect();
    output.list(&rows)
}

async fn add(args: AddArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let request = wire::AddDynoRequest {
        app: args.app,
        addr: args.addr,
        id: args.id.unwrap_or_default(),
        max_conns: args.max_conns,
        block: args.block.unwrap_or_default(),
        options: None,
    };
    let response = client.add_dyno(request).await?;
    let dyno = response.dyno.unwrap_or_default();
    let dyno = waited(client, dyno, &args.wait, Effect::Serves).await?;
    let done = if response.changed { "added" } else { "was already there" };
    let block = if dyno.block.is_empty() { "no block yet".to_owned() } else { format!("block {}", dyno.block) };
    let sentence = format!("dyno {} {done}; {block}, {}", dyno.id, phase_word(dyno.phase()));
    output.one(&Changed { changed: response.changed, dyno: dyno.into() }, &sentence)
}

async fn drain(args: OneArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let response = client.drain_dyno(args.id).await?;
    let dyno = response.dyno.unwrap_or_default();
    let dyno = waited(client, dyno, &args.wait, Effect::Idle).await?;
    let done = match (args.wait.wait, response.changed) {
        (true, _) => "is drained",
        (false, true) => "is draining",
        (false, false) => "was already draining",
    };
    let sentence = format!("dyno {} {done}; {} in flight", dyno.id, dyno.in_flight);
    output.one(&Changed { changed: response.changed, dyno: dyno.into() }, &sentence)
}

async fn remove(args: OneArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let changed = client.remove_dyno(args.id.clone()).await?.changed;
    if args.wait.wait {
        until(client, &args.id, Effect::Gone, args.wait.timeout).await?;
    }
    let done = match (args.wait.wait, changed) {
        (true, _) => "removed and released by its block",
        (false, true) => "removed; its block releases it when it is idle",
        (false, false) => "was already removed",
    };
    output.one(&Removed { changed, id: &args.id }, &format!("dyno {} {done}", args.id))
}

/// The dyno as it stands after the wait, or as it stood if none was asked for.
async fn waited(client: &Client, dyno: wire::Dyno, wait: &WaitArgs, effect: Effect) -> Result<wire::Dyno, CliError> {
    if !wait.wait {
        return Ok(dyno);
    }
    Ok(until(client, &dyno.id, effect, wait.timeout).await?.unwrap_or(dyno))
}
