//! A scenario's results as they are printed: a line per variant and value, in the order of the file.

use super::grid::{Grid, Side};
use super::record::{Record, Value};
use crate::scenario::{Case, Line, Point, Results};

impl Results {
    /// For programs.
    pub fn records(&self) -> Vec<Record> {
        self.cases().map(|(case, line)| self.record(case, line)).collect()
    }

    /// For people: only what differs between lines has a column.
    pub fn grid(&self) -> Grid {
        let notes = self.note_columns();
        let mut heads = vec![("variant".to_owned(), Side::Left)];
        heads.extend(self.scenario.axis.iter().map(|axis| (axis.setting.clone(), Side::Right)));
        heads.extend(self.requests_differ().then(|| ("requests".to_owned(), Side::Right)));
        heads.extend(["success", "p50 ms", "p95 ms", "p99 ms", "max ms"].map(|head| (head.to_owned(), Side::Right)));
        heads.extend(notes.iter().map(|column| ((*column).to_owned(), Side::Right)));
        let mut grid = Grid::new(heads);
        for (case, line) in self.cases() {
            let mut cells = vec![case.variant.clone()];
            cells.extend(self.point(case).map(|point| point.text.clone()));
            cells.extend(self.requests_differ().then(|| case.setup.requests.to_string()));
            cells.extend(line.spread.cells());
            cells.extend(notes.iter().map(|column| note(line, column).map_or("-".to_owned(), short)));
            grid.push(cells);
        }
        grid
    }

    /// What all lines have in common, in words.
    pub fn summary(&self) -> String {
        let (first, last) = (self.scenario.first_seed, self.scenario.first_seed + self.scenario.seeds - 1);
        let seeds = match first == last {
            true => format!("seed {first}"),
            false => format!("means over seeds {first} to {last} with their 95 % confidence intervals"),
        };
        let requests = match self.scenario.cases.first() {
            Some(case) if !self.requests_differ() => format!("{} requests a run, the middle half counted", case.setup.requests),
            _ => "the middle half of the requests of a run is counted".to_owned(),
        };
        format!("{}: {}\n{}\n{seeds}; {requests}.\n", self.scenario.name, self.scenario.title, self.scenario.question.trim())
    }

    /// Each case with what it came to.
    pub fn cases(&self) -> impl Iterator<Item = (&Case, &Line)> {
        self.scenario.cases.iter().zip(&self.lines)
    }

    /// The swept value of a case.
    pub fn point(&self, case: &Case) -> Option<&Point> {
        self.scenario.axis.as_ref()?.points.get(case.point?)
    }

    fn record(&self, case: &Case, line: &Line) -> Record {
        let mut record = Record::default().with("variant", case.variant.as_str());
        if let (Some(axis), Some(point)) = (&self.scenario.axis, self.point(case)) {
            record = record.with(axis.setting.as_str(), value(point));
        }
        // What is swept has its field already.
        if self.scenario.axis.as_ref().is_none_or(|axis| axis.setting != "requests") {
            record = record.with("requests", case.setup.requests);
        }
        let record = line.spread.record(record.with("seeds", self.scenario.seeds));
        let notes = line.notes.iter().fold(Record::default(), |notes, (column, mean)| notes.with(*column, *mean));
        record.with("notes", notes)
    }

    fn requests_differ(&self) -> bool {
        let mut requests = self.scenario.cases.iter().map(|case| case.setup.requests);
        let first = requests.next();
        requests.any(|requests| Some(requests) != first) && self.scenario.axis.as_ref().is_none_or(|axis| axis.setting != "requests")
    }

    /// Columns that any line noted, in the order of their first note.
    fn note_columns(&self) -> Vec<&'static str> {
        let mut columns = Vec::new();
        for (column, _) in self.lines.iter().flat_map(|line| &line.notes) {
            if !columns.contains(column) {
                columns.push(*column);
            }
        }
        columns
    }
}

/// A number stays one where it is written as one: `"10ms"` stays a text.
fn value(point: &Point) -> Value {
    point.text.parse::<f64>().map_or_else(|_| point.text.as_str().into(), Value::Number)
}

fn note(line: &Line, column: &str) -> Option<f64> {
    line.notes.iter().find(|(known, _)| *known == column).map(|(_, mean)| *mean)
}

/// As many digits as are worth reading.
fn short(number: f64) -> String {
    let digits = match number.abs() {
        0.0 => 0,
        size if size < 0.1 => 5,
        size if size < 10.0 => 3,
        size if size < 1_000.0 => 1,
        _ => 0,
    };
    format!("{number:.digits$}")
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;
    use crate::report::csv;
    use crate::scenario::{Scenario, Size, run};

    #[test]
    fn a_line_per_variant_and_value_with_a_column_for_what_differs() {
        let text = "name = \"a\"\ntitle = \"A study\"\nquestion = \"Why?\"\nseeds = 2\n[base]\nrequests = 400\npolicy = \"random\"\n\
                    [[variant]]\nname = \"slow, far\"\nrouter_cable = \"9ms\"\n[[variant]]\nname = \"near\"\n[sweep]\nload = [0.2, 0.3]\n";
        let results = run(&Scenario::parse("a", text, Size::default()).unwrap(), NonZero::<usize>::MIN, || ());
        let grid = results.grid().text();
        let lines: Vec<&str> = grid.lines().collect();
        assert_eq!(lines.len(), 5, "{grid}");
        assert!(lines[0].starts_with("variant    load") && lines[0].contains("p99 ms") && !lines[0].contains("requests"), "{grid}");
        assert!(lines[1].starts_with("slow, far   0.2") && lines[4].starts_with("near        0.3") && lines[1].contains('±'), "{grid}");
        assert!(results.summary().contains("seeds 1 to 2") && results.summary().contains("400 requests a run"), "{}", results.summary());
        let csv = csv(&results.records());
        assert!(csv.starts_with("variant,load,requests,seeds,success,p50,p95,p99,max,half_success,"), "{csv}");
        assert!(csv.contains("\n\"slow, far\",0.2,400,2,") && csv.contains(",notes_over_cap"), "{csv}");
    }

    #[test]
    fn notes_have_as_many_digits_as_are_worth_reading() {
        assert_eq!([0.0, 0.00312, 0.5, 45.678, 12345.6].map(short), ["0", "0.00312", "0.500", "45.7", "12346"]);
    }
}
