//! The rebalancer: which dynos should move, why, and what that gains.
//!
//! [`plan`] is a function of one [`Observation`] and a [`Policy`]; it remembers nothing and touches nothing, so that a dry run and the real
//! thing are the same, and a control plane that fails over goes on where the last one stopped. It cannot hurt safety: epochs see to it that a
//! foolish plan costs latency and nothing else. What it could do is swing, and move dynos for ever; why it does not is told in `planner.rs`.
//!
//! What it refuses: to move dynos out of a lost block, because only that block can release them, so that the moves would hang until an operator
//! evicts it; to follow load alone, because a block that has just begun has none; to plan faster than the map converges (see [`due`]).

mod emit;
mod explain;
mod invariant;
mod mesh;
mod observation;
mod outcome;
mod pace;
mod planner;
mod policy;
mod reason;
mod render;
mod sites;
mod wish;

#[cfg(test)]
mod tests;

pub use invariant::check_invariants;
pub use observation::{AppSeen, BlockSeen, DynoSeen, LoadSeen, Observation, Standing};
pub use outcome::{Amount, BlockChange, GroupChange, HeldBack, Move, Plan};
pub use pace::{Due, due, round};
pub use policy::{DEFAULTS, Percent, Policy};
pub use reason::{Gain, Part, Reason, Wait};

use crate::time::Span;

/// What should be moved now. The policy has passed its check.
pub fn plan(observation: &Observation, policy: &Policy) -> Plan {
    let before = mesh::Mesh::new(observation, policy);
    let mut planner = planner::Planner::new(before.clone(), policy);
    planner.run();
    let mut emitter = emit::Emitter::new(&before, observation.unfinished(), policy);
    for want in &planner.wants {
        emitter.offer(want);
    }
    emitter.note_lost(observation.now);
    let (groups, blocks) = emitter.changes(observation);
    let (moves, held_back) = emitter.finish(&planner);
    Plan { moves, held_back, groups, blocks, next: round(policy, observation.convergence.unwrap_or(Span::ZERO)) }
}
