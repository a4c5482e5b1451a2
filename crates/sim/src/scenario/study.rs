//! Running a scenario: every case with every seed, and what is left of the runs once their requests are forgotten.

use std::collections::BTreeMap;
use std::num::NonZero;

use dynomesh_core::time::Span;

use super::file::{Case, Plot, PlotKind, Scenario};
use crate::parallel;
use crate::report::{Figures, Spread};
use crate::stack;
use crate::workload::Outcome;

/// What a scenario came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// As it was run.
    pub scenario: Scenario,
    /// One per case, in the order of the cases.
    pub lines: Vec<Line>,
}

/// What a case came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Over the seeds.
    pub spread: Spread,
    /// What else the runs counted: means over the seeds, each by its column.
    pub notes: Vec<(&'static str, f64)>,
    /// What a plot needs beyond that.
    pub curve: Curve,
}

/// Latencies as a curve.
#[derive(Debug, Clone, PartialEq)]
pub enum Curve {
    /// Nothing is drawn of it.
    None,
    /// Milliseconds and the share of requests that took no longer.
    Distribution(Vec<(f64, f64)>),
    /// By the time at which requests came.
    Timeline(Vec<Tick>),
}

/// What became of the requests that came within a tenth of a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    /// Its beginning, in seconds of the run.
    pub at: f64,
    /// Share of requests that were served.
    pub success: f64,
    /// 99th percentile in milliseconds, over all seeds.
    pub p99: f64,
}

/// Resolution of a timeline.
const TICK: Span = Span::from_millis(100);
/// Points of a distribution.
const DISTRIBUTION_POINTS: usize = 400;

/// What is kept of one run.
struct Run {
    figures: Figures,
    notes: Vec<(&'static str, f64)>,
    curve: RunCurve,
}

enum RunCurve {
    None,
    Distribution(Vec<(f64, f64)>),
    /// Microseconds and success of the requests of each tick.
    Ticks(BTreeMap<u64, Vec<(u32, bool)>>),
}

/// Runs all cases of a scenario with all its seeds; `done` is told of each run that has ended.
pub fn run(scenario: &Scenario, threads: NonZero<usize>, done: impl Fn() + Sync) -> Results {
    let seeds = scenario.first_seed..scenario.first_seed + scenario.seeds;
    let work: Vec<(&Case, u64)> = scenario.cases.iter().flat_map(|case| seeds.clone().map(move |seed| (case, seed))).collect();
    let mut runs = parallel::map(&work, threads, done, |(case, seed)| Run::of(stack::run(&case.setup, *seed), scenario.plot)).into_iter();
    let seeds = usize::try_from(scenario.seeds).unwrap_or(usize::MAX);
    let lines = scenario.cases.iter().map(|_| Line::of(runs.by_ref().take(seeds).collect())).collect();
    Results { scenario: scenario.clone(), lines }
}

// === impl Run ===

impl Run {
    fn of(mut outcome: Outcome, plot: Plot) -> Self {
        let figures = outcome.tally.figures();
        let curve = match plot.kind {
            PlotKind::Percentiles => RunCurve::None,
            PlotKind::Cdf => RunCurve::Distribution(outcome.tally.distribution(DISTRIBUTION_POINTS)),
            PlotKind::Timeline => RunCurve::Ticks(ticks(&outcome, plot)),
        };
        Run { figures, notes: outcome.notes, curve }
    }
}

fn ticks(outcome: &Outcome, plot: Plot) -> BTreeMap<u64, Vec<(u32, bool)>> {
    let mut ticks: BTreeMap<u64, Vec<(u32, bool)>> = BTreeMap::new();
    let (from, to) = (plot.from.as_nanos(), plot.to.map_or(u64::MAX, Span::as_nanos));
    for moment in &outcome.moments {
        let arrived = moment.arrived.as_nanos();
        if (from..to).contains(&arrived) {
            ticks.entry(arrived / TICK.as_nanos()).or_default().push((moment.micros, moment.served));
        }
    }
    ticks
}

// === impl Line ===

impl Line {
    fn of(runs: Vec<Run>) -> Self {
        let figures: Vec<Figures> = runs.iter().map(|run| run.figures).collect();
        Line { spread: Spread::of(&figures), notes: notes(&runs), curve: Curve::of(runs) }
    }
}

/// Means over the runs that noted a column at all, in the order in which the columns were noted.
fn notes(runs: &[Run]) -> Vec<(&'static str, f64)> {
    let mut sums: Vec<(&'static str, f64, f64)> = Vec::new();
    for (column, value) in runs.iter().flat_map(|run| &run.notes) {
        match sums.iter_mut().find(|(known, ..)| known == column) {
            Some((_, sum, count)) => (*sum, *count) = (*sum + value, *count + 1.0),
            None => sums.push((column, *value, 1.0)),
        }
    }
    sums.into_iter().map(|(column, sum, count)| (column, sum / count)).collect()
}

impl Curve {
    fn of(runs: Vec<Run>) -> Self {
        let count = runs.len() as f64;
        runs.into_iter().map(|run| run.curve).reduce(RunCurve::and).map_or(Curve::None, |all| match all {
            RunCurve::None => Curve::None,
            RunCurve::Distribution(points) => Curve::Distribution(points.into_iter().map(|(sum, share)| (sum / count, share)).collect()),
            RunCurve::Ticks(ticks) => Curve::Timeline(ticks.into_iter().map(|(tick, requests)| Tick::of(tick, requests)).collect()),
        })
    }
}

impl RunCurve {
    /// Both together: latencies at each share added up, requests of each tick put together.
    fn and(self, other: RunCurve) -> RunCurve {
        match (self, other) {
            (RunCurve::Distribution(mut sums), RunCurve::Distribution(more)) => {
                sums.iter_mut().zip(more).for_each(|((sum, _), (millis, _))| *sum += millis);
                RunCurve::Distribution(sums)
            }
            (RunCurve::Ticks(mut all), RunCurve::Ticks(more)) => {
                more.into_iter().for_each(|(tick, requests)| all.entry(tick).or_default().extend(requests));
                RunCurve::Ticks(all)
            }
            _ => RunCurve::None,
        }
    }
}

impl Tick {
    fn of(tick: u64, mut requests: Vec<(u32, bool)>) -> Self {
        requests.sort_unstable();
        let count = requests.len();
        let served = requests.iter().filter(|(_, served)| *served).count();
        let (micros, _) = requests[(count * 99).div_ceil(100).max(1) - 1];
        let at = tick as f64 * TICK.as_secs_f64();
        Tick { at, success: served as f64 / count as f64, p99: f64::from(micros) / 1e3 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Size;

    fn small(plot: &str) -> Results {
        let text = format!(
            "name = \"a\"\ntitle = \"A\"\nquestion = \"?\"\nseeds = 3\n[base]\nrequests = 4000\npolicy = \"random\"\nload = 0.3\n{plot}"
        );
        let scenario = Scenario::parse("a.toml", &text, Size::default()).unwrap();
        run(&scenario, NonZero::new(2).unwrap(), || ())
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let two = small("");
        assert_eq!(two, run(&two.scenario, NonZero::<usize>::MIN, || ()));
        let notes: Vec<&str> = two.lines[0].notes.iter().map(|(column, _)| *column).collect();
        assert!(notes.contains(&"over_cap"), "{notes:?}");
    }

    #[test]
    fn a_distribution_rises_to_the_slowest_request() {
        let results = small("");
        let Curve::Distribution(points) = &results.lines[0].curve else { panic!("no distribution") };
        assert!(points.is_sorted() && points.len() == DISTRIBUTION_POINTS + 1);
        let (slowest, max) = (points[DISTRIBUTION_POINTS].0, results.lines[0].spread.max.mean);
        assert!((slowest - max).abs() < 1e-6, "{slowest} {max}");
    }

    #[test]
    fn a_timeline_shows_its_window_by_arrival() {
        let results = small("[plot]\nkind = \"timeline\"\nfrom = \"2s\"\nto = \"4s\"\n");
        let Curve::Timeline(ticks) = &results.lines[0].curve else { panic!("no timeline") };
        assert!(ticks.iter().all(|tick| (2.0..4.0).contains(&tick.at) && tick.p99 > 20.0 && tick.success <= 1.0), "{ticks:?}");
        assert_eq!(ticks.len(), 20);
    }
}
