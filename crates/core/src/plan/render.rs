//! A plan as text for people: what, why, what it gains; what waits; what is where, before and after.

use std::fmt;

use super::outcome::{Amount, Plan};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.moves.len() {
            0 if self.held_back.is_empty() => return writeln!(f, "nothing to move"),
            0 => writeln!(f, "nothing to move now")?,
            1 => writeln!(f, "1 move")?,
            moves => writeln!(f, "{moves} moves")?,
        }
        self.write_moves(f)?;
        if !self.held_back.is_empty() {
            writeln!(f, "\nheld back")?;
            let rows = self.held_back.iter().map(|held| vec![held.dynos.to_string(), held.wait.to_string()]);
            table(f, &["DYNOS", "WAIT FOR"], rows.collect())?;
        }
        self.write_changes(f)?;
        writeln!(f, "\nplan again in {}", self.next)
    }
}

impl Plan {
    fn write_moves(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.moves.is_empty() {
            return Ok(());
        }
        let rows = self.moves.iter().map(|step| {
            let from = step.from.as_ref().map_or("-", |from| from.as_str());
            vec![step.dyno.to_string(), from.into(), step.to.to_string(), step.gain.to_string(), step.reason.to_string()]
        });
        table(f, &["DYNO", "FROM", "TO", "GAINS", "BECAUSE"], rows.collect())
    }

    fn write_changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.moves.is_empty() {
            return Ok(());
        }
        let head = ["DYNOS", "SLOTS", "LOAD"];
        let groups = self.groups.iter().map(|group| {
            let block = group.block.as_ref().map_or("-", |block| block.as_str());
            [vec![group.app.to_string(), block.into()], change(group.before, group.after)].concat()
        });
        writeln!(f, "\napps, before -> after")?;
        table(f, &[&["APP", "BLOCK"], &head[..]].concat(), groups.collect())?;
        let blocks = self.blocks.iter().map(|block| {
            let zone = block.zone.as_ref().map_or("-", |zone| zone.as_str());
            [vec![block.block.to_string(), zone.into(), block.standing.clone()], change(block.before, block.after)].concat()
        });
        writeln!(f, "\nblocks, before -> after")?;
        table(f, &[&["BLOCK", "ZONE", "STANDING"], &head[..]].concat(), blocks.collect())
    }
}

fn change(before: Amount, after: Amount) -> Vec<String> {
    let load = |amount: Amount| amount.load.map_or_else(|| "-".to_string(), |load| load.to_string());
    let arrow = |before: String, after: String| if before == after { before } else { format!("{before} -> {after}") };
    let number = |pick: fn(Amount) -> u64| arrow(pick(before).to_string(), pick(after).to_string());
    vec![number(|amount| amount.dynos.into()), number(|amount| amount.slots), arrow(load(before), load(after))]
}

/// Columns as wide as their widest cell; the last one as it is.
fn table(f: &mut fmt::Formatter<'_>, head: &[&str], rows: Vec<Vec<String>>) -> fmt::Result {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_string()).collect();
    let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in [&head].into_iter().chain(&rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
