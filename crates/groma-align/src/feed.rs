//! Which groups make a batch row, and which of them a step computes together.

use crate::group::Group;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

/// Groups as batch rows: one each, or packs of several.
#[derive(Debug)]
pub(crate) struct Feed<'a> {
    groups: &'a [Group],
    /// Indices of the groups in each row.
    rows: Vec<Vec<usize>>,
}

/// Groups that are learned from, and which of them are computed together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch<'a> {
    pub(crate) groups: Vec<Cow<'a, Group>>,
    pub(crate) micros: Vec<Range<usize>>,
}

impl<'a> Feed<'a> {
    /// `pack_tokens`: fill batch rows up to so many tokens.
    pub(crate) fn new(groups: &'a [Group], pack_tokens: Option<usize>) -> Self {
        let rows = match pack_tokens {
            None => (0..groups.len()).map(|index| vec![index]).collect(),
            Some(limit) => best_fit_decreasing(&groups.iter().map(Group::tokens).collect::<Vec<_>>(), limit),
        };
        Feed { groups, rows }
    }

    /// Number of batch rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The groups of some rows, `micro` rows in a micro-batch.
    pub(crate) fn batch(&self, rows: &[usize], micro: usize) -> Batch<'a> {
        let mut batch = Batch::default();
        for rows in rows.chunks(micro) {
            let start = batch.groups.len();
            let indices = rows.iter().flat_map(|&row| &self.rows[row]);
            batch.groups.extend(indices.map(|&index| Cow::Borrowed(&self.groups[index])));
            batch.micros.push(start..batch.groups.len());
        }
        batch
    }
}

impl<'a> Batch<'a> {
    /// Groups that were sampled, so many members in a micro-batch; larger groups are taken apart, what is known of their
    /// members being known.
    pub(crate) fn of_members(groups: Vec<Cow<'a, Group>>, micro: usize) -> Self {
        let mut batch = Batch::default();
        let (mut start, mut members) = (0, 0);
        for group in groups.into_iter().flat_map(|group| parts(group, micro)) {
            if members > 0 && members + group.members.len() > micro {
                batch.micros.push(start..batch.groups.len());
                (start, members) = (batch.groups.len(), 0);
            }
            members += group.members.len();
            batch.groups.push(group);
        }
        if start < batch.groups.len() {
            batch.micros.push(start..batch.groups.len());
        }
        batch
    }

    /// The part of that number among `parts`, each of about the same number of micro-batches.
    pub(crate) fn part(&self, part: usize, parts: usize) -> Batch<'_> {
        let (from, to) = (part * self.micros.len() / parts, (part + 1) * self.micros.len() / parts);
        let micros = &self.micros[from..to];
        let (Some(first), Some(last)) = (micros.first(), micros.last()) else { return Batch::default() };
        let groups = self.groups[first.start..last.end].iter().map(|group| Cow::Borrowed(&**group)).collect();
        Batch { groups, micros: micros.iter().map(|m| m.start - first.start..m.end - first.start).collect() }
    }

    /// `file:line` of its rows.
    pub(crate) fn places(&self) -> Vec<String> {
        let places: BTreeSet<&str> = self.groups.iter().map(|group| group.place.as_str()).collect();
        places.into_iter().map(str::to_owned).collect()
    }

    /// Tokens of all members, shared ones counted as often as they occur; of labelled rows, of what they label.
    pub(crate) fn tokens(&self) -> u64 {
        let labelled = |group: &Group| group.members.iter().any(|member| member.label.is_some());
        let counted = |group: &Group| {
            let all = !labelled(group);
            let members = group.members.iter().filter(|member| all || member.label.is_some());
            members.map(|member| member.sequence.ids.len() as u64).sum::<u64>()
        };
        self.groups.iter().map(|group| counted(group)).sum()
    }
}

/// A group of at most so many members, or several.
fn parts(group: Cow<'_, Group>, limit: usize) -> Vec<Cow<'_, Group>> {
    if group.members.len() <= limit {
        return vec![group];
    }
    let part = |members: &[crate::group::Member]| {
        let (place, columns) = (group.place.clone(), group.columns.clone());
        Cow::Owned(Group { place, members: members.to_vec(), columns })
    };
    group.members.chunks(limit.max(1)).map(part).collect()
}

/// Packs items of these sizes into bins of at most `limit`: largest first, each into the fullest bin that still takes it.
/// Items in a bin, and bins, are in the order of their first item.
fn best_fit_decreasing(sizes: &[usize], limit: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&item| std::cmp::Reverse(sizes[item]));
    let mut bins: Vec<Vec<usize>> = Vec::new();
    let mut free: BTreeSet<(usize, usize)> = BTreeSet::new();
    for item in order {
        let found = free.range((sizes[item], 0)..).next().copied();
        let (room, bin) = found.unwrap_or_else(|| {
            bins.push(Vec::new());
            (limit.max(sizes[item]), bins.len() - 1)
        });
        free.remove(&(room, bin));
        free.insert((room - sizes[item], bin));
        bins[bin].push(item);
    }
    bins.iter_mut().for_each(|bin| bin.sort_unstable());
    bins.sort_unstable();
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Member;
    use crate::sequence::Sequence;

    #[test]
    fn packs_are_tight_and_keep_every_item() {
        assert_eq!(best_fit_decreasing(&[3, 5, 2, 4, 6], 10), vec![vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(best_fit_decreasing(&[12, 1], 10), vec![vec![0], vec![1]]);
        assert!(best_fit_decreasing(&[], 4).is_empty());
    }

    #[test]
    fn members_fill_micro_batches_in_order_and_parts_cover_them() {
        let group = |members: usize| {
            let member = |id| Member::new(Sequence::completion(&[1], &[id as u32]));
            Cow::Owned(Group { members: (0..members).map(member).collect(), ..Group::default() })
        };
        let batch = Batch::of_members(vec![group(2), group(5), group(1), group(2)], 4);
        let counts = |batch: &Batch<'_>| -> Vec<Vec<usize>> {
            let of = |micro: &Range<usize>| batch.groups[micro.clone()].iter().map(|g| g.members.len()).collect();
            batch.micros.iter().map(of).collect()
        };
        assert_eq!(counts(&batch), [vec![2], vec![4], vec![1, 1, 2]]);
        assert_eq!(counts(&batch.part(0, 2)), [vec![2]]);
        assert_eq!(counts(&batch.part(1, 2)), [vec![4], vec![1, 1, 2]]);
        assert!(batch.part(0, 5).micros.is_empty());
    }
}
