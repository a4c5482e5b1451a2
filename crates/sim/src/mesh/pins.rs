//! Requests that belong to one dyno: a session's state lives there.
//!
//! Which requests are pinned, and where to, follows from their numbers, so that edges and blocks agree without a word.

use std::cell::Cell;
use std::rc::Rc;

use dynomesh_core::time::Span;
use rand::RngExt;

use super::add;
use crate::engine::World;
use crate::scenario::Setup;
use crate::workload::{Apps, Outcome, Request};

/// See the module's doc.
#[derive(Debug)]
pub(super) struct Pins {
    share: f64,
    sessions: Apps,
    salt: u64,
    /// The block of each dyno.
    homes: Vec<usize>,
    wait: Span,
    /// Pinned requests that came to the block of their dyno.
    came: Cell<u64>,
    /// Those that gave up their dyno.
    lifted: Cell<u64>,
}

impl Pins {
    /// `None` if no request is pinned.
    pub(super) fn new(world: &World, setup: &Setup, homes: &[usize]) -> Option<Rc<Self>> {
        (setup.pinned_share > 0.0).then(|| {
            Rc::new(Pins {
                share: setup.pinned_share,
                sessions: Apps::zipf(setup.sessions, setup.session_skew),
                salt: world.chance(|rng| rng.random()),
                homes: homes.to_vec(),
                wait: setup.pin_wait,
                came: Cell::new(0),
                lifted: Cell::new(0),
            })
        })
    }

    /// The dyno that a request is pinned to.
    pub(super) fn dyno_of(&self, request: Request) -> Option<usize> {
        let first = scrambled(self.salt ^ request.number);
        if uniform(first) >= self.share {
            return None;
        }
        let session = self.sessions.draw(uniform(scrambled(first)));
        let dyno = scrambled(!self.salt ^ u64::from(session)) % self.homes.len() as u64;
        usize::try_from(dyno).ok()
    }

    /// The block of that dyno.
    pub(super) fn block_of(&self, request: Request) -> Option<usize> {
        self.dyno_of(request).map(|dyno| self.homes[dyno])
    }

    /// Whether a pinned request goes to its dyno or nowhere.
    pub(super) fn strict(&self) -> bool {
        self.wait == Span::ZERO
    }

    /// How long a request waits for its dyno before it goes to another.
    pub(super) fn wait(&self) -> Span {
        self.wait
    }

    /// A pinned request has come to the block of its dyno.
    pub(super) fn came(&self) {
        add(&self.came);
    }

    /// It goes to another.
    pub(super) fn lifted(&self) {
        add(&self.lifted);
    }

    /// Puts what became of pins into the outcome of a run.
    pub(super) fn note(&self, outcome: &mut Outcome) {
        outcome.note("pins_lifted", self.lifted.get() as f64 / self.came.get().max(1) as f64);
    }
}

/// A number whose bits all depend on all bits of `number` (the finalizer of SplitMix64).
fn scrambled(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number from 0 to 1, without 1.
fn uniform(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins(share: f64, session_skew: f64) -> Rc<Pins> {
        let setup = Setup { pinned_share: share, session_skew, sessions: 1_000, ..Setup::default() };
        Pins::new(&World::new(1), &setup, &[0; 50]).unwrap()
    }

    fn dynos(pins: &Pins) -> Vec<usize> {
        (0..20_000).filter_map(|number| pins.dyno_of(Request { number, app: 0, service: Span::ZERO })).collect()
    }

    #[test]
    fn the_wanted_share_is_pinned_and_a_session_stays_where_it_is() {
        let some = dynos(&pins(0.3, 0.0));
        assert!((some.len() as f64 / 20_000.0 - 0.3).abs() < 0.02, "{}", some.len());
        assert_eq!(some, dynos(&pins(0.3, 0.0)));
        let single = Setup { pinned_share: 1.0, sessions: 1, ..Setup::default() };
        let all = dynos(&Pins::new(&World::new(1), &single, &[0; 50]).unwrap());
        assert!(all.len() == 20_000 && all.iter().all(|dyno| *dyno == all[0]));
    }

    #[test]
    fn even_sessions_spread_over_dynos_and_uneven_ones_do_not() {
        let most = |skew| {
            let mut counts = [0; 50];
            dynos(&pins(1.0, skew)).into_iter().for_each(|dyno| counts[dyno] += 1);
            counts.into_iter().max().unwrap()
        };
        assert!(most(0.0) < 2 * 20_000 / 50, "{}", most(0.0));
        assert!(most(1.0) > 4 * 20_000 / 50, "{}", most(1.0));
    }
}
