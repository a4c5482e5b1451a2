//! The reference table: seven stacks of routers under one load and one kind of failure, after "Routing on Heroku", 2013.
//!
//! Every row is an expression over the parts of [`crate::part`] and the numbers of [`REFERENCE`]; none has a number of its own. All
//! rows break ties by the lowest index, as the reference does: that alone makes row 5's median, since its ten routers, each with
//! counts of its own, then all prefer the same dynos.

use dynomesh_core::balance::Ties;
use dynomesh_core::time::Span;

use crate::part::{Failures, Part, cable, faulty, hold, least_conn, no_hold, pool, random, retry, server};
use crate::report::{Figures, Tally};
use crate::workload::{Apps, Draw, Source, Workload};

/// The numbers that all rows share.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// Dynos in all.
    pub dynos: usize,
    /// Routers of rows 5 to 7, and pools of row 7.
    pub routers: usize,
    /// Between two requests.
    pub gap: Draw,
    /// What a request takes at its dyno.
    pub service: Draw,
    /// How dynos and routers fail.
    pub failures: Failures,
    /// From a router to a dyno.
    pub dyno_cable: Span,
    /// From the edge to a router.
    pub router_cable: Span,
    /// How long a failed request's connection stays counted.
    pub hold: Span,
    /// Tries in all, where there are retries.
    pub tries: u32,
    /// What decides between equally busy dynos.
    pub ties: Ties,
    /// Requests of a run.
    pub requests: u64,
}

const GRAIN: Span = Span::from_millis(1);

/// The published model.
pub const REFERENCE: Reference = Reference {
    dynos: 250,
    routers: 10,
    gap: Draw::exponential(Span::from_micros(1_500)).rounded(GRAIN),
    service: Draw::exponential(Span::from_millis(100)).after(Span::from_millis(20)).rounded(GRAIN),
    failures: Failures {
        up: Draw::exponential(Span::from_secs(20)).rounded(GRAIN),
        down: Draw::exponential(Span::from_secs(1)).rounded(GRAIN),
    },
    dyno_cable: Span::from_millis(2),
    router_cable: Span::from_millis(5),
    hold: Span::from_secs(1),
    tries: 3,
    ties: Ties::Lowest,
    requests: 100_000,
};

/// One row: what it is called and what was published for it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// 1 to 7.
    pub number: u8,
    /// The stack in words.
    pub name: &'static str,
    /// The published figures.
    pub published: Figures,
}

const fn row(number: u8, name: &'static str, success: f64, [p50, p95, p99, max]: [f64; 4]) -> Row {
    Row { number, name, published: Figures { success, p50, p95, p99, max } }
}

/// All rows with the published figures.
pub const ROWS: [Row; 7] = [
    row(1, "least-conn, perfect dynos", 1.0, [93.0, 323.0, 488.0, 1044.0]),
    row(2, "least-conn, faulty dynos", 0.62632, [46.5, 272.0, 438.0, 914.0]),
    row(3, "row 2 + error hold 1 s", 0.98846, [92.0, 323.0, 486.0, 1157.0]),
    row(4, "row 3 + retry 3", 0.99996, [94.0, 320.0, 484.0, 944.0]),
    row(5, "random -> 10 faulty routers -> one shared pool", 0.9473, [947.0, 1620.0, 1916.0, 3056.0]),
    row(6, "row 5 + retry 3 at the edge", 0.99952, [982.0, 1639.0, 1952.0, 2878.0]),
    row(7, "retry 3 -> random -> 10 faulty routers -> 10 pools", 0.99952, [104.0, 335.0, 491.0, 1043.0]),
];

/// Rows whose published figures come from a single lucky run: most seeds have less success.
pub const ONE_RUN: [u8; 3] = [2, 6, 7];

impl Row {
    /// Runs the row once.
    pub fn run(&self, model: &Reference, seed: u64) -> Tally {
        let Reference { dynos, routers, failures, service, router_cable, tries, ties, .. } = *model;
        let perfect = || cable(model.dyno_cable, server(service));
        let dyno = || cable(model.dyno_cable, faulty(failures, server(service)));
        let (hold, share) = (hold(model.hold), dynos / routers);
        let shared = pool(dynos, dyno);
        let over_shared =
            || random(pool(routers, || cable(router_cable, faulty(failures, retry(tries, least_conn(hold, ties, shared.clone()))))));
        let over_own =
            || random(pool(routers, || cable(router_cable, faulty(failures, retry(tries, least_conn(hold, ties, pool(share, dyno)))))));
        match self.number {
            1 => run(model, seed, least_conn(no_hold(), ties, pool(dynos, perfect))),
            2 => run(model, seed, least_conn(no_hold(), ties, shared)),
            3 => run(model, seed, least_conn(hold, ties, shared)),
            4 => run(model, seed, retry(tries, least_conn(hold, ties, shared))),
            5 => run(model, seed, over_shared()),
            6 => run(model, seed, retry(tries, over_shared())),
            _ => run(model, seed, retry(tries, over_own())),
        }
    }
}

fn run(model: &Reference, seed: u64, stack: impl Part) -> Tally {
    let workload =
        Workload { gap: Source::Drawn(model.gap), service: Source::Drawn(model.service), requests: model.requests, apps: Apps::one() };
    workload.run(seed, |_| stack).tally
}
