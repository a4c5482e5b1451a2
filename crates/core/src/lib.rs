//! Every decision the mesh takes, as pure functions and state machines.
//!
//! Nothing here reads a clock, draws ambient randomness, awaits or touches the world: `now` and `rng` are arguments and effects
//! are returned as data. The daemons, the simulator and the tests therefore run the very same code.

pub mod app;
pub mod balance;
pub mod block;
pub mod directory;
pub mod dispatch;
pub mod gossip;
pub mod http1;
pub mod http2;
pub mod id;
pub mod map;
#[cfg(test)]
mod model;
pub mod plan;
mod planted;
#[cfg(test)]
mod sweep;
pub mod time;
pub mod websocket;
