//! From runs to figures, and from figures to what people and programs read.

mod cases;
mod confidence;
pub mod golden;
mod grid;
pub mod plot;
mod record;
pub mod reference;
mod spread;
mod tally;

pub use confidence::Estimate;
pub use grid::{Grid, Side};
pub use record::{Record, Value, csv, json};
pub use spread::{Spread, cell};
pub use tally::{Figures, Tally};
