//! What one app has in one block: the ledger of its dynos and the line of its waiting requests, and who goes first.
//!
//! A request is bound to a dyno only when one has room (late binding), and nobody passes those who wait: that is all there is to decide
//! between the two. The block and the simulator ask here, so that they cannot come to different answers.

use rand::Rng;

use super::ledger::{Ledger, LedgerSettings};
use super::queue::{Full, Popped, Queue, QueueSettings};
use crate::id::{DynoId, SlotId};
use crate::time::Time;

/// Ledger and queue of one app in one block. `T` is what the block keeps of a request that waits.
#[derive(Debug)]
pub struct Floor<T> {
    /// Slots per dyno.
    pub ledger: Ledger,
    /// Requests that wait for one.
    pub queue: Queue<T>,
}

impl<T> Floor<T> {
    /// No dynos and nobody waiting.
    pub fn new(ledger: LedgerSettings, queue: QueueSettings) -> Self {
        Floor { ledger: Ledger::new(ledger), queue: Queue::new(queue) }
    }

    /// A slot for a request that has just come. Who came first goes first: it gets one only past an empty queue.
    pub fn pick_for_newcomer(&mut self, rng: &mut impl Rng, slot: SlotId, exclude: &[DynoId]) -> Option<DynoId> {
        if self.queue.is_empty() { self.pick(rng, slot, exclude) } else { None }
    }

    /// A slot for a request whose turn it is. Dynos that failed it before are passed over while there are others with room: better one
    /// of them than none.
    pub fn pick(&mut self, rng: &mut impl Rng, slot: SlotId, exclude: &[DynoId]) -> Option<DynoId> {
        let dyno = match self.ledger.pick(rng, slot, exclude) {
            None if !exclude.is_empty() => self.ledger.pick(rng, slot, &[]),
            picked => picked,
        }?;
        self.queue.served();
        Some(dyno)
    }

    /// Lets a request wait for its turn, until `deadline` at most; see [`Queue::push`]. One that may have somewhere else to go waits only
    /// behind requests whose end this leader sees. A slot in doubt (an orphan, a hold, a dyno in quarantine) comes free when something is
    /// proven or a time is up, which takes a second or a minute: where all are, the edge looks for room elsewhere at once, and where half of
    /// them are, half as many may wait (P25). One that `must` wait here has been sent away often enough.
    pub fn wait(&mut self, now: Time, key: u64, item: T, deadline: Time, must: bool) -> Result<(), (Full, T)> {
        match must {
            true => self.queue.push_must(now, key, item, deadline),
            false if self.queue.len() < self.queue.len_max() && self.queue.len() >= self.places() => Err((Full::Doubt, item)),
            false => self.queue.push(now, key, item, deadline),
        }
    }

    /// The part of the queue's length that stands behind live slots.
    fn places(&self) -> usize {
        let slots = self.ledger.slots().max(1) as usize;
        let live = (self.ledger.live() as usize).min(slots);
        self.queue.len_max().saturating_mul(live).div_ceil(slots)
    }

    /// The request whose turn it is, taken out of the queue; `None` while nobody waits or no dyno has room. Call it until then after
    /// every change that may have made room.
    pub fn next(&mut self, now: Time) -> Option<Popped<T>> {
        (!self.queue.is_empty() && self.ledger.has_room()).then(|| self.queue.pop(now))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::app::Phase;
    use crate::balance::{DynoShape, Occupied, Outcome, Probed};
    use crate::id::{Epoch, Holder, Incarnation, ReplicaId};
    use crate::time::Span;

    fn slot(seq: u64) -> SlotId {
        SlotId { holder: Holder { replica: ReplicaId(1), incarnation: Incarnation(1) }, seq }
    }

    fn floor(dynos: usize) -> Floor<&'static str> {
        let queue = QueueSettings { len_max: 9, must_len_max: 9, wait_max: Span::from_secs(10) };
        let mut floor = Floor::new(LedgerSettings::default(), queue);
        for dyno in 0..dynos {
            let shape = DynoShape { max_conns: 1, epoch: Epoch(1), phase: Phase::Active };
            floor.ledger.upsert(DynoId::new(&format!("d{dyno}")).unwrap(), shape);
        }
        floor
    }

    #[test]
    fn nobody_passes_those_who_wait() {
        let (mut floor, mut rng) = (floor(1), StdRng::seed_from_u64(7));
        assert!(floor.pick_for_newcomer(&mut rng, slot(1), &[]).is_some());
        floor.queue.push(Time::ZERO, 1, "first", Time::FAR).unwrap();
        assert!(floor.next(Time::ZERO).is_none(), "there is no room yet");
        floor.ledger.end(slot(1), Outcome::Done, Time::ZERO);
        assert_eq!(floor.pick_for_newcomer(&mut rng, slot(2), &[]), None);
        assert_eq!(floor.next(Time::ZERO).unwrap().item, Some("first"));
        assert!(floor.pick(&mut rng, slot(3), &[]).is_some());
        assert!(floor.next(Time::ZERO).is_none(), "nobody waits");
    }

    #[test]
    fn who_can_go_elsewhere_waits_only_for_what_comes_free_by_itself() {
        let (mut floor, mut rng) = (floor(3), StdRng::seed_from_u64(7));
        floor.ledger.occupy(slot(1), &DynoId::new("d0").unwrap(), Occupied::Orphan);
        floor.ledger.occupy(slot(2), &DynoId::new("d1").unwrap(), Occupied::Orphan);
        floor.ledger.occupy(slot(3), &DynoId::new("d2").unwrap(), Occupied::Orphan);
        assert_eq!(floor.wait(Time::ZERO, 1, "first", Time::FAR, false), Err((Full::Doubt, "first")), "all slots are in doubt");
        assert_eq!(floor.wait(Time::ZERO, 2, "sent away", Time::FAR, true), Ok(()));
        floor.ledger.release(slot(3));
        assert_eq!(floor.next(Time::ZERO).unwrap().item, Some("sent away"));
        assert!(floor.pick(&mut rng, slot(4), &[]).is_some());
        for key in 3..6 {
            assert_eq!(floor.wait(Time::ZERO, key, "behind it", Time::FAR, false), Ok(()), "one of three runs: three of nine may wait");
        }
        assert_eq!(floor.wait(Time::ZERO, 6, "too many", Time::FAR, false), Err((Full::Doubt, "too many")));
    }

    #[test]
    fn dynos_that_are_all_down_run_requests_and_one_waits_behind_these() {
        let (mut floor, mut rng) = (floor(2), StdRng::seed_from_u64(7));
        for (seq, dyno) in ["d0", "d1"].into_iter().enumerate() {
            let dyno = DynoId::new(dyno).unwrap();
            assert!(floor.ledger.begin_probe(&dyno, slot(seq as u64), Time::ZERO).is_some());
            floor.ledger.probed(&dyno, Probed::Failed, Time::ZERO);
            floor.ledger.end_probe(&dyno);
        }
        assert!(floor.pick(&mut rng, slot(11), &[]).is_some() && floor.pick(&mut rng, slot(12), &[]).is_some());
        assert_eq!(floor.wait(Time::ZERO, 1, "first", Time::FAR, false), Ok(()));
        let hope = DynoShape { max_conns: 1, epoch: Epoch(1), phase: Phase::Active };
        floor.ledger.upsert(DynoId::new("new").unwrap(), hope);
        floor.ledger.occupy(slot(13), &DynoId::new("new").unwrap(), Occupied::Orphan);
        assert_eq!(floor.wait(Time::ZERO, 2, "next", Time::FAR, false), Err((Full::Doubt, "next")), "the next goes to the new one alone");
        floor.ledger.check_invariants();
    }

    #[test]
    fn a_dyno_that_failed_the_request_is_better_than_none() {
        let (mut floor, mut rng) = (floor(2), StdRng::seed_from_u64(7));
        let failed = DynoId::new("d0").unwrap();
        assert_eq!(floor.pick(&mut rng, slot(1), std::slice::from_ref(&failed)).unwrap().as_str(), "d1");
        assert_eq!(floor.pick(&mut rng, slot(2), std::slice::from_ref(&failed)), Some(failed));
    }
}
