//! The eventually consistent membership map.
//!
//! Every entry is a [`Fact`] with a version of its own kind (epoch, term, version, counter), and two facts about the same subject join to
//! the larger one. Merging is therefore commutative, associative and idempotent: a delayed, repeated or reordered datagram can only
//! delay a move, never undo one. The absence of a fact says nothing (P18).

pub mod fact;
mod hearing;
pub mod join;
pub mod steps;
mod telling;
pub mod view;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tests;

pub use fact::Fact;
pub use hearing::{Heard, Hearing};
pub use join::Join;
pub use steps::{directory_steps, evicted_steps, steps, steps_of_group};
pub use telling::NodeTelling;
pub use view::MapView;
