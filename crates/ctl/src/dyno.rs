//! `dynomesh dyno add|get|list|drain|undrain|move|remove`.

mod batch;
mod row;

use std::path::PathBuf;

use dynomesh_core::time::Span;
use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::Session;
use crate::effect::Effect;
use crate::error::CliError;
use crate::options::{WaitArgs, WriteArgs};
use crate::word::{Phase, State};

pub(crate) use row::DynoRow;

/// Verbs on dynos.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum DynoCommand {
    /// Add dynos to an app; they need not listen yet. The same dyno again is no error
    ///
    /// One dyno by its address, several by --addr, many by --file. A file holds one JSON object per line, or, if its name ends in .toml,
    /// an array of tables dyno; keys are addr, app, id, max_conns and block, and what a dyno leaves out is taken from the line. Of many, each
    /// stands or falls by itself.
    #[command(
        after_help = "Examples:\n  dynomesh dyno add shop 10.0.1.1:3000 --wait\n  dynomesh dyno add shop --addr 10.0.1.1:3000 --addr 10.0.1.2:3000\n  dynomesh dyno add shop --file dynos.jsonl"
    )]
    Add(AddArgs),
    /// Show one dyno: what the directory wants and what its owner reports
    #[command(after_help = "Example:\n  dynomesh dyno get d1")]
    Get(GetArgs),
    /// List dynos by id
    #[command(after_help = "Example:\n  dynomesh dyno list --app shop --state down")]
    List(ListArgs),
    /// Give a dyno no new requests and let what runs finish
    #[command(after_help = "Example:\n  dynomesh dyno drain d1 --deadline 30s --wait")]
    Drain(DrainArgs),
    /// Take a drain back
    #[command(after_help = "Example:\n  dynomesh dyno undrain d1 --wait")]
    Undrain(OneArgs),
    /// Assign a dyno to another block
    ///
    /// Its present block lets what runs finish and releases it, then the other adopts it; no request fails. To its own block it changes
    /// nothing, and a newer move replaces one under way. With --wait, ends when the other block has adopted it.
    #[command(after_help = "Example:\n  dynomesh dyno move d1 --to b2 --wait")]
    Move(MoveArgs),
    /// Drain a dyno, have its block release it and forget it
    #[command(after_help = "Example:\n  dynomesh dyno remove d1 --wait")]
    Remove(RemoveArgs),
}

/// Which dynos to add.
#[derive(Debug, Clone, clap::Args)]
pub struct AddArgs {
    /// The app they serve; may be left out with --file
    #[arg(required_unless_present = "file")]
    pub app: Option<String>,
    /// Where one listens, IP:PORT
    #[arg(required_unless_present_any = ["addrs", "file"], conflicts_with_all = ["addrs", "file"])]
    pub addr: Option<String>,
    /// Where one listens, IP:PORT; may be given several times
    #[arg(long = "addr", value_name = "ADDR", conflicts_with_all = ["file", "id"])]
    pub addrs: Vec<String>,
    /// File with many: JSON lines, or TOML if its name ends so; - for JSON lines on stdin
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    pub file: Option<PathBuf>,
    /// Its id [default: one is made]
    #[arg(long)]
    pub id: Option<String>,
    /// Requests each may have in flight [default: the app's]
    #[arg(long, value_name = "N")]
    pub max_conns: Option<u32>,
    /// Block to own them [default: for each the one with the fewest slots of the app, then the fewest dynos]
    #[arg(long)]
    pub block: Option<String>,
    /// What the write carries
    #[command(flatten)]
    pub write: WriteArgs,
    /// Whether to wait
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Which dyno to show.
#[derive(Debug, Clone, clap::Args)]
pub struct GetArgs {
    /// Its id
    pub id: String,
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
    /// Only dynos in this phase
    #[arg(long, value_enum, value_name = "PHASE")]
    pub phase: Option<Phase>,
    /// Only dynos in this state
    #[arg(long, value_enum, value_name = "STATE")]
    pub state: Option<State>,
}

/// One dyno to change.
#[derive(Debug, Clone, clap::Args)]
pub struct OneArgs {
    /// Its id
    pub id: String,
    /// The app it is thought to be of; refused if it is of another
    #[arg(long)]
    pub app: Option<String>,
    /// What the write carries
    #[command(flatten)]
    pub write: WriteArgs,
    /// Whether to wait
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Which dyno to drain, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub struct DrainArgs {
    /// Which
    #[command(flatten)]
    pub one: OneArgs,
    /// How long running requests may go on; 0s cuts them at once [default: the mesh's setting `drain`]
    #[arg(long, value_name = "DURATION")]
    pub deadline: Option<Span>,
}

/// Which dyno to move, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct MoveArgs {
    /// Which
    #[command(flatten)]
    pub one: OneArgs,
    /// The block that shall own it
    #[arg(long, value_name = "BLOCK")]
    pub to: String,
}

/// Which dyno to remove.
#[derive(Debug, Clone, clap::Args)]
pub struct RemoveArgs {
    /// Which
    #[command(flatten)]
    pub one: OneArgs,
    /// Even if it is the last dyno of its app
    #[arg(long)]
    pub force: bool,
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

pub(crate) async fn perform(command: DynoCommand, session: &Session) -> Result<(), CliError> {
    match command {
        DynoCommand::Add(AddArgs { app: Some(app), addr: Some(addr), id, max_conns, block, write, wait, .. }) => {
            let (id, block) = (id.unwrap_or_default(), block.unwrap_or_default());
            add(wire::AddDynoRequest { app, addr, id, max_conns, block, options: None }, &write, &wait, session).await
        }
        DynoCommand::Add(args) => batch::add(&args, session).await,
        DynoCommand::Get(args) => {
            let row = DynoRow::from(session.client.read(wire::GetDynoRequest { id: args.id }).await?);
            session.output.fields(&row, &row.fields())
        }
        DynoCommand::List(args) => list(args, session).await,
        DynoCommand::Drain(args) => drain(args, session).await,
        DynoCommand::Undrain(args) => undrain(args, session).await,
        DynoCommand::Move(args) => relocate(args, session).await,
        DynoCommand::Remove(args) => remove(args, session).await,
    }
}

async fn list(args: ListArgs, session: &Session) -> Result<(), CliError> {
    let filter = wire::ListDynosRequest {
        app: args.app.unwrap_or_default(),
        block: args.block.unwrap_or_default(),
        phase: args.phase.map_or(wire::DynoPhase::Unspecified, Phase::wire).into(),
        state: args.state.map_or(wire::DynoState::Unspecified, State::wire).into(),
        ..Default::default()
    };
    let rows: Vec<DynoRow> = session.client.list(filter).await?.into_iter().map(DynoRow::from).collect();
    session.output.list(&rows)
}

async fn add(request: wire::AddDynoRequest, write: &WriteArgs, wait: &WaitArgs, session: &Session) -> Result<(), CliError> {
    let answer = session.client.write(request, write).await?;
    let dyno = session.waited(answer.dyno, wait, Effect::Serves).await?;
    let done = if answer.changed { "added" } else { "was already there" };
    let block = if dyno.block.is_empty() { "no block yet".to_owned() } else { format!("block {}", dyno.block) };
    let sentence = format!("dyno {} {done}; {block}, {}", dyno.id, Phase::word(dyno.phase()));
    session.output.one(&Changed { changed: answer.changed, dyno: dyno.into() }, &sentence)
}

async fn drain(args: DrainArgs, session: &Session) -> Result<(), CliError> {
    let OneArgs { id, app, write, wait } = args.one;
    let deadline_ms = args.deadline.map(Span::as_millis);
    let request = wire::DrainDynoRequest { id, app: app.unwrap_or_default(), deadline_ms, options: None };
    let answer = session.client.write(request, &write).await?;
    let dyno = session.waited(answer.dyno, &wait, Effect::Idle).await?;
    let done = match (wait.wait, answer.changed) {
        (true, _) => "is drained",
        (false, true) => "is draining",
        (false, false) => "was already draining",
    };
    let sentence = format!("dyno {} {done}; {} in flight", dyno.id, dyno.in_flight);
    session.output.one(&Changed { changed: answer.changed, dyno: dyno.into() }, &sentence)
}

async fn undrain(args: OneArgs, session: &Session) -> Result<(), CliError> {
    let OneArgs { id, app, write, wait } = args;
    let request = wire::UndrainDynoRequest { id, app: app.unwrap_or_default(), options: None };
    let answer = session.client.write(request, &write).await?;
    let dyno = session.waited(answer.dyno, &wait, Effect::Serves).await?;
    let done = match (wait.wait, answer.changed) {
        (true, _) => "takes requests",
        (false, true) => "is to take requests again",
        (false, false) => "was not draining",
    };
    let sentence = format!("dyno {} {done}", dyno.id);
    session.output.one(&Changed { changed: answer.changed, dyno: dyno.into() }, &sentence)
}

async fn relocate(args: MoveArgs, session: &Session) -> Result<(), CliError> {
    let OneArgs { id, app, write, wait } = args.one;
    let request = wire::MoveDynoRequest { id, to: args.to, app: app.unwrap_or_default(), options: None };
    let answer = session.client.write(request, &write).await?;
    let epoch = answer.dyno.as_ref().map_or(0, |dyno| dyno.epoch);
    let dyno = session.waited(answer.dyno, &wait, Effect::Adopted { epoch }).await?;
    let done = match (wait.wait, answer.changed) {
        (true, _) => "is owned by",
        (false, true) => "moves to",
        (false, false) => "is already assigned to",
    };
    let sentence = format!("dyno {} {done} block {}, epoch {}", dyno.id, dyno.block, dyno.epoch);
    session.output.one(&Changed { changed: answer.changed, dyno: dyno.into() }, &sentence)
}

async fn remove(args: RemoveArgs, session: &Session) -> Result<(), CliError> {
    let OneArgs { id, app, write, wait } = args.one;
    let request = wire::RemoveDynoRequest { id: id.clone(), app: app.unwrap_or_default(), force: args.force, options: None };
    let changed = session.client.write(request, &write).await?.changed;
    if wait.wait {
        session.on_dyno(&id, Effect::Gone).await?;
    }
    let done = match (wait.wait, changed) {
        (true, _) => "removed and released by its block",
        (false, true) => "removed; its block releases it when it is idle",
        (false, false) => "was already removed",
    };
    session.output.one(&Removed { changed, id: &id }, &format!("dyno {id} {done}"))
}

impl Session {
    /// The dyno as it stands after the wait, or as it stood if none was asked for.
    async fn waited(&self, dyno: Option<wire::Dyno>, wait: &WaitArgs, effect: Effect) -> Result<wire::Dyno, CliError> {
        let dyno = dyno.unwrap_or_default();
        if !wait.wait {
            return Ok(dyno);
        }
        Ok(self.on_dyno(&dyno.id, effect).await?.unwrap_or(dyno))
    }
}
