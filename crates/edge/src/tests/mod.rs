//! The edge against blocks that are played: hyper servers that speak the hop protocol and misbehave on purpose.
//!
//! Everything of a test runs on one thread: played blocks, edge and client. A *frozen* block takes connections and bytes and answers
//! nothing, beats included, as a stopped process does.

mod block;
mod choice;
mod daemon;
mod expect;
mod http2;
mod mesh;
mod outside;
mod patience;
mod retries;
mod silence;
mod streams;
mod switches;
mod trailers;

use block::{Hop, PlayedBlock, answered, empty, full, refused};
use mesh::{Mesh, within};

/// Runs a test on a local runtime, as a data thread has it.
fn run(test: impl Future<Output = ()>) {
    dynomesh_runtime::workers::local_runtime().unwrap().block_on(test);
}
