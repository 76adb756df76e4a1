//! Any number of runs side by side: what all measured, who is best where that is clear, in what their settings differ, and
//! which answers changed.

use std::collections::BTreeMap;

use groma_run::{Group, Item, Measurement, Pairs, RunRecords, Unit};
use serde::Serialize;

use crate::change::Change;
use crate::changed::{self, ChangedAnswers};
use crate::differences::{compare_items, read_items};
use crate::effect::Size;
use crate::format::{Digits, counted};
use crate::headline::{MeasuredTwice, all_subjects, keys, of_subject};
use crate::reading;
use crate::row::Side;
use crate::settings::{self, DifferentSetting};
use crate::verdict::Sides;
use crate::{Error, Headline, Reading};

/// Runs side by side. Serialises to the JSON that `groma compare --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunsCompared {
    /// The runs' names, each once.
    pub runs: Vec<String>,
    /// Of two runs: the second against the first, measure by measure.
    #[serde(flatten)]
    pub headline: Option<Headline>,
    /// Of more than two runs: what is clear of them, in sentences.
    #[serde(flatten)]
    pub standing: Option<Standing>,
    /// How many items each task shares.
    pub shared: Vec<SharedItems>,
    /// Settings that are not the same in all runs.
    pub settings: Vec<DifferentSetting>,
    /// Answers that changed from the first run to each other one.
    pub answers: Vec<RunAnswers>,
}

/// The changed answers of one run against the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunAnswers {
    /// The run.
    pub run: String,
    /// Its tasks.
    #[serde(flatten)]
    pub of_task: ChangedAnswers,
}

/// How many items of a task two runs share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedItems {
    /// The task.
    pub task: String,
    /// The run that is compared with the first.
    pub run: String,
    /// Items that both have.
    pub shared: u64,
    /// Items of the first run.
    pub first: u64,
    /// Items of the other.
    pub second: u64,
}

/// More than two runs, measure by measure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// What is clear, in sentences.
    pub verdict: String,
    /// The measures that at least two runs have.
    pub rows: Vec<RunsRow>,
    /// What a reader must know about single numbers.
    pub notes: Vec<String>,
}

/// One measure of several runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunsRow {
    /// The task.
    pub task: String,
    /// The metric.
    pub metric: String,
    /// Its factors, where a run has several numbers of this task and metric.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, String>,
    /// What it stands for.
    pub group: Group,
    /// How it is written.
    pub unit: Unit,
    /// Which way is good.
    pub higher_is_better: Option<bool>,
    /// Each run; none where it did not measure this.
    pub runs: Vec<Option<Contender>>,
    /// The run that is clearly better than every other, and not negligibly: a place in `runs`.
    pub best: Option<usize>,
}

/// A run's number in a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contender {
    /// The number.
    #[serde(flatten)]
    pub side: Side,
    /// Its difference from the first run that has the measure; none for that one.
    pub change: Option<Change>,
    /// What may be said of that difference.
    pub reading: Option<Reading>,
    /// How large it is.
    pub size: Option<Size>,
}

/// Compares runs: the `after` of each (or its last subject, or the one that is named).
///
/// Measures are those of one task and metric, scored in one way where a run has several ways; items are paired by what was
/// asked, whatever the runs.
///
/// # Errors
/// [`Error::NothingInCommon`], or [`Error::NoSuchSubject`] where `subject` names none.
pub fn compare_runs(runs: &[RunRecords], subject: Option<&str>) -> Result<RunsCompared, Error> {
    let names = unique_names(runs);
    let mut rows: Vec<Vec<&Measurement>> = Vec::with_capacity(runs.len());
    for records in runs {
        let subject = named_or_last(records, subject)?;
        rows.push(of_subject(&records.measurements, subject).into_iter().filter(|row| !row.secondary).collect());
    }
    let all = All { runs, names: &names, rows: &rows };
    let measures = all.measures();
    if measures.is_empty() {
        return Err(Error::NothingInCommon { runs: names });
    }
    let (headline, standing) = match runs {
        [_, _] => (Some(all.headline(&measures)), None),
        _ => (None, Some(all.standing(&measures))),
    };
    let (shared, answers) = all.items(&measures);
    let settings = settings::differences(&runs.iter().collect::<Vec<_>>());
    Ok(RunsCompared { headline, standing, shared, settings, answers, runs: names })
}

/// One measure: its row in each run.
struct Measure<'a> {
    rows: Vec<Option<&'a Measurement>>,
    factors: BTreeMap<String, String>,
}

impl Measure<'_> {
    fn about(&self) -> Option<&Measurement> {
        self.rows.iter().flatten().next().copied()
    }

    /// Where it was scored in more than one way: each run's.
    fn modes(&self, names: &[String]) -> Option<String> {
        let first = self.about()?;
        let differs = self.rows.iter().flatten().any(|row| row.mode != first.mode);
        let told = self.rows.iter().zip(names).filter_map(|(row, name)| Some(format!("{name}: {}", (*row)?.mode)));
        let label = format!("{} {}", first.task, first.metric);
        differs.then(|| format!("{label} was not scored in one way; {}.", told.collect::<Vec<_>>().join("; ")))
    }
}

struct All<'a> {
    runs: &'a [RunRecords],
    names: &'a [String],
    rows: &'a [Vec<&'a Measurement>],
}

impl<'a> All<'a> {
    /// The measures that at least two runs have, in the order in which they were measured.
    fn measures(&self) -> Vec<Measure<'a>> {
        let of_runs: Vec<_> = self.rows.iter().map(|rows| keys(rows)).collect();
        let mut found: Vec<Measure<'a>> = Vec::new();
        let mut taken: Vec<Vec<bool>> = self.rows.iter().map(|rows| vec![false; rows.len()]).collect();
        // First what was scored in one way, then what was not.
        for same_mode in [true, false] {
            for (run, keys_of_run) in of_runs.iter().enumerate() {
                for (place, key) in keys_of_run.iter().enumerate() {
                    if taken[run][place] {
                        continue;
                    }
                    // What this run scored in another way than the others joins them.
                    let joins = |measure: &&mut Measure<'_>| {
                        let about = measure.about().is_some_and(|row| row.task == key.0 && row.metric == key.1);
                        !same_mode && about && measure.factors == key.3 && measure.rows[run].is_none()
                    };
                    if let Some(measure) = found.iter_mut().find(joins) {
                        measure.rows[run] = Some(self.rows[run][place]);
                        taken[run][place] = true;
                        continue;
                    }
                    let fits = |other: usize| {
                        of_runs[other].iter().enumerate().position(|(place, found)| {
                            let same = (&found.0, &found.1, &found.3) == (&key.0, &key.1, &key.3);
                            same && (!same_mode || found.2 == key.2) && !taken[other][place]
                        })
                    };
                    let places: Vec<Option<usize>> =
                        (0..self.rows.len()).map(|other| if other < run { None } else { fits(other) }).collect();
                    if places.iter().flatten().count() < 2 {
                        continue;
                    }
                    for (other, place) in places.iter().enumerate() {
                        place.iter().for_each(|place| taken[other][*place] = true);
                    }
                    let rows = places.iter().zip(self.rows).map(|(place, rows)| place.map(|place| rows[place]));
                    found.push(Measure { rows: rows.collect(), factors: key.3.clone() });
                }
            }
        }
        found.sort_by_key(|measure| measure.about().map(|row| row.group)); // stable
        found
    }

    fn left_out(&self, measures: &[Measure<'_>]) -> Option<String> {
        let all: usize = self.rows.iter().map(Vec::len).sum();
        let used: usize = measures.iter().map(|measure| measure.rows.iter().flatten().count()).sum();
        let verb = if all - used == 1 { "is" } else { "are" };
        let left_out = counted((all - used) as u64, "measurement");
        (all > used).then(|| format!("{left_out} {verb} in one of the runs only, and {verb} left out."))
    }

    fn notes(&self, measures: &[Measure<'_>]) -> Vec<String> {
        measures.iter().filter_map(|measure| measure.modes(self.names)).chain(self.left_out(measures)).collect()
    }

    fn headline(&self, measures: &[Measure<'_>]) -> Headline {
        let pairs: Vec<MeasuredTwice<'_>> = measures
            .iter()
            .map(|measure| MeasuredTwice {
                left: measure.rows[0],
                right: measure.rows[1],
                factors: measure.factors.clone(),
            })
            .collect();
        let sides = Sides { left: &self.names[0], right: &self.names[1], are_runs: true };
        let difference =
            |a: &Measurement, b: &Measurement| compare_items(&self.runs[0], a, &self.runs[1], b, groma_stats::LEVEL);
        let mut headline = Headline::build(sides, &pairs, difference);
        headline.notes.extend(self.notes(measures));
        headline
    }

    fn standing(&self, measures: &[Measure<'_>]) -> Standing {
        let mut notes = Vec::new();
        let rows: Vec<RunsRow> = measures.iter().filter_map(|measure| self.row(measure, &mut notes)).collect();
        notes.extend(self.notes(measures));
        Standing { verdict: self.verdict(&rows), rows, notes }
    }

    fn row(&self, measure: &Measure<'_>, notes: &mut Vec<String>) -> Option<RunsRow> {
        let (first, about) = measure.rows.iter().enumerate().find_map(|(run, row)| Some((run, (*row)?)))?;
        let contender = |(run, row): (usize, &Option<&Measurement>)| {
            let row = (*row)?;
            let change = (run != first).then(|| self.change((first, about), (run, row), groma_stats::LEVEL, notes));
            let change = change.flatten();
            let n = row.n.min(about.n);
            Some(Contender {
                reading: change.as_ref().map(|change| reading::read(Some(change), n, about.higher_is_better)),
                size: change.as_ref().and_then(|change| Size::of(change.difference, about.value, about.unit)),
                side: Side::of(row),
                change,
            })
        };
        let runs: Vec<Option<Contender>> = measure.rows.iter().enumerate().map(contender).collect();
        Some(RunsRow {
            task: about.task.clone(),
            metric: about.metric.clone(),
            factors: measure.factors.clone(),
            group: about.group,
            unit: about.unit,
            higher_is_better: about.higher_is_better,
            best: self.best(measure, about),
            runs,
        })
    }

    fn change(
        &self,
        (left, before): (usize, &Measurement),
        (right, after): (usize, &Measurement),
        level: f64,
        notes: &mut Vec<String>,
    ) -> Option<Change> {
        if !(before.value.is_finite() && after.value.is_finite()) {
            return None;
        }
        let compared = compare_items(&self.runs[left], before, &self.runs[right], after, level);
        let (label, name) = (format!("{} {}", before.task, before.metric), &self.names[right]);
        notes.extend(compared.warning.map(|warning| format!("{label}, {name}: {warning}")));
        Some(compared.change).filter(|change| change.difference.is_finite())
    }

    /// The run that is better than each other one, at a level at which all these comparisons together are wrong in no more
    /// than one case of twenty, and not negligibly.
    fn best(&self, measure: &Measure<'_>, about: &Measurement) -> Option<usize> {
        let up = about.higher_is_better?;
        let of: Vec<(usize, &Measurement)> =
            measure.rows.iter().enumerate().filter_map(|(run, row)| Some((run, (*row)?))).collect();
        let finite = of.iter().filter(|(_, row)| row.value.is_finite());
        let first =
            finite.max_by(|a, b| if up { a.1.value.total_cmp(&b.1.value) } else { b.1.value.total_cmp(&a.1.value) })?;
        let level = 1.0 - (1.0 - groma_stats::LEVEL) / (of.len() - 1).max(1) as f64;
        let beats = |other: &(usize, &Measurement)| {
            let change = self.change(*other, *first, level, &mut Vec::new());
            let n = first.1.n.min(other.1.n);
            let size = change.as_ref().and_then(|change| Size::of(change.difference, other.1.value, about.unit));
            reading::read(change.as_ref(), n, Some(up)) == Reading::Better && size != Some(Size::Negligible)
        };
        of.iter().filter(|(run, _)| *run != first.0).all(beats).then_some(first.0)
    }

    fn verdict(&self, rows: &[RunsRow]) -> String {
        let groups = [(Group::Alignment, "Alignment"), (Group::Capability, "Capability"), (Group::Other, "Other")];
        let sentences = groups.iter().filter_map(|(group, name)| {
            let of_group: Vec<&RunsRow> = rows.iter().filter(|row| row.group == *group).collect();
            let mut parts: Vec<String> = Vec::new();
            for (run, name) in self.names.iter().enumerate() {
                let best: Vec<String> =
                    of_group.iter().filter(|row| row.best == Some(run)).map(|row| row.name()).collect();
                if !best.is_empty() {
                    parts.push(format!("{name} is clearly the best on {}", best.join(", ")));
                }
                let worse: Vec<String> =
                    of_group.iter().filter(|row| row.is_worse(run)).map(|row| row.name()).collect();
                if !worse.is_empty() {
                    parts.push(format!("{name} is clearly worse than {} on {}", self.names[0], worse.join(", ")));
                }
            }
            let open: Vec<String> = of_group.iter().filter(|row| row.best.is_none()).map(|row| row.name()).collect();
            if !open.is_empty() {
                parts.push(format!("no clear best on {}", open.join(", ")));
            }
            (!parts.is_empty()).then(|| format!("{name}: {}.", parts.join("; ")))
        });
        let mut sentences: Vec<String> = sentences.collect();
        if rows.iter().all(|row| row.group != Group::Capability) {
            sentences.push("No capability was measured.".into());
        }
        sentences.join(" ")
    }

    /// How many items each task shares with the first run, and which answers changed.
    fn items(&self, measures: &[Measure<'_>]) -> (Vec<SharedItems>, Vec<RunAnswers>) {
        let (mut shared, mut answers) = (Vec::new(), Vec::new());
        let mut seen: Vec<(&str, usize)> = Vec::new();
        for measure in measures.iter().filter(|measure| measure.about().is_some_and(|row| row.group != Group::Control))
        {
            let Some(left) = measure.rows[0] else { continue };
            let Some(before) = self.read(0, left) else { continue };
            for run in 1..self.runs.len() {
                let Some(right) = measure.rows[run].filter(|_| !seen.contains(&(&left.task, run))) else { continue };
                let Some(after) = self.read(run, right) else { continue };
                seen.push((&left.task, run));
                let pairs = Pairs::of(&before, &after);
                shared.push(SharedItems {
                    task: left.task.clone(),
                    run: self.names[run].clone(),
                    shared: pairs.items.len() as u64,
                    first: pairs.of.0 as u64,
                    second: pairs.of.1 as u64,
                });
                let found = changed::answers((&self.runs[0], left, &before), (right, &after));
                answers.extend(found.map(|of_task| RunAnswers { run: self.names[run].clone(), of_task }));
            }
        }
        (shared, answers)
    }

    fn read(&self, run: usize, row: &Measurement) -> Option<Vec<Item>> {
        read_items(&self.runs[run], row.samples.as_ref()?).ok()
    }
}

impl RunsRow {
    /// Task and metric, once where they say the same, and the factors.
    pub(crate) fn name(&self) -> String {
        crate::row::name_of(&self.task, &self.metric, &self.factors)
    }

    fn is_worse(&self, run: usize) -> bool {
        let of_run = self.runs[run].as_ref();
        of_run.is_some_and(|of| of.reading == Some(Reading::Worse) && of.size != Some(Size::Negligible))
    }

    /// The digits in which the runs are told apart.
    pub(crate) fn digits(&self) -> Digits {
        let clear = |of: &&Contender| of.reading.is_some_and(Reading::is_clear);
        let clear = self.runs.iter().flatten().filter(clear);
        let least = clear.filter_map(|of| Some(of.change.as_ref()?.difference.abs())).min_by(f64::total_cmp);
        least.map_or(Digits::default(), Digits::to_see)
    }
}

/// The runs' names; of runs of one name the later ones are numbered.
fn unique_names(runs: &[RunRecords]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for records in runs {
        let name = &records.manifest.name;
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let own = std::iter::once(name.clone()).chain(numbered).find(|own| !names.contains(own));
        names.push(own.unwrap_or_else(|| name.clone()));
    }
    names
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
