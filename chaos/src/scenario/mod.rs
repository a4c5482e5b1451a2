//! Scenarios: what is run, what breaks when, and what must hold. They are data; a new one needs no code.

mod expect;
mod file;
mod found;
mod schedule;
mod timed;

pub(crate) use expect::Expect;
pub(crate) use file::{Needs, Scenario, Serial, Shape};
pub(crate) use found::{all, named};
pub(crate) use schedule::{Event, Schedule};
pub(crate) use timed::{Drawn, Timed};
