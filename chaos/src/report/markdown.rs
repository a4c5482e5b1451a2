//! The report as Markdown.

use super::{Beside, Table, notes, replay, tables};
use crate::judge::Judgement;
use crate::run::Run;

pub(super) fn page(run: &Run, judgement: &Judgement, beside: &[Beside]) -> String {
    let mut page =
        format!("# {}: {}\n\n{}.\n\nSeed {}: `{}`\n", run.scenario.name, judgement.verdict, run.scenario.title, run.seed, replay(run));
    let notes = notes(run, judgement);
    if !notes.is_empty() {
        page += "\n## What speaks against it\n";
        notes.iter().for_each(|note| page += &format!("- {}\n", note.replace('\n', "\n  ")));
    }
    tables(run, judgement, beside).iter().filter(|table| !table.rows.is_empty()).for_each(|table| page += &text(table));
    page
}

fn text(table: &Table) -> String {
    let line = |cells: Vec<&str>| {
        format!("| {} |\n", cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect::<Vec<_>>().join(" | "))
    };
    let mut text = format!("\n## {}\n{}", table.title, line(table.head.to_vec()));
    text += &line(vec!["---"; table.head.len()]);
    table.rows.iter().for_each(|row| text += &line(row.iter().map(String::as_str).collect()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stays_a_table_whatever_is_in_it() {
        let table = Table { title: "T", head: &["a", "b"], rows: vec![vec!["x|y".into(), "two\nlines".into()]] };
        assert_eq!(text(&table), "\n## T\n| a | b |\n| --- | --- |\n| x\\|y | two lines |\n");
    }
}
