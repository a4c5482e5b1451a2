//! Figures as people read them: columns under their heads, for a terminal or for a page of documentation.

/// A table of texts. Numbers stand to the right of their column, words to the left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    heads: Vec<(String, Side)>,
    lines: Vec<Vec<String>>,
}

/// Where a column's texts stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

impl Grid {
    /// An empty table with these heads.
    pub fn new(heads: impl IntoIterator<Item = (String, Side)>) -> Self {
        Grid { heads: heads.into_iter().collect(), lines: Vec::new() }
    }

    /// Adds a line; it has as many cells as there are heads.
    pub fn push(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.heads.len(), "a line of a table has a cell per column");
        self.lines.push(cells);
    }

    /// Aligned columns with two spaces between them.
    pub fn text(&self) -> String {
        self.all().map(|line| self.aligned(line).join("  ").trim_end().to_owned() + "\n").collect()
    }

    /// A table of a Markdown page, which reads well as it stands too.
    pub fn markdown(&self) -> String {
        let mut lines = self.all().map(|line| format!("| {} |\n", self.aligned(line).join(" | ")));
        let head = lines.next().unwrap_or_default();
        let rule: Vec<String> = self.widths().iter().zip(&self.heads).map(|(width, (_, side))| rule(*width, *side)).collect();
        let body: String = lines.collect();
        format!("{head}|{}|\n{body}", rule.join("|"))
    }

    /// The heads, then the lines.
    fn all(&self) -> impl Iterator<Item = Vec<&str>> {
        let heads = self.heads.iter().map(|(name, _)| name.as_str()).collect();
        std::iter::once(heads).chain(self.lines.iter().map(|line| line.iter().map(String::as_str).collect()))
    }

    fn widths(&self) -> Vec<usize> {
        (0..self.heads.len()).map(|column| self.all().map(|line| line[column].chars().count()).max().unwrap_or(0)).collect()
    }

    fn aligned(&self, line: Vec<&str>) -> Vec<String> {
        let place = |((text, width), (_, side)): ((&str, usize), &(String, Side))| match side {
            Side::Left => format!("{text:<width$}"),
            Side::Right => format!("{text:>width$}"),
        };
        line.into_iter().zip(self.widths()).zip(&self.heads).map(place).collect()
    }
}

fn rule(width: usize, side: Side) -> String {
    match side {
        Side::Left => "-".repeat(width + 2),
        Side::Right => "-".repeat(width + 1) + ":",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_their_kind() {
        let mut grid = Grid::new([("policy".into(), Side::Left), ("p50 ms".into(), Side::Right)]);
        grid.push(vec!["random".into(), "9.5 ±0.1".into()]);
        grid.push(vec!["two".into(), "104 ±10".into()]);
        assert_eq!(grid.text(), "policy    p50 ms\nrandom  9.5 ±0.1\ntwo      104 ±10\n");
        assert_eq!(grid.markdown(), "| policy |   p50 ms |\n|--------|---------:|\n| random | 9.5 ±0.1 |\n| two    |  104 ±10 |\n");
    }
}
