//! What to simulate, as data: a world, what varies in it, and how often it is run.

pub mod check;
mod expect;
mod file;
mod policy;
mod setup;
mod shipped;
mod study;

pub use expect::{Broken, Expect};
pub use file::{Axis, Case, Figure, Plot, PlotKind, Point, Scenario, ScenarioError, Size};
pub use policy::Policy;
pub use setup::{Death, Failing, Overrides, Setup, Spread, Told};
pub use shipped::{STUDIES, Shipped};
pub use study::{Curve, Line, Results, Tick, run};
