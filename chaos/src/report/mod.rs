//! The report of a run: one text for people with a terminal, one page for those with a browser. Both tell the same.

mod html;
mod markdown;
mod rivals;
pub(crate) mod summary;
mod timeline;

use std::fs;

use anyhow::{Context, Result};
use dynomesh_testkit::check::Report;

use crate::figures::{Figures, Judged, Recovery, Window, ms, percent};
use crate::judge::Judgement;
use crate::run::Run;
use crate::scenario::Scenario;
use crate::workload;
pub(crate) use rivals::Beside;

/// Violations of one checker that a report shows.
const SHOWN_MAX: usize = 20;

/// A table of a report.
struct Table {
    title: &'static str,
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

/// Writes both into the directory of the run.
pub(crate) fn write(run: &Run, judgement: &Judgement, beside: &[Beside]) -> Result<()> {
    let texts = [("report.md", markdown::page(run, judgement, beside)), ("report.html", html::page(run, judgement, beside))];
    for (name, text) in texts {
        let path = run.dir.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The command that runs it once more.
pub(crate) fn replay(scenario: &Scenario, seed: u64) -> String {
    let system = scenario.mesh.system;
    let beside = if system.is_mesh() { String::new() } else { format!(" --beside {system}") };
    format!("cargo run --release -p dynomesh-chaos -- run {} --seed {seed}{beside}", scenario.called)
}

/// What is not in tables: the verdict and whatever speaks against a run.
fn notes(run: &Run, judgement: &Judgement) -> Vec<String> {
    let violations = judgement.reports.iter().flat_map(|report| {
        let more = report.violations.len().saturating_sub(SHOWN_MAX);
        let shown = report.violations.iter().chain(&report.inconclusive).take(SHOWN_MAX);
        let more = (more > 0).then(|| format!("{}: and {more} more", report.invariant));
        shown.map(|violation| format!("{}: {violation}", report.invariant)).chain(more).collect::<Vec<_>>()
    });
    violations.chain(run.complaints.iter().cloned()).chain(judgement.voids.iter().map(|void| format!("void: {void}"))).collect()
}

/// All tables.
fn tables(run: &Run, judgement: &Judgement, beside: &[Beside]) -> [Table; 6] {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let row = |report: &Report| {
        let Report { invariant, judged, unknown, violations, .. } = report;
        vec![invariant.clone(), report.verdict().to_string(), judged.to_string(), unknown.to_string(), violations.len().to_string()]
    };
    let since = |at: dynomesh_core::time::Time| format!("{:.2} s", at.since(run.began).as_secs_f64());
    let faults = run.faults.iter().map(|fault| {
        let felt = if fault.is_felt { "felt" } else { "not felt" };
        vec![fault.title.clone(), since(fault.began), since(fault.ended), felt.into(), fault.evidence.clone()]
    });
    let expected = judgement.judged.iter().map(|judged| {
        let met = match judged {
            Judged { is_met: true, .. } => "met",
            Judged { is_hidden: true, .. } => "hidden by the disk",
            Judged { .. } => "missed",
        };
        vec![judged.name.to_owned(), judged.expected.clone(), judged.seen.clone(), met.into()]
    });
    let f = &judgement.figures;
    let mut figures = vec![
        words(&["requests asked", &f.asked.to_string()]),
        words(&[
            "answered by the app, refused by the mesh, unknown, not taken",
            &format!("{}, {}, {}, {}", f.ok, f.failed, f.unknown, f.refused),
        ]),
        words(&["repeated by their clients since a fault broke the connection", &f.repeated.to_string()]),
        words(&["offered and answered rate", &rates(run.offered, f.achieved, &run.scenario.workload)]),
        words(&["processors busy", &percent(run.cpu)]),
        words(&["processors busy by this run", &percent(run.cpu_own)]),
        words(&["slowest flush of the disk", &ms(run.flushes.slowest)]),
        words(&["safe requests", &f.safe.to_string()]),
        words(&["idempotent requests", &f.idempotent.to_string()]),
        words(&["requests that change something", &f.others.to_string()]),
        words(&["longest time without an answer", &ms(f.longest_gap)]),
        words(&["added to the service time, p50, p99", &format!("{}, {}", ms(f.added_p50), ms(f.added_p99))]),
        words(&["slowest GET beyond its service time", &ms(f.get_added_max)]),
        words(&["latency back to normal after the last fault", &f.recovery.told()]),
        words(&["the same while faults last", &f.carried.as_ref().map_or_else(|| "not seen".to_owned(), Recovery::told)]),
        words(&["requests run by dynos", &f.dispatches.to_string()]),
    ];
    figures.extend(run.told.iter().map(|told| {
        vec![
            told.split(": ").next().unwrap_or_default().to_owned(),
            told.split_once(": ").map_or(told.clone(), |(_, rest)| rest.to_owned()),
        ]
    }));
    [
        Table {
            title: "Invariants",
            head: &["invariant", "verdict", "judged", "unknown", "violations"],
            rows: judgement.reports.iter().map(row).collect(),
        },
        Table { title: "Expectations", head: &["what", "expected", "seen", ""], rows: expected.collect() },
        rivals::table(run, judgement, beside),
        Table { title: "Faults", head: &["fault", "began", "ended", "", "by what it was felt"], rows: faults.collect() },
        recovery(f),
        Table { title: "Figures", head: &["what", "figure"], rows: figures },
    ]
}

/// How much was asked and answered. Slow clients ask when they are done with the request before, so they have no rate of their own.
fn rates(offered: f64, achieved: f64, workload: &[workload::Spec]) -> String {
    let without = if workload.iter().any(|spec| matches!(spec, workload::Spec::Slow(_))) { " without slow clients" } else { "" };
    format!("{offered:.1}/s{without}, {achieved:.1}/s")
}

/// What a window after the last fault, or while all last, is beside those before the first.
fn told(recovery: &Recovery, window: &Window) -> &'static str {
    match recovery.limit {
        None => "nothing to compare with",
        Some(_) if recovery.is_slow(window) => "slow",
        Some(_) => "normal",
    }
}

/// Latency before the first fault, what is normal by it, and latency while faults last and after the last of them.
fn recovery(Figures { recovery, carried, .. }: &Figures) -> Table {
    let row = |window: &Window, told: &str| {
        let [p25, p99] = window.latency.told();
        let flush = window.flush.map_or_else(String::new, ms);
        let most =
            recovery.limit.map(|limit| recovery.limit_of(limit, window).p25).filter(|most| recovery.limit.is_some_and(|l| *most > l.p25));
        let told = most.map_or_else(|| told.to_owned(), |most| format!("{told}: p25 up to {} beside this disk", ms(most)));
        vec![format!("from {:.1} s on", window.from.as_secs_f64()), window.requests.to_string(), p25, p99, flush, told]
    };
    let mut rows: Vec<Vec<String>> = recovery.before.iter().map(|window| row(window, "before the first fault")).collect();
    let lasting = carried.as_ref().and_then(|carried| carried.limit).filter(|limit| Some(*limit) != recovery.limit);
    let limits = [("normal up to", recovery.limit), ("and up to, with fewer slots", lasting)];
    for (name, limit) in limits.into_iter().filter_map(|(name, limit)| Some((name, limit?))) {
        let [p25, p99] = limit.told();
        rows.push(vec![name.into(), String::new(), p25, p99, String::new(), String::new()]);
    }
    let carried = carried
        .iter()
        .flat_map(|carried| carried.after.iter().map(|window| row(window, &format!("{}, while it lasts", told(carried, window)))));
    rows.extend(carried);
    rows.extend(recovery.after.iter().map(|window| row(window, told(recovery, window))));
    Table {
        title: "Latency beyond the service time, in windows of the same requests",
        head: &["window", "requests", "p25", "p99", "a flush of the disk", ""],
        rows,
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_core::time::Span;

    use super::*;
    use crate::figures::Latency;

    #[test]
    fn a_window_is_slow_only_beside_others() {
        let latency = |millis| Latency { p25: Span::from_millis(millis), p99: Span::from_millis(millis) };
        let window = |millis| Window { from: Span::ZERO, requests: 600, latency: latency(millis), flush: None };
        let mut recovery = Recovery::default();
        assert_eq!(told(&recovery, &window(1)), "nothing to compare with");
        recovery.limit = Some(latency(10));
        assert_eq!((told(&recovery, &window(10)), told(&recovery, &window(11))), ("normal", "slow"));
    }

    #[test]
    fn it_is_said_that_slow_clients_have_no_rate() {
        let read = |more: &str| {
            let text = format!("title = \"t\"\n[[workload]]\nkind = \"fast\"\nrate = 9\n{more}");
            rates(9.0, 10.0, &Scenario::read("x", &text).unwrap().workload)
        };
        assert_eq!(read(""), "9.0/s, 10.0/s");
        assert_eq!(read("[[workload]]\nkind = \"slow\"\nclients = 2\nsize = 9"), "9.0/s without slow clients, 10.0/s");
    }
}
