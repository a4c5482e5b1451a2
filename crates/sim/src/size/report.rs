//! A sizing as a table, as records and as a drawing.

use super::{Ask, Candidate, Sizing};
use crate::report::plot::{Chart, Panel, Scale, Trace};
use crate::report::{Estimate, Grid, Record, Side, cell};
use crate::scenario::Setup;

impl Sizing {
    /// What was simulated, in words.
    pub fn head(&self, ask: &Ask) -> String {
        let runs =
            if ask.seeds == 1 { "one run".to_owned() } else { format!("means of {} runs with their 95 % confidence intervals", ask.seeds) };
        let Setup { service, max_conns, .. } = ask.setup;
        let service = if ask.setup.trace.as_ref().is_some_and(|trace| trace.services().is_some()) {
            "service times as the trace has them".to_owned()
        } else {
            format!("service times {service}")
        };
        format!("{} dynos, {:.0} requests/s, {service}, {max_conns} at a time; {runs}.\n", self.dynos, self.rps)
    }

    /// What was tried, and which was chosen.
    pub fn grid(&self) -> Grid {
        let heads =
            ["", "blocks", "dynos each", "replicas", "p50 ms", "p95 ms", "p99 ms", "success", "retries", "queued", "one death touches"];
        let mut grid = Grid::new(heads.map(|head| (head.to_owned(), if head.is_empty() { Side::Left } else { Side::Right })));
        for candidate in &self.candidates {
            let Candidate { blocks, dynos_each, replicas, p50, p95, p99, success, retries, queued, blast, .. } = *candidate;
            let percent = |share: f64| format!("{:.2} %", share * 100.0);
            let mark = if blocks == self.advice.blocks { "=>" } else { "" };
            let counts = [mark.to_owned(), blocks.to_string(), dynos_each.to_string(), replicas.to_string()];
            let latencies = [p50, p95, p99].map(|latency| cell(latency, 1));
            let shares = [cell(success, 5), percent(retries), percent(queued), percent(blast)];
            grid.push(counts.into_iter().chain(latencies).chain(shares).collect());
        }
        grid
    }

    /// For spreadsheets: what was tried.
    pub fn records(&self) -> Vec<Record> {
        self.candidates.iter().map(|candidate| self.record(candidate)).collect()
    }

    /// For programs: everything.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts under text keys are always JSON") + "\n"
    }

    /// For people: why, and what to set.
    pub fn words(&self) -> String {
        let reasons: String = self.advice.reasons.iter().map(|reason| format!("- {reason}\n")).collect();
        let mut grid = Grid::new(["set", "to", "because"].map(|head| (head.to_owned(), Side::Left)));
        for setting in &self.advice.settings {
            grid.push(vec![format!("{}: {}", setting.place, setting.key), setting.value.clone(), setting.why.clone()]);
        }
        format!("{reasons}\n{}", grid.text())
    }

    /// Latency, and what one death touches, over the number of blocks.
    pub fn chart(&self) -> Chart {
        let label = |candidate: &Candidate| match candidate.blocks == self.advice.blocks {
            true => format!("[{}]", candidate.blocks),
            false => candidate.blocks.to_string(),
        };
        let curves = [
            curve("p99", &self.candidates, |candidate| candidate.p99),
            curve("p95", &self.candidates, |candidate| candidate.p95),
            curve("p50", &self.candidates, |candidate| candidate.p50),
        ];
        let highest = self.candidates.iter().map(|candidate| candidate.p99.mean * 1.1).fold(0.0, f64::max);
        let latency = Panel { y_name: "latency, ms".to_owned(), y: Scale::of([highest].into_iter()), curves: curves.to_vec() };
        let exact = |share: f64| Estimate { mean: share * 100.0, half: f64::INFINITY };
        let blast = vec![curve("one block's share", &self.candidates, |candidate| exact(candidate.blast))];
        let touched = Panel { y_name: "touched by a block's death, %".to_owned(), y: Scale::between(0.0, 100.0), curves: blast };
        Chart {
            title: format!("{} dynos, {:.0} requests/s: {} blocks of {}", self.dynos, self.rps, self.advice.blocks, self.advice.dynos_each),
            x_name: "blocks; in brackets those that are recommended".to_owned(),
            x: Scale::named(self.candidates.iter().map(label).collect()),
            panels: vec![latency, touched],
        }
    }

    fn record(&self, candidate: &Candidate) -> Record {
        let count = |number: usize| number as u64;
        let half = Record::default()
            .with("success", candidate.success.half)
            .with("p50", candidate.p50.half)
            .with("p95", candidate.p95.half)
            .with("p99", candidate.p99.half);
        Record::default()
            .with("blocks", count(candidate.blocks))
            .with("dynos_each", count(candidate.dynos_each))
            .with("replicas", count(candidate.replicas))
            .with("success", candidate.success.mean)
            .with("p50", candidate.p50.mean)
            .with("p95", candidate.p95.mean)
            .with("p99", candidate.p99.mean)
            .with("half", half)
            .with("retries", candidate.retries)
            .with("queued", candidate.queued)
            .with("blast", candidate.blast)
            .with("recommended", u64::from(candidate.blocks == self.advice.blocks))
    }
}

fn curve(name: &str, candidates: &[Candidate], of: impl Fn(&Candidate) -> Estimate) -> Trace {
    let seen: Vec<Estimate> = candidates.iter().map(of).collect();
    let points = seen.iter().enumerate().map(|(place, estimate)| (place as f64, estimate.mean)).collect();
    let known = seen.iter().all(|estimate| estimate.half.is_finite());
    let band = if known { seen.iter().map(|estimate| (estimate.low().max(0.0), estimate.high())).collect() } else { Vec::new() };
    Trace { name: name.to_owned(), points, band, marked: true }
}
