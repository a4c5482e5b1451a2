//! A replicated state machine on openraft: propose in batches, durable log, snapshots, lease, leadership transfer.
//!
//! This crate is the only one that names openraft. It knows nothing of blocks or directories: they bring a [`Machine`].
//!
//! # Tasks and threads
//! [`Replica::start`] spawns on the runtime it is called on: openraft's own tasks; `role::follow`, which turns openraft's
//! metrics into a [`Role`] and starts and ends the [`Lease`]; the batcher, fed by an unbounded channel that a counter bounds at
//! [`WAITING_MAX`]; the one that hands leadership over while the replica abstains; short ones that invite new members and tell
//! removed ones. All end with [`Replica::stop`]. A handover is a task of its own on the runtime of whoever asks for it, bounded by its
//! time limits. One thread, `log`, writes and flushes the log; it ends when the last handle is dropped. The service that `start`
//! returns runs wherever it is mounted; mount it on the same runtime.

mod batcher;
mod candidacy;
mod engine;
mod error;
mod identity;
mod keeper;
mod lease;
mod log;
mod machine;
mod members;
mod metrics;
mod options;
mod payload;
mod replica;
mod role;
mod roll;
mod snapshot;
mod transport;

pub use batcher::{BATCH_MAX, COMMAND_LEN_MAX, WAITING_MAX};
pub use error::{BootstrapError, ProposeError, StartError};
pub use lease::Lease;
pub use machine::Machine;
pub use members::{
    Change, MemberState, Members, MembersError, Order, Refusal, add_replica, members, remove_replica, replace_replica, transfer_leadership,
};
pub use metrics::{LATENCY_BOUNDS, Latency, Metrics};
pub use options::{Cut, FlushMode, HEARTBEAT_MIN, Member, OnFatal, Options, Timers};
pub use replica::{Introduction, RaftServer, Replica, TransferError, bootstrap_group, identify_replica};
pub use role::{Role, State};
pub use transport::Server;
