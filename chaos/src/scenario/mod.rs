//! Scenarios: what is run, what breaks when, and what must hold. They are data; a new one needs no code.

mod expect;
mod file;
mod schedule;
mod timed;

pub(crate) use expect::Expect;
pub(crate) use file::{Needs, Scenario, Shape, all, named};
pub(crate) use schedule::{Event, Schedule};
pub(crate) use timed::{Drawn, Timed};
