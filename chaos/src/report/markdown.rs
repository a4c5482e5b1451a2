//! The report as Markdown.

use super::{Beside, Table, notes, replay, rivals, tables};
use crate::judge::Judgement;
use crate::run::Run;

pub(super) fn page(run: &Run, judgement: &Judgement, beside: &[Beside]) -> String {
    let (name, title, seed) = (&run.scenario.name, &run.scenario.title, run.seed);
    let mut page = format!("# {name}: {}\n\n{title}.\n\nSeed {seed}: `{}`\n", judgement.verdict, replay(&run.scenario, seed));
    page += &list("What speaks against it", &notes(run, judgement));
    page += &list("Rivals that were not run", &rivals::missing(beside));
    page + &texts(&tables(run, judgement, beside))
}

/// A page of notes and tables.
pub(super) fn plain(title: &str, notes: &[String], tables: &[Table]) -> String {
    let notes: String = notes.iter().map(|note| format!("\n{note}.\n")).collect();
    format!("# {title}\n{notes}{}", texts(tables))
}

fn list(title: &str, items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("- {}\n", item.replace('\n', "\n  "))).collect();
    if items.is_empty() { items } else { format!("\n## {title}\n{items}") }
}

fn texts(tables: &[Table]) -> String {
    tables.iter().filter(|table| !table.rows.is_empty()).map(text).collect()
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
