//! What every daemon of the mesh needs around the core: clock, configuration, shutdown, sockets, HTTP, gossip, gRPC, telemetry.
//!
//! It touches the world for everyone and decides nothing about routing: that is the core's part. What only one daemon needs lives in
//! that daemon's crate.
//!
//! Threads: [`workers`] run the data path, one runtime each, nothing shared but what the daemon hands them; `admin`, `gossip`,
//! `signals` and `parent` have a thread of their own, so that no load on the data path delays them.

pub mod clock;
pub mod config;
pub mod descriptors;
pub mod faults;
pub mod file;
pub mod gossip;
pub mod grpc;
pub mod http;
pub mod net;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod workers;
