//! The tables of runs for a terminal.

use crate::compared::RunsCompared;
use crate::effect::{RULE, Size};
use crate::format::{self, counted};
use crate::grid::{Grid, Line};
use crate::headline::Headline;
use crate::reading::FEWEST_ITEMS;
use crate::reading::Reading;
use crate::row::{HeadlineRow, Side};
use crate::text::{clip, for_terminal, hanging, wrap};
use groma_run::Group;

/// The narrowest and the widest terminal that tables are laid out for.
const NARROWEST: usize = 24;
const WIDEST: usize = 200;
/// Sentences are not read well when they are longer.
const WIDEST_TEXT: usize = 110;
/// Below this a reading is its mark and its size, explained below the table.
const ROOM_FOR_WORDS: usize = 76;
const MARKS: &str = "▲ better, ▼ worse, ↑ higher, ↓ lower, ≈ no clear change, ? too little to tell.";
/// Characters of a name of a run or of a subject at the head of a column.
const NAME_CHARS: usize = 12;
/// Characters of an answer that are shown.
const ANSWER_CHARS: usize = 160;

impl Headline {
    /// The table as text of at most `columns` columns (80 is usual), with a verdict above and notes below. What came from
    /// data and models carries no control sequences and no marks of direction.
    pub fn to_text(&self, columns: usize) -> String {
        let columns = columns.clamp(NARROWEST, WIDEST);
        // Readings are in words where there is room for that.
        let in_words = columns >= ROOM_FOR_WORDS && self.comparison(true).fits_whole_words(columns);
        let mut lines = prose(&self.verdict, columns);
        if !self.rows.is_empty() {
            lines.push(String::new());
            lines.extend(if self.compares() { self.comparison(in_words) } else { self.measured() }.lay(columns));
        }
        let unpaired = self.rows.iter().any(|row| row.change.as_ref().is_some_and(|change| !change.paired));
        let mut notes: Vec<&str> = Vec::new();
        if !in_words && self.compares() && !self.rows.is_empty() {
            notes.push(MARKS);
        }
        if unpaired {
            notes.push("* from the two intervals, not item by item.");
        }
        if self.rows.iter().any(|row| row.clear_size().is_some()) {
            notes.push(RULE);
        }
        let few = format!("Below {FEWEST_ITEMS} items nothing is said of a change.");
        if self.rows.iter().any(|row| row.reading == Reading::TooFew) {
            notes.push(&few);
        }
        notes.extend(self.notes.iter().map(String::as_str));
        lines.extend(listed(&notes, columns));
        ended(&lines)
    }

    /// What the only subject measured, a row a measure, without a verdict.
    pub fn to_summary(&self, columns: usize) -> String {
        let columns = columns.clamp(NARROWEST, WIDEST);
        let mut lines = self.measured().lay(columns);
        lines.extend(listed(&self.notes.iter().map(String::as_str).collect::<Vec<_>>(), columns));
        ended(&lines)
    }

    /// The table in Markdown, for model cards.
    pub fn to_markdown(&self) -> String {
        let cell = |text: &str| for_terminal(text).replace('|', "¦").replace(['`', '<', '>'], "'");
        let mut text = String::from(if self.compares() {
            "| measure | before [95%] | after [95%] | change [95%] | n | reading |\n|---|---:|---:|---:|---:|---|\n"
        } else {
            "| measure | value [95%] | n |\n|---|---:|---:|\n"
        });
        for row in &self.rows {
            let digits = row.digits();
            let side = |side: &Option<Side>| {
                side.as_ref().map_or("–".to_owned(), |side| {
                    let interval = side.interval.as_ref().map(|interval| digits.interval(interval, row.unit));
                    format!("{} {}", digits.value(side.value, row.unit), interval.unwrap_or_default())
                })
            };
            let name = cell(&measure(row));
            let cells = match self.compares() {
                true => {
                    let [_, _, _, change, n, reading] = compared_cells(row, true);
                    vec![name, side(&row.before), side(&row.after), change, n, reading]
                }
                false => vec![
                    name,
                    side(if row.before.is_some() { &row.before } else { &row.after }),
                    format::count(side_n(row)),
                ],
            };
            text.push_str(&format!("| {} |\n", cells.iter().map(|cell| cell.trim()).collect::<Vec<_>>().join(" | ")));
        }
        text
    }

    /// Before, after and what changed.
    fn comparison(&self, in_words: bool) -> Grid {
        let heads = ["measure", &head(&self.left), &head(&self.right), "change [95%]", "n", "reading"];
        let lines = grouped(&self.rows, |row| row.group, |row| compared_cells(row, in_words).to_vec());
        Grid { heads: heads.map(str::to_owned).to_vec(), right: vec![false, true, true, false, true, false], lines }
    }

    /// The numbers of the only subject there is.
    fn measured(&self) -> Grid {
        let has_chance = self.rows.iter().any(|row| row.chance.is_some());
        let cells = |row: &HeadlineRow| {
            let side = row.before.as_ref().or(row.after.as_ref());
            let value = side.map_or("–".into(), |side| format::value(side.value, row.unit));
            let interval = side.and_then(|side| side.interval.as_ref());
            let interval = interval.map_or("–".into(), |interval| format::interval(interval, row.unit));
            let n = format::count(side.map_or(0, |side| side.n));
            let chance = row.chance.map_or(String::new(), |chance| format::value(chance, row.unit));
            let all = [measure(row), value, interval, n, chance];
            all.into_iter().take(if has_chance { 5 } else { 4 }).collect()
        };
        let subject = if self.rows.iter().any(|row| row.before.is_some()) { &self.left } else { &self.right };
        let heads = ["measure".to_owned(), head(subject), "[95%]".into(), "n".into(), "chance".into()];
        let heads: Vec<String> = heads.into_iter().take(if has_chance { 5 } else { 4 }).collect();
        let right = [false, true, false, true, true][..heads.len()].to_vec();
        Grid { right, heads, lines: grouped(&self.rows, |row| row.group, cells) }
    }
}

impl RunsCompared {
    /// What differs between the runs, as text of at most `columns` columns, with so many changed answers of each task.
    pub fn to_text(&self, columns: usize, answers: usize) -> String {
        let columns = columns.clamp(NARROWEST, WIDEST);
        let mut text = match (&self.headline, &self.standing) {
            (Some(headline), _) => headline.to_text(columns),
            (None, Some(_)) => self.standing_text(columns),
            (None, None) => String::new(),
        };
        for part in [self.shared_text(columns), self.settings_text(columns), self.answers_text(columns, answers)] {
            if !part.is_empty() {
                text.push('\n');
                text.push_str(&part);
            }
        }
        text
    }

    fn standing_text(&self, columns: usize) -> String {
        let Some(standing) = &self.standing else { return String::new() };
        let mut lines = prose(&standing.verdict, columns);
        lines.push(String::new());
        let heads = std::iter::once("measure".to_owned()).chain(self.runs.iter().map(|name| head(name)));
        let cells = |row: &crate::RunsRow| {
            let digits = row.digits();
            let of_run = |(place, of): (usize, &Option<crate::Contender>)| {
                let Some(of) = of else { return "–".to_owned() };
                let best = if row.best == Some(place) { "★ " } else { "" };
                let mark = of.reading.filter(|reading| reading.is_clear()).map_or("", Reading::mark);
                let mark = if mark.is_empty() { String::new() } else { format!(" {mark}") };
                format!("{best}{}{mark}", digits.value(of.side.value, row.unit))
            };
            let name = for_terminal(format!("{} {}", row.name(), direction(row.higher_is_better)).trim_end());
            std::iter::once(name).chain(row.runs.iter().enumerate().map(of_run)).collect()
        };
        let lines_of = grouped(&standing.rows, |row| row.group, cells);
        let right = std::iter::once(false).chain(self.runs.iter().map(|_| true)).collect();
        lines.extend(Grid { heads: heads.collect(), right, lines: lines_of }.lay(columns));
        let legend = format!(
            "★ better than every other run, at 95% for all of them together, and not negligibly. ▲ ▼ ↑ ↓ clearly better, \
             worse, higher or lower than {}.",
            self.runs[0]
        );
        let notes: Vec<&str> =
            [legend.as_str(), RULE].into_iter().chain(standing.notes.iter().map(String::as_str)).collect();
        lines.extend(listed(&notes, columns));
        ended(&lines)
    }

    fn shared_text(&self, columns: usize) -> String {
        let mut lines = Vec::new();
        for of in &self.shared {
            let all = of.shared == of.first && of.first == of.second;
            let run = if self.runs.len() > 2 { format!(" with {}", of.run) } else { String::new() };
            let shared = match all {
                true => format!("all {}", counted(of.first, "item")),
                false => format!("{} of {} and {}", counted(of.shared, "item"), of.first, of.second),
            };
            lines.push(format!("{}{run}: {shared}", of.task));
        }
        titled("Shared items", &lines, columns)
    }

    fn settings_text(&self, columns: usize) -> String {
        let line = |of: &crate::DifferentSetting| {
            let values: Vec<&str> = of.values.iter().map(|value| value.as_deref().unwrap_or("–")).collect();
            format!("{}: {}", of.setting, values.join(" | "))
        };
        let lines: Vec<String> = self.settings.iter().map(line).collect();
        titled(&format!("Settings that differ ({})", self.runs.join(" | ")), &lines, columns)
    }

    fn answers_text(&self, columns: usize, most: usize) -> String {
        let mut lines = Vec::new();
        for of in &self.answers {
            let task = &of.of_task;
            let run = if self.runs.len() > 2 { format!("{}, ", of.run) } else { String::new() };
            lines.push(format!(
                "{run}{}: {} of {} changed, {} better and {} worse by {}",
                task.task, task.changed, task.shared, task.better, task.worse, task.metric
            ));
            for answer in task.examples.iter().take(most) {
                let side = |side: &Option<String>| match side.as_deref().map(|text| clip(text.trim(), ANSWER_CHARS)) {
                    None => "–".to_owned(),
                    Some((text, more)) => format!("“{text}{}”", if more { " …" } else { "" }),
                };
                let mark = match answer.better {
                    Some(true) => Reading::Better.mark(),
                    Some(false) => Reading::Worse.mark(),
                    None => "·",
                };
                let scores = answer.scores.map_or(String::new(), |(a, b)| format!(" ({a} → {b})"));
                let said = match (&answer.left, &answer.right) {
                    (None, None) => String::new(),
                    (left, right) => format!(" {} → {}", side(left), side(right)),
                };
                lines.push(format!("  {mark} {}{scores}{said}", clip(&answer.id, 60).0));
            }
        }
        titled("Answers that changed", &lines, columns)
    }
}

/// Rows with the name of each group before them, where there are groups.
fn grouped<Row>(rows: &[Row], group: impl Fn(&Row) -> Group, cells: impl Fn(&Row) -> Vec<String>) -> Vec<Line> {
    let has_groups = rows.iter().any(|row| group(row) != Group::Other);
    let mut lines = Vec::new();
    let mut last = None;
    for row in rows {
        if last != Some(group(row)) && has_groups {
            lines.push(Line::Group(group_name(group(row)).to_owned()));
        }
        last = Some(group(row));
        lines.push(Line::Row(cells(row)));
    }
    lines
}

fn head(name: &str) -> String {
    clip(&for_terminal(name), NAME_CHARS).0.to_owned()
}

fn prose(text: &str, columns: usize) -> Vec<String> {
    wrap(&for_terminal(text), columns.min(WIDEST_TEXT))
}

/// Sentences below a table, after an empty line.
fn listed(notes: &[&str], columns: usize) -> Vec<String> {
    let empty = (!notes.is_empty()).then(String::new);
    let item = |note: &&str| hanging("- ", &for_terminal(note), columns.min(WIDEST_TEXT));
    empty.into_iter().chain(notes.iter().flat_map(item)).collect()
}

/// Lines below a title; nothing without lines.
fn titled(title: &str, entries: &[String], columns: usize) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let mut lines = prose(&format!("{title}:"), columns);
    for entry in entries {
        let depth = entry.len() - entry.trim_start().len();
        lines.extend(hanging(&" ".repeat(2 + depth), &for_terminal(entry.trim_start()), columns));
    }
    ended(&lines)
}

fn ended(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
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
pub(crate) fn direction(higher_is_better: Option<bool>) -> &'static str {
    match higher_is_better {
        Some(true) => "↑",
        Some(false) => "↓",
        None => "",
    }
}

fn measure(row: &HeadlineRow) -> String {
    for_terminal(format!("{} {}", row.name(), direction(row.higher_is_better)).trim_end())
}

fn compared_cells(row: &HeadlineRow, in_words: bool) -> [String; 6] {
    let digits = row.digits();
    let side = |side: &Option<Side>| side.as_ref().map_or("–".into(), |side| digits.value(side.value, row.unit));
    let change = row.change.as_ref().map_or("–".into(), |change| {
        let interval = change.interval.as_ref().map(|interval| digits.difference_interval(interval, row.unit));
        let mark = if change.paired { "" } else { "*" };
        format!("{}{mark} {}", digits.difference(change.difference, row.unit), interval.unwrap_or_default())
    });
    let n = row.change.as_ref().map_or_else(|| side_n(row), |change| change.n);
    let (mark, size) = (row.reading.mark(), row.clear_size().map(Size::word));
    let reading = match (size, in_words) {
        (Some(size), false) => format!("{mark} {size}"),
        (None, false) => mark.to_owned(),
        (Some(size), true) => format!("{mark} {}, {size}", row.reading.short()),
        (None, true) => format!("{mark} {}", row.reading.short()),
    };
    [measure(row), side(&row.before), side(&row.after), change, format::count(n), reading]
}

fn side_n(row: &HeadlineRow) -> u64 {
    [&row.before, &row.after].into_iter().flatten().map(|side| side.n).min().unwrap_or(0)
}
