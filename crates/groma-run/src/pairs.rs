//! Which items of two sets are the same.
//!
//! An item is known by the digest of what was asked: where rows were added to a file or taken out of it, or other rows were
//! drawn, the ids move and the items do not. Ids count where records have no digest, and among items of one digest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::sample::Item;

/// The score that says how large a part of an item is.
const SIZE: &str = "tokens";

/// The items that two sets share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs<'a> {
    /// The items that are in both, in the order of the first.
    pub items: Vec<(Cow<'a, Item>, Cow<'a, Item>)>,
    /// Whether parts of an item (windows of a text) were added up, as the two sides cut it in different places.
    pub merged: bool,
    /// How many there are in the first set and in the second: parts, or items where these were added up.
    pub of: (usize, usize),
}

/// An item with its parts: one, or windows of a text that are numbered behind its id.
struct Whole<'a> {
    id: &'a str,
    digest: Option<&'a str>,
    parts: &'a [Item],
}

impl<'a> Pairs<'a> {
    /// The items that are in both sets.
    pub fn of(first: &'a [Item], second: &'a [Item]) -> Self {
        let (wholes, others) = (wholes(first), wholes(second));
        let mut found = Pairs::default();
        for (whole, partner) in wholes.iter().zip(partners(&wholes, &others)) {
            if let Some(partner) = partner {
                found.add(whole, &others[partner]);
            }
        }
        found.of = if found.merged { (wholes.len(), others.len()) } else { (first.len(), second.len()) };
        found
    }

    fn add(&mut self, first: &Whole<'a>, second: &Whole<'a>) {
        if same_parts(first.parts, second.parts) {
            self.items.extend(first.parts.iter().zip(second.parts).map(|(a, b)| (Cow::Borrowed(a), Cow::Borrowed(b))));
        } else {
            self.merged = true;
            self.items.push((Cow::Owned(first.sum()), Cow::Owned(second.sum())));
        }
    }
}

impl Whole<'_> {
    /// The item as one, its scores added up.
    fn sum(&self) -> Item {
        let mut whole = self.parts[0].clone();
        whole.id = self.id.to_owned();
        for part in &self.parts[1..] {
            whole.scores.retain(|name, _| part.scores.contains_key(name));
            for (name, sum) in &mut whole.scores {
                *sum += part.scores[name];
            }
        }
        whole
    }
}

/// The items, those that are parts of one put together: `id/0`, `id/1` ... of one digest.
fn wholes(items: &[Item]) -> Vec<Whole<'_>> {
    let mut found = Vec::new();
    let mut rest = items;
    while let Some(first) = rest.first() {
        let stem = first.id.strip_suffix("/0").filter(|_| first.digest.is_some());
        let is_part = |(number, item): &(usize, &Item)| {
            item.digest == first.digest && stem.is_some_and(|stem| item.id == format!("{stem}/{number}"))
        };
        let count = rest.iter().enumerate().take_while(is_part).count();
        let (id, count) = if count > 1 { (stem.unwrap_or(&first.id), count) } else { (first.id.as_str(), 1) };
        found.push(Whole { id, digest: first.digest.as_deref(), parts: &rest[..count] });
        rest = &rest[count..];
    }
    found
}

/// For each item its partner among the others: of the same digest and id, else the next of the same digest; where one side
/// has no digests, of the same id. None is partner of two.
fn partners(items: &[Whole<'_>], others: &[Whole<'_>]) -> Vec<Option<usize>> {
    let mut by_id: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut by_digest: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, other) in others.iter().enumerate().rev() {
        by_id.entry(other.id).or_default().push(place);
        other.digest.iter().for_each(|digest| by_digest.entry(digest).or_default().push(place));
    }
    let mut taken = vec![false; others.len()];
    let mut found: Vec<Option<usize>> = vec![None; items.len()];
    for (item, found) in items.iter().zip(&mut found) {
        let agrees = |place: &&usize| match (item.digest, others[**place].digest) {
            (Some(digest), Some(other)) => digest == other,
            _ => true,
        };
        *found = by_id.get(item.id).and_then(|places| places.iter().rev().find(agrees)).copied();
        found.iter().for_each(|place| taken[*place] = true);
    }
    for (item, found) in items.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
        let Some(places) = item.digest.and_then(|digest| by_digest.get_mut(digest)) else { continue };
        while let Some(place) = places.pop() {
            if !std::mem::replace(&mut taken[place], true) {
                *found = Some(place);
                break;
            }
        }
    }
    found
}

/// Whether two sides cut an item in the same places.
fn same_parts(first: &[Item], second: &[Item]) -> bool {
    let size = |item: &Item| item.scores.get(SIZE).copied();
    first.len() == second.len() && (first.len() == 1 || first.iter().map(size).eq(second.iter().map(size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, digest: &str, score: f64) -> Item {
        let digest = (!digest.is_empty()).then(|| digest.to_owned());
        Item { id: id.into(), digest, scores: [("tokens".to_owned(), score)].into(), ..Item::default() }
    }

    fn ids(first: &[Item], second: &[Item]) -> Vec<(String, String)> {
        Pairs::of(first, second).items.iter().map(|(a, b)| (a.id.clone(), b.id.clone())).collect()
    }

    fn pair(first: &str, second: &str) -> (String, String) {
        (first.into(), second.into())
    }

    #[test]
    fn what_is_asked_counts_and_not_the_id() {
        let first = [item("1", "a", 1.0), item("2", "b", 1.0), item("3", "c", 1.0)];
        let moved = [item("1", "new", 1.0), item("2", "a", 1.0), item("3", "b", 1.0)];
        assert_eq!(ids(&first, &moved), [pair("1", "2"), pair("2", "3")]);
        assert_eq!(ids(&first, &first), [pair("1", "1"), pair("2", "2"), pair("3", "3")]);
        assert!(ids(&first, &[item("1", "other", 1.0)]).is_empty(), "one id of other content is another item");
    }

    #[test]
    fn items_that_ask_the_same_have_one_partner_each() {
        let first = [item("1", "a", 1.0), item("2", "a", 1.0), item("3", "a", 1.0)];
        let second = [item("3", "a", 1.0), item("9", "a", 1.0)];
        assert_eq!(ids(&first, &second), [pair("1", "9"), pair("3", "3")]);
    }

    #[test]
    fn ids_count_where_nothing_else_is_known() {
        let (with, without) = ([item("1", "a", 1.0)], [item("1", "", 1.0)]);
        assert_eq!(ids(&with, &without), [pair("1", "1")]);
        assert_eq!(ids(&without, &with), [pair("1", "1")]);
        assert!(ids(&[item("2", "", 1.0)], &with).is_empty());
    }

    #[test]
    fn texts_that_are_cut_elsewhere_are_compared_whole() {
        let halves = [item("7/0", "a", 4.0), item("7/1", "a", 4.0), item("8", "b", 2.0)];
        let thirds = [item("7/0", "a", 3.0), item("7/1", "a", 3.0), item("7/2", "a", 2.0), item("8", "b", 2.0)];
        assert_eq!(ids(&halves, &halves).len(), 3);
        let found = Pairs::of(&halves, &thirds);
        assert!(found.merged && found.items.len() == 2 && found.of == (2, 2));
        let (whole, other) = &found.items[0];
        assert_eq!((whole.id.as_str(), whole.scores["tokens"], other.scores["tokens"]), ("7", 8.0, 8.0));
        let uneven = [item("7/0", "a", 5.0), item("7/1", "a", 3.0)];
        assert!(Pairs::of(&halves, &uneven).merged, "as many parts of other sizes are other parts");
    }
}
