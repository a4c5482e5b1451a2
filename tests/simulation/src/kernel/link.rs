//! The ways between hosts: how long they are, and which are cut.

use super::{MS, Rng};

/// What a cut stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything.
    All,
    /// Datagrams alone, by which gossip travels.
    Datagrams,
}

/// A way that is cut, in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) from: Vec<u32>,
    pub(crate) to: Vec<u32>,
    pub(crate) kind: Kind,
}

/// All ways.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) cuts: Vec<Cut>,
    /// Hosts whose ways take longer, and by how much at most.
    pub(crate) slow: Vec<(u32, u64)>,
    /// Datagrams lost of a thousand.
    pub(crate) loss: u64,
    /// Segments and datagrams that met a cut or were lost.
    pub(crate) stopped: u64,
}

impl Links {
    pub(super) fn is_cut(&mut self, from: u32, to: u32, datagram: bool) -> bool {
        // Nothing comes between a host and itself.
        let meets = |cut: &Cut| from != to && (datagram || cut.kind == Kind::All) && cut.from.contains(&from) && cut.to.contains(&to);
        let cut = self.cuts.iter().any(meets);
        self.stopped += u64::from(cut);
        cut
    }

    pub(super) fn is_lost(&mut self, rng: &mut Rng) -> bool {
        let lost = self.loss > 0 && rng.chance(self.loss);
        self.stopped += u64::from(lost);
        lost
    }

    /// Nanoseconds from one host to another.
    pub(super) fn delay(&self, rng: &mut Rng, from: u32, to: u32) -> u64 {
        if from == to {
            return rng.range(5_000, 20_000);
        }
        let usual = rng.range(80_000, 250_000);
        let more = self.slow.iter().filter(|(host, _)| *host == from || *host == to).map(|(_, more)| *more).max();
        let rare = if rng.chance(2) { rng.below(5 * MS) } else { 0 };
        usual + rare + more.map_or(0, |more| rng.below(more))
    }
}
