//! A least-connection router: the production ledger, asked for a dyno without a limit, as the reference has it.

use std::cell::RefCell;
use std::rc::Rc;

use dynomesh_core::app::Phase;
use dynomesh_core::balance::{DynoShape, Ledger, LedgerSettings, Outcome, Ties};
use dynomesh_core::id::{DynoId, Epoch, Holder, Incarnation, ReplicaId, SlotId};
use dynomesh_core::time::Span;

use super::{Answer, Part};
use crate::engine::World;
use crate::workload::Request;

/// The reference bounds no dyno: requests queue there. More than can ever be in flight, and small enough to be summed.
const NO_LIMIT: u32 = 1 << 20;

/// What becomes of a failed request's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold(Span);

/// A failed request's connection stays counted for `span`. It bars nobody: it is one more on the counter.
pub fn hold(span: Span) -> Hold {
    Hold(span)
}

/// A failed request's connection is over at once.
pub fn no_hold() -> Hold {
    Hold(Span::ZERO)
}

/// See [`least_conn`].
pub struct LeastConn<P> {
    pool: Rc<[P]>,
    /// Which slot is next, and the ledger.
    ledger: RefCell<(u64, Ledger)>,
}

/// Asks the one of `pool` with the fewest connections; this router's own, if others share the pool.
pub fn least_conn<P: Part>(Hold(hold): Hold, ties: Ties, pool: Rc<[P]>) -> LeastConn<P> {
    let mut ledger = Ledger::new(LedgerSettings { hold, ties, ..LedgerSettings::default() });
    for place in 0..pool.len() {
        ledger.upsert(dyno_id(place), DynoShape { max_conns: NO_LIMIT, epoch: Epoch(1), phase: Phase::Active });
    }
    LeastConn { pool, ledger: RefCell::new((0, ledger)) }
}

/// The id of the dyno at `place`. Ledgers keep their dynos in the order in which they were added.
pub(crate) fn dyno_id(place: usize) -> DynoId {
    DynoId::new(&format!("d{place}")).expect("a letter and digits are a dyno id")
}

/// The place of a dyno that [`dyno_id`] named.
pub(crate) fn place_of(id: &DynoId) -> usize {
    id.as_str()[1..].bytes().fold(0, |place, digit| place * 10 + usize::from(digit - b'0'))
}

/// The slot of that number; all of a simulation have one holder.
pub(crate) fn slot_id(seq: u64) -> SlotId {
    SlotId { holder: Holder { replica: ReplicaId(1), incarnation: Incarnation(1) }, seq }
}

impl<P: Part> Part for LeastConn<P> {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        let (slot, place) = {
            let (next, ledger) = &mut *self.ledger.borrow_mut();
            ledger.lapse(world.now());
            let slot = slot_id(*next);
            *next += 1;
            let picked = world.chance(|rng| ledger.pick(rng, slot, &[]));
            let Some(dyno) = picked else { return Answer::Failed };
            (slot, place_of(&dyno))
        };
        let answer = self.pool[place].ask(world, request).await;
        let outcome = if answer == Answer::Served { Outcome::Done } else { Outcome::Error };
        self.ledger.borrow_mut().1.end(slot, outcome, world.now());
        answer
    }
}
