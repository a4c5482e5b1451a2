//! What a setup must be like before it is run: everything that would crash, hang or mislead is refused here, with the key, its value
//! and what would be right.

use std::fmt;

use dynomesh_core::time::Span;

use super::setup::Setup;
use crate::stack;
use crate::workload::DRAW_MAX;

/// Fewest requests of a run: fewer tell nothing.
pub const REQUESTS_MIN: u64 = 10;
/// Most requests of a run: a run keeps the latencies of half of them.
pub const REQUESTS_MAX: u64 = 50_000_000;
/// Most seeds.
pub const SEEDS_MAX: u64 = 10_000;
/// Most dynos: ten times what a mesh is planned for.
pub const DYNOS_MAX: usize = 1_000_000;
/// Most edges.
pub const EDGES_MAX: usize = 10_000;
/// Most requests that a dyno works on at once.
pub const MAX_CONNS_MAX: u32 = 10_000;
/// Most tries of a rival: each router tries as often as its edge.
pub const TRIES_MAX: u32 = 100;
/// Most dynos that a router of two choices draws.
pub const CHOICES_MAX: u32 = 1_000;
/// Most round trips to the counter store.
pub const TRIPS_MAX: u32 = 100;
/// Most probes sent or removed for a request.
pub const PROBES_MAX: f64 = 1_000.0;
/// Longest cable: longer than any on this planet, shorter than what would pass for a hang.
pub const CABLE_MAX: Span = Span::from_secs(10);

/// Most attempts at blocks per request.
pub const ATTEMPTS_MAX: u32 = 100;
/// What repeats for as long as a run lasts does so no faster than this, or the run would hardly get on.
pub const PERIOD_MIN: Span = Span::from_millis(1);
/// Most sessions of pinned requests.
pub const SESSIONS_MAX: u32 = 10_000_000;
/// Most dynos where dynos move: what a real block owns at most, so that none ever refuses one.
pub const MOVING_DYNOS_MAX: usize = 10_000;

/// A setting that makes no sense, by itself or beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSetting {
    /// Its name.
    pub key: &'static str,
    /// As it is.
    pub value: String,
    /// What would be right.
    pub problem: String,
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}", self.key, self.value, self.problem)
    }
}

fn bad(key: &'static str, value: impl ToString, problem: impl Into<String>) -> BadSetting {
    BadSetting { key, value: value.to_string(), problem: problem.into() }
}

fn within<T: PartialOrd + fmt::Display>(key: &'static str, value: T, low: T, high: T) -> Result<(), BadSetting> {
    // Not a number is within nothing.
    if value >= low && value <= high { Ok(()) } else { Err(bad(key, value, format!("must be from {low} to {high}"))) }
}

impl Setup {
    /// Refuses what makes no sense. More load than the dynos can carry is refused too, unless `overload` says that it is meant.
    pub fn check(&self, overload: bool) -> Result<(), BadSetting> {
        within("requests", self.requests, REQUESTS_MIN, REQUESTS_MAX)?;
        within("dynos", self.dynos, 1, DYNOS_MAX)?;
        within("max_conns", self.max_conns, 1, MAX_CONNS_MAX)?;
        within("edges", self.edges, 1, EDGES_MAX)?;
        within("blocks", self.blocks, 1, self.dynos).map_err(|error| BadSetting {
            problem: format!("must be from 1 to {}, the number of dynos: a block has at least one", self.dynos),
            ..error
        })?;
        within("slow_share", self.slow_share, 0.0, 1.0)?;
        within("slow_factor", self.slow_factor, 1.0, 1e6)?;
        within("slowdown", self.slowdown, 0.0, 1e6)?;
        within("attempts", self.attempts, 1, ATTEMPTS_MAX)?;
        within("probe_idle", self.probe_idle, PERIOD_MIN, DRAW_MAX)?;
        for (key, way) in [
            ("dyno_cable", self.dyno_cable),
            ("router_cable", self.router_cable),
            ("commit", self.commit),
            ("store_cable", self.store_cable),
        ] {
            within(key, way, Span::ZERO, CABLE_MAX)?;
        }
        if self.service.mean() == Span::ZERO {
            return Err(bad("service", self.service, "must take time, for example 20ms+exp100ms"));
        }
        self.check_failures()?;
        self.check_rivals()?;
        self.check_ownership()?;
        self.check_load(overload)
    }

    fn check_rivals(&self) -> Result<(), BadSetting> {
        within("rival_tries", self.rival_tries, 1, TRIES_MAX)?;
        within("choices", self.choices, 1, CHOICES_MAX)?;
        within("store_trips", self.store_trips, 1, TRIPS_MAX)?;
        within("report_every", self.report_every, Span::ZERO, DRAW_MAX)?;
        within("prequal_probes", self.prequal_probes, 0.0, PROBES_MAX)?;
        within("prequal_removals", self.prequal_removals, 0.0, PROBES_MAX)?;
        within("prequal_pool", self.prequal_pool, 2, DYNOS_MAX)?;
        within("prequal_cold", self.prequal_cold, 0.0, 1.0)
    }

    fn check_failures(&self) -> Result<(), BadSetting> {
        for (key, failing) in
            [("dyno_failures", self.dyno_failures), ("router_failures", self.router_failures), ("store_failures", self.store_failures)]
        {
            if failing.failures().is_some() && failing.up.mean().min(failing.down.mean()) < PERIOD_MIN {
                let value = format!("{{ up = \"{}\", down = \"{}\" }}", failing.up, failing.down);
                let problem = format!("what fails is up and down for {PERIOD_MIN} at least; write up = \"0s\" for what never fails");
                return Err(bad(key, value, problem));
            }
        }
        Ok(())
    }

    /// Moves, overlap and pins: each is modelled for one app, and by itself.
    fn check_ownership(&self) -> Result<(), BadSetting> {
        within("moves_per_second", self.moves_per_second, 0.0, 1e4)?;
        within("pinned_share", self.pinned_share, 0.0, 1.0)?;
        within("sessions", self.sessions, 1, SESSIONS_MAX)?;
        within("session_skew", self.session_skew, 0.0, 10.0)?;
        if self.moves_per_second > 0.0 && (self.blocks < 2 || self.dynos > MOVING_DYNOS_MAX || self.queue_at_dyno) {
            let problem =
                format!("dynos move between two blocks or more, with at most {MOVING_DYNOS_MAX} dynos, and not with queue_at_dyno");
            return Err(bad("moves_per_second", self.moves_per_second, problem));
        }
        if self.overlap as usize >= self.blocks {
            return Err(bad("overlap", self.overlap, format!("must be less than {}, the number of blocks", self.blocks)));
        }
        if self.pinned_share > 0.0 && self.pin_wait == Span::ZERO && self.hold < PERIOD_MIN {
            let problem = format!("must be {PERIOD_MIN} or more where requests are pinned for good: they try their dyno again after it");
            return Err(bad("hold", self.hold, problem));
        }
        let knobs =
            [("moves_per_second", self.moves_per_second), ("overlap", f64::from(self.overlap)), ("pinned_share", self.pinned_share)];
        let mut asked = knobs.into_iter().filter(|(_, value)| *value > 0.0);
        match (asked.next(), asked.next()) {
            (Some((key, _)), None) if self.apps > 1 => Err(bad("apps", self.apps, format!("must be 1 where {key} is set"))),
            (Some((one, value)), Some((other, _))) => Err(bad(one, value, format!("cannot be set beside {other}"))),
            _ => Ok(()),
        }
    }

    fn check_load(&self, overload: bool) -> Result<(), BadSetting> {
        let (key, value) = match &self.trace {
            Some(trace) => ("trace", trace.rate()),
            None if self.rps == 0.0 => ("load", self.load),
            None => ("rps", self.rps),
        };
        if !(value.is_finite() && value > 0.0) {
            return Err(bad(key, value, "must be a number above 0"));
        }
        let (limit, asked) = (sustained(self), stack::rate(self));
        if asked < limit || overload {
            return Ok(());
        }
        let most = if key == "load" { limit / stack::capacity(self) } else { limit };
        Err(bad(
            key,
            value,
            format!(
                "must be below {most:.3}: these dynos can do {limit:.1} requests/s, {}, and {asked:.1} are asked of them, so queues would grow for as long as the run lasts; overload = true says that this is meant",
                given(self)
            ),
        ))
    }
}

/// What the sum of the dynos' work is less by.
fn given(setup: &Setup) -> String {
    let down = 1.0 - availability(setup);
    if down > 0.0 { format!("down {:.1} % of the time as they are", down * 100.0) } else { "which never fail".to_owned() }
}

/// Requests per second that the dynos could serve at the very best: always the right number at each dyno that is up, and no cables.
pub fn sustained(setup: &Setup) -> f64 {
    let at_once = f64::from(setup.max_conns);
    let speed = |running: f64| running / (1.0 + setup.slowdown * libm::pow(running - 1.0, 1.5));
    let best = (1..=setup.max_conns).map(|running| speed(f64::from(running))).fold(0.0, f64::max);
    let slow = 1.0 - setup.slow_share + setup.slow_share / setup.slow_factor;
    stack::capacity(setup) * availability(setup) * slow * best / at_once
}

/// Share of the time that a dyno is up.
fn availability(setup: &Setup) -> f64 {
    let Some(failures) = setup.dyno_failures.failures() else { return 1.0 };
    let (up, down) = (failures.up.mean().as_secs_f64(), failures.down.mean().as_secs_f64());
    up / (up + down)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Draw;

    fn said(change: impl FnOnce(&mut Setup)) -> String {
        let mut setup = Setup::default();
        change(&mut setup);
        setup.check(false).expect_err("nonsense passed").to_string()
    }

    #[test]
    fn the_default_is_sound() {
        Setup::default().check(false).unwrap();
    }

    #[test]
    fn nonsense_is_refused_with_key_value_and_what_would_be_right() {
        assert_eq!(said(|setup| setup.dynos = 0), "dynos = 0: must be from 1 to 1000000");
        assert_eq!(said(|setup| setup.edges = 0), "edges = 0: must be from 1 to 10000");
        assert!(said(|setup| setup.requests = 0).starts_with("requests = 0: must be from 10"));
        assert!(said(|setup| setup.requests = u64::MAX).ends_with("to 50000000"));
        assert!(said(|setup| setup.blocks = 251).contains("from 1 to 250, the number of dynos"));
        assert!(said(|setup| setup.max_conns = 0).starts_with("max_conns = 0"));
        assert!(said(|setup| setup.slow_share = -0.1).starts_with("slow_share = -0.1: must be from 0 to 1"));
        assert!(said(|setup| setup.slow_factor = f64::NAN).starts_with("slow_factor = NaN"));
        assert!(said(|setup| setup.slowdown = f64::INFINITY).starts_with("slowdown = inf"));
        assert!(said(|setup| setup.service = Draw::fixed(Span::ZERO)).starts_with("service = 0s: must take time"));
        assert!(said(|setup| setup.router_cable = Span::from_secs(11)).ends_with("from 0s to 10s"));
        assert!(said(|setup| setup.dyno_failures.down = Draw::fixed(Span::ZERO)).contains("write up = \"0s\" for what never fails"));
        assert!(said(|setup| setup.router_failures.up = Draw::exponential(Span::from_nanos(1))).starts_with("router_failures = { up ="));
        assert!(said(|setup| setup.probe_idle = Span::ZERO).starts_with("probe_idle = 0s: must be from 1ms"));
        assert!(said(|setup| setup.attempts = 0).starts_with("attempts = 0: must be from 1 to 100"));
        assert!(said(|setup| setup.rival_tries = 0).starts_with("rival_tries = 0"));
        assert!(said(|setup| setup.choices = 0).starts_with("choices = 0"));
        assert!(said(|setup| setup.prequal_probes = f64::NAN).starts_with("prequal_probes = NaN"));
        assert!(said(|setup| setup.prequal_pool = 1).starts_with("prequal_pool = 1: must be from 2"));
        assert!(said(|setup| setup.prequal_cold = 1.5).ends_with("from 0 to 1"));
        for nonsense in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(said(|setup| setup.load = nonsense).contains("must be a number above 0"), "{nonsense}");
        }
        assert!(said(|setup| setup.rps = -1.0).starts_with("rps = -1: must be a number above 0"));
    }

    #[test]
    fn what_is_modelled_by_itself_is_refused_beside_the_others() {
        assert!(said(|setup| setup.moves_per_second = f64::NAN).starts_with("moves_per_second = NaN"));
        assert!(said(|setup| (setup.moves_per_second, setup.blocks) = (1.0, 1)).contains("between two blocks or more"));
        assert!(said(|setup| (setup.moves_per_second, setup.dynos) = (1.0, 20_000)).contains("with at most 10000 dynos"));
        assert_eq!(said(|setup| setup.overlap = 10), "overlap = 10: must be less than 10, the number of blocks");
        assert_eq!(said(|setup| (setup.overlap, setup.apps) = (1, 2)), "apps = 2: must be 1 where overlap is set");
        assert!(said(|setup| (setup.overlap, setup.pinned_share) = (1, 0.5)).starts_with("overlap = 1: cannot be set beside pinned_share"));
        assert!(said(|setup| (setup.pinned_share, setup.hold) = (0.5, Span::ZERO)).starts_with("hold = 0s: must be 1ms or more"));
        assert!(said(|setup| setup.sessions = 0).starts_with("sessions = 0: must be from 1"));
    }

    #[test]
    fn more_load_than_the_dynos_can_do_is_said_unless_it_is_meant() {
        let told = said(|setup| setup.load = 0.97);
        assert!(
            told.starts_with("load = 0.97: must be below 0.952: these dynos can do 1984.1 requests/s, down 4.8 % of the time"),
            "{told}"
        );
        assert!(said(|setup| setup.rps = 2000.0).starts_with("rps = 2000: must be below 1984.127"));
        assert!(said(|setup| (setup.load, setup.slow_share, setup.slow_factor) = (0.6, 0.5, 10.0)).contains("must be below 0.524"));
        // Four at once, each 4.6 times slower for it: two at once is the best.
        assert!(said(|setup| (setup.load, setup.max_conns, setup.slowdown) = (0.4, 4, 0.7)).contains("must be below 0.280"));
        let overloaded = Setup { load: 1.5, ..Setup::default() };
        overloaded.check(true).unwrap();
    }
}
