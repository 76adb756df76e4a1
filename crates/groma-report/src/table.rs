//! The headline table for a terminal.

use crate::format;
use crate::headline::{Headline, HeadlineRow, Side};
use crate::text::{for_terminal, width, wrap};
use groma_run::Group;

/// The narrowest terminal that the table is laid out for.
const NARROWEST: usize = 60;
const WIDEST: usize = 140;
/// Below this a reading is its mark alone, explained below the table.
const ROOM_FOR_WORDS: usize = 76;
const MARKS: &str = "▲ better, ▼ worse, ↑ higher, ↓ lower, ≈ no clear change, ? too little to tell.";
const HEADS: [&str; 6] = ["measure", "", "", "change [95%]", "n", "reading"];

impl Headline {
    /// The table as text of at most `columns` columns (80 is usual), with a verdict above and notes below. What came from
    /// data and models carries no control sequences and no marks of direction.
    pub fn to_text(&self, columns: usize) -> String {
        let columns = columns.clamp(NARROWEST, WIDEST);
        let mut lines = wrap(&for_terminal(&self.verdict), columns);
        if !self.rows.is_empty() {
            lines.push(String::new());
            lines.extend(self.table(columns));
        }
        let unpaired = self.rows.iter().any(|row| row.change.as_ref().is_some_and(|change| !change.paired));
        let legend = unpaired.then(|| "* from the two intervals, not item by item.".to_owned());
        if !self.notes.is_empty() || unpaired || columns < ROOM_FOR_WORDS {
            lines.push(String::new());
        }
        let marks = (columns < ROOM_FOR_WORDS && !self.rows.is_empty()).then(|| MARKS.to_owned());
        for note in marks.iter().chain(&legend).chain(&self.notes) {
            let wrapped = wrap(&for_terminal(note), columns - 2);
            lines.extend(
                wrapped.into_iter().enumerate().map(|(i, line)| format!("{}{line}", if i == 0 { "- " } else { "  " })),
            );
        }
        lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    fn table(&self, columns: usize) -> Vec<String> {
        let mut head = HEADS.map(str::to_owned);
        head[1] = crate::text::clip(&for_terminal(&self.left), 10).0.to_owned();
        head[2] = crate::text::clip(&for_terminal(&self.right), 10).0.to_owned();
        let mut cells: Vec<[String; 6]> = self.rows.iter().map(cells).collect();
        if columns < ROOM_FOR_WORDS {
            head[5].clear();
            for (cells, row) in cells.iter_mut().zip(&self.rows) {
                cells[5] = row.reading.mark().to_owned();
            }
        }
        let mut widths = [0; 6];
        for line in cells.iter().chain([&head]) {
            for (widest, cell) in widths.iter_mut().zip(line) {
                *widest = (*widest).max(width(cell));
            }
        }
        let others = widths[1..].iter().map(|width| width + 2).sum::<usize>();
        widths[0] = widths[0].min(columns.saturating_sub(others).max(12));
        let mut lines = layout(&head, &widths);
        lines.push("─".repeat(widths.iter().sum::<usize>() + 10));
        let mut group = None;
        for (row, cells) in self.rows.iter().zip(&cells) {
            if group != Some(row.group) && has_groups(&self.rows) {
                lines.push(group_name(row.group).to_owned());
            }
            group = Some(row.group);
            lines.extend(layout(cells, &widths));
        }
        lines
    }
}

fn has_groups(rows: &[HeadlineRow]) -> bool {
    rows.iter().any(|row| row.group != Group::Other)
}

/// The name of a group of measures.
pub(crate) fn group_name(group: Group) -> &'static str {
    match group {
        Group::Alignment => "Alignment",
        Group::Capability => "Capability",
        Group::Control => "Controls",
        Group::Other => "Other",
    }
}

/// Which way is good, as a mark behind the metric.
pub(crate) fn good_direction(row: &HeadlineRow) -> &'static str {
    match row.higher_is_better {
        Some(true) => "↑",
        Some(false) => "↓",
        None => "",
    }
}

fn cells(row: &HeadlineRow) -> [String; 6] {
    let measure = format!("{} {}", row.name(), good_direction(row));
    let side = |side: &Option<Side>| side.as_ref().map_or("–".into(), |side| format::value(side.value, row.unit));
    let change = row.change.as_ref().map_or("–".into(), |change| {
        let interval = change.interval.as_ref().map(|interval| format::difference_interval(interval, row.unit));
        let mark = if change.paired { "" } else { "*" };
        format!("{}{mark} {}", format::difference(change.difference, row.unit), interval.unwrap_or_default())
    });
    let n = row.change.as_ref().map_or_else(|| side_n(row), |change| change.n);
    let reading = format!("{} {}", row.reading.mark(), row.reading.short());
    [for_terminal(measure.trim_end()), side(&row.before), side(&row.after), change, format::count(n), reading]
}

fn side_n(row: &HeadlineRow) -> u64 {
    [&row.before, &row.after].into_iter().flatten().map(|side| side.n).min().unwrap_or(0)
}

/// One row on as many lines as its first cell takes.
fn layout(cells: &[String; 6], widths: &[usize; 6]) -> Vec<String> {
    let [measure, rest @ ..] = cells;
    let mut lines = Vec::new();
    for (number, part) in wrap(measure, widths[0]).into_iter().enumerate() {
        let mut line = format!("{part}{}", " ".repeat(widths[0] - width(&part).min(widths[0])));
        if number == 0 {
            for (place, (cell, width_of)) in rest.iter().zip(&widths[1..]).enumerate() {
                let padding = " ".repeat(width_of - width(cell).min(*width_of));
                let is_number = matches!(place, 0 | 1 | 3);
                line.push_str("  ");
                line.push_str(&if is_number { format!("{padding}{cell}") } else { format!("{cell}{padding}") });
            }
        }
        lines.push(line);
    }
    lines
}
