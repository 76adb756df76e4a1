//! From items to the rows that are added up.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::bootstrap::sums;
use crate::formulas::{MEAN, SHARE, error_of};
use crate::{ReaderError, Statistic, Sums, sum_by_cluster};

/// What a number is made of: the scores of one item, or of one item twice.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// The item.
    pub id: &'a str,
    /// The items that it is not independent of.
    pub cluster: Option<&'a str>,
    /// The group that it is one of, where the statistic goes across groups; an item without one is its own.
    pub group: Option<&'a str>,
    /// The scores that the formula adds up; of a pair those before, and then those after.
    pub scores: Vec<f64>,
}

/// Rows whose sums make a statistic. A row is an item, or a group where groups are a sample.
///
/// A row has the scores of each side and then the number of items, and all that once for each group where groups are fixed.
pub(crate) struct Sample {
    statistic: Statistic,
    sides: usize,
    pub(crate) rows: Vec<Vec<f64>>,
    /// The rows' clusters, where these bind rows together.
    pub(crate) clusters: Option<Vec<String>>,
}

impl Sample {
    /// Of items with the scores of so many sides.
    pub(crate) fn new(statistic: Statistic, items: &[Observation], sides: usize) -> Self {
        let groups: BTreeSet<&str> = items.iter().map(group).collect();
        let items = &*placed(statistic, items, sides);
        match statistic.across {
            Some(across) if !across.sampled => Self::fixed_groups(statistic, items, sides, &groups),
            Some(_) if groups.len() > 1 => Self::sampled_groups(statistic, items, sides),
            _ => Self::plain(Statistic { across: None, ..statistic }, items, sides),
        }
    }

    fn plain(statistic: Statistic, items: &[Observation], sides: usize) -> Self {
        let rows = items.iter().map(row).collect();
        Sample { statistic, sides, rows, clusters: clusters(items) }
    }

    fn fixed_groups(statistic: Statistic, items: &[Observation], sides: usize, groups: &BTreeSet<&str>) -> Self {
        let place: BTreeMap<&str, usize> = groups.iter().enumerate().map(|(place, name)| (*name, place)).collect();
        let rows = items.iter().map(|item| {
            let row = row(item);
            let mut wide = vec![0.0; row.len() * groups.len()];
            let start = place[group(item)] * row.len();
            wide[start..start + row.len()].copy_from_slice(&row);
            wide
        });
        Sample { statistic, sides, rows: rows.collect(), clusters: clusters(items) }
    }

    /// One row a group: its numbers, or its mean scores. A group whose number does not exist on some side has no part.
    fn sampled_groups(statistic: Statistic, items: &[Observation], sides: usize) -> Self {
        let mut members: BTreeMap<&str, Vec<&Observation>> = BTreeMap::new();
        items.iter().for_each(|item| members.entry(group(item)).or_default().push(item));
        let of_means = statistic.across.is_some_and(|across| across.of_means);
        let inner = Sample { statistic: Statistic { across: None, ..statistic }, sides, rows: vec![], clusters: None };
        let numbers = members.into_iter().filter_map(|(id, members)| {
            let rows: Vec<Vec<f64>> = members.iter().map(|item| row(item)).collect();
            let of_group = sums(&rows);
            let scores = match of_group.split_last()? {
                (n, sums) if of_means => sums.iter().map(|sum| sum / n).collect(),
                _ => (0..sides).map(|side| inner.value(&of_group, side)).collect::<Option<Vec<f64>>>()?,
            };
            let first = members.first()?.cluster;
            let cluster = first.filter(|_| members.iter().all(|item| item.cluster == first));
            Some(Observation { id, cluster, group: None, scores })
        });
        let numbers: Vec<Observation> = numbers.collect();
        let formula = if of_means { statistic.formula } else { &MEAN };
        Self::plain(Statistic { formula, across: None }, &numbers, sides)
    }

    /// How the sample's own statistic finds its uncertainty.
    pub(crate) fn uncertainty(&self) -> crate::Uncertainty {
        match self.statistic.across {
            Some(_) => crate::Uncertainty::Resampled,
            None => self.statistic.formula.uncertainty,
        }
    }

    /// The statistic of one side from sums of rows.
    pub(crate) fn value(&self, sums: &[f64], side: usize) -> Option<f64> {
        let k = self.statistic.formula.sums;
        let of_group = |row: &[f64]| {
            let of = row.get(side * k..(side + 1) * k)?;
            (self.statistic.formula.of)(&Sums { of, n: *row.last()? })
        };
        match self.statistic.across {
            None => of_group(sums),
            Some(across) => {
                let groups = sums.chunks(self.sides * k + 1).map(of_group);
                (across.of)(&groups.collect::<Option<Vec<f64>>>()?)
            }
        }
    }

    /// Of a share that an instrument read: the instrument's error on one side, from sums of rows.
    pub(crate) fn reader_error(&self, sums: &[f64], side: usize) -> Option<ReaderError> {
        let k = self.statistic.formula.sums;
        error_of(&Sums { of: sums.get(side * k..(side + 1) * k)?, n: *sums.last()? })
    }

    /// Of a row, the first of the numbers that the formula adds up of a side.
    pub(crate) fn first(&self, row: &[f64], side: usize) -> f64 {
        row[side * self.statistic.formula.sums]
    }

    /// Of a share that an instrument read on both sides: what it read, as a plain share.
    pub(crate) fn as_read(&self) -> Sample {
        let k = self.statistic.formula.sums;
        let rows = self.rows.iter().map(|row| vec![row[0], row[k], row[2 * k]]).collect();
        let statistic = Statistic { formula: &SHARE, across: None };
        Sample { statistic, sides: 2, rows, clusters: self.clusters.clone() }
    }

    /// The rows, or their sums by cluster: what is independent of one another.
    pub(crate) fn units(&self) -> Vec<Vec<f64>> {
        match &self.clusters {
            Some(keys) => sum_by_cluster(&self.rows, keys),
            None => self.rows.clone(),
        }
    }
}

/// The items, with what their formula makes of all their scores, or of those of their group where it goes across groups.
fn placed<'i, 'a>(statistic: Statistic, items: &'i [Observation<'a>], sides: usize) -> Cow<'i, [Observation<'a>]> {
    let Some(place) = statistic.formula.placed else { return Cow::Borrowed(items) };
    let mut together: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        together.entry(if statistic.across.is_some() { group(item) } else { "" }).or_default().push(index);
    }
    let (mut found, k) = (items.to_vec(), statistic.formula.sums);
    for members in together.values() {
        for side in (0..sides).map(|side| side * k..(side + 1) * k) {
            let of_side: Vec<&[f64]> = members.iter().map(|&member| &items[member].scores[side.clone()]).collect();
            for (&member, scores) in members.iter().zip(place(&of_side)) {
                found[member].scores[side.clone()].copy_from_slice(&scores);
            }
        }
    }
    Cow::Owned(found)
}

fn group<'a>(item: &Observation<'a>) -> &'a str {
    item.group.unwrap_or(item.id)
}

fn row(item: &Observation) -> Vec<f64> {
    [item.scores.as_slice(), &[1.0]].concat()
}

/// The items' clusters, an item without one being its own; `None` unless two clusters or more bind items together.
fn clusters(items: &[Observation]) -> Option<Vec<String>> {
    let own = |item: &Observation| match item.cluster {
        Some(cluster) => format!("c{cluster}"),
        None => format!("i{}", item.id),
    };
    let keys: Vec<String> = items.iter().map(own).collect();
    let distinct = keys.iter().collect::<BTreeSet<_>>().len();
    (distinct > 1 && distinct < keys.len()).then_some(keys)
}
