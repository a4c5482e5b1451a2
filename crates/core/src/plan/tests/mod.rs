//! The planner's tests: golden snapshots, single rules, seed sweeps and a figure for size.

mod golden;
mod rules;
mod scale;
mod sweep;
mod town;
