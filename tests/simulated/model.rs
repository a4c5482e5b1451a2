//! The simulated side: the mesh of `dynomesh dev` and the requests of a seed.

use dynomesh_core::time::{Span, Time};
use dynomesh_sim::compare::Cables;
use dynomesh_sim::engine::World;
use dynomesh_sim::mesh::Mesh;
use dynomesh_sim::parallel;
use dynomesh_sim::part::{Part, random};
use dynomesh_sim::scenario::{Failing, Setup};
use dynomesh_sim::stack;
use dynomesh_sim::workload::{Apps, Draw, Request, drive};

/// Sample dynos, of one request at a time each.
pub(crate) const DYNOS: usize = 16;
/// Requests at the start that do not count, since the mesh was empty before them.
pub(crate) const WARM_UP: usize = 500;
/// Requests that count.
pub(crate) const COUNTED: usize = 10_000;
/// What the dynos are asked for, as a share of what they could do.
const LOAD: f64 = 0.7;
/// Simulated runs. They have the same requests and differ in what the mesh decides by chance.
const RUNS: u64 = 8;

const NEVER: Failing = Failing { up: Draw::fixed(Span::ZERO), down: Draw::fixed(Span::ZERO) };

/// Who routes in a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Router {
    /// The mesh.
    Mesh,
    /// Nobody: any dyno, by chance.
    Chance,
}

/// What is simulated.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// The mesh.
    pub(crate) setup: Setup,
    /// Who routes.
    pub(crate) router: Router,
    requests: Vec<(Time, Request)>,
}

/// The requests of a seed, with times from zero on. Sample dynos work whole milliseconds.
pub(crate) fn requests(seed: u64) -> Vec<(Time, Request)> {
    stack::workload(&setup()).requests_of(seed).collect()
}

/// What they ask for in all.
pub(crate) fn work(requests: &[(Time, Request)]) -> Span {
    requests.iter().fold(Span::ZERO, |sum, (_, request)| sum + request.service)
}

fn setup() -> Setup {
    let service = Draw::exponential(Span::from_millis(100)).after(Span::from_millis(20)).rounded(Span::from_millis(1));
    Setup {
        requests: (WARM_UP + COUNTED) as u64,
        load: LOAD,
        service,
        dynos: DYNOS,
        edges: 2,
        blocks: 2,
        dyno_failures: NEVER,
        router_failures: NEVER,
        ..Setup::default()
    }
}

impl Model {
    /// The mesh that `dynomesh dev` runs with so many dynos, with measured cables.
    pub(crate) fn of(seed: u64, cables: Cables) -> Self {
        let setup = Setup { router_cable: cables.router(), dyno_cable: cables.dyno(), ..setup() };
        Model { setup, router: Router::Mesh, requests: requests(seed) }
    }

    /// Has every request take `percent` of its time.
    pub(crate) fn stretch_work(&mut self, percent: u64) {
        self.requests.iter_mut().for_each(|(_, request)| request.service = request.service.times(percent).over(100));
    }

    /// The latencies of the requests that count, in the order of the requests; a list per run.
    pub(crate) fn latencies(&self) -> Vec<Vec<Span>> {
        let chances: Vec<u64> = (1..=RUNS).collect();
        parallel::map(&chances, parallel::cores(), || (), |chance| self.run(*chance))
    }

    fn run(&self, chance: u64) -> Vec<Span> {
        let dynos = stack::dynos(&self.setup, chance);
        match self.router {
            Router::Mesh => self.drive(chance, |world| Mesh::new(world, &self.setup, &Apps::one(), &dynos)),
            Router::Chance => self.drive(chance, |_| random(dynos)),
        }
    }

    fn drive<P: Part>(&self, chance: u64, build: impl FnOnce(&World) -> P) -> Vec<Span> {
        let mut outcome = drive(chance, self.requests.clone().into_iter(), build, |_| true, |_, _, _| ());
        outcome.moments.sort_by_key(|moment| moment.arrived);
        outcome.moments.iter().skip(WARM_UP).map(|moment| Span::from_micros(u64::from(moment.micros))).collect()
    }
}
