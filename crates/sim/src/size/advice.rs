//! From figures to a recommendation, with its reasons.

use dynomesh_core::time::Span;
use serde::Serialize;

use super::ask::Ask;
use super::candidate::Candidate;
use super::capacity::down;
use super::error::SizeError;
use crate::scenario::Failing;

/// Dynos per block by the rule of thumb, which every answer is compared with.
pub const THUMB: usize = 25;

/// Served less than the best by more than this is not as good.
const SUCCESS_WITHIN: f64 = 0.001;
/// Data threads that a block's leader can have.
const THREADS_MAX: usize = 64;
/// Shortest queue that is recommended: in a small block a burst is large beside its slots.
const QUEUE_MIN: usize = 10;
/// A request may wait so many times as long as the end of a full queue waits in the ordinary course.
const PATIENCE: f64 = 10.0;
/// Fewer deaths of leaders than this in all runs together, and the figures hardly show them.
const DEATHS_FEW: f64 = 10.0;

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// Blocks.
    pub blocks: usize,
    /// Dynos of each, rounded up.
    pub dynos_each: usize,
    /// Replicas in all.
    pub replicas: usize,
    /// Edges, one spare included.
    pub edges: usize,
    /// What to set where.
    pub settings: Vec<Setting>,
    /// Why, and what else there is to know.
    pub reasons: Vec<String>,
}

/// A setting of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The file or the command that has it.
    pub place: &'static str,
    /// Its key or option.
    pub key: &'static str,
    /// What to set it to.
    pub value: String,
    /// Why.
    pub why: String,
}

/// Which candidate was chosen, and what of the rules it keeps.
struct Choice<'a> {
    chosen: &'a Candidate,
    best: &'a Candidate,
    limit: f64,
    fast: bool,
    small: bool,
}

impl Advice {
    /// Chooses among `candidates`, of which there is at least one. `enough` is how many dynos would meet the target if these do not.
    pub(super) fn of(ask: &Ask, dynos: usize, candidates: &[Candidate], enough: Option<Result<usize, SizeError>>) -> Self {
        let choice = Choice::of(ask, candidates);
        let Candidate { blocks, dynos_each, replicas, .. } = *choice.chosen;
        let (edges, edge_threads) = ask.edges();
        let mut reasons = vec![choice.why(ask)];
        reasons.extend(choice.thumb(candidates, dynos));
        reasons.push(load(ask, dynos));
        reasons.extend(outages(ask, choice.chosen));
        reasons.push(format!(
            "{edges} edges with {edge_threads} data thread{}: a thread is taken to carry {:.0} requests/s (--edge-rps), and one edge may be missing.",
            if edge_threads == 1 { "" } else { "s" },
            ask.rules.edge_rps
        ));
        reasons.extend(enough.map(|enough| match enough {
            Ok(enough) => format!("{enough} dynos would meet the target."),
            Err(error) => format!("More dynos do not help: {error}."),
        }));
        reasons.extend(ask.setup.trace.as_ref().map(|trace| format!("Replayed {}.", trace.story())));
        Advice { blocks, dynos_each, replicas, edges, settings: settings(ask, choice.chosen), reasons }
    }
}

// === impl Choice ===

impl<'a> Choice<'a> {
    /// The fewest blocks that are fast enough, serve as many, touch little enough when one dies, and have leaders that carry their part.
    /// If none does all of that: the smallest damage among the fast ones, or else the fastest.
    fn of(ask: &Ask, candidates: &'a [Candidate]) -> Self {
        let by_p99 = |one: &&Candidate, other: &&Candidate| one.p99.mean.total_cmp(&other.p99.mean);
        let best = candidates.iter().min_by(by_p99).expect("there is always a candidate");
        let served = candidates.iter().map(|candidate| candidate.success.mean).fold(0.0, f64::max);
        let limit = ask.target.unwrap_or(best.p99.mean * (1.0 + ask.rules.within));
        let fast = |candidate: &&Candidate| {
            candidate.p99.mean <= limit
                && candidate.success.mean >= served - SUCCESS_WITHIN
                && ask.block_threads(candidate.blocks) <= THREADS_MAX
        };
        let small = |candidate: &&Candidate| candidate.blast <= ask.rules.blast;
        let chosen = candidates
            .iter()
            .find(|candidate| fast(candidate) && small(candidate))
            .or_else(|| candidates.iter().rfind(fast))
            .or_else(|| candidates.iter().filter(small).min_by(by_p99))
            .unwrap_or(best);
        Choice { chosen, best, limit, fast: fast(&chosen), small: small(&chosen) }
    }

    fn why(&self, ask: &Ask) -> String {
        let Candidate { blocks, dynos_each, replicas, p99, blast, .. } = self.chosen;
        let head = format!("{} of {dynos_each} dynos, {replicas} replicas", counted(*blocks, "block"));
        let (p99, blast, allowed) = (p99.mean, blast * 100.0, ask.rules.blast * 100.0);
        let speed = match ask.target {
            Some(target) => format!("meets the target of {target:.0} ms"),
            None => format!(
                "is within {} % of the best ({:.0} ms with {})",
                (ask.rules.within * 1e4).round() / 100.0,
                self.best.p99.mean,
                counted(self.best.blocks, "block")
            ),
        };
        match (self.fast, self.small) {
            (true, true) => format!(
                "{head}: the fewest blocks whose p99 ({p99:.0} ms) {speed} and of which one's death touches at most {allowed:.1} % of the traffic ({blast:.1} %)."
            ),
            (true, false) => format!(
                "{head}: its p99 ({p99:.0} ms) {speed}, but no number of blocks does so and keeps the death of one under {allowed:.1} % of the traffic; this one's touches {blast:.1} %, the least of those."
            ),
            (false, _) => format!(
                "{head}: nothing meets {:.0} ms; this comes nearest with a p99 of {p99:.0} ms, and a block's death touches {blast:.1} % of the traffic.",
                self.limit
            ),
        }
    }

    /// How the choice compares with the rule of thumb.
    fn thumb(&self, candidates: &[Candidate], dynos: usize) -> Option<String> {
        let thumb = candidates.iter().min_by_key(|candidate| candidate.dynos_each.abs_diff(THUMB))?;
        if dynos < 2 * THUMB {
            return None;
        }
        let told = format!(
            "blocks of {} ({}, {} replicas) have a p99 of {:.0} ms",
            thumb.dynos_each, thumb.blocks, thumb.replicas, thumb.p99.mean
        );
        Some(match self.chosen.blocks.cmp(&thumb.blocks) {
            std::cmp::Ordering::Equal => format!("The rule of thumb, about {THUMB} dynos a block, is right here: {told}."),
            std::cmp::Ordering::Less => {
                format!("The rule of thumb is about {THUMB} dynos a block: {told}, so fewer and larger blocks do here.")
            }
            std::cmp::Ordering::Greater => {
                format!("The rule of thumb is about {THUMB} dynos a block: {told}, but here more and smaller ones are needed.")
            }
        })
    }
}

// === what else there is to know ===

fn load(ask: &Ask, dynos: usize) -> String {
    let capacity = ask.capacity();
    format!(
        "{:.0} requests/s keep {dynos} dynos {:.0} % busy: a request takes a slot for {:.1} ms, and a dyno is down {:.1} % of the time.",
        capacity.rps,
        capacity.load(dynos) * 100.0,
        capacity.slot * 1e3,
        (1.0 - capacity.up) * 100.0
    )
}

fn outages(ask: &Ask, chosen: &Candidate) -> Option<String> {
    let Failing { up, down: span } = ask.setup.router_failures;
    ask.setup.router_failures.failures()?;
    let capacity = ask.capacity();
    let each = capacity.rps / chosen.blocks as f64;
    let counted = ask.requests_at(capacity.rps) as f64 / 2.0 / capacity.rps;
    let deaths = chosen.blocks as f64 * counted * ask.seeds as f64 / up.mean().as_secs_f64();
    let few = if deaths < DEATHS_FEW {
        format!(" In these runs leaders died only about {deaths:.1} times, so the figures hardly show it.")
    } else {
        String::new()
    };
    Some(format!(
        "A block is without a leader {:.2} % of the time ({} every {}): its {each:.0} requests/s go to other blocks meanwhile, and about {:.0} are in flight there when its leader dies. \
         {:.2} % of requests needed another block, {:.4} % were served.{few}",
        down(ask.setup.router_failures) * 100.0,
        span.mean(),
        up.mean(),
        each * capacity.slot,
        chosen.retries * 100.0,
        chosen.success.mean * 100.0
    ))
}

fn settings(ask: &Ask, chosen: &Candidate) -> Vec<Setting> {
    let capacity = ask.capacity();
    let slots = chosen.dynos_each * usize::try_from(ask.setup.max_conns).unwrap_or(usize::MAX);
    let queue = slots.max(QUEUE_MIN);
    let tail = queue as f64 * capacity.slot / (slots as f64 * capacity.up);
    let wait = super::ask::ceil(PATIENCE * tail).min(10);
    let (_, edge_threads) = ask.edges();
    let threads = ask.block_threads(chosen.blocks);
    let set = |place, key, value: String, why: String| Setting { place, key, value, why };
    vec![
        set("dynomesh app create", "--max-conns", ask.setup.max_conns.to_string(), "as asked".into()),
        set(
            "dynomesh app create",
            "--queue-len",
            queue.to_string(),
            format!(
                "{}; the last in a full queue waits about {:.0} ms, one more is sent to another block",
                if queue == slots { "the slots of a block, which is the default" } else { "more than its few slots, for bursts" },
                tail * 1e3
            ),
        ),
        set(
            "dynomesh app create",
            "--queue-wait",
            Span::from_secs(wait as u64).to_string(),
            format!("{PATIENCE:.0} times that, in whole seconds and at most the default of 10s"),
        ),
        set(
            "block",
            "threads",
            threads.to_string(),
            format!(
                "{:.0} requests/s per leader at {:.0} per thread (--block-rps)",
                capacity.rps / chosen.blocks as f64,
                ask.rules.block_rps
            ),
        ),
        set("edge", "threads", edge_threads.to_string(), format!("{:.0} requests/s per thread (--edge-rps)", ask.rules.edge_rps)),
    ]
}

fn counted(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
