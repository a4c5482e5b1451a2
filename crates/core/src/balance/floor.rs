//! What one app has in one block: the ledger of its dynos and the line of its waiting requests, and who goes first.
//!
//! A request is bound to a dyno only when one has room (late binding), and nobody passes those who wait: that is all there is to decide
//! between the two. The block and the simulator ask here, so that they cannot come to different answers.

use rand::Rng;

use super::ledger::{Ledger, LedgerSettings};
use super::queue::{Popped, Queue, QueueSettings};
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
    use crate::balance::{DynoShape, Outcome};
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
    fn a_dyno_that_failed_the_request_is_better_than_none() {
        let (mut floor, mut rng) = (floor(2), StdRng::seed_from_u64(7));
        let failed = DynoId::new("d0").unwrap();
        assert_eq!(floor.pick(&mut rng, slot(1), std::slice::from_ref(&failed)).unwrap().as_str(), "d1");
        assert_eq!(floor.pick(&mut rng, slot(2), std::slice::from_ref(&failed)), Some(failed));
    }
}
