//! What runs beside a dyno.
//!
//! Today that is one room, [`demo`]: the sample dyno that `dynomesh dev` and the tests route to. It takes no part in the mesh and
//! trusts nothing of it: its own count, clock and journal are what the mesh is judged by.

pub mod demo;
