//! What would be moved, and moving it.

use dynomesh_core::directory::ask::KEY_LEN_MAX;
use dynomesh_core::plan::{Amount, GroupChange, HeldBack, Move};
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::write::{Demands, demands};
use futures::{StreamExt, stream};
use tonic::Status;

use super::Api;
use super::call::Call;
use super::refusal::invalid;
use super::write::Change;
use crate::reconcile::{CONVERGENCE_UNMEASURED, Round, command};

/// Moves that wait for their commit at once.
const AT_ONCE: usize = 64;

impl Api {
    /// What would be moved now.
    pub(super) async fn plan(&self) -> Result<wire::GetPlanResponse, Status> {
        self.caught_up().await?;
        let round = self.planned().await?;
        Ok(wire::GetPlanResponse { plan: Some(self.plan_row(&round)) })
    }

    /// Starts the moves of one round. Each stands or falls by itself; one whose dyno was changed since is left out.
    pub(super) async fn rebalance(&self, call: &Call, request: wire::RebalanceRequest) -> Result<wire::RebalanceResponse, Status> {
        let Demands { key, expect } = demands(request.options).map_err(invalid)?;
        if expect.is_some() {
            let problem = "has no meaning here: a round of moves has no version";
            return Err(Status::invalid_argument(format!("options.expect_version: {problem}")));
        }
        self.caught_up().await?;
        let round = self.planned().await?;
        let changes: Vec<Change> = round.plan.moves.iter().map(|step| self.step(step, key.as_deref())).collect();
        let writes = stream::iter(changes).map(|change| self.write(call, change));
        let outcomes: Vec<_> = writes.buffered(AT_ONCE).collect().await;
        let started = outcomes.iter().filter(|outcome| outcome.as_ref().is_ok_and(|reply| reply.changed())).count();
        // Nothing was done at all, and there is a reason: that is the answer.
        if started == 0
            && let Some(Err(status)) = outcomes.into_iter().find(Result::is_err)
        {
            return Err(status);
        }
        Ok(wire::RebalanceResponse { plan: Some(self.plan_row(&round)), started: u32::try_from(started).unwrap_or(u32::MAX) })
    }

    /// A planned move, if its dyno is still as it was. Sent again under its key, the call plans anew, and each move that was made is made
    /// no second time.
    fn step(&self, step: &Move, key: Option<&str>) -> Change {
        let expect = self.directory.read(|state| state.dyno(&step.dyno).map(|dyno| dyno.epoch.0));
        let key = key.map(|key| format!("{key}/{}", step.dyno)).filter(|key| key.len() <= KEY_LEN_MAX);
        Change::new(command(step), Demands { key, expect })
    }

    /// Plans aside: a large mesh takes its time.
    async fn planned(&self) -> Result<Round, Status> {
        let api = self.clone();
        let planned = tokio::task::spawn_blocking(move || Round::now(&api)).await;
        planned.map_err(|_| super::refusal::stopping())
    }

    fn plan_row(&self, round: &Round) -> wire::Plan {
        let plan = &round.plan;
        wire::Plan {
            moves: plan.moves.iter().map(move_row).collect(),
            held_back: plan.held_back.iter().map(held_row).collect(),
            loads: plan.groups.iter().map(load_row).collect(),
            in_flight: round.unfinished,
            text: format!("{plan}{}", self.measured()),
        }
    }

    /// How fast the map is known to be, for people.
    fn measured(&self) -> String {
        match self.sight.convergence() {
            Some(it) => format!(
                "convergence of the map: median {:.1} ms, p99 {:.1} ms, of {} changes\n",
                it.median.as_millis_f64(),
                it.p99.as_millis_f64(),
                it.samples
            ),
            None => format!("convergence of the map: not measured yet, taken for {CONVERGENCE_UNMEASURED}\n"),
        }
    }
}

fn move_row(step: &Move) -> wire::PlannedMove {
    wire::PlannedMove {
        dyno: step.dyno.to_string(),
        app: step.app.to_string(),
        from: step.from.as_ref().map(ToString::to_string).unwrap_or_default(),
        to: step.to.to_string(),
        reason: step.reason.to_string(),
        gain: step.gain.to_string(),
    }
}

fn held_row(held: &HeldBack) -> String {
    format!("{} dynos wait: {}", held.dynos, held.wait)
}

fn load_row(change: &GroupChange) -> wire::PlannedLoad {
    let load = |amount: &Amount| amount.load.map_or(0.0, |load| f64::from(load.0) / 100.0);
    wire::PlannedLoad {
        block: change.block.as_ref().map(ToString::to_string).unwrap_or_default(),
        app: change.app.to_string(),
        dynos_before: change.before.dynos,
        dynos_after: change.after.dynos,
        slots_before: change.before.slots,
        slots_after: change.after.slots,
        load_before: load(&change.before),
        load_after: load(&change.after),
    }
}
