//! Messages and services of the mesh, generated from `/proto`: `raft::v1`, `admin::v1`, one module per package.
//!
//! Nothing is written by hand here but conversions between wire and core types; the wire files are the contract, and a message
//! that no daemon sends any more keeps its field numbers for ever.

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

pub mod convert;

/// The encoded description of all files under `/proto`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Most bytes of one gRPC message, in either direction; senders split what may grow past it.
pub const MESSAGE_LEN_MAX: usize = 16 * 1024 * 1024;
