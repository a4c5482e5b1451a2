//! One page over many runs: what each came to, what was judged in all of them together, and how to repeat those that were not clean.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use dynomesh_testkit::check::Report;

use super::{Table, html, markdown, replay};
use crate::figures::ms;
use crate::judge::{Judgement, Verdict};
use crate::run::Run;
use crate::scenario::Scenario;

/// A run that is over.
#[derive(Clone)]
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// `None` if it could not be carried through.
    pub(crate) verdict: Option<Verdict>,
    /// Nothing but its machine made it void.
    pub(crate) is_machines: bool,
    /// That was so, and it was run once more: the other tells.
    pub(crate) is_repeated: bool,
    pub(crate) line: String,
    pub(crate) replay: String,
    /// The name of the folder of its files.
    folder: String,
    /// Requests asked, and lost; longest gap, added p99, time until latency was normal.
    figures: Vec<String>,
    faults: usize,
    /// Of each invariant how much was judged, unknown and violated.
    counts: BTreeMap<String, [usize; 3]>,
}

// === impl Ended ===

impl Ended {
    pub(crate) fn new(run: &Run, judgement: &Judgement) -> Self {
        let f = &judgement.figures;
        let counts = |report: &Report| (report.invariant.clone(), [report.judged, report.unknown, report.violations.len()]);
        let back = f.recovery.after_heal.map_or_else(|| "not seen".to_owned(), ms);
        Ended {
            name: run.scenario.name.clone(),
            seed: run.seed,
            verdict: Some(judgement.verdict),
            is_machines: judgement.is_machines,
            is_repeated: false,
            line: crate::series::line(run, judgement),
            replay: replay(&run.scenario, run.seed),
            folder: name_of(&run.dir),
            figures: vec![f.asked.to_string(), (f.asked - f.ok).to_string(), ms(f.longest_gap), ms(f.added_p99), back],
            faults: run.faults.iter().filter(|fault| fault.is_felt).count(),
            counts: judgement.reports.iter().map(counts).collect(),
        }
    }

    /// One that could not be carried through.
    pub(crate) fn broken(scenario: &Scenario, seed: u64, dir: &Path, why: &str) -> Self {
        let (name, replay, line) = (scenario.name.clone(), replay(scenario, seed), format!("broken: {why}"));
        let (is_machines, is_repeated, figures, counts) = (false, false, vec![String::new(); 5], BTreeMap::new());
        Ended { name, seed, verdict: None, is_machines, is_repeated, line, replay, folder: name_of(dir), figures, faults: 0, counts }
    }

    /// Its verdict with its name.
    pub(crate) fn came_to(&self) -> String {
        let verdict = self.verdict.map_or_else(|| "broken".to_owned(), |verdict| verdict.to_string());
        format!("{verdict}: {} seed {}", self.name, self.seed)
    }
}

/// The last part of a path.
fn name_of(dir: &Path) -> String {
    dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The worst of all verdicts; `None` if the worst is that a run could not be carried through. What was repeated is told by its repetition.
pub(crate) fn worst(ended: &[Ended]) -> Option<Verdict> {
    let worst = ended.iter().filter(|run| !run.is_repeated).filter_map(|run| run.verdict).max();
    let is_broken = ended.iter().any(|run| run.verdict.is_none());
    match worst {
        Some(Verdict::Violated) => worst,
        _ if is_broken => None,
        worst => worst.or(Some(Verdict::NothingJudged)),
    }
}

/// What all came to in a line, with the names of those that were not clean.
pub(crate) fn verdict(ended: &[Ended]) -> String {
    let kinds = [Verdict::Clean, Verdict::Void, Verdict::NothingJudged, Verdict::Inconclusive, Verdict::Violated].map(Some);
    let kinds = kinds.into_iter().chain([None]).map(|kind| (kind, false)).chain([(Some(Verdict::Void), true)]);
    let told = kinds.filter_map(|(kind, is_repeated)| {
        let of: Vec<&Ended> = ended.iter().filter(|run| run.verdict == kind && run.is_repeated == is_repeated).collect();
        let name = kind.map_or_else(|| "broken".to_owned(), |kind| kind.to_string());
        let name = if is_repeated { format!("{name} by the machine and repeated") } else { name };
        let names: Vec<String> = of.iter().map(|run| format!("{} {}", run.name, run.seed)).collect();
        let names = if kind == Some(Verdict::Clean) { String::new() } else { format!(" ({})", names.join(", ")) };
        (!of.is_empty()).then(|| format!("{} {name}{names}", of.len()))
    });
    let told: Vec<String> = told.collect();
    let worst = worst(ended).map_or_else(|| "broken".to_owned(), |worst| worst.to_string());
    format!("{worst}: {} runs, {}", ended.len(), told.join(", ")).trim_end_matches(", ").to_owned()
}

/// Writes both pages.
pub(crate) fn write(out: &Path, ended: &[Ended], unrun: &[String]) -> Result<()> {
    let (title, tables) = (format!("Chaos: {}", verdict(ended)), tables(ended));
    let notes: Vec<String> = (!unrun.is_empty()).then(|| format!("Not run: {}", unrun.join(", "))).into_iter().collect();
    for (name, text) in [("summary.md", markdown::plain(&title, &notes, &tables)), ("summary.html", html::plain(&title, &notes, &tables))] {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn tables(ended: &[Ended]) -> Vec<Table> {
    let row = |run: &Ended| {
        let verdict = run.verdict.map_or_else(|| run.line.clone(), |verdict| verdict.to_string());
        let verdict = if run.is_repeated { format!("{verdict}, repeated") } else { verdict };
        let place = format!("{}/report.html", run.folder);
        [vec![run.name.clone(), run.seed.to_string(), verdict], run.figures.clone(), vec![run.faults.to_string(), place]].concat()
    };
    let mut sums: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for (invariant, counts) in ended.iter().flat_map(|run| &run.counts) {
        let sum = sums.entry(invariant).or_default();
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let sum = |(invariant, counts): (&&str, &[usize; 3])| {
        std::iter::once((*invariant).to_owned()).chain(counts.iter().map(ToString::to_string)).collect::<Vec<_>>()
    };
    let bad = ended.iter().filter(|run| run.verdict != Some(Verdict::Clean) && !run.is_repeated);
    vec![
        Table { title: "Not clean", head: &["run", "once more"], rows: bad.map(|run| vec![run.came_to(), run.replay.clone()]).collect() },
        Table {
            title: "Invariants, all runs together",
            head: &["invariant", "judged", "unknown", "violations"],
            rows: sums.iter().map(sum).collect(),
        },
        Table {
            title: "Runs",
            head: &[
                "scenario",
                "seed",
                "verdict",
                "requests",
                "lost",
                "longest gap",
                "p99 added",
                "latency normal after",
                "faults felt",
                "report",
            ],
            rows: ended.iter().map(row).collect(),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str, verdict: Option<Verdict>) -> Ended {
        let counts = [("cap".to_owned(), [5, 1, 0])].into();
        let replay = format!("run {name}");
        let (line, folder, figures) = (String::new(), format!("{name}-7"), vec!["9".into(); 5]);
        Ended {
            name: name.into(),
            seed: 7,
            verdict,
            is_machines: false,
            is_repeated: false,
            line,
            replay,
            folder,
            figures,
            faults: 1,
            counts,
        }
    }

    #[test]
    fn the_verdict_is_the_worst_and_names_what_was_not_clean() {
        let mut runs = vec![ended("a", Some(Verdict::Clean)), ended("b", Some(Verdict::Clean))];
        assert_eq!(verdict(&runs), "clean: 2 runs, 2 clean");
        runs.push(ended("c", Some(Verdict::Void)));
        assert_eq!(verdict(&runs), "void: 3 runs, 2 clean, 1 void (c 7)");
        let repeated = Ended { is_repeated: true, ..ended("c", Some(Verdict::Void)) };
        let again = [vec![repeated], vec![ended("c", Some(Verdict::Clean))]].concat();
        assert_eq!(verdict(&again), "clean: 2 runs, 1 clean, 1 void by the machine and repeated (c 7)");
        runs.push(ended("d", None));
        assert_eq!((verdict(&runs).as_str(), worst(&runs)), ("broken: 4 runs, 2 clean, 1 void (c 7), 1 broken (d 7)", None));
        runs.push(ended("e", Some(Verdict::Violated)));
        assert_eq!(worst(&runs), Some(Verdict::Violated));
        assert_eq!((verdict(&[]).as_str(), worst(&[])), ("nothing judged: 0 runs", Some(Verdict::NothingJudged)));
    }

    #[test]
    fn the_pages_tell_sums_and_how_to_repeat_what_was_not_clean() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[ended("a", Some(Verdict::Clean)), ended("b", Some(Verdict::Void))], &["z".into()]).unwrap();
        for (name, sum) in [("summary.md", "| cap | 10 | 2 | 0 |"), ("summary.html", "<td>cap</td><td>10</td><td>2</td><td>0</td>")] {
            let page = fs::read_to_string(dir.path().join(name)).unwrap();
            assert!(page.contains(sum) && page.contains("run b") && !page.contains("run a") && page.contains("Not run: z"), "{page}");
        }
    }
}
