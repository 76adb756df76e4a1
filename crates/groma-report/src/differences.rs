//! Differences of two measurements, from the scores of their items or else from their intervals.

use groma_run::{Comparison, Interval, Item, Measurement, Pairs, RunRecords, Seed, Unit};
use groma_stats::formulas::{MEAN, SHARE};
use groma_stats::{Across, Formula, Method, Observation, RESAMPLES, Resampling, Statistic, newcombe};

use crate::change::Change;
use crate::format::counted;

/// Why two measurements are not compared item by item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpaired {
    /// No item has the scores on both sides, or the number does not exist.
    NothingShared,
    /// The record names a formula that this version does not know.
    UnknownFormula,
}

/// The difference of a measurement between two sets of items, as the comparing stage of a run finds it.
pub(crate) fn paired(about: &Measurement, pairs: &Pairs<'_>, seed: u64, level: f64) -> Result<Change, Unpaired> {
    let names: Vec<&str> = match &about.statistic {
        Some(statistic) => statistic.scores.iter().map(String::as_str).collect(),
        None => vec![&about.metric],
    };
    let used = pairs.items.iter().filter_map(|(before, after)| {
        let scores = |item: &Item| item.scores_of(names.iter().copied());
        Some(Observation {
            id: &before.id,
            cluster: before.cluster.as_deref(),
            group: before.group.as_deref(),
            scores: [scores(before)?, scores(after)?].concat(),
        })
    });
    let used: Vec<Observation> = used.collect();
    let statistic = statistic(about, &used).ok_or(Unpaired::UnknownFormula)?;
    let draw = |purpose: &str, index| Seed::new(seed).draw(purpose, &about.metric, index);
    let how = Resampling { level, resamples: RESAMPLES, draw: &draw };
    let found = statistic.compare(&used, &how).ok_or(Unpaired::NothingShared)?;
    Ok(Change {
        difference: found.difference,
        interval: found.interval.map(|interval| recorded(bounded(interval, about.unit))),
        p_value: found.p_value,
        n: found.n as u64,
        method: found.method.to_owned(),
        paired: true,
        detectable: found.detectable,
    })
}

/// The part of an interval of differences that can be: shares differ by no more than everything.
fn bounded(interval: groma_stats::Interval, unit: Unit) -> groma_stats::Interval {
    match unit {
        Unit::Share => groma_stats::Interval {
            low: interval.low.clamp(-1.0, 1.0),
            high: interval.high.clamp(-1.0, 1.0),
            ..interval
        },
        _ => interval,
    }
}

/// How the measurement comes from scores; of records that do not say, a share of zeros and ones, or else a mean.
fn statistic(about: &Measurement, items: &[Observation]) -> Option<Statistic> {
    let Some(record) = &about.statistic else {
        let binary = items.iter().flat_map(|item| &item.scores).all(|score| *score == 0.0 || *score == 1.0);
        return Some(Statistic { formula: if binary { &SHARE } else { &MEAN }, across: None });
    };
    let across = match &record.across {
        Some(id) => Some(Across::find(id)?),
        None => None,
    };
    let formula = Formula::find(&record.formula).filter(|formula| formula.sums == record.scores.len())?;
    Some(Statistic { formula, across })
}

/// The difference of two numbers that were measured on different items, from their intervals.
pub(crate) fn unpaired(before: &Measurement, after: &Measurement) -> Change {
    let both = before.interval.as_ref().zip(after.interval.as_ref()).filter(|(a, b)| a.level == b.level);
    let interval = both.map(|(a, b)| {
        let own = |interval: &Interval| groma_stats::Interval {
            low: interval.low,
            high: interval.high,
            level: interval.level,
            method: Method::Newcombe,
        };
        recorded(newcombe((before.value, own(a)), (after.value, own(b))))
    });
    Change {
        difference: after.value - before.value,
        interval,
        p_value: None,
        n: before.n.min(after.n),
        method: Method::Newcombe.name().to_owned(),
        paired: false,
        detectable: None,
    }
}

/// The change that a run's own record tells.
pub(crate) fn change_of(row: &Comparison) -> Change {
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

/// A change, and what a reader must know about it.
pub(crate) struct Compared {
    pub(crate) change: Change,
    pub(crate) warning: Option<String>,
}

/// The difference from the items' scores where both sides have them, else from the two intervals.
pub(crate) fn compare_items(
    first: &RunRecords,
    before: &Measurement,
    second: &RunRecords,
    after: &Measurement,
    level: f64,
) -> Compared {
    let apart = |why: Option<&str>| {
        let warning = why.map(|why| format!("{why}, so the sides are not compared item by item."));
        Compared { change: unpaired(before, after), warning }
    };
    let items = |records: &RunRecords, side: &Measurement| Some(read_items(records, side.samples.as_ref()?));
    let (before_items, after_items) = match (items(first, before), items(second, after)) {
        (None, _) | (_, None) => return apart(None),
        (Some(Ok(before)), Some(Ok(after))) => (before, after),
        _ => return apart(Some("the items' scores cannot be read")),
    };
    let pairs = Pairs::of(&before_items, &after_items);
    match paired(before, &pairs, first.manifest.seed, level) {
        Ok(change) => {
            let warning = match (pairs.merged, change.n, before.n.max(after.n)) {
                (true, n, _) => Some(format!(
                    "the sides cut the texts in different places, so whole texts are compared ({}).",
                    counted(n, "text")
                )),
                (false, n, most) if n < most => {
                    Some(format!("the difference is over the {} that both have.", counted(n, "item")))
                }
                _ => None,
            };
            Compared { change, warning }
        }
        Err(Unpaired::NothingShared) => apart(Some("the sides share no items")),
        Err(Unpaired::UnknownFormula) => apart(Some("this version does not know the formula of the number")),
    }
}

/// The items of a file of a run.
pub(crate) fn read_items(records: &RunRecords, file: &str) -> Result<Vec<Item>, groma_run::Error> {
    records.items(file)?.collect()
}

fn recorded(groma_stats::Interval { low, high, level, method }: groma_stats::Interval) -> Interval {
    Interval { low, high, level, method: method.name().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(scores: &[f64]) -> Vec<Item> {
        let item = |(id, score): (usize, &f64)| Item {
            id: id.to_string(),
            scores: [("m".to_owned(), *score)].into(),
            ..Item::default()
        };
        scores.iter().enumerate().map(item).collect()
    }

    fn about(statistic: Option<groma_run::Statistic>) -> Measurement {
        Measurement { statistic, ..Measurement::new("s", "t", "m", 0.0, 1) }
    }

    fn compared(about: &Measurement, before: &[Item], after: &[Item]) -> Result<Change, Unpaired> {
        paired(about, &Pairs::of(before, after), 0, groma_stats::LEVEL)
    }

    #[test]
    fn what_cannot_be_paired() {
        let mut after = items(&[1.0, f64::NAN, 3.0]);
        let mut before = items(&[1.0, 1.0]);
        assert_eq!(compared(&about(None), &before, &after).unwrap().n, 1);
        let other = Measurement { metric: "other".into(), ..about(None) };
        assert_eq!(compared(&other, &before, &after), Err(Unpaired::NothingShared));
        let unknown = |formula: &str, scores: &[&str]| groma_run::Statistic {
            formula: formula.into(),
            scores: scores.iter().map(|score| (*score).to_owned()).collect(),
            across: None,
        };
        for statistic in [unknown("later", &["m"]), unknown("ratio", &["m"])] {
            assert_eq!(compared(&about(Some(statistic)), &before, &after), Err(Unpaired::UnknownFormula));
        }
        for (number, item) in after.iter_mut().chain(&mut before).enumerate() {
            item.digest = Some(number.to_string());
        }
        assert_eq!(compared(&about(None), &before, &after), Err(Unpaired::NothingShared));
    }

    #[test]
    fn zeros_and_ones_are_shares() {
        let found = compared(&about(None), &items(&[0.0, 1.0, 1.0]), &items(&[1.0, 1.0, 0.0])).unwrap();
        assert_eq!((found.method.as_str(), found.p_value), ("exact McNemar", Some(1.0)));
        let found = compared(&about(None), &items(&[0.0, 1.5]), &items(&[1.0, 2.5])).unwrap();
        assert_eq!((found.method.as_str(), found.difference), ("sign-flip permutation", 1.0));
    }
}
