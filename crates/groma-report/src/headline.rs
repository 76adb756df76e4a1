//! The table that a run is for: each measure on two sides, the difference, and what may be said about it.

use crate::change::Change;
use crate::differences::{Compared, change_of, compare_items};
use crate::effect::Size;
use crate::format::counted;
use crate::reading;
use crate::row::{HeadlineRow, Side};
use crate::verdict::{Sides, verdict};
use groma_run::{Comparison, Group, Measurement, RunRecords};
use serde::Serialize;
use std::collections::BTreeMap;

/// Two subjects, measure by measure. Serialises to the JSON that `--json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Headline {
    /// Name of the left side.
    pub left: String,
    /// Name of the right side.
    pub right: String,
    /// What the numbers say, in a sentence or two.
    pub verdict: String,
    /// The measures: alignment first, then capability, controls, others.
    pub rows: Vec<HeadlineRow>,
    /// Measures that only add detail to those; they have no part in the verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<HeadlineRow>,
    /// What a reader must know about single numbers, in sentences.
    pub notes: Vec<String>,
}

impl Headline {
    /// The verdict; of a single subject, which is compared with nothing, the first of its numbers.
    pub fn in_short(&self) -> String {
        const FIRST: usize = 3;
        let told = |row: &HeadlineRow| {
            let side = row.before.as_ref().or(row.after.as_ref())?;
            Some(format!("{} {}", row.name(), crate::format::value(side.value, row.unit)))
        };
        let rows = self.rows.iter().filter(|row| !self.compares() && row.group != Group::Control);
        let numbers: Vec<String> = rows.filter_map(told).take(FIRST).collect();
        if numbers.is_empty() { self.verdict.clone() } else { numbers.join(", ") }
    }

    /// Whether there is a right side at all.
    pub fn compares(&self) -> bool {
        self.rows.iter().chain(&self.further).any(|row| row.after.is_some())
    }
}

impl Headline {
    /// The table of one run: its `before` and `after`, or the first and last subject that it measured.
    pub fn of_run(records: &RunRecords) -> Self {
        let evaluated: Vec<&Measurement> =
            records.measurements.iter().filter(|row| row.pillar.is_evaluation()).collect();
        let (left, right) = subjects(&evaluated);
        let pick = |subject: &str| of_subject(evaluated.iter().copied(), subject);
        let compared: Vec<&Comparison> =
            records.comparisons.iter().filter(|row| row.before_subject == left && row.after_subject == right).collect();
        let difference = |before: &Measurement, after: &Measurement| {
            let fits = |row: &&&Comparison| {
                (row.task.as_str(), row.metric.as_str(), row.mode.as_str()) == measure(before)
                    && row.factors.iter().all(|(name, value)| before.factors.get(name) == Some(value))
            };
            // Of several, the one that says most of what the number depends on.
            match compared.iter().filter(fits).max_by_key(|row| row.factors.len()) {
                Some(comparison) => Compared { change: change_of(comparison), warning: None },
                None => compare_items(records, before, records, after, groma_stats::LEVEL),
            }
        };
        let sides = Sides { left, right, are_runs: false };
        let split = |subject: &str, secondary: bool| -> Vec<&Measurement> {
            pick(subject).into_iter().filter(|row| row.secondary == secondary).collect()
        };
        let pairs = |secondary| paired_by_key(&split(left, secondary), &split(right, secondary));
        let further = Self::build(sides, &pairs(true), difference);
        let headline = Self::build(sides, &pairs(false), difference);
        let elsewhere = records.measurements.len() - evaluated.len();
        let verdict = match headline.rows.is_empty() && elsewhere > 0 {
            true => {
                let numbers = groma_run::counted(elsewhere as u64, "number");
                format!(
                    "No task was measured; {numbers} of attacks, instruments, protocols or experiments: see the report."
                )
            }
            false => headline.verdict,
        };
        Headline { verdict, further: further.rows, ..headline }
    }

    /// Of measurements that are about the same, left and right.
    pub(crate) fn build(
        sides: Sides<'_>,
        pairs: &[MeasuredTwice<'_>],
        difference: impl Fn(&Measurement, &Measurement) -> Compared,
    ) -> Self {
        let mut notes = Vec::new();
        let mut rows: Vec<HeadlineRow> = Vec::new();
        for pair in pairs {
            let row = row((pair.left, pair.right), (sides.left, sides.right), &difference, &mut notes);
            rows.extend(row.map(|row| HeadlineRow { factors: pair.factors.clone(), ..row }));
        }
        rows.sort_by_key(|row| row.group); // stable: within a group as they were measured
        let verdict = verdict(&rows, sides);
        let (left, right) = (sides.left.to_owned(), sides.right.to_owned());
        Headline { left, right, verdict, rows, further: Vec::new(), notes }
    }
}

/// Two measurements of the same, or one that has no other.
#[derive(Clone, Debug)]
pub(crate) struct MeasuredTwice<'a> {
    pub(crate) left: Option<&'a Measurement>,
    pub(crate) right: Option<&'a Measurement>,
    /// The factors, where a side has several numbers of its task, metric and mode.
    pub(crate) factors: BTreeMap<String, String>,
}

/// The rows of both sides, those of one key together, in the order of the left side and then of the right.
fn paired_by_key<'a>(left: &[&'a Measurement], right: &[&'a Measurement]) -> Vec<MeasuredTwice<'a>> {
    let (in_left, in_right) = (keys(left), keys(right));
    let of = |rows: &[&'a Measurement], keys: &[Key], wanted: &Key| {
        keys.iter().position(|key| key == wanted).map(|place| rows[place])
    };
    let mut all: Vec<&Key> = Vec::new();
    for key in in_left.iter().chain(&in_right) {
        if !all.contains(&key) {
            all.push(key);
        }
    }
    let pair = |key: &Key| MeasuredTwice {
        left: of(left, &in_left, key),
        right: of(right, &in_right, key),
        factors: key.3.clone(),
    };
    all.into_iter().map(pair).collect()
}

/// Task, metric and mode; and the factors, where a subject has several numbers of these.
pub(crate) type Key = (String, String, String, BTreeMap<String, String>);

fn measure(row: &Measurement) -> (&str, &str, &str) {
    (&row.task, &row.metric, &row.mode)
}

/// What tells the rows of one subject apart, in their order.
pub(crate) fn keys(rows: &[&Measurement]) -> Vec<Key> {
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(measure(row)).or_default() += 1);
    let key = |row: &&Measurement| {
        let factors = if counts[&measure(row)] > 1 { row.factors.clone() } else { BTreeMap::new() };
        (row.task.clone(), row.metric.clone(), row.mode.clone(), factors)
    };
    rows.iter().map(key).collect()
}

pub(crate) fn of_subject<'a>(rows: impl IntoIterator<Item = &'a Measurement>, subject: &str) -> Vec<&'a Measurement> {
    rows.into_iter().filter(|row| row.subject == subject).collect()
}

/// Names of the subjects, in the order in which they were measured.
pub(crate) fn all_subjects<'a>(rows: impl IntoIterator<Item = &'a Measurement>) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for row in rows {
        if !found.contains(&row.subject.as_str()) {
            found.push(&row.subject);
        }
    }
    found
}

fn subjects<'a>(rows: &[&'a Measurement]) -> (&'a str, &'a str) {
    let all = all_subjects(rows.iter().copied());
    match (all.first(), all.last()) {
        _ if all.contains(&"before") && all.contains(&"after") => ("before", "after"),
        (Some(first), Some(last)) if all.len() > 1 => (first, last),
        _ if all.contains(&"after") => ("before", "after"),
        (Some(first), _) => (first, "after"),
        _ => ("before", "after"),
    }
}

fn row(
    (before, after): (Option<&Measurement>, Option<&Measurement>),
    (left, right): (&str, &str),
    difference: impl Fn(&Measurement, &Measurement) -> Compared,
    notes: &mut Vec<String>,
) -> Option<HeadlineRow> {
    let about = after.or(before)?;
    let label = format!("{} {}", about.task, about.metric);
    notes.extend(side_notes((before, left), (after, right), &label));
    let mut change = None;
    if let (Some(before), Some(after)) = (before, after)
        && before.value.is_finite()
        && after.value.is_finite()
    {
        let compared = difference(before, after);
        notes.extend(compared.warning.map(|warning| format!("{label}: {warning}")));
        change = Some(compared.change).filter(|change| change.difference.is_finite());
    }
    let n = [before, after].into_iter().flatten().map(|side| side.n).min().unwrap_or(0);
    let reading = reading::read(change.as_ref(), n, about.higher_is_better);
    let size = change
        .as_ref()
        .and_then(|change: &Change| Size::of(change.difference, before.map_or(0.0, |side| side.value), about.unit));
    Some(HeadlineRow {
        task: about.task.clone(),
        metric: about.metric.clone(),
        mode: about.mode.clone(),
        factors: BTreeMap::new(),
        group: about.group,
        unit: about.unit,
        higher_is_better: about.higher_is_better,
        chance: about.chance,
        before: before.map(Side::of),
        after: after.map(Side::of),
        change,
        reading,
        size,
    })
}

/// What is said of both sides, once where it is the same.
fn side_notes(
    (before, left): (Option<&Measurement>, &str),
    (after, right): (Option<&Measurement>, &str),
    label: &str,
) -> Vec<String> {
    let told = |side: Option<&Measurement>, name: &str| Some(format!("{label}, {name}: {}", side_note(side?)?));
    match (before.and_then(side_note), after.and_then(side_note)) {
        (Some(first), Some(second)) if first == second => vec![format!("{label}, {left} and {right}: {first}")],
        _ => [told(before, left), told(after, right)].into_iter().flatten().collect(),
    }
}

fn side_note(side: &Measurement) -> Option<String> {
    let mut parts = Vec::new();
    if !side.value.is_finite() {
        let what = if side.value.is_nan() { "not a number" } else { "infinite" };
        parts.push(format!("the value is {what}, so it is shown as n/a (n = {})", side.n));
    }
    // A note that has the reasons counts too.
    if side.failed > 0 && side.note.as_ref().is_none_or(|note| !note.contains(" failed: ")) {
        let verb = if side.failed == 1 { "is" } else { "are" };
        parts.push(format!("{} failed and {verb} not counted", counted(side.failed, "item")));
    }
    parts.extend(side.note.clone());
    (!parts.is_empty()).then(|| format!("{}.", parts.join("; ").trim_end_matches('.')))
}
