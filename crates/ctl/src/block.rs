//! `dynomesh block add|get|list|drain|undrain|remove|evict`.

mod row;

use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::Session;
use crate::confirm::confirm;
use crate::error::CliError;
use crate::options::{WaitArgs, WriteArgs};
use crate::word::Proof;

pub(crate) use row::BlockRow;

/// Verbs on blocks.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum BlockCommand {
    /// Make running replicas a block of the mesh: bootstrap them where that was not done, and bind the name to their group
    #[command(after_help = "Example:\n  dynomesh block add b3 --replica 10.0.2.1:7080 --replica 10.0.2.2:7080 --replica 10.0.2.3:7080")]
    Add(AddArgs),
    /// Show one block and its replicas
    #[command(after_help = "Example:\n  dynomesh block get b1")]
    Get(GetArgs),
    /// List the blocks that were bound or seen
    #[command(after_help = "Example:\n  dynomesh block list -o json")]
    List,
    /// Give a block no more dynos and move those it has to others; then it can be stopped and removed
    #[command(after_help = "Example:\n  dynomesh block drain b1 --wait --timeout 10m")]
    Drain(DrainArgs),
    /// Take a drain back
    #[command(after_help = "Example:\n  dynomesh block undrain b1")]
    Undrain(OneArgs),
    /// Forget a block that has no dynos; its group is never taken for a block again
    #[command(after_help = "Example:\n  dynomesh block remove b1")]
    Remove(OneArgs),
    /// Take all dynos from a block that is lost for good, without its word
    ///
    /// For a block whose replicas are all stopped and stay so. If any of them still runs somewhere unseen, two blocks dispatch to its
    /// dynos at once: max_conns is broken and requests may run twice. Refused while anybody sees the block. A block that only has to be
    /// emptied is drained instead.
    #[command(after_help = "Examples:\n  dynomesh block evict b2\n  dynomesh block evict b2 --confirm b2")]
    Evict(EvictArgs),
}

/// What to make a block.
#[derive(Debug, Clone, clap::Args)]
pub struct AddArgs {
    /// The name that its replicas were set up with
    pub name: String,
    /// gRPC address of a replica, IP:PORT; once for each of them
    #[arg(long = "replica", value_name = "ADDR", required = true)]
    pub replicas: Vec<String>,
    /// What the write carries
    #[command(flatten)]
    pub write: WriteArgs,
}

/// Which block to show.
#[derive(Debug, Clone, clap::Args)]
pub struct GetArgs {
    /// Its name
    pub name: String,
}

/// Which block to change.
#[derive(Debug, Clone, clap::Args)]
pub struct OneArgs {
    /// Its name
    pub name: String,
    /// What the write carries
    #[command(flatten)]
    pub write: WriteArgs,
}

/// Which block to drain.
#[derive(Debug, Clone, clap::Args)]
pub struct DrainArgs {
    /// Which
    #[command(flatten)]
    pub one: OneArgs,
    /// Whether to wait
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Which block to evict.
#[derive(Debug, Clone, clap::Args)]
pub struct EvictArgs {
    /// Which
    #[command(flatten)]
    pub one: OneArgs,
    /// The block's name once more, instead of typing it at the terminal
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// What stands for it that the block cannot dispatch
    #[arg(long, value_enum, value_name = "WORD", default_value_t = Proof::Operator)]
    pub proof: Proof,
}

#[derive(Serialize)]
struct Changed {
    changed: bool,
    block: BlockRow,
}

#[derive(Serialize)]
struct Removed<'a> {
    changed: bool,
    name: &'a str,
}

#[derive(Serialize)]
struct Evicted {
    changed: bool,
    dynos: u32,
    proof: &'static str,
    block: BlockRow,
}

pub(crate) async fn perform(command: BlockCommand, session: &Session) -> Result<(), CliError> {
    let Session { client, output, .. } = session;
    match command {
        BlockCommand::Add(AddArgs { name, replicas, write }) => {
            let answer = client.write(wire::AddBlockRequest { name: name.clone(), replicas, options: None }, &write).await?;
            let done = if answer.changed { "is bound; dynos can be assigned to it" } else { "was already bound" };
            changed(&name, answer.block, answer.changed, done, session)
        }
        BlockCommand::Get(args) => {
            let row = BlockRow::from(client.read(wire::GetBlockRequest { name: args.name }).await?);
            output.fields(&row, &row.fields())
        }
        BlockCommand::List => {
            let rows: Vec<BlockRow> = client.list(wire::ListBlocksRequest::default()).await?.into_iter().map(BlockRow::from).collect();
            output.list(&rows)
        }
        BlockCommand::Drain(args) => drain(args, session).await,
        BlockCommand::Undrain(OneArgs { name, write }) => {
            let answer = client.write(wire::UndrainBlockRequest { name: name.clone(), options: None }, &write).await?;
            let done = if answer.changed { "takes dynos again" } else { "was not draining" };
            changed(&name, answer.block, answer.changed, done, session)
        }
        BlockCommand::Remove(OneArgs { name, write }) => {
            let answer = client.write(wire::RemoveBlockRequest { name: name.clone(), options: None }, &write).await?;
            let done = if answer.changed { "removed" } else { "was already removed" };
            output.one(&Removed { changed: answer.changed, name: &name }, &format!("block {name} {done}"))
        }
        BlockCommand::Evict(args) => evict(args, session).await,
    }
}

async fn drain(args: DrainArgs, session: &Session) -> Result<(), CliError> {
    let OneArgs { name, write } = args.one;
    let answer = session.client.write(wire::DrainBlockRequest { name: name.clone(), options: None }, &write).await?;
    let mut block = answer.block.unwrap_or_default();
    if args.wait.wait {
        block = session.on_block(&name).await?.unwrap_or(block);
    }
    let done = match (args.wait.wait, answer.changed) {
        (true, _) => "has no dynos left; it can be stopped and removed".into(),
        (false, true) => format!("is draining; {} dynos left", block.assigned.max(block.dynos)),
        (false, false) => format!("was already draining; {} dynos left", block.assigned.max(block.dynos)),
    };
    changed(&name, Some(block), answer.changed, &done, session)
}

async fn evict(args: EvictArgs, session: &Session) -> Result<(), CliError> {
    let OneArgs { name, write } = args.one;
    let confirmed = match (args.proof, args.confirm) {
        (_, Some(confirm)) => confirm,
        (Proof::Operator, None) => {
            confirm(&risk(&name), &name, &format!("--confirm {name}"))?;
            name.clone()
        }
        (Proof::Platform | Proof::Agents, None) => String::new(),
    };
    let request = wire::EvictBlockRequest { name: name.clone(), proof: args.proof.wire().into(), confirm: confirmed, options: None };
    let answer = session.client.write(request, &write).await?;
    let done = if answer.changed { "evicted" } else { "was already evicted" };
    let sentence = format!("block {name} {done}; {} of its dynos were given to others", answer.dynos);
    let block = BlockRow::from(answer.block.unwrap_or_default());
    session.output.one(&Evicted { changed: answer.changed, dynos: answer.dynos, proof: Proof::word(args.proof.wire()), block }, &sentence)
}

/// What is risked by evicting a block.
fn risk(name: &str) -> String {
    format!(
        "Evict {name} only if all its replicas are stopped for good: if any replica of {name} still runs, two blocks dispatch to its dynos at once: max_conns is broken, requests may run twice"
    )
}

fn changed(name: &str, block: Option<wire::Block>, changed: bool, done: &str, session: &Session) -> Result<(), CliError> {
    session.output.one(&Changed { changed, block: block.unwrap_or_default().into() }, &format!("block {name} {done}"))
}
