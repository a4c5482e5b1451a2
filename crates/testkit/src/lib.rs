//! Boots a mesh as real processes, sends it requests, records what clients and dynos saw, and checks that.
//!
//! The mesh is a black box here: what it did is read from the answers its clients got and from the journals of its dynos, never from
//! its own logs or metrics, which would share its mistakes. Clocks, counts and content are this crate's and the sample dyno's own.
//!
//! Everything blocks: a test is one story on one thread. The client runs on threads of its own, so that load goes on while the test
//! kills processes or waits for a condition ([`wait::until`]).

pub mod cables;
pub mod check;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod dyno;
pub mod history;
pub mod latency;
pub mod processor;
pub mod script;
pub mod wait;
