//! When the requests that still run at a draining dyno are cut.
//!
//! A drain deadline only cuts: it ends connections, and frees no slot. A cut slot stays counted until its dyno is proven idle or the
//! slot's own deadline passes, and only then may the dyno be released (P12).
//!
//! The log knows no time, so every replica counts from when it saw the dyno drain itself, and cuts the requests that it carries,
//! whether it leads or not (P10): an old leader that streams on applies the same drain as the new one.

use std::collections::BTreeMap;

use super::{BlockState, DynoRecord};
use crate::app::Phase;
use crate::id::DynoId;
use crate::time::{Span, Time};

/// The dynos that one replica sees draining, and since when.
#[derive(Debug, Clone, Default)]
pub struct Drains(BTreeMap<DynoId, Drain>);

#[derive(Debug, Clone, Copy)]
struct Drain {
    since: Time,
    cut: Span,
}

impl Drains {
    /// Takes note of a dyno as it stands after a change; `None` when it is not owned any more. Returns how long its drain took, if
    /// that has just ended. A drain that is told anew goes on: only its deadline may have changed.
    pub fn see(&mut self, now: Time, dyno: &DynoId, record: Option<&DynoRecord>) -> Option<Span> {
        match record.filter(|record| record.phase == Phase::Draining) {
            Some(DynoRecord { cut, .. }) => {
                self.0.entry(dyno.clone()).or_insert(Drain { since: now, cut: *cut }).cut = *cut;
                None
            }
            None => self.0.remove(dyno).map(|drain| now.since(drain.since)),
        }
    }

    /// Takes note of a state that replaces the one before.
    pub fn see_all(&mut self, now: Time, state: &BlockState) {
        self.0.retain(|dyno, _| state.dyno(dyno).is_some_and(|record| record.phase == Phase::Draining));
        for record in state.dynos() {
            self.see(now, &record.spec.id, Some(record));
        }
    }

    /// Whether no dyno drains.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what runs at a dyno is to be cut now.
    pub fn is_over(&self, now: Time, dyno: &DynoId) -> bool {
        self.0.get(dyno).is_some_and(|drain| now.since(drain.since) >= drain.cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{AppSpec, DynoSpec, Policy};
    use crate::block::{AdoptDyno, Command, Reply};
    use crate::id::{AppName, Epoch, Index, Version};

    const fn at(secs: u64) -> Time {
        Time::from_nanos(secs * 1_000_000_000)
    }

    fn dyno() -> DynoId {
        DynoId::new("d1").unwrap()
    }

    fn adopt(epoch: u64, drain: bool, cut: u64) -> Command {
        let spec = DynoSpec { id: dyno(), app: AppName::new("shop").unwrap(), address: "127.0.0.1:3000".parse().unwrap(), max_conns: 1 };
        Command::Adopt(AdoptDyno { spec, epoch: Epoch(epoch), drain, cut: Span::from_secs(cut) })
    }

    fn drain(epoch: u64, cut: u64) -> Command {
        Command::Drain { dyno: dyno(), epoch: Epoch(epoch), cut: Span::from_secs(cut) }
    }

    /// A state and what a replica counts over it, changed by commands at given times.
    struct Replica(BlockState, Drains);

    impl Replica {
        fn owning() -> Self {
            let mut replica = Replica(BlockState::new(), Drains::default());
            let name = AppName::new("shop").unwrap();
            let spec = AppSpec { name, hosts: vec!["*".parse().unwrap()], policy: Policy::default() };
            replica.0.apply(Index(1), Command::SetApp { spec: Box::new(spec), version: Version(1) });
            replica.apply(at(0), adopt(1, false, 30));
            replica
        }

        fn apply(&mut self, now: Time, command: Command) -> Option<Span> {
            let reply = self.0.apply(Index(self.0.applied().0 + 1), command);
            assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
            self.1.see(now, &dyno(), self.0.dyno(&dyno()))
        }

        fn cuts(&self, now: Time) -> bool {
            self.1.is_over(now, &dyno())
        }
    }

    #[test]
    fn requests_are_cut_when_the_span_has_passed_since_the_drain_was_seen() {
        let mut replica = Replica::owning();
        assert!(!replica.cuts(at(1_000)), "it takes requests");
        replica.apply(at(10), drain(1, 5));
        assert!(!replica.cuts(at(14)));
        assert!(replica.cuts(at(15)));
    }

    #[test]
    fn a_span_of_nothing_cuts_at_once() {
        let mut replica = Replica::owning();
        replica.apply(at(10), drain(1, 0));
        assert!(replica.cuts(at(10)));
    }

    #[test]
    fn an_undrained_dyno_is_not_cut_and_drains_from_the_start_next_time() {
        let mut replica = Replica::owning();
        replica.apply(at(10), adopt(2, true, 5));
        assert_eq!(replica.apply(at(13), adopt(3, false, 5)), Some(Span::from_secs(3)));
        assert!(!replica.cuts(at(100)));
        replica.apply(at(100), adopt(4, true, 5));
        assert!(!replica.cuts(at(104)));
    }

    #[test]
    fn a_drain_told_anew_keeps_its_start_and_takes_the_new_span() {
        let mut replica = Replica::owning();
        replica.apply(at(10), adopt(2, true, 60));
        replica.apply(at(20), adopt(3, true, 15));
        assert!(!replica.cuts(at(24)));
        assert!(replica.cuts(at(25)));
    }

    #[test]
    fn a_released_dyno_is_forgotten_and_one_in_a_snapshot_counts_from_its_arrival() {
        let mut replica = Replica::owning();
        replica.apply(at(10), drain(1, 5));
        let mut other = Drains::default();
        other.see_all(at(12), &replica.0);
        assert!(!other.is_over(at(16), &dyno()) && other.is_over(at(17), &dyno()));
        replica.1.see_all(at(12), &replica.0);
        assert!(replica.cuts(at(15)), "a snapshot does not start the span anew");
        assert_eq!(replica.apply(at(20), Command::Release { dyno: dyno(), epoch: Epoch(1) }), Some(Span::from_secs(10)));
        other.see_all(at(20), &replica.0);
        assert!(replica.1.is_empty() && other.is_empty());
    }
}
