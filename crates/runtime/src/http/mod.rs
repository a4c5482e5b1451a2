//! HTTP on both sides of a daemon, on hyper's connection API: one thread serves a connection from first byte to last.

pub mod admin;
pub mod client;
pub mod door;
pub mod headers;
pub mod serve;
pub mod strict;
pub mod trailers;
pub mod tunnel;
