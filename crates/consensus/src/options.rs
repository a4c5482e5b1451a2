//! How a replica is set up, and who its members are.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dynomesh_core::id::{Address, ReplicaId};
use dynomesh_core::time::Span;

use crate::engine::Place;
use dynomesh_runtime::clock::Clock;

/// Shortest heartbeat interval: openraft counts in whole milliseconds.
pub const HEARTBEAT_MIN: Span = Span::from_millis(5);

/// When a silent leader is given up. The same on every replica of a group: a follower promises the leader its own `election_max`
/// as lease, and says so in every answer, so a leader never relies on more than was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// A leader shows itself this often. Less than a third of `election_min`, or one lost heartbeat costs the leadership.
    pub heartbeat: Span,
    /// A follower stands for election no sooner after the lease has passed.
    pub election_min: Span,
    /// And no later; also the lease that a follower gives its leader. More than `election_min`.
    pub election_max: Span,
}

impl Default for Timers {
    fn default() -> Self {
        Timers { heartbeat: Span::from_millis(30), election_min: Span::from_millis(90), election_max: Span::from_millis(120) }
    }
}

impl Timers {
    /// Refuses timers that no group could live with; the sentence names both values.
    pub fn check(&self) -> Result<(), String> {
        let Timers { heartbeat, election_min, election_max } = *self;
        if heartbeat < HEARTBEAT_MIN {
            return Err(format!("heartbeat = {heartbeat} must be at least {HEARTBEAT_MIN}"));
        }
        if heartbeat.times(3) > election_min {
            return Err(format!("heartbeat = {heartbeat} must be at most a third of election_min = {election_min}"));
        }
        if election_min >= election_max {
            return Err(format!("election_min = {election_min} must be less than election_max = {election_max}"));
        }
        Ok(())
    }
}

/// When appended entries reach the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FlushMode {
    /// Before they are acknowledged, one flush per batch (P1). There is no other mode.
    #[default]
    Always,
}

/// What to do when the disk fails: nothing that was acknowledged may be lost, so the process must end. Tests observe it instead.
#[derive(Clone)]
pub struct OnFatal(Arc<dyn Fn(&io::Error) + Send + Sync>);

impl OnFatal {
    /// Ends the process at once, without unwinding: whatever state is in memory must not be used any more.
    pub fn abort() -> Self {
        OnFatal::call(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "the log cannot be written; this process ends");
            std::process::abort();
        })
    }

    /// Calls `hook`, from the thread that writes the log.
    pub fn call(hook: impl Fn(&io::Error) + Send + Sync + 'static) -> Self {
        OnFatal(Arc::new(hook))
    }

    pub(crate) fn report(&self, error: &io::Error) {
        (self.0)(error);
    }
}

impl fmt::Debug for OnFatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnFatal")
    }
}

/// Cuts a replica off from its peers, in both directions. Tests of isolation hold a clone.
#[derive(Debug, Clone, Default)]
pub struct Cut(Arc<AtomicBool>);

impl Cut {
    /// Cuts it off, or connects it again.
    pub fn set(&self, cut: bool) {
        self.0.store(cut, Ordering::Release);
    }

    /// Whether it is cut off.
    pub fn is_cut(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// How a replica is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its directory; made if missing, refused if it is another group's or in use by another process.
    pub dir: PathBuf,
    /// What the group is for: `block` or `control`.
    pub kind: &'static str,
    /// The group's name.
    pub name: String,
    /// Where this replica takes requests, as others can reach it.
    pub http: Address,
    /// Where this replica takes the calls of its peers, as others can reach it.
    pub grpc: Address,
    /// When a silent leader is given up.
    pub timers: Timers,
    /// When appended entries reach the disk.
    pub flush: FlushMode,
    /// The clock by which leases are counted.
    pub clock: Clock,
    /// Seeds the election timeouts and the minted ids; a different number on every replica and start, fixed only in tests.
    pub seed: u64,
    /// A snapshot is taken after this many log entries.
    pub snapshot_every: u64,
    /// Log entries kept behind a snapshot, for followers that are not far behind.
    pub snapshot_keep: u64,
    /// Bytes of one log segment.
    pub segment_len: u64,
    /// Called when the disk fails.
    pub on_fatal: OnFatal,
    /// Cuts it off from its peers, for tests.
    pub cut: Cut,
}

impl Options {
    /// The defaults for a group and place.
    pub fn new(
        dir: impl Into<PathBuf>,
        kind: &'static str,
        name: impl Into<String>,
        http: Address,
        grpc: Address,
        clock: Clock,
        seed: u64,
    ) -> Self {
        Options {
            dir: dir.into(),
            kind,
            name: name.into(),
            http,
            grpc,
            timers: Timers::default(),
            flush: FlushMode::Always,
            clock,
            seed,
            snapshot_every: 5_000,
            snapshot_keep: 1_000,
            segment_len: 4 * 1024 * 1024,
            on_fatal: OnFatal::abort(),
            cut: Cut::default(),
        }
    }
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: ReplicaId,
    /// Where it takes requests.
    pub http: Address,
    /// Where it takes the calls of its peers.
    pub grpc: Address,
}

impl Member {
    pub(crate) fn place(&self) -> Place {
        Place { http: self.http.to_string(), grpc: self.grpc.to_string() }
    }

    /// `None` if the stored addresses cannot be read, which only a foreign log could cause.
    pub(crate) fn from_place(id: u64, place: &Place) -> Option<Self> {
        Some(Member { id: ReplicaId(id), http: place.http.parse().ok()?, grpc: place.grpc.parse().ok()? })
    }
}
