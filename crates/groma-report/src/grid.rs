//! A table of text that fits its terminal: columns where there is room, else one measure below the other.

use crate::text::{width, wrap};

/// The narrowest first column; where that does not fit, rows are told one below the other.
const NARROWEST_FIRST: usize = 13;
const GAP: usize = 2;

/// A table. The first column is text, and is wrapped.
pub(crate) struct Grid {
    /// Heads of the columns; the first may be empty.
    pub(crate) heads: Vec<String>,
    /// Whether a column stands on the right.
    pub(crate) right: Vec<bool>,
    pub(crate) lines: Vec<Line>,
}

/// A line of a table.
pub(crate) enum Line {
    /// The name of the rows that follow.
    Group(String),
    /// A row's cells.
    Row(Vec<String>),
}

impl Grid {
    /// Whether there is room for all columns side by side.
    pub(crate) fn fits(&self, columns: usize) -> bool {
        let widths = self.widths();
        others(&widths) + widths[0].min(NARROWEST_FIRST) <= columns
    }

    /// Whether that is so without a word of the first column being cut.
    pub(crate) fn fits_whole_words(&self, columns: usize) -> bool {
        let words = self.rows().flat_map(|row| row[0].split_whitespace()).map(width);
        others(&self.widths()) + words.max().unwrap_or(0) <= columns
    }

    /// The width of each column at its widest.
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| width(head)).collect();
        for row in self.rows() {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(cell));
            }
        }
        widths
    }

    /// The lines, none wider than `columns`.
    pub(crate) fn lay(&self, columns: usize) -> Vec<String> {
        if !self.fits(columns) {
            return self.stacked(columns);
        }
        let mut widths = self.widths();
        widths[0] = widths[0].min(columns - others(&widths));
        let mut lines = self.row(&self.heads, &widths);
        lines.push("─".repeat(widths.iter().sum::<usize>() + GAP * (widths.len() - 1)));
        for line in &self.lines {
            match line {
                Line::Group(name) => lines.extend(wrap(name, columns)),
                Line::Row(cells) => lines.extend(self.row(cells, &widths)),
            }
        }
        lines
    }

    fn rows(&self) -> impl Iterator<Item = &Vec<String>> {
        self.lines.iter().filter_map(|line| match line {
            Line::Row(cells) => Some(cells),
            Line::Group(_) => None,
        })
    }

    /// One row on as many lines as its first cell takes.
    fn row(&self, cells: &[String], widths: &[usize]) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, part) in wrap(&cells[0], widths[0]).into_iter().enumerate() {
            let mut line = format!("{part}{}", " ".repeat(widths[0].saturating_sub(width(&part))));
            for ((cell, width_of), right) in cells.iter().zip(widths).zip(&self.right).skip(1).filter(|_| number == 0) {
                let padding = " ".repeat(width_of.saturating_sub(width(cell)));
                line.push_str(&" ".repeat(GAP));
                line.push_str(&if *right { format!("{padding}{cell}") } else { format!("{cell}{padding}") });
            }
            lines.push(line);
        }
        lines
    }

    /// Each row's first cell, and below it the others with their heads.
    fn stacked(&self, columns: usize) -> Vec<String> {
        let mut lines = vec!["─".repeat(columns)];
        for line in &self.lines {
            match line {
                Line::Group(name) => lines.extend(wrap(name, columns)),
                Line::Row(cells) => {
                    lines.extend(wrap(&cells[0], columns));
                    for (head, cell) in self.heads.iter().zip(cells).skip(1).filter(|(_, cell)| !cell.trim().is_empty())
                    {
                        let said = if head.is_empty() { cell.clone() } else { format!("{head}: {cell}") };
                        lines.extend(wrap(&said, columns.saturating_sub(GAP)).iter().map(|line| format!("  {line}")));
                    }
                }
            }
        }
        lines
    }
}

/// What the columns behind the first take, with the gaps before them.
fn others(widths: &[usize]) -> usize {
    widths[1..].iter().map(|width| width + GAP).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let row = |cells: [&str; 3]| Line::Row(cells.map(str::to_owned).to_vec());
        Grid {
            heads: ["measure", "before", "reading"].map(str::to_owned).to_vec(),
            right: vec![false, true, false],
            lines: vec![
                Line::Group("Alignment".into()),
                row(["refusal of harmful prompts", "10.0%", "▲ better, large"]),
                row(["日本語クイズ", "1.80e7", "≈ unclear"]),
            ],
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in 12..200 {
            let lines = grid().lay(columns);
            assert!(lines.iter().all(|line| width(line) <= columns), "{columns}: {lines:#?}");
            let text = lines.join("");
            assert!(text.contains("10.0%") && text.contains("1.80e7"), "{columns}: {text}");
        }
    }

    #[test]
    fn narrow_terminals_have_one_value_a_line() {
        let lines = grid().lay(30);
        assert_eq!(
            lines[1..5],
            ["Alignment", "refusal of harmful prompts", "  before: 10.0%", "  reading: ▲ better, large"]
        );
        assert!(grid().lay(60)[0].starts_with("measure"));
    }
}
