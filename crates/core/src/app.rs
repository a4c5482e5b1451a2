//! What an operator says about an app and its dynos.

use serde::{Deserialize, Serialize};

use crate::id::{Address, AppName, DynoId, Host, Invalid};
use crate::time::Span;

mod form;

/// Most hosts an app may have.
pub const HOSTS_MAX: usize = 64;
/// Most requests in flight a dyno may be allowed.
pub const MAX_CONNS_MAX: u32 = 65_535;
/// Longest time an idle connection to a dyno may be kept.
pub const KEEP_ALIVE_MAX: Span = Span::from_secs(600);

/// An app as the operator described it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSpec {
    /// Its name, unique in the mesh.
    pub name: AppName,
    /// Hosts that edges route to it; each belongs to one app.
    pub hosts: Vec<Host>,
    /// How its requests are treated.
    pub policy: Policy,
}

/// How an app's requests are treated. Its written forms are in the module `form`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Requests in flight at a dyno that does not set its own limit; at least 1.
    pub max_conns: u32,
    /// Whether its dynos take one request at a time, so that an answer proves idleness (P9).
    pub serial: Serial,
    /// What becomes of slots whose holder is proven dead, when no idle proof can be had (P8).
    pub orphans: Orphans,
    /// How the block asks a dyno whether it is up.
    pub probe: Probe,
    /// Requests that may wait in a block; `None` means as many as the app has slots there.
    pub queue_len: Option<u32>,
    /// Longest wait in that queue.
    pub queue_wait: Span,
    /// Whether an `Idempotency-Key` header makes a request idempotent.
    pub idempotency_key: bool,
    /// What becomes of a dispatched request whose client left (P13).
    pub client_gone: ClientGone,
    /// How long an idle connection to a dyno is kept for the next request; zero: every request has a connection of its own. Shorter than
    /// the dyno's own limit, or requests meet connections that are just being closed.
    pub keep_alive: Span,
    /// What its dynos speak.
    pub dyno_protocol: DynoProtocol,
}

/// Whether a dyno takes one request at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serial {
    /// Learned from a probe sent while a request runs.
    #[default]
    Auto,
    /// Declared: a probe waits behind a running request.
    Yes,
    /// Declared: a probe proves nothing about running requests.
    No,
}

/// What becomes of the slots of a holder that is proven dead, when no idle proof can be had (P8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orphans {
    /// Freed `orphan_hold` after the proof of death: the kernel has closed their connections and most servers stop then.
    #[default]
    Prompt,
    /// Kept until their deadline.
    Strict,
}

/// How a block asks a dyno whether it is up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// A TCP connect that sends nothing; the app sees no request.
    #[default]
    Connect,
    /// A GET of this path; any status below 500 means up.
    Get(String),
}

/// What becomes of a dispatched request whose client left (P13).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientGone {
    /// The response is read to its end and thrown away; then the slot is free.
    #[default]
    Finish,
    /// The connection to the dyno is cut; the slot stays counted until an idle proof or its deadline.
    Cut,
}

/// What a dyno speaks, known before the first byte is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DynoProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, by prior knowledge; still one request at a time on a connection.
    Http2,
}

/// A dyno as the operator added it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoSpec {
    /// Its id, unique in the mesh.
    pub id: DynoId,
    /// The app it serves.
    pub app: AppName,
    /// Where it listens; unique in the mesh until a removed dyno is released (P17).
    pub address: Address,
    /// Requests it may have in flight; at least 1.
    pub max_conns: u32,
}

/// Whether a dyno takes new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Takes requests.
    Active,
    /// Finishes what runs and takes nothing new.
    Draining,
    /// No longer owned: its block promised never to dispatch to it again under this epoch or an older one.
    Released,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            max_conns: 1,
            serial: Serial::Auto,
            orphans: Orphans::Prompt,
            probe: Probe::Connect,
            queue_len: None,
            queue_wait: Span::from_secs(10),
            idempotency_key: false,
            client_gone: ClientGone::Finish,
            keep_alive: Span::ZERO,
            dyno_protocol: DynoProtocol::Http1,
        }
    }
}

impl AppSpec {
    /// Refuses what no app may have; the error names the value and what would be right.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.hosts.is_empty() || self.hosts.len() > HOSTS_MAX {
            return Err(Invalid::new("hosts", &self.hosts.len().to_string(), "must be 1 to 64 in number"));
        }
        if let Probe::Get(path) = &self.policy.probe {
            let well_formed = path.starts_with('/') && path.len() <= 1024 && path.bytes().all(|b| b.is_ascii_graphic());
            if !well_formed {
                return Err(Invalid::new("probe path", path, "must start with '/' and hold at most 1024 printable characters"));
            }
        }
        if self.policy.queue_len.is_some_and(|len| len > 1_000_000) {
            return Err(Invalid::new("queue_len", "over 1000000", "must be at most 1000000"));
        }
        if self.policy.keep_alive > KEEP_ALIVE_MAX {
            return Err(Invalid::new("keep_alive", &self.policy.keep_alive.to_string(), "must be at most 10m"));
        }
        check_max_conns(self.policy.max_conns)
    }
}

/// Refuses a limit of requests in flight that is no limit, or none that a dyno could keep.
pub fn check_max_conns(max_conns: u32) -> Result<(), Invalid> {
    match max_conns {
        1..=MAX_CONNS_MAX => Ok(()),
        _ => Err(Invalid::new("max_conns", &max_conns.to_string(), "must be from 1 to 65535")),
    }
}
