//! The table that a run is for: each measure on two sides, the difference, and what may be said about it.

use crate::differences::{Unpaired, paired, unpaired};
use crate::{Error, reading};
use groma_run::{Comparison, Group, Interval, Item, Measurement, RunRecords, Unit, number};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

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
    /// Whether there is a right side at all.
    pub fn compares(&self) -> bool {
        self.rows.iter().chain(&self.further).any(|row| row.after.is_some())
    }
}

/// One measure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadlineRow {
    /// The task.
    pub task: String,
    /// The metric.
    pub metric: String,
    /// How it was scored.
    pub mode: String,
    /// Its factors, where the subject has several numbers of this task, metric and mode.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, String>,
    /// What it stands for.
    pub group: Group,
    /// How it is written.
    pub unit: Unit,
    /// Which way is good.
    pub higher_is_better: Option<bool>,
    /// What chance alone would give.
    #[serde(with = "number::option")]
    pub chance: Option<f64>,
    /// The left side.
    pub before: Option<Side>,
    /// The right side.
    pub after: Option<Side>,
    /// The difference, where both sides are there and finite.
    pub change: Option<Change>,
    /// What may be said about it.
    pub reading: Reading,
}

impl HeadlineRow {
    /// Task and metric, once where they say the same, and the factors.
    pub(crate) fn name(&self) -> String {
        let said = self.task.replace('-', "_") == self.metric;
        let name = if said { self.task.clone() } else { format!("{} {}", self.task, self.metric) };
        if self.factors.is_empty() { name } else { format!("{name} ({})", self.factors_in_words()) }
    }

    pub(crate) fn factors_in_words(&self) -> String {
        self.factors.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    }
}

/// The number of one side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// The number.
    #[serde(with = "number")]
    pub value: f64,
    /// Its uncertainty.
    pub interval: Option<Interval>,
    /// Items.
    pub n: u64,
    /// Items that failed and are not in `n`.
    pub failed: u64,
    /// What else was said of it.
    pub note: Option<String>,
}

/// The difference of the two sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Right minus left.
    #[serde(with = "number")]
    pub difference: f64,
    /// Its uncertainty.
    pub interval: Option<Interval>,
    /// Probability of so large a difference if there were none.
    #[serde(with = "number::option")]
    pub p_value: Option<f64>,
    /// Pairs, or the smaller side's items.
    pub n: u64,
    /// How interval and probability were made.
    pub method: String,
    /// Whether the same items were compared one by one.
    pub paired: bool,
    /// The smallest true difference that would be found four times in five.
    #[serde(with = "number::option")]
    pub detectable: Option<f64>,
}

/// What may be said about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Clearly better: the interval lies on the good side of zero.
    Better,
    /// Clearly worse.
    Worse,
    /// Clearly higher, where neither way is good.
    Higher,
    /// Clearly lower, where neither way is good.
    Lower,
    /// The interval holds zero.
    NoClearChange,
    /// Fewer items than anything can be said from.
    TooFew,
    /// No interval, or one side is missing or not finite.
    Unknown,
}

impl Headline {
    /// The table of one run: its `before` and `after`, or the first and last subject that it measured.
    pub fn of_run(records: &RunRecords) -> Self {
        let (left, right) = subjects(&records.measurements);
        let pick = |subject: &str| of_subject(&records.measurements, subject);
        let compared: BTreeMap<(&str, &str, &str), &Comparison> = records
            .comparisons
            .iter()
            .filter(|row| row.before_subject == left && row.after_subject == right)
            .map(|row| ((row.task.as_str(), row.metric.as_str(), row.mode.as_str()), row))
            .collect();
        let difference = |before: &Measurement, after: &Measurement| match compared.get(&measure(before)) {
            Some(comparison) => Compared { change: change_of(comparison), warning: None },
            None => compare_items(records, before, records, after),
        };
        let split = |subject: &str, secondary: bool| -> Vec<&Measurement> {
            pick(subject).into_iter().filter(|row| row.secondary == secondary).collect()
        };
        let further = Self::build(left, right, &split(left, true), &split(right, true), difference);
        let headline = Self::build(left, right, &split(left, false), &split(right, false), difference);
        Headline { further: further.rows, ..headline }
    }

    /// The table of two runs: the `after` of each (or its last subject, or the one that is named), on the measures that
    /// both have.
    ///
    /// # Errors
    /// [`Error::NothingInCommon`], or [`Error::NoSuchSubject`] where `subject` names none.
    pub fn of_two_runs(first: &RunRecords, second: &RunRecords, subject: Option<&str>) -> Result<Self, Error> {
        let sides = [first, second].map(|records| named_or_last(records, subject));
        let [left, right] = sides;
        let headline_of = |rows, subject| -> Vec<&Measurement> {
            of_subject(rows, subject).into_iter().filter(|row| !row.secondary).collect()
        };
        let left = headline_of(&first.measurements, left?);
        let right = headline_of(&second.measurements, right?);
        let common = |rows: &[&Measurement], other: &[&Measurement]| -> Vec<Measurement> {
            let others: BTreeSet<Key> = keys(other).into_iter().collect();
            let both = rows.iter().zip(keys(rows)).filter(|(_, key)| others.contains(key));
            both.map(|(row, _)| (**row).clone()).collect()
        };
        let (in_left, in_right) = (common(&left, &right), common(&right, &left));
        let names = [first, second].map(|records| records.manifest.name.clone());
        let [first_name, second_name] = names;
        if in_left.is_empty() {
            return Err(Error::NothingInCommon { first: first_name, second: second_name });
        }
        let difference = |a: &Measurement, b: &Measurement| compare_items(first, a, second, b);
        let (a, b): (Vec<_>, Vec<_>) = (in_left.iter().collect(), in_right.iter().collect());
        let mut headline = Self::build(&first_name, &second_name, &a, &b, difference);
        let left_out = left.len() + right.len() - in_left.len() - in_right.len();
        if left_out > 0 {
            headline.notes.push(format!("{left_out} measurements are in one of the runs only and are left out."));
        }
        Ok(headline)
    }

    fn build(
        left: &str,
        right: &str,
        before: &[&Measurement],
        after: &[&Measurement],
        difference: impl Fn(&Measurement, &Measurement) -> Compared,
    ) -> Self {
        let mut notes = Vec::new();
        let mut rows: Vec<HeadlineRow> = Vec::new();
        let (in_before, in_after) = (keys(before), keys(after));
        let of = |rows: &[&Measurement], keys: &[Key], wanted: &Key| {
            keys.iter().position(|key| key == wanted).map(|place| rows[place].clone())
        };
        let mut all: Vec<&Key> = Vec::new();
        for key in in_before.iter().chain(&in_after) {
            if !all.contains(&key) {
                all.push(key);
            }
        }
        for key in all {
            let (before, after) = (of(before, &in_before, key), of(after, &in_after, key));
            let row = row(before.as_ref(), after.as_ref(), (left, right), &difference, &mut notes);
            rows.extend(row.map(|row| HeadlineRow { factors: key.3.clone(), ..row }));
        }
        rows.sort_by_key(|row| row.group); // stable: within a group as they were measured
        let verdict = reading::verdict(&rows, left, right);
        Headline { left: left.to_owned(), right: right.to_owned(), verdict, rows, further: Vec::new(), notes }
    }
}

/// Task, metric and mode; and the factors, where a subject has several numbers of these.
type Key = (String, String, String, BTreeMap<String, String>);

fn measure(row: &Measurement) -> (&str, &str, &str) {
    (&row.task, &row.metric, &row.mode)
}

/// What tells the rows of one subject apart, in their order.
fn keys(rows: &[&Measurement]) -> Vec<Key> {
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(measure(row)).or_default() += 1);
    let key = |row: &&Measurement| {
        let factors = if counts[&measure(row)] > 1 { row.factors.clone() } else { BTreeMap::new() };
        (row.task.clone(), row.metric.clone(), row.mode.clone(), factors)
    };
    rows.iter().map(key).collect()
}

fn of_subject<'a>(rows: &'a [Measurement], subject: &str) -> Vec<&'a Measurement> {
    rows.iter().filter(|row| row.subject == subject).collect()
}

/// Names of the subjects, in the order in which they were measured.
pub(crate) fn all_subjects(rows: &[Measurement]) -> Vec<&str> {
    let mut found = Vec::new();
    for row in rows {
        if !found.contains(&row.subject.as_str()) {
            found.push(&row.subject);
        }
    }
    found
}

fn subjects(rows: &[Measurement]) -> (&str, &str) {
    let all = all_subjects(rows);
    match (all.first(), all.last()) {
        _ if all.contains(&"before") && all.contains(&"after") => ("before", "after"),
        (Some(first), Some(last)) if all.len() > 1 => (first, last),
        _ if all.contains(&"after") => ("before", "after"),
        (Some(first), _) => (first, "after"),
        _ => ("before", "after"),
    }
}

fn named_or_last<'a>(records: &'a RunRecords, subject: Option<&'a str>) -> Result<&'a str, Error> {
    let all = all_subjects(&records.measurements);
    match subject {
        Some(subject) if !all.contains(&subject) => Err(Error::NoSuchSubject {
            run: records.manifest.name.clone(),
            subject: subject.to_owned(),
            known: if all.is_empty() { "none".into() } else { all.join(", ") },
        }),
        Some(subject) => Ok(subject),
        None if all.contains(&"after") => Ok("after"),
        None => Ok(all.last().copied().unwrap_or("after")),
    }
}

struct Compared {
    change: Change,
    warning: Option<String>,
}

fn row(
    before: Option<&Measurement>,
    after: Option<&Measurement>,
    (left, right): (&str, &str),
    difference: impl Fn(&Measurement, &Measurement) -> Compared,
    notes: &mut Vec<String>,
) -> Option<HeadlineRow> {
    let about = after.or(before)?;
    let label = format!("{} {}", about.task, about.metric);
    for (side, name) in [(before, left), (after, right)] {
        notes.extend(side.and_then(|side| side_note(side, &label, name)));
    }
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
    Some(HeadlineRow {
        task: about.task.clone(),
        metric: about.metric.clone(),
        mode: about.mode.clone(),
        factors: BTreeMap::new(),
        group: about.group,
        unit: about.unit,
        higher_is_better: about.higher_is_better,
        chance: about.chance,
        before: before.map(side_of),
        after: after.map(side_of),
        change,
        reading,
    })
}

fn side_of(row: &Measurement) -> Side {
    Side { value: row.value, interval: row.interval.clone(), n: row.n, failed: row.failed, note: row.note.clone() }
}

fn side_note(side: &Measurement, label: &str, name: &str) -> Option<String> {
    let mut parts = Vec::new();
    if !side.value.is_finite() {
        let what = if side.value.is_nan() { "not a number" } else { "infinite" };
        parts.push(format!("the value is {what}, so it is shown as n/a (n = {})", side.n));
    }
    if side.failed > 0 {
        parts.push(format!("{} items failed and are not counted", side.failed));
    }
    parts.extend(side.note.clone());
    (!parts.is_empty()).then(|| format!("{label}, {name}: {}.", parts.join("; ").trim_end_matches('.')))
}

fn change_of(row: &Comparison) -> Change {
    Change {
        difference: row.difference,
        interval: row.interval.clone(),
        p_value: row.p_value,
        n: row.n,
        method: row.method.clone(),
        paired: true,
        detectable: row.detectable,
    }
}

/// The difference from the items' scores where both sides have them, else from the two intervals.
fn compare_items(first: &RunRecords, before: &Measurement, second: &RunRecords, after: &Measurement) -> Compared {
    let apart = |why: Option<&str>| {
        let warning = why.map(|why| format!("{why}, so the sides are not compared item by item."));
        Compared { change: unpaired(before, after), warning }
    };
    let (Some(before_file), Some(after_file)) = (&before.samples, &after.samples) else { return apart(None) };
    let (Ok(before_items), Ok(after_items)) = (read_items(first, before_file), read_items(second, after_file)) else {
        return apart(Some("the items' scores cannot be read"));
    };
    match paired(before, &before_items, &after_items, first.manifest.seed) {
        Ok(change) => {
            let (pairs, most) = (change.n, before.n.max(after.n));
            let partly = (pairs < most).then(|| format!("the difference is over the {pairs} items that both have."));
            Compared { change, warning: partly }
        }
        Err(Unpaired::NothingShared) => apart(Some("the sides share no items")),
        Err(Unpaired::DifferentItems) => apart(Some("the items are not the same")),
        Err(Unpaired::UnknownFormula) => apart(Some("this version does not know the formula of the number")),
    }
}

fn read_items(records: &RunRecords, file: &str) -> Result<Vec<Item>, groma_run::Error> {
    records.items(file)?.collect()
}
