//! From runs to figures, and from figures to what people and programs read.

mod confidence;
mod tally;

pub use confidence::Estimate;
pub use tally::{Figures, Tally};
