//! Moves dynos: out of blocks that are drained always, for balance where the operator wants that.
//!
//! It remembers nothing that the next leader would need: what is under way is seen in the directory and the map, and a round that was cut
//! short is planned again from where it stands. What it wants it asks of the directory like everybody else, under a name of its own.

use std::time::Duration;

use dynomesh_core::directory::{Ask, Command, DirectoryState, MeshSettings, Reply, may_say};
use dynomesh_core::plan::{Due, Move, Observation, Plan, Policy, due, plan};
use dynomesh_core::time::{Span, Time};
use futures::future::join_all;
use tracing::{debug, info};

use crate::api::Api;
use crate::hearing;
use crate::observation::{is_wanted, observe, unfinished};

/// Who asks for automatic moves.
const CALLER: &str = "rebalancer";
/// Longest time between two looks at the mesh, and least time: a plan of a large mesh takes a while to make.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// A round of planning takes at most this part of the time.
const IDLE_PARTS: u32 = 4;
/// What the map's convergence is taken for until a change was measured: some tens of gossip intervals. The first round's own
/// moves are measured, so only that one goes by it.
pub(crate) const CONVERGENCE_UNMEASURED: Span = Span::from_secs(2);

/// What is planned now.
pub(crate) struct Round {
    pub(crate) plan: Plan,
    pub(crate) unfinished: u32,
}

impl Round {
    /// Plans on what `api` sees now.
    pub(crate) fn now(api: &Api) -> Self {
        let (observation, settings) = snapshot(api);
        let unfinished = observation.unfinished();
        Round { plan: plan(&observation, &Policy::from(&settings)), unfinished }
    }
}

fn snapshot(api: &Api) -> (Observation, MeshSettings) {
    let mesh = api.sight.mesh(&api.gossip);
    let convergence = api.sight.convergence().map(|measured| measured.median);
    api.directory.read(|state| (observe(state, &mesh, &api.sight, convergence), *state.settings()))
}

/// The directory's word for a move, with its reason.
pub(crate) fn command(step: &Move) -> Command {
    Command::MoveDyno { id: step.dyno.clone(), to: step.to.clone(), why: step.reason.to_string() }
}

/// Runs until it is dropped; acts while this replica leads.
pub(crate) async fn run(api: Api) {
    hearing::heard(&api.sight, &api.gossip).await;
    let (mut watch, mut heard) = (api.watch.clone(), api.gossip.subscribe());
    let mut last = None;
    loop {
        let begun = tokio::time::Instant::now();
        if api.watch.leads() && !api.must_recover() {
            last = round(&api, last).await;
        }
        tokio::time::sleep((begun.elapsed() * IDLE_PARTS).clamp(LOOK_PAUSE, LOOK_EVERY * IDLE_PARTS)).await;
        tokio::select! {
            () = watch.changed() => {}
            _ = heard.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// One round, if one is due and something is to be done; when the last one with any moves was.
async fn round(api: &Api, last: Option<Time>) -> Option<Time> {
    let (now, view) = (api.sight.now(), api.gossip.view());
    let convergence = api.sight.convergence().map_or(CONVERGENCE_UNMEASURED, |measured| measured.median);
    let due = api.directory.read(|state| {
        let unfinished = unfinished(state, &view);
        needed(state).then(|| due(now, last, unfinished, Some(convergence), &Policy::from(state.settings())))
    });
    if due != Some(Due::Now) {
        return last;
    }
    let moves = Round::now(api).plan.moves;
    let wanted: Vec<Move> = api.directory.read(|state| {
        let may = |step: &Move| is_wanted(state, &step.dyno) && may_say(&view, state, &command(step)).is_ok();
        moves.into_iter().filter(may).collect()
    });
    if wanted.is_empty() {
        return last;
    }
    let started = join_all(wanted.iter().map(|step| ask(api, step))).await.into_iter().filter(|started| *started).count();
    info!(planned = wanted.len(), started, "moves begun");
    Some(now)
}

/// Whether there could be anything to do: planning costs time.
fn needed(state: &DirectoryState) -> bool {
    let emptied = state.blocks().any(|block| !block.takes_dynos() && block.dynos > 0);
    emptied || state.settings().rebalance == dynomesh_core::directory::Rebalance::Auto
}

/// Whether the directory has taken the move.
async fn ask(api: &Api, step: &Move) -> bool {
    let at_ms = api.clock.wall_millis();
    let expect = api.directory.read(|state| state.dyno(&step.dyno).map(|dyno| dyno.epoch.0));
    let ask = Ask { caller: CALLER.into(), at_ms, key: None, expect, app: None, command: command(step) };
    match api.replica.propose(Command::Asked(Box::new(ask))).await {
        Ok(Reply::Refused(no)) => {
            debug!(dyno = %step.dyno, to = %step.to, reason = %no, "a planned move was refused");
            false
        }
        Ok(reply) => {
            info!(dyno = %step.dyno, source = ?step.from, target = %step.to, why = %step.reason, epoch = reply.stamp(), "dyno move started");
            reply.changed()
        }
        // Planned again in a later round, here or by the next leader.
        Err(error) => {
            debug!(dyno = %step.dyno, %error, "a planned move was not proposed");
            false
        }
    }
}
