//! Keeping out of the lead while told to.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::{Inner, transfer};
use crate::candidacy::MUTE_PARTS;
use crate::machine::Machine;

/// Another voter that lacks no more entries than this is handed over to: it has them before the handover's time is up.
const BEHIND_MAX: u64 = 1_000;

/// Runs until the replica has stopped: hands over what leadership comes to it while it abstains, and lets it stand when nobody leads.
pub(super) async fn run<M: Machine>(inner: Arc<Inner<M>>) {
    let (mut abstaining, mut role) = (inner.candidacy.abstaining(), inner.role.clone());
    let timers = inner.options.timers;
    let mut not_before = Instant::now();
    loop {
        let stopped = tokio::select! {
            told = abstaining.wait_for(|abstains| *abstains) => told.is_err(),
            () = ended(&mut role) => true,
        };
        if stopped {
            return;
        }
        if inner.leads().is_some() {
            inner.candidacy.hear();
            if Instant::now() >= not_before && somebody_can(&inner) {
                // A handover that fails ends in an election; it gets its time.
                not_before = Instant::now() + timers.election_max.times(MUTE_PARTS).to_std();
                if let Err(error) = transfer(&inner, None).await {
                    tracing::info!(error = &error as &dyn std::error::Error, "a replica that abstains could not hand over");
                }
            }
        } else {
            inner.candidacy.relent();
        }
        tokio::select! {
            () = sleep(timers.heartbeat.to_std()) => {}
            () = ended(&mut role) => return,
        }
    }
}

/// Returns once openraft's core has ended.
async fn ended(role: &mut tokio::sync::watch::Receiver<crate::role::Role>) {
    while role.changed().await.is_ok() {}
}

fn somebody_can<M: Machine>(inner: &Inner<M>) -> bool {
    let state = inner.members();
    let me = inner.identity.replica();
    let able = |it: &crate::members::MemberState| {
        it.member.id != me && it.voter && !it.abstains && it.heard == Some(true) && it.behind.is_some_and(|behind| behind <= BEHIND_MAX)
    };
    state.members.iter().any(able)
}
