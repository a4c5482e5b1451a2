//! What replicas say to each other, over gRPC.
//!
//! Log entries go to each peer as one long stream of requests, pipelined; heartbeats go over a connection of their own, so that
//! no batch or snapshot stands before them; snapshots and everything rare share a third. A peer that came back is found again
//! within [`RECONNECT`].
//!
//! Refused on arrival: an unknown protocol version, a message meant for another replica id (addresses are reused, ids are not),
//! one of another group, and votes for as long as a restarted replica may have promised a lease it has forgotten (P4).
//!
//! A new replica takes nothing but an invitation, which a member of the group sends it when it refused a call as uninvited. A
//! replica that was removed and did not notice learns it from the refusal of the first member that it asks for a vote.

mod client;
mod convert;
mod server;

use std::time::Duration;

pub(crate) use client::{Network, Peers, channel, client};
pub(crate) use convert::{group, member, wire_member};
pub(crate) use server::Muzzle;
pub use server::Server;

/// Version of the protocol in every header.
pub(crate) const VERSION: u32 = 1;
/// Pause before another try at a peer that cannot be reached.
pub(crate) const RECONNECT: Duration = Duration::from_millis(25);
/// Longest time to connect and open a stream.
pub(crate) const SETUP_MAX: Duration = Duration::from_millis(500);
/// A connection on which nothing comes back for this long is given up.
pub(crate) const SILENCE_MAX: Duration = Duration::from_millis(1_500);
/// Longest wait for the answer to a rare call.
pub(crate) const RARE_MAX: Duration = Duration::from_secs(1);
/// Code of the refusal by a new replica that was not invited to the group.
pub(crate) const UNINVITED: tonic::Code = tonic::Code::Unauthenticated;
/// Code of the refusal to hear a replica that was removed from the group.
pub(crate) const REMOVED: tonic::Code = tonic::Code::PermissionDenied;
/// Bytes of one piece of a snapshot.
pub(crate) const CHUNK_LEN: usize = 256 * 1024;
/// Largest snapshot that is taken from a peer.
pub(crate) const SNAPSHOT_LEN_MAX: u64 = 1024 * 1024 * 1024;
