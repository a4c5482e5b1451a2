//! What to simulate, as data: a world, what varies in it, and how often it is run.

mod policy;
mod setup;

pub use policy::Policy;
pub use setup::{Death, Failing, Overrides, Setup, Spread, Told};
