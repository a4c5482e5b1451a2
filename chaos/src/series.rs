//! Runs one after the other: each scenario in turn, and round again with other seeds while there is time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::check;
use dynomesh_testkit::clock;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::figures::ms;
use crate::judge::{Judgement, Verdict, judge};
use crate::report::summary::{self, Ended};
use crate::report::{self, Beside};
use crate::run::{self, Run};
use crate::scenario::Scenario;
use crate::system::rival::Kind;

/// Exit code where a run could not be carried through.
pub(crate) const BROKEN: u8 = 2;
/// How often what nothing but the machine made void is tried in all, and how long its load may be for that.
const TRIES: u32 = 3;
const TRIED_AGAIN_MAX: Span = Span::from_secs(180);
/// What a run takes beside its load: to start a mesh, to settle, to judge.
const AROUND: Span = Span::from_secs(8);

/// What is to be run.
pub(crate) struct Series {
    pub(crate) scenarios: Vec<Scenario>,
    /// That of the first round; each later one has the next.
    pub(crate) seed: u64,
    /// How long to go round; once if not set.
    pub(crate) limit: Option<Span>,
    pub(crate) beside: Vec<Kind>,
    /// Where everything is written.
    pub(crate) out: PathBuf,
}

/// What became of it.
pub(crate) struct Done {
    pub(crate) ended: Vec<Ended>,
    /// Scenarios that there was no time for.
    pub(crate) unrun: Vec<String>,
}

// === impl Series ===

impl Series {
    /// Runs it. The pages over all runs are written after each, so that they are there whatever ends the series.
    pub(crate) fn run(&self) -> Result<Done> {
        let began = clock::now();
        let deadline = self.limit.map(|limit| began + limit);
        let mut ended: Vec<Ended> = Vec::new();
        let order = self.order();
        for round in 0.. {
            let mut is_over = true;
            for (n, scenario) in order.iter().enumerate() {
                let seed = self.seed.wrapping_add(round);
                if deadline.is_some_and(|deadline| clock::now() + self.takes(scenario, seed) > deadline) {
                    continue;
                }
                is_over = false;
                eprintln!("[{}] {}, seed {seed}: {}", self.progress(round, n, began), scenario.name, scenario.title);
                self.tries(scenario, seed, deadline, &mut ended)?;
            }
            if is_over || deadline.is_none() {
                break;
            }
        }
        let unrun = self.unrun(&ended);
        Ok(Done { ended, unrun })
    }

    /// As they are listed; where time may not suffice for all, as the seed draws it, so that it is not always the same that are left out.
    fn order(&self) -> Vec<&Scenario> {
        let mut order: Vec<&Scenario> = self.scenarios.iter().collect();
        if self.limit.is_some() {
            order.shuffle(&mut StdRng::seed_from_u64(self.seed));
        }
        order
    }

    /// How long a run takes, with those of rivals.
    fn takes(&self, scenario: &Scenario, seed: u64) -> Span {
        let rivals = self.beside.iter().filter(|rival| scenario.against(**rival).is_ok()).count() as u64;
        (scenario.length(seed) + AROUND).times(1 + rivals)
    }

    fn progress(&self, round: u64, n: usize, began: Time) -> String {
        let minutes = |span: Span| span.as_millis() / 60_000;
        let of = self.limit.map_or_else(String::new, |limit| format!(" of {}", minutes(limit)));
        format!("round {}, {} of {}, minute {}{of}", round + 1, n + 1, self.scenarios.len(), minutes(clock::now().since(began)))
    }

    fn unrun(&self, ended: &[Ended]) -> Vec<String> {
        let was_run = |scenario: &&Scenario| ended.iter().any(|run| run.name == scenario.name);
        self.scenarios.iter().filter(|scenario| !was_run(scenario)).map(|scenario| scenario.name.clone()).collect()
    }

    /// A scenario with a seed, more than once where nothing but the machine made it void.
    fn tries(&self, scenario: &Scenario, seed: u64, deadline: Option<Time>, ended: &mut Vec<Ended>) -> Result<()> {
        for attempt in 1..=TRIES {
            let mut one = self.one(scenario, seed, attempt);
            let has_time = deadline.is_none_or(|deadline| clock::now() + self.takes(scenario, seed) <= deadline);
            let is_repeated = one.is_machines && attempt < TRIES && scenario.length(seed) <= TRIED_AGAIN_MAX && has_time;
            one.is_repeated = is_repeated;
            ended.push(one);
            summary::write(&self.out, ended, &self.unrun(ended)).context("write the pages over all runs")?;
            if !is_repeated {
                break;
            }
            eprintln!("  nothing but the machine made it void: try {} of {TRIES} with the same seed", attempt + 1);
        }
        Ok(())
    }

    fn one(&self, scenario: &Scenario, seed: u64, attempt: u32) -> Ended {
        let dir = self.out.join(folder(scenario, seed, attempt));
        match self.carry_through(scenario, seed, &dir) {
            Ok(ended) => ended,
            Err(error) => {
                eprintln!("  broken: {error:#}\n  logs of its processes: {}", dir.join("log").display());
                Ended::broken(scenario, seed, &dir, &format!("{error:#}"))
            }
        }
    }

    fn carry_through(&self, scenario: &Scenario, seed: u64, dir: &Path) -> Result<Ended> {
        let (run, judgement) = carry_out(scenario, seed, dir)?;
        report::write(&run, &judgement, &[])?;
        let beside = self.rivals(scenario, seed)?;
        report::write(&run, &judgement, &beside)?;
        if matches!(judgement.verdict, Verdict::Clean | Verdict::Void) {
            // What replicas kept is large, and of use only where something went wrong.
            fs::remove_dir_all(run.dir.join("data")).context("take away what replicas kept")?;
        }
        tell(&run, &judgement);
        Ok(Ended::new(&run, &judgement))
    }

    /// The same for rivals, one after the other.
    fn rivals(&self, scenario: &Scenario, seed: u64) -> Result<Vec<Beside>> {
        let mut beside = Vec::new();
        for rival in &self.beside {
            let seen = match scenario.against(*rival) {
                Err(reason) => Err(reason),
                Ok(theirs) => {
                    eprintln!("  the same for {rival}");
                    // What a rival cannot do says nothing about the mesh.
                    let dir = self.out.join(folder(&theirs, seed, 1));
                    carry_out(&theirs, seed, &dir).map(Box::new).map_err(|error| format!("{rival} could not be run: {error:#}"))
                }
            };
            match &seen {
                Ok(seen) => report::write(&seen.0, &seen.1, &[])?,
                Err(reason) => eprintln!("  {reason}"),
            }
            beside.push(Beside { seen });
        }
        Ok(beside)
    }
}

/// Where the files of a run lie. A later try leaves those of an earlier one alone.
fn folder(scenario: &Scenario, seed: u64, attempt: u32) -> String {
    let again = if attempt > 1 { format!("-try-{attempt}") } else { String::new() };
    format!("{}-{seed}{again}", scenario.name)
}

/// One run, judged, with its history saved.
fn carry_out(scenario: &Scenario, seed: u64, dir: &Path) -> Result<(Run, Judgement)> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("take away the run of before in {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let run = run::run(scenario, seed, &dir)?;
    let judgement = judge(&run);
    run.history.save(&dir.join("history.json")).context("save the history")?;
    Ok((run, judgement))
}

/// Tells whoever waits what a run came to.
fn tell(run: &Run, judgement: &Judgement) {
    eprintln!("  {}", line(run, judgement));
    if judgement.verdict == Verdict::Clean {
        return;
    }
    judgement.reports.iter().filter(|report| !report.violations.is_empty()).for_each(|report| eprintln!("  {report}"));
    let unseen = judgement.reports.iter().filter(|report| report.verdict() == check::Verdict::NothingJudged);
    unseen.filter(|_| judgement.verdict == Verdict::NothingJudged).for_each(|report| eprintln!("  {report}"));
    let missed = judgement.judged.iter().filter(|judged| !judged.is_met);
    missed.for_each(|judged| eprintln!("  {}: {}, expected {}", judged.name, judged.seen, judged.expected));
    run.complaints.iter().chain(&judgement.voids).for_each(|told| eprintln!("  {told}"));
    eprintln!("  once more: {}\n  everything about it: {}", report::replay(&run.scenario, run.seed), run.dir.display());
}

/// A run in a line.
pub(crate) fn line(run: &Run, judgement: &Judgement) -> String {
    let (figures, verdict) = (&judgement.figures, judgement.verdict);
    format!(
        "{verdict}: {} requests, {} lost, longest gap {}, p99 added {}, processors busy {:.0} %, by this run {:.0} %",
        figures.asked,
        figures.asked - figures.ok,
        ms(figures.longest_gap),
        ms(figures.added_p99),
        run.cpu * 100.0,
        run.cpu_own * 100.0
    )
}

// === impl Done ===

impl Done {
    /// All runs, how to repeat those that were not clean, and at the end what it all came to.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.ended.iter().map(|run| format!("{:<24} seed {:<10} {}", run.name, run.seed, run.line)).collect();
        let bad = self.ended.iter().filter(|run| run.verdict != Some(Verdict::Clean) && !run.is_repeated);
        lines.extend(bad.map(|run| format!("{}, once more: {}", run.came_to(), run.replay)));
        if !self.unrun.is_empty() {
            lines.push(format!("no time was left for {}", self.unrun.join(", ")));
        }
        lines.push(self.last());
        lines
    }

    /// What it came to, and how much of it there was no time for.
    fn last(&self) -> String {
        let verdict = summary::verdict(&self.ended);
        match self.unrun.len() {
            0 => verdict,
            1 => format!("{verdict}; 1 scenario not run"),
            unrun => format!("{verdict}; {unrun} scenarios not run"),
        }
    }

    /// The exit code: 0 only if all runs were clean.
    pub(crate) fn code(&self) -> u8 {
        match summary::worst(&self.ended) {
            Some(verdict) => verdict.code(),
            None => BROKEN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_limit_no_scenario_is_always_the_last() {
        let scenarios = crate::scenario::all().unwrap();
        let series = |seed, limit| Series { scenarios: scenarios.clone(), seed, limit, beside: Vec::new(), out: PathBuf::new() };
        let names = |series: &Series| series.order().iter().map(|scenario| scenario.name.clone()).collect::<Vec<_>>();
        let (listed, limit) = (names(&series(1, None)), Some(Span::from_secs(60)));
        let drawn: Vec<Vec<String>> = (1..=20).map(|seed| names(&series(seed, limit))).collect();
        assert_eq!(drawn[0], names(&series(1, limit)), "a seed draws the same again");
        let lasts: std::collections::BTreeSet<&String> = drawn.iter().filter_map(|names| names.last()).collect();
        assert!(lasts.len() > 5 && drawn[0] != listed, "{lasts:?}");
        let sorted = |mut names: Vec<String>| (names.sort(), names).1;
        assert_eq!(sorted(drawn[1].clone()), sorted(listed));
    }

    #[test]
    fn the_last_line_tells_of_what_was_not_begun() {
        let last = |unrun: &[&str]| {
            let done = Done { ended: Vec::new(), unrun: unrun.iter().map(|name| (*name).to_owned()).collect() };
            done.lines().pop().unwrap()
        };
        assert_eq!(last(&[]), "nothing judged: 0 runs");
        assert_eq!(last(&["storm"]), "nothing judged: 0 runs; 1 scenario not run");
        assert_eq!(last(&["storm", "moves"]), "nothing judged: 0 runs; 2 scenarios not run");
    }
}
