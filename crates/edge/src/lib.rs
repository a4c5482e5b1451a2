//! The edge router: finds the app and a block for each client request, and retries where that cannot run anything twice.
//!
//! An edge keeps no state that matters: the map tells it apps, blocks and leaders, responses and beats tell it the rest, and it can be
//! killed and replaced at any time. It never picks a dyno.
//!
//! ```text
//! client --> [runtime::http::serve] --> service --choose--> attempt --hop--> leader of a block
//!                                          |                  ^ |
//!                                          |     beat --silent--+ +--correction--> leader
//!              gossip --> routes (snapshot) +-- seats (leaders), loads, budgets: shared by all data threads
//! ```
//!
//! | thread | runs | ends |
//! |---|---|---|
//! | `edge-N` (`threads` of them) | a listener, its connections, a pool, the pulses and searches of `beat` | at shutdown, after `drain` |
//! | gossip's own | the gossip of the map | with [`run`] |
//! | admin's own | `/healthz`, `/readyz`, `/metrics` | with [`run`] |
//! | `access-log` | writes lines from a bounded queue of 8192, past which they are dropped and counted | with its last sender |
//! | the caller's | takes changes of the map over into the routes; says how the edge stands and obeys wishes (`presence`) | at shutdown |

mod access_log;
mod arriving;
mod attempt;
mod beat;
mod body;
mod config;
mod error;
mod forward;
mod idle;
mod inbound;
mod load;
mod metrics;
mod outgoing;
pub mod passage;
mod presence;
mod record;
mod relay;
mod reply;
mod routes;
mod seat;
mod secure;
mod service;
mod start;
mod switch;
#[cfg(test)]
mod tests;
mod unread;

pub use beat::BeatSettings;
pub use config::{Config, FileConfig, Limits, RetrySettings};
pub use error::Error;
pub use start::run;
