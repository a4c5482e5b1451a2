//! How many blocks, of what size, with how many edges: the question before machines are bought.
//!
//! Every candidate is simulated under the load that was asked about, from one block to blocks of five dynos. Large blocks balance
//! better, small ones lose less when one dies, and each block costs three replicas; so the answer is the fewest blocks that are
//! nearly as fast as the best and whose death touches little enough. What is weighed against what stands in [`Rules`], and every answer
//! says its reasons.
//!
//! A mesh of more than [`candidate::SLICE_DYNOS`] dynos is simulated as a slice of it with the same blocks under the same load per
//! dyno: blocks share nothing, so a hundredth of a mesh shows what all of it does.

pub mod advice;
pub mod args;
pub mod ask;
pub mod candidate;
pub mod capacity;
pub mod error;
mod report;
pub mod search;

#[cfg(test)]
mod tests;

use std::num::NonZero;

use serde::Serialize;

pub use advice::{Advice, Setting};
pub use args::SizeArgs;
pub use ask::{Ask, Rules};
pub use candidate::Candidate;
pub use error::SizeError;

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct Sizing {
    /// Dynos in all: as asked, or as many as the target needs.
    pub dynos: usize,
    /// Requests per second.
    pub rps: f64,
    /// Share of what the dynos can serve.
    pub load: f64,
    /// What was simulated, by the number of blocks.
    pub candidates: Vec<Candidate>,
    /// What to do.
    pub advice: Advice,
}

/// Answers. `step` is told of each run that ended; there are at most [`Ask::runs_max`].
pub fn size(ask: &Ask, threads: NonZero<usize>, step: &(dyn Fn() + Sync)) -> Result<Sizing, SizeError> {
    ask.check()?;
    let capacity = ask.capacity();
    let dynos = match (ask.dynos, ask.target) {
        (Some(dynos), _) if capacity.load(dynos) < 1.0 => dynos,
        (Some(dynos), None) => return Err(SizeError::overload(ask, dynos)),
        (_, Some(target)) => search::dynos_for(ask, target, threads, step)?,
        (None, None) => return Err(SizeError::NoDynos { least: capacity.dynos_for(capacity::LOAD_GOOD) }),
    };
    let candidates = candidate::all(ask, dynos, threads, step);
    // Those of the command line miss the target in every block size: say how many would not.
    let missed = ask.target.filter(|target| candidates.iter().all(|candidate| candidate.p99.mean > *target));
    let enough = missed.map(|target| search::dynos_for(ask, target, threads, step));
    let advice = Advice::of(ask, dynos, &candidates, enough);
    Ok(Sizing { dynos, rps: capacity.rps, load: capacity.load(dynos), candidates, advice })
}
