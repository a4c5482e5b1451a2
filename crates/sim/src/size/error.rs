//! Why there is no answer.

use std::fmt::Display;

use super::ask::{Ask, DYNOS_MAX};
use super::capacity::LOAD_GOOD;
use crate::trace::TraceError;

/// Each names the value and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum SizeError {
    /// A parameter makes no sense.
    #[error("{name} is {value}: it {expected}")]
    Bad {
        /// The parameter.
        name: &'static str,
        /// As it was given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// More is asked than the dynos can serve.
    #[error(
        "{rps:.0} requests/s are more than {dynos} dynos can serve: a request takes a slot for {slot_ms:.1} ms and a dyno is down {down:.1} % of the time, \
         so they serve {most:.0} at most. At least {least} dynos are needed, and {good} for a load of {} %; --p99-ms searches how many a latency needs",
        LOAD_GOOD * 100.0
    )]
    Overload {
        /// Requests per second.
        rps: f64,
        /// As they were given.
        dynos: usize,
        /// What a request takes.
        slot_ms: f64,
        /// Share of the time that a dyno is down, in percent.
        down: f64,
        /// What these dynos serve.
        most: f64,
        /// Dynos for a load just under 1.
        least: usize,
        /// Dynos for a good load.
        good: usize,
    },
    /// Neither dynos nor a target were given.
    #[error("give --dynos, or --p99-ms to search how many are needed ({least} for a load of {} %)", LOAD_GOOD * 100.0)]
    NoDynos {
        /// For a good load.
        least: usize,
    },
    /// The target cannot be met.
    #[error(
        "no number of dynos has a p99 of {target} ms: with {dynos} of them, {load:.0} % busy, it is {p99:.0} ms. \
         Most of it is the time of requests themselves: make the slow ones faster, or ask for more than {p99:.0} ms"
    )]
    Target {
        /// What was asked.
        target: f64,
        /// As many as were tried.
        dynos: usize,
        /// Their load in percent.
        load: f64,
        /// What they reach.
        p99: f64,
    },
    /// More dynos would be needed than can be asked about.
    #[error("{least} dynos and more would be needed; at most {DYNOS_MAX} can be simulated: ask about a part of the load")]
    TooMany {
        /// For a load just under 1.
        least: usize,
    },
    /// The trace is no trace.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

impl SizeError {
    pub(super) fn bad(name: &'static str, value: impl Display, expected: impl Into<String>) -> Self {
        SizeError::Bad { name, value: value.to_string(), expected: expected.into() }
    }

    pub(super) fn overload(ask: &Ask, dynos: usize) -> Self {
        let capacity = ask.capacity();
        SizeError::Overload {
            rps: capacity.rps,
            dynos,
            slot_ms: capacity.slot * 1e3,
            down: (1.0 - capacity.up) * 100.0,
            most: capacity.each * dynos as f64,
            least: capacity.dynos_for(0.999),
            good: capacity.dynos_for(LOAD_GOOD),
        }
    }
}
