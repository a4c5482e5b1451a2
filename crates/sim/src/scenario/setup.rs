//! Everything that can be set in a simulation, with its default.
//!
//! A scenario states what differs from the defaults; its variants and its sweep state what differs from that. So each setting is
//! declared once, here, and what is not declared is refused with the line it stands in.

use std::sync::Arc;

use dynomesh_core::balance::Ties;
use dynomesh_core::dispatch::BlockChoice;
use dynomesh_core::time::Span;
use serde::Deserialize;

use super::policy::Policy;
use crate::part::Failures;
use crate::trace::Trace;
use crate::workload::Draw;

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr;)*) => {
        /// A simulated world and its load. All keys have defaults: the reference model under the production policy.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Setup {
            $($(#[$doc])* pub $name: $type,)*
        }

        /// Some settings of a [`Setup`], to be put over others.
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Overrides {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl Default for Setup {
            fn default() -> Self {
                Setup { $($name: $default,)* }
            }
        }

        impl Overrides {
            /// `setup` with these settings put over it.
            pub fn over(&self, setup: &Setup) -> Setup {
                let Overrides { $($name,)* } = self.clone();
                Setup { $($name: $name.unwrap_or_else(|| setup.$name.clone()),)* }
            }

            /// The names of all settings.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];
        }
    };
}

/// How something fails, as a scenario writes it: `{ up = "exp20s", down = "exp1s" }`; `up = "0s"` for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// Time between failures.
    pub up: Draw,
    /// Time of a failure.
    pub down: Draw,
}

impl Failing {
    /// As parts take it; `None` if it never fails.
    pub fn failures(self) -> Option<Failures> {
        let never = self.up == Draw::fixed(Span::ZERO);
        (!never).then_some(Failures { up: self.up, down: self.down })
    }
}

const fn failing(down: Draw) -> Failing {
    Failing { up: Draw::exponential(Span::from_secs(20)), down }
}

settings! {
    /// Requests of a run; the middle half by arrival is counted.
    requests: u64 = 100_000;
    /// Requests per second, as a share of what the dynos' workers could do if they never failed and there were no cables. The reference's
    /// gaps of 1.4726 ms on average are this share of 250 dynos.
    load: f64 = 0.32595;
    /// Requests per second; counts before `load` if it is not zero.
    rps: f64 = 0.0;
    /// What a request takes at a dyno.
    service: Draw = Draw::exponential(Span::from_millis(100)).after(Span::from_millis(20));
    /// Measured requests that are replayed; then `load` and `rps` do not count, nor `service` if the trace has service times.
    trace: Option<Arc<Trace>> = None;
    /// Who routes.
    policy: Policy = Policy::Dynomesh;

    /// Dynos in all.
    dynos: usize = 250;
    /// Requests that a dyno works on at once, and that routers which know a cap send it.
    max_conns: u32 = 1;
    /// See [`crate::dyno::DynoMake::slowdown`].
    slowdown: f64 = 0.0;
    /// Share of the dynos that are slow but alive.
    slow_share: f64 = 0.0;
    /// How many times longer a slow dyno takes.
    slow_factor: f64 = 1.0;
    /// How dynos fail.
    dyno_failures: Failing = failing(Draw::exponential(Span::from_secs(1)));
    /// From a router to a dyno, each way.
    dyno_cable: Span = Span::from_millis(2);

    /// Edges. The reference has one stateless tier, which is one edge.
    edges: usize = 1;
    /// Blocks of the mesh, or routers of a rival; each block has an equal part of the dynos, routers of rivals share them.
    blocks: usize = 10;
    /// How routers (leaders of blocks) fail. The time down is that of an election.
    router_failures: Failing = failing(Draw::fixed(Span::from_millis(300)));
    /// From an edge to a router, each way.
    router_cable: Span = Span::from_millis(5);

    /// How an edge chooses a block.
    block_choice: BlockChoice = BlockChoice::Two;
    /// What decides between equally busy dynos.
    ties: Ties = Ties::Random;
    /// How long a slot stays counted after an error.
    hold: Span = Span::from_secs(1);
    /// Attempts at blocks per request, the first included.
    attempts: u32 = dynomesh_core::dispatch::retry::ATTEMPTS_MAX;
    /// Whether an edge that finds a block without a leader leaves it alone until it has found one.
    notices_outages: bool = true;
    /// Whether blocks probe their dynos.
    probes: bool = true;
    /// Whether a new leader tells for a second that it is fuller than it is.
    leader_ramps: bool = true;
    /// Between two probes of a dyno that is up.
    probe_idle: Span = Span::from_secs(1);
    /// From picking a dyno to asking it: what the commit of the slot takes.
    commit: Span = Span::ZERO;
    /// Whether a block sends requests on at once to wait in the dynos, instead of keeping them until one has room.
    queue_at_dyno: bool = false;
    /// Requests that may wait in a block before it sends first-comers away; 0 for as many as it has slots.
    queue_len: u32 = 0;
    /// Longest wait there.
    queue_wait: Span = Span::from_secs(10);

    /// What edges know of the load of blocks besides their own requests.
    told: Told = Told::Answers;
    /// How often blocks tell their load where the map tells it.
    load_age: Span = Span::from_millis(100);

    /// Apps; requests and dynos are spread over them by Zipf's law.
    apps: u32 = 1;
    /// The exponent of that law.
    zipf: f64 = 1.0;
    /// On how many blocks an app's dynos are.
    spread: Spread = Spread::All;

    /// A request without an answer for so long gets a second dyno of the block, if one is idle; 0 for never.
    hedge_after: Span = Span::ZERO;
    /// Hedges per request at most, over a run.
    hedge_max: f64 = 0.05;

    /// What the death of a leader does to the requests it has let in.
    death: Death = Death::SparesThem;
    /// Share of requests that may be sent again though they may have run.
    safe_share: f64 = 1.0;
    /// Zones that blocks are spread over; all blocks of a zone fail together by `zone_failures`.
    zones: usize = 1;
    /// How zones fail.
    zone_failures: Failing = NEVER;

    /// Tries of a rival: routers that an edge tries, and dynos that each of these tries.
    rival_tries: u32 = 3;
    /// Dynos that a router of two choices draws.
    choices: u32 = 2;
    /// Between two load reports of a dyno.
    report_every: Span = Span::from_millis(100);
    /// Whether a router adds to a report what it has sent there since.
    report_own: bool = false;
    /// From a router to the counter store, each way.
    store_cable: Span = Span::from_millis(2);
    /// Round trips to the store before a request leaves.
    store_trips: u32 = 2;
    /// How the store fails.
    store_failures: Failing = failing(Draw::exponential(Span::from_secs(1)));
    /// Probes that Prequal sends for each request.
    prequal_probes: f64 = 3.0;
    /// Probes that it removes for each request.
    prequal_removals: f64 = 1.0;
    /// Probes that a router of Prequal keeps.
    prequal_pool: usize = 16;
    /// Age past which it forgets a probe.
    prequal_age_max: Span = Span::from_secs(1);
    /// Share of dynos that it counts as cold by their requests in flight: 0 looks at these alone, 1 at latency alone.
    prequal_cold: f64 = 0.84;

    /// Moves of dynos between blocks per second, in the first three quarters of a run; 0 for none.
    moves_per_second: f64 = 0.0;
    /// How long the word of a move takes to each process that hears it; words may overtake each other.
    map_delay: Draw = Draw::exponential(Span::from_millis(100));
    /// Whether dynos move by the production protocol; else blocks do what they were last told.
    epochs: bool = true;
    /// Further blocks whose dynos a block may use while none of its own has room.
    overlap: u32 = 0;
    /// Share of requests that belong to one given dyno each.
    pinned_share: f64 = 0.0;
    /// How long a pinned request waits for its dyno before it goes to any; 0 to go to its own or nowhere.
    pin_wait: Span = Span::ZERO;
    /// Sessions of pinned requests; each has its dyno.
    sessions: u32 = 10_000;
    /// The exponent of Zipf's law that says how much each session asks; 0 for all alike.
    session_skew: f64 = 0.0;
}

const NEVER: Failing = Failing { up: Draw::fixed(Span::ZERO), down: Draw::fixed(Span::ZERO) };

/// What edges know of the load of blocks besides their own requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// What each answer tells.
    Answers,
    /// What the map tells, every `load_age`.
    Map,
    /// Nothing.
    Nothing,
}

/// On how many blocks an app's dynos are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// On one, the one with the fewest dynos so far.
    One,
    /// On one for every 25 dynos, rounded up.
    Few,
    /// On all, as evenly as can be.
    All,
}

/// What the death of a leader does to the requests it has let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Death {
    /// Nothing: only its entry is shut, as in the reference.
    SparesThem,
    /// Waiting ones are lost, and those it carries to dynos too.
    KillsProxied,
    /// Waiting ones are lost; those that run go on, since their bytes do not pass the leader.
    KillsWaiting,
}
