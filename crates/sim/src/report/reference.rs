//! The reference table as it is printed: each row over several seeds, beside what was published for it.

use std::num::NonZero;
use std::ops::Range;

use super::grid::{Grid, Side};
use super::record::Record;
use super::{Figures, Spread};
use crate::parallel;
use crate::table::{ONE_RUN, Reference, Row};

/// A row over several seeds.
#[derive(Debug, Clone)]
pub struct RowReport {
    /// Which.
    pub row: Row,
    /// Each run by itself, in the order of the seeds.
    pub runs: Vec<Figures>,
    /// All runs.
    pub spread: Spread,
}

/// Runs each row once per seed.
pub fn run(rows: &[Row], model: &Reference, seeds: Range<u64>, threads: NonZero<usize>, done: impl Fn() + Sync) -> Vec<RowReport> {
    let work: Vec<(&Row, u64)> = rows.iter().flat_map(|row| seeds.clone().map(move |seed| (row, seed))).collect();
    let figures = parallel::map(&work, threads, done, |(row, seed)| row.run(model, *seed).figures());
    let per_row = figures.chunks(figures.len() / rows.len().max(1));
    rows.iter().zip(per_row).map(|(row, runs)| RowReport { row: *row, runs: runs.to_vec(), spread: Spread::of(runs) }).collect()
}

impl RowReport {
    /// Where the published success falls among our runs; `None` unless one run was published for what many are needed to say.
    pub fn luck(&self) -> Option<String> {
        ONE_RUN.contains(&self.row.number).then(|| {
            let published = self.row.published.success;
            let below = self.runs.iter().filter(|run| run.success < published).count();
            let least = self.runs.iter().map(|run| run.success).fold(f64::INFINITY, f64::min);
            let most = self.runs.iter().map(|run| run.success).fold(0.0, f64::max);
            let (number, seeds) = (self.row.number, self.runs.len());
            format!(
                "row {number}: published {published}; ours {least:.5} to {most:.5}; {below} of {seeds} seeds are below the published run"
            )
        })
    }

    fn record(&self) -> Record {
        self.spread.means(Record::default().with("row", u64::from(self.row.number)))
    }
}

/// For programs.
pub fn records(reports: &[RowReport]) -> Vec<Record> {
    reports.iter().map(RowReport::record).collect()
}

/// For people: two lines a row, ours and the published one.
pub fn grid(reports: &[RowReport]) -> Grid {
    let words = ["row", "stack", ""].map(|head| (head.to_owned(), Side::Left));
    let figures = ["success", "p50 ms", "p95 ms", "p99 ms", "max ms"].map(|head| (head.to_owned(), Side::Right));
    let mut grid = Grid::new(words.into_iter().chain(figures));
    for RowReport { row, spread, .. } in reports {
        let ours = [row.number.to_string(), row.name.to_owned(), "simulated".to_owned()];
        grid.push(ours.into_iter().chain(spread.cells()).collect());
        let Figures { success, p50, p95, p99, max } = row.published;
        let published = [String::new(), String::new(), "published".to_owned()];
        grid.push(published.into_iter().chain([success, p50, p95, p99, max].map(|figure| figure.to_string())).collect());
    }
    grid
}
