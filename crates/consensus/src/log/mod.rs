//! The durable log: one totally ordered sequence of records in segment files (P3).
//!
//! Votes, entries, truncations, purges and the committed mark are one sequence: what is read back after a crash is a prefix of
//! what was written, and never less than what was flushed. All entries that are not purged are also kept in memory, which the
//! snapshot policy bounds; nothing is read from the files after the start.
//!
//! Refused: acknowledging before the flush; flushing on the thread that runs openraft (a slow disk must not silence the
//! heartbeats); going on after a failed flush; starting over flushed records that can no longer be read.

mod record;
mod recover;
mod segment;
mod store;
mod writer;

#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod suite_tests;
#[cfg(test)]
mod tests;

pub(crate) use store::Log;
