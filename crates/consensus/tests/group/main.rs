//! Groups of real replicas, each on a thread and runtime of its own, speaking gRPC over loopback.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]

mod cluster;
mod elections;
mod members;
mod protocol;
mod recovery;
mod replication;
