//! The ways between hosts: how long they are, and which are cut.

use super::rules::Rules;
use super::{MS, Rng};

/// What a slow host must have delayed others by, all in all.
const SLOWED_MIN: u64 = 10 * MS;

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

/// A host whose ways take longer, and by how many nanoseconds at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slow {
    pub(crate) host: u32,
    pub(crate) most: u64,
}

/// All ways.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// Felt by each segment and datagram that is stopped.
    pub(crate) cuts: Rules<Cut>,
    /// Felt by each nanosecond that something comes later. Of several at one way the slowest counts.
    pub(crate) slow: Rules<Slow>,
    /// Datagrams lost of a thousand. Felt by each that is lost.
    pub(crate) losses: Rules<u64>,
}

impl Links {
    pub(super) fn is_cut(&mut self, from: u32, to: u32, datagram: bool) -> bool {
        // Nothing comes between a host and itself.
        let meets = |cut: &Cut| from != to && (datagram || cut.kind == Kind::All) && cut.from.contains(&from) && cut.to.contains(&to);
        self.cuts.feel(meets)
    }

    pub(super) fn is_lost(&mut self, rng: &mut Rng) -> bool {
        self.losses.feel(|loss| rng.chance(*loss))
    }

    /// Nanoseconds from one host to another.
    pub(super) fn delay(&mut self, rng: &mut Rng, from: u32, to: u32) -> u64 {
        if from == to {
            return rng.range(5_000, 20_000);
        }
        let usual = rng.range(80_000, 250_000);
        let rare = if rng.chance(2) { rng.below(5 * MS) } else { 0 };
        let here = self.slow.iter_mut().filter(|slow| slow.what.host == from || slow.what.host == to);
        let more = here.max_by_key(|slow| slow.what.most).map_or(0, |slow| {
            let more = rng.below(slow.what.most);
            slow.felt += more;
            more
        });
        usual + rare + more
    }

    /// Takes away what a fault did to ways; whether it was felt.
    pub(crate) fn heal(&mut self, fault: usize) -> bool {
        let stopped = self.cuts.take(fault) + self.losses.take(fault);
        let slowed = self.slow.take(fault);
        stopped > 0 || slowed >= SLOWED_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(from: u32, to: u32) -> Cut {
        Cut { from: vec![from], to: vec![to], kind: Kind::All }
    }

    #[test]
    fn a_cut_is_felt_by_what_it_stops_itself() {
        let mut links = Links::default();
        links.cuts.add(1, cut(1, 2));
        links.cuts.add(2, cut(3, 4));
        links.cuts.add(3, cut(1, 2));
        links.losses.add(4, 1);
        assert!(links.is_cut(1, 2, false) && !links.is_cut(2, 1, false));
        assert!(!links.heal(2), "what another cut stopped is not its work");
        assert!(!links.heal(4), "what a cut stopped was not lost");
        assert!(links.heal(1));
        assert!(links.is_cut(1, 2, false), "the same cut of another fault goes on");
        assert!(links.heal(3) && !links.is_cut(1, 2, false));
    }

    #[test]
    fn each_loss_goes_on_until_its_own_end() {
        let (mut links, mut rng) = (Links::default(), Rng::new(1));
        links.losses.add(1, 1_000);
        links.losses.add(2, 0);
        assert!(links.is_lost(&mut rng));
        assert!(!links.heal(2), "what another lost is not its work");
        assert!(links.is_lost(&mut rng) && links.heal(1) && !links.is_lost(&mut rng));
    }

    #[test]
    fn a_slow_host_is_felt_once_it_has_delayed_enough() {
        let (mut links, mut rng) = (Links::default(), Rng::new(1));
        links.slow.add(1, Slow { host: 1, most: SLOWED_MIN / 2 });
        links.slow.add(2, Slow { host: 2, most: 1_000 * SLOWED_MIN });
        links.slow.add(3, Slow { host: 1, most: 1_000 * SLOWED_MIN });
        links.delay(&mut rng, 1, 3);
        assert!(!links.heal(2), "nothing went there");
        assert!(!links.heal(1), "the slower one counts");
        assert!(links.heal(3));
        links.slow.add(4, Slow { host: 1, most: SLOWED_MIN / 2 });
        links.delay(&mut rng, 3, 1);
        assert!(!links.heal(4), "that was too little");
    }
}
