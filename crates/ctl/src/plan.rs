//! `dynomesh plan` and `dynomesh rebalance`.

use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::Session;
use crate::error::CliError;
use crate::options::WriteArgs;

/// `plan` takes no arguments of its own.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  dynomesh plan")]
pub struct PlanArgs {}

/// What a round of moves carries.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  dynomesh plan && dynomesh rebalance")]
pub struct RebalanceArgs {
    /// What the write carries
    #[command(flatten)]
    pub write: WriteArgs,
}

/// A plan as it is written for programs.
#[derive(Debug, Default, Serialize)]
struct PlanRow {
    moves: Vec<MoveRow>,
    held_back: Vec<String>,
    loads: Vec<LoadRow>,
    in_flight: u32,
}

#[derive(Debug, Serialize)]
struct MoveRow {
    dyno: String,
    app: String,
    from: String,
    to: String,
    reason: String,
    gain: String,
}

#[derive(Debug, Serialize)]
struct LoadRow {
    block: String,
    app: String,
    dynos_before: u32,
    dynos_after: u32,
    slots_before: u64,
    slots_after: u64,
    load_before: f64,
    load_after: f64,
}

impl From<wire::Plan> for PlanRow {
    fn from(plan: wire::Plan) -> Self {
        PlanRow {
            moves: plan.moves.into_iter().map(MoveRow::from).collect(),
            held_back: plan.held_back,
            loads: plan.loads.into_iter().map(LoadRow::from).collect(),
            in_flight: plan.in_flight,
        }
    }
}

impl From<wire::PlannedMove> for MoveRow {
    fn from(planned: wire::PlannedMove) -> Self {
        let wire::PlannedMove { dyno, app, from, to, reason, gain } = planned;
        MoveRow { dyno, app, from, to, reason, gain }
    }
}

impl From<wire::PlannedLoad> for LoadRow {
    fn from(load: wire::PlannedLoad) -> Self {
        LoadRow {
            block: load.block,
            app: load.app,
            dynos_before: load.dynos_before,
            dynos_after: load.dynos_after,
            slots_before: load.slots_before,
            slots_after: load.slots_after,
            load_before: load.load_before,
            load_after: load.load_after,
        }
    }
}

#[derive(Serialize)]
struct Started {
    started: u32,
    plan: PlanRow,
}

/// Shows what would be moved.
pub(crate) async fn show(session: &Session) -> Result<(), CliError> {
    let mut plan = session.client.read(wire::GetPlanRequest {}).await?.plan.unwrap_or_default();
    let text = std::mem::take(&mut plan.text);
    session.output.one(&PlanRow::from(plan), &text)
}

/// Starts one round of moves.
pub(crate) async fn rebalance(args: &RebalanceArgs, session: &Session) -> Result<(), CliError> {
    let answer = session.client.write(wire::RebalanceRequest { options: None }, &args.write).await?;
    let mut plan = answer.plan.unwrap_or_default();
    let text = std::mem::take(&mut plan.text);
    let started = answer.started;
    let sentence = format!("{}\n{started} of {} moves started; see `dynomesh events --follow`", text.trim_end(), plan.moves.len());
    session.output.one(&Started { started, plan: plan.into() }, sentence.trim_start())
}
