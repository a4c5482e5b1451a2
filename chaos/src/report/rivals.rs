//! The mesh beside its rivals: the same scenario, seed, load and checkers.

use super::Table;
use crate::figures::{ms, percent};
use crate::judge::Judgement;
use crate::run::Run;

/// What became of a rival: its run, or why there is none.
pub(crate) struct Beside {
    pub(crate) seen: Result<Box<(Run, Judgement)>, String>,
}

const HEAD: [&str; 4] = ["what", "mesh", "rival", "rival"];

/// Why there are no runs of some rivals.
pub(super) fn missing(beside: &[Beside]) -> Vec<String> {
    beside.iter().filter_map(|other| other.seen.as_ref().err().cloned()).collect()
}

/// All that were run in one table; without rivals it has no rows.
pub(super) fn table(run: &Run, judgement: &Judgement, beside: &[Beside]) -> Table {
    let mut rows = column(run, judgement);
    let seen: Vec<_> = beside.iter().filter_map(|other| other.seen.as_ref().ok()).collect();
    for other in &seen {
        for (row, theirs) in rows.iter_mut().zip(column(&other.0, &other.1)) {
            row.extend(theirs.into_iter().skip(1));
        }
    }
    rows.retain(|_| !seen.is_empty());
    Table { title: "Beside rivals", head: &HEAD[..HEAD.len().min(2 + seen.len())], rows }
}

fn column(run: &Run, judgement: &Judgement) -> Vec<Vec<String>> {
    let f = &judgement.figures;
    let row = |name: &str, figure: String| vec![name.to_owned(), figure];
    let mut rows = vec![
        row("system", run.scenario.mesh.system.to_string()),
        row("safe requests lost", format!("{} of {}", f.safe.lost, f.safe.asked)),
        row("idempotent requests lost", format!("{} of {}", f.idempotent.lost, f.idempotent.asked)),
        row("requests lost that change something", format!("{} of {}", f.others.lost, f.others.asked)),
        row("repeated by their clients", f.repeated.to_string()),
        row("longest time without an answer", ms(f.longest_gap)),
        row("added p50, p99", format!("{}, {}", ms(f.added_p50), ms(f.added_p99))),
        row("slowest GET beyond its service time", ms(f.get_added_max)),
        row("latency back to normal", f.recovery.told()),
        row("processors busy", percent(run.cpu)),
    ];
    rows.extend(judgement.reports.iter().map(|report| {
        let told = match (report.judged, report.violations.len()) {
            (0, 0) => "not judged".to_owned(),
            (judged, violations) => format!("{violations} violations of {judged}"),
        };
        row(&report.invariant, told)
    }));
    rows
}
