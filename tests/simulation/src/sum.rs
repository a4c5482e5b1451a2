//! What many seeds come to, and how that is told.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::Args;
use crate::story::Told;
use crate::sweep::Problem;
use crate::verdict::Verdict;

/// Seeds between two words about how it goes.
const SAY_EVERY: u64 = 50;

/// What all seeds came to.
#[derive(Default)]
pub(crate) struct Sum {
    seeds: u64,
    requests: usize,
    ok: usize,
    unknown: usize,
    felt: usize,
    /// By invariant: judged, unknown, violations.
    reports: BTreeMap<String, (usize, usize, usize)>,
    failed: Vec<u64>,
    void: Vec<u64>,
}

/// Tells all of a seed.
pub(crate) fn tell(told: &Told) {
    let Told { seed, requests, ok, unknown, felt, millis, .. } = told;
    let verdict = told.verdict();
    println!("seed {seed}: {verdict}: {requests} requests, {ok} answered by dynos, {unknown} unknown, {felt} faults felt, {millis} ms");
    for fault in &told.faults {
        println!("  {fault}");
    }
    for report in &told.reports {
        println!("  {report}");
    }
    for alarm in &told.alarms {
        println!("  alarm: {alarm}");
    }
    for void in told.voids() {
        println!("  void: {void}");
    }
}

// === impl Sum ===

impl Sum {
    /// The worst of all. No seed at all shows nothing.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Sum { failed, .. } if !failed.is_empty() => Verdict::Failed,
            Sum { void, seeds, .. } if !void.is_empty() || *seeds == 0 => Verdict::Void,
            _ => Verdict::Clean,
        }
    }

    pub(crate) fn add(&mut self, seed: u64, told: Result<Told, Problem>, begun: Instant) {
        self.seeds += 1;
        match told {
            Err(problem) => {
                println!("seed {seed}: {}", problem.told);
                self.failed.push(seed);
            }
            Ok(told) => {
                self.requests += told.requests;
                self.ok += told.ok;
                self.unknown += told.unknown;
                self.felt += told.felt;
                for report in &told.reports {
                    let (judged, unknown, violations) = self.reports.entry(report.invariant.clone()).or_default();
                    *judged += report.judged;
                    *unknown += report.unknown;
                    *violations += report.violations.len();
                }
                let verdict = told.verdict();
                match verdict {
                    Verdict::Clean => {}
                    Verdict::Void => self.void.push(seed),
                    Verdict::Failed => self.failed.push(seed),
                }
                if verdict != Verdict::Clean {
                    tell(&told);
                }
            }
        }
        if self.seeds.is_multiple_of(SAY_EVERY) {
            self.say(begun);
        }
    }

    /// Says what came of all, and how what is not green is seen again.
    pub(crate) fn conclude(&self, args: &Args, begun: Instant) {
        self.say(begun);
        for (invariant, (judged, unknown, violations)) in &self.reports {
            println!("  {invariant}: {judged} judged, {unknown} unknown, {violations} violations");
        }
        for seed in self.failed.iter().chain(&self.void) {
            let faults = args.faults.as_ref().map(|file| format!(" --faults {}", file.display())).unwrap_or_default();
            println!("replay: cargo run --release -p dynomesh-simulation -- --seed {seed}{faults} --trace");
        }
    }

    fn say(&self, begun: Instant) {
        let Sum { seeds, requests, ok, unknown, felt, failed, void, .. } = self;
        let hourly = *seeds as f64 * 3600.0 / begun.elapsed().as_secs_f64();
        println!(
            "{seeds} seeds, {hourly:.0} an hour: {requests} requests, {ok} answered by dynos, {unknown} unknown; {felt} faults felt; \
             {} seeds failed, {} void",
            failed.len(),
            void.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_void_seed_makes_a_sweep_void_and_one_that_failed_makes_it_fail() {
        let mut sum = Sum::default();
        assert_eq!(sum.verdict(), Verdict::Void, "no seed was run");
        sum.seeds = 3;
        assert_eq!(sum.verdict(), Verdict::Clean);
        // Of which nothing was judged.
        sum.add(1, Ok(Told::new(1, 3)), Instant::now());
        assert_eq!(sum.verdict(), Verdict::Void);
        sum.add(2, Err("it was killed".to_owned().into()), Instant::now());
        assert_eq!((sum.verdict(), sum.void, sum.failed), (Verdict::Failed, vec![1], vec![2]));
    }
}
