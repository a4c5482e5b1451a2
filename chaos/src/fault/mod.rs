//! Faults: each breaks one thing in one file, takes it back, and says by what it was felt. One that was not felt has tested nothing.

mod bandwidth;
mod check;
mod clock;
mod deploy;
mod disk_full;
mod drains;
mod evict;
mod file;
mod flush;
mod freeze;
mod kill;
mod leadership;
mod moves;
mod packets;
mod partition;
mod running;
mod starve;
mod torn_log;

use anyhow::Result;
use dynomesh_core::time::Span;
use serde::Deserialize;

use crate::figures::ms;
use crate::scenario::Needs;
use crate::system::Mesh;
pub(crate) use running::Running;

/// What is shorter passes for a moment in which a process was not scheduled, or a packet was late: nobody who waits does anything yet.
const NOTICED_MIN: Span = Span::from_millis(300);

/// A fault as a scenario writes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Spec {
    /// Processes are killed, and started again at the end.
    Kill(kill::Spec),
    /// Processes are frozen, and go on at the end.
    Freeze(freeze::Spec),
    /// Packets between hosts are dropped.
    Partition(partition::Spec),
    /// Packets of hosts are delayed, lost, doubled, reordered.
    Packets(packets::Spec),
    /// Cables of hosts are narrow.
    Bandwidth(bandwidth::Spec),
    /// Disks are full.
    DiskFull(disk_full::Spec),
    /// Flushes are slow, or fail.
    Flush(flush::Spec),
    /// Clocks step.
    Clock(clock::Spec),
    /// The end of a replica's log is damaged while it is down.
    TornLog(kill::Spec),
    /// Processes get too little of the processors.
    Starve(starve::Spec),
    /// Dynos are moved between blocks all the time.
    Moves(moves::Spec),
    /// Dynos are drained and taken back all the time.
    Drains(drains::Spec),
    /// All dynos are stopped and started again, one after the other.
    Deploy(deploy::Spec),
    /// A block is lost for good and evicted.
    Evict(evict::Spec),
}

/// What a fault concerns: a process, or a host's link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The name of the process.
    pub(crate) name: String,
    /// It provably reaches no quorum of its group.
    pub(crate) cut_off: bool,
}

/// By what a fault was felt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Felt {
    pub(crate) is_felt: bool,
    pub(crate) evidence: String,
}

/// A fault that can happen.
pub(crate) trait Fault {
    /// Chooses what it strikes, and asks what must be known before. Touches nothing: however long it takes, nobody is excused for it.
    fn aim(&mut self, _mesh: &mut Mesh) -> Result<()> {
        Ok(())
    }

    /// Breaks the thing. When it returns, the fault has taken hold.
    fn start(&mut self, mesh: &mut Mesh) -> Result<()>;

    /// Goes on with it; called every few milliseconds while it lasts.
    fn tick(&mut self, _mesh: &mut Mesh) -> Result<()> {
        Ok(())
    }

    /// Takes it back.
    fn heal(&mut self, mesh: &mut Mesh) -> Result<()>;

    /// Whether it has been taken back in full: asked until it is, after [`Fault::heal`].
    fn is_over(&mut self, _mesh: &mut Mesh) -> Result<bool> {
        Ok(true)
    }

    /// By what it was felt; asked when it is over.
    fn felt(&mut self, mesh: &mut Mesh) -> Result<Felt>;

    /// What it concerns, known once it has started.
    fn hits(&self) -> Vec<Hit>;
}

// === impl Spec ===

impl Spec {
    /// The fault itself.
    pub(crate) fn fault(&self) -> Box<dyn Fault> {
        match self {
            Spec::Kill(spec) => Box::new(kill::Kill::new(spec)),
            Spec::Freeze(spec) => Box::new(freeze::Freeze::new(spec)),
            Spec::Partition(spec) => Box::new(partition::Partition::new(spec)),
            Spec::Packets(spec) => Box::new(packets::Packets::new(spec)),
            Spec::Bandwidth(spec) => Box::new(bandwidth::Bandwidth::new(spec)),
            Spec::DiskFull(spec) => Box::new(disk_full::DiskFull::new(spec)),
            Spec::Flush(spec) => Box::new(flush::Flush::new(spec)),
            Spec::Clock(spec) => Box::new(clock::Clock::new(spec)),
            Spec::TornLog(spec) => Box::new(torn_log::TornLog::new(spec)),
            Spec::Starve(spec) => Box::new(starve::Starve::new(spec)),
            Spec::Moves(spec) => Box::new(moves::Moves::new(spec)),
            Spec::Drains(spec) => Box::new(drains::Drains::new(spec)),
            Spec::Deploy(spec) => Box::new(deploy::Deploy::new(spec)),
            Spec::Evict(spec) => Box::new(evict::Evict::new(spec)),
        }
    }

    /// Its kind, as incidents are called in a history.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Spec::Kill(_) => "kill",
            Spec::Freeze(_) => "freeze",
            Spec::Partition(_) => "partition",
            Spec::Packets(_) => "packets",
            Spec::Bandwidth(_) => "bandwidth",
            Spec::DiskFull(_) => "disk-full",
            Spec::Flush(_) => "flush",
            Spec::Clock(_) => "clock",
            Spec::TornLog(_) => "torn-log",
            Spec::Starve(_) => "starve",
            Spec::Moves(_) => "moves",
            Spec::Drains(_) => "drains",
            Spec::Deploy(_) => "deploy",
            Spec::Evict(_) => "evict",
        }
    }

    /// Adds what must be there before the mesh starts.
    pub(crate) fn add_needs(&self, needs: &mut Needs) {
        match self {
            Spec::Packets(_) => needs.relay = true,
            Spec::Flush(_) | Spec::Clock(_) => needs.faults = true,
            Spec::DiskFull(spec) => needs.small_disks = Some(spec.size.clone()),
            _ => {}
        }
    }

    /// Whether it strikes processes; if none of them is left to be struck, it has not happened. Of a partition the packets tell.
    fn has_target(&self) -> bool {
        !matches!(self, Spec::Moves(_) | Spec::Drains(_) | Spec::Deploy(_) | Spec::Partition(_))
    }

    /// Whether it shows something only if it lasts: what is lost with a process, or written wrongly, is so at once.
    fn must_last(&self) -> bool {
        match self {
            Spec::Partition(_) | Spec::Packets(_) | Spec::Bandwidth(_) | Spec::DiskFull(_) | Spec::Starve(_) => true,
            Spec::Flush(flush) => !flush.fails,
            _ => false,
        }
    }

    /// Whether edges and blocks that are no mesh can have it too.
    pub(crate) fn suits_rivals(&self) -> bool {
        match self {
            Spec::Kill(spec) => spec.target.is_in_rivals(),
            Spec::Freeze(spec) => spec.target.is_in_rivals(),
            _ => false,
        }
    }

    /// In words, as a scenario writes it.
    pub(crate) fn told(&self) -> String {
        match self {
            Spec::Evict(evict::Spec { block, .. }) => format!("evict {block}"),
            Spec::Partition(partition::Spec { between: [first, second], .. }) => format!("partition between {first} and {second}"),
            _ => self.target().map_or_else(|| self.kind().to_owned(), |target| format!("{} {target}", self.kind())),
        }
    }

    /// Whether it may last beside another: what needs the mesh to answer commands may not.
    pub(crate) fn may_overlap(&self) -> bool {
        !matches!(self, Spec::Evict(_) | Spec::TornLog(_) | Spec::DiskFull(_))
    }

    /// Whether it lasts as long as any that is drawn: a full disk is felt only when its process wants more of it, as for the next snapshot.
    pub(crate) fn is_felt_late(&self) -> bool {
        matches!(self, Spec::DiskFull(_))
    }
}

// === impl Hit ===

impl Hit {
    /// Processes of whose quorum nothing is known.
    pub(crate) fn of(names: &[String]) -> Vec<Hit> {
        names.iter().map(|name| Hit { name: name.clone(), cut_off: false }).collect()
    }

    /// Processes that reach nobody.
    pub(crate) fn cut_off(names: &[String]) -> Vec<Hit> {
        names.iter().map(|name| Hit { name: name.clone(), cut_off: true }).collect()
    }
}

// === impl Felt ===

impl Felt {
    /// Whether it was felt, and what says so or is missing.
    pub(crate) fn when(is_felt: bool, evidence: impl Into<String>) -> Self {
        Felt { is_felt, evidence: evidence.into() }
    }

    /// The same of a fault that lasted so long: one that must last is not felt if it was over before anybody can have noticed.
    fn if_lasted(self, lasted: Span, must_last: bool) -> Self {
        let Felt { is_felt, evidence } = self;
        if !must_last || lasted >= NOTICED_MIN {
            return Felt { is_felt, evidence };
        }
        Felt::when(
            false,
            format!("{evidence}. Not felt: it lasted {}, too short for anybody to notice, less than {NOTICED_MIN}", ms(lasted)),
        )
    }
}
