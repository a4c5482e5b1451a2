//! Load reports: every `report_every` all dynos tell all routers how deep they are, and routers choose the least deep by the last
//! report. What out-of-band load reporting (ORCA, App Engine) does at its best: no report is lost and none is late.
//!
//! Mitzenmacher, *How Useful Is Old Information?*, IEEE Transactions on Parallel and Distributed Systems 11, 2000 (the periodic update
//! model): choosing the least loaded by an old report sends everybody to the same few, and past some age is worse than choosing
//! blindly, while two choices among old reports stay useful far longer. With fresh reports it is the shortest queue.
//!
//! With `report_own` a router adds what it has itself sent to a dyno since the report.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dynomesh_core::time::Span;

use super::Fleet;
use super::counts::{Counts, least};
use crate::dyno::Dyno;
use crate::engine::World;
use crate::part::{Answer, Part};
use crate::scenario::Setup;
use crate::workload::Request;

/// The last report of all dynos.
#[derive(Default)]
struct Board {
    number: Cell<u64>,
    depths: RefCell<Vec<u32>>,
}

struct Router {
    dynos: Rc<[Dyno]>,
    board: Rc<Board>,
    failed: Counts,
    own: bool,
    /// Sent since the report of that number.
    sent: RefCell<(u64, Vec<u32>)>,
}

/// Routers that choose by the last report.
pub fn reports(setup: &Setup, world: &World, dynos: Rc<[Dyno]>) -> impl Part + use<> {
    let board = Rc::new(Board::default());
    world.spawn(post(world.clone(), dynos.clone(), board.clone(), setup.report_every));
    let sent = || RefCell::new((0, vec![0; setup.dynos]));
    Fleet::new(setup, |_| Router {
        dynos: dynos.clone(),
        board: board.clone(),
        failed: Counts::new(setup.dynos, setup.hold),
        own: setup.report_own,
        sent: sent(),
    })
}

async fn post(world: World, dynos: Rc<[Dyno]>, board: Rc<Board>, every: Span) {
    loop {
        *board.depths.borrow_mut() = dynos.iter().map(Dyno::depth).collect();
        board.number.set(board.number.get() + 1);
        world.sleep(every.max(Span::from_micros(100))).await;
    }
}

impl Router {
    fn choose(&self, world: &World) -> usize {
        let (number, sent) = &mut *self.sent.borrow_mut();
        if std::mem::replace(number, self.board.number.get()) != self.board.number.get() {
            sent.fill(0);
        }
        let depths = self.board.depths.borrow();
        let place = world.chance(|rng| least(depths.len(), |place| depths[place] + self.failed.of(place) + sent[place], rng));
        sent[place] += u32::from(self.own);
        place
    }
}

impl Part for Router {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        self.failed.lapse(world.now());
        let place = self.choose(world);
        let answer = self.dynos[place].ask(world, request).await;
        self.failed.note_failure(place, answer, world.now());
        answer
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_core::time::Span;

    use crate::policy::bare::{bare, time};
    use crate::scenario::{Policy, Setup};

    #[test]
    fn the_least_loaded_by_an_old_report_is_worse_than_any() {
        let at = |age: u64| {
            let setup = Setup { report_every: Span::from_millis(age), requests: 80_000, ..bare(Policy::Reports, 100, 0.9) };
            time(&setup)
        };
        let (fresh, aged, old) = (at(0), at(100), at(5_000));
        assert!(fresh < 1.5, "the shortest of a hundred queues: {fresh}");
        assert!(aged > 2.614, "after one service time two fresh choices are better: {aged}");
        assert!(old > 15.0, "after fifty, chance is better, which has ten: {old}");
    }

    #[test]
    fn counting_what_it_sent_itself_saves_a_single_router() {
        let setup = Setup { report_every: Span::from_secs(1), requests: 80_000, ..bare(Policy::Reports, 100, 0.9) };
        let (blind, own) = (time(&setup), time(&Setup { report_own: true, ..setup.clone() }));
        assert!(own < blind / 2.0, "{own} {blind}");
    }
}
