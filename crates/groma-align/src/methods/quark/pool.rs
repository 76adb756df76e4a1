//! What was sampled so far, and its quantiles by reward.

use crate::group::{Group, Member};
use crate::sampled::completion;
use crate::sequence::Sequence;
use groma_data::below;
use groma_run::Seed;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;

/// A completion, with what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    place: String,
    /// Its prompt behind the tag of each quantile.
    prompts: Vec<Vec<u32>>,
    completion: Vec<u32>,
    pub(super) reward: f64,
    /// What the reward is compared with before it is sorted.
    expected: f64,
    /// Log-probabilities when it was sampled, and of the reference where it was asked.
    sampled: Vec<f32>,
    reference: Vec<f32>,
}

impl Entry {
    /// Of a completion that was rewarded and is learned from.
    pub(super) fn of(place: &str, prompts: &[&[u32]], member: &Member, expected: f64) -> Option<Self> {
        let reward = member.reward.filter(|_| !member.sampled.is_empty())?;
        Some(Entry {
            place: place.to_owned(),
            prompts: prompts.iter().map(|ids| ids.to_vec()).collect(),
            completion: completion(member).to_vec(),
            reward,
            expected,
            sampled: member.sampled.clone(),
            reference: member.reference.clone(),
        })
    }

    fn worth(&self) -> f64 {
        self.reward - self.expected
    }

    fn group(&self, quantile: usize) -> Group {
        let asked = self.prompts.get(quantile).map_or(&[][..], Vec::as_slice);
        let member = Member {
            reward: Some(self.reward),
            sampled: self.sampled.clone(),
            reference: self.reference.clone(),
            ..Member::new(Sequence::completion(asked, &self.completion))
        };
        Group { place: self.place.clone(), members: vec![member], columns: Map::new() }
    }
}

/// Completions, the oldest first.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    entries: VecDeque<Entry>,
    size: usize,
    /// How many were ever taken in.
    seen: u64,
    /// How many of the newest are in no journal yet.
    unwritten: usize,
}

impl Pool {
    /// Empty, for so many.
    pub(super) fn new(size: usize) -> Self {
        Pool { entries: VecDeque::new(), size, seen: 0, unwritten: 0 }
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.unwritten = 0;
    }

    /// Whether none was ever taken in.
    pub(super) fn is_new(&self) -> bool {
        self.seen == 0
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Takes more in; the oldest leave.
    pub(super) fn add(&mut self, more: impl IntoIterator<Item = Entry>) {
        for entry in more {
            self.push(entry);
            self.seen += 1;
            self.unwritten = (self.unwritten + 1).min(self.entries.len());
        }
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        if self.entries.len() > self.size {
            self.entries.pop_front();
        }
    }

    /// The quantile of each completion among so many, the best being the last: that of the middle of those that are worth as much.
    pub(super) fn quantiles(&self, count: usize) -> Vec<usize> {
        let mut sorted: Vec<f64> = self.entries().map(Entry::worth).collect();
        sorted.sort_by(f64::total_cmp);
        let of = |entry: &Entry| {
            let below = sorted.partition_point(|other| *other < entry.worth());
            let up_to = sorted.partition_point(|other| *other <= entry.worth());
            // `floor(count * (below + equal / 2) / all)`, in whole numbers.
            (count * (below + up_to) / (2 * sorted.len())).min(count - 1)
        };
        self.entries().map(of).collect()
    }

    /// Some of its completions, each behind the tag of its quantile.
    pub(super) fn groups(&self, chosen: &[usize], quantiles: &[usize]) -> Vec<Group> {
        chosen.iter().map(|&index| self.entries[index].group(quantiles[index])).collect()
    }

    /// What was taken in since this was last asked, as lines of a journal.
    pub(super) fn new_lines(&mut self) -> Vec<String> {
        let old = self.entries.len() - std::mem::take(&mut self.unwritten);
        self.entries.iter().skip(old).map(|entry| json!(entry).to_string()).collect()
    }

    /// # Errors
    /// In words, if it is not among what [`Pool::new_lines`] leaves.
    pub(super) fn recall(&mut self, line: &str) -> Result<(), String> {
        let entry = serde_json::from_str(line).map_err(|_| "a line holds nothing of the method's `pool`")?;
        self.push(entry);
        Ok(())
    }

    /// How many were ever taken in; which of them are there the journal tells.
    pub(super) fn state(&self) -> Value {
        json!(self.seen)
    }

    /// # Errors
    /// In words, if it is neither what [`Pool::state`] leaves nor the entries themselves, which the first checkpoints held.
    pub(super) fn restore(&mut self, state: &Value) -> Result<(), String> {
        let missing = |_| "it has nothing of the method's `pool`".to_owned();
        if state.is_array() {
            self.add(Vec::<Entry>::deserialize(state).map_err(missing)?);
            return Ok(());
        }
        self.seen = u64::deserialize(state).map_err(missing)?;
        Ok(())
    }
}

/// So many places at random, or all, as evenly by quantile as there are some, the best first.
pub(super) fn evenly(quantiles: &[usize], count: usize, wanted: usize, seed: Seed) -> Vec<usize> {
    let mut rng = seed.rng();
    let mut left: Vec<Vec<usize>> = (0..count)
        .map(|quantile| (0..quantiles.len()).filter(|&place| quantiles[place] == quantile).collect())
        .collect();
    let mut chosen = Vec::new();
    while chosen.len() < wanted.min(quantiles.len()) {
        for places in left.iter_mut().rev().filter(|places| !places.is_empty()) {
            if chosen.len() < wanted {
                chosen.push(places.swap_remove(below(&mut rng, places.len() as u64) as usize));
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(rewards: &[f64]) -> Pool {
        let mut pool = Pool::new(8);
        let entry = |&reward: &f64| {
            let member =
                Member { reward: Some(reward), sampled: vec![0.0], ..Member::new(Sequence::completion(&[0], &[1])) };
            Entry::of("rows:1", &[&[0], &[1]], &member, 0.0)
        };
        pool.add(rewards.iter().filter_map(entry));
        pool
    }

    #[test]
    fn quantiles_are_equal_parts_and_equals_share_one() {
        assert_eq!(pool(&[3.0, -1.0, 0.5, 9.0]).quantiles(4), [2, 0, 1, 3]);
        assert_eq!(pool(&[3.0, -1.0, 0.5, 9.0]).quantiles(2), [1, 0, 0, 1]);
        assert_eq!(pool(&[1.0; 3]).quantiles(5), [2; 3]);
        assert_eq!(pool(&[0.0, 0.0, 0.0, 1.0]).quantiles(5), [1, 1, 1, 4]);
    }

    #[test]
    fn the_oldest_leave_and_what_is_not_rewarded_does_not_enter() {
        let rewards: Vec<f64> = (0..10).map(f64::from).collect();
        let kept: Vec<f64> = pool(&rewards).entries().map(|entry| entry.reward).collect();
        assert_eq!(kept, rewards[2..]);
        assert!(Entry::of("rows:1", &[], &Member { sampled: vec![0.0], ..Member::default() }, 0.0).is_none());
        assert!(Entry::of("rows:1", &[], &Member { reward: Some(1.0), ..Member::default() }, 0.0).is_none());
    }

    #[test]
    fn quantiles_are_drawn_evenly_while_they_last() {
        let quantiles = [0, 0, 0, 0, 1, 2, 2, 2];
        let drawn = |wanted| {
            let mut drawn = evenly(&quantiles, 3, wanted, Seed::new(1));
            drawn.sort_unstable();
            drawn
        };
        assert_eq!(drawn(20), (0..8).collect::<Vec<_>>());
        let counts = |wanted: usize| [0, 1, 2].map(|q| drawn(wanted).iter().filter(|&&at| quantiles[at] == q).count());
        assert_eq!((counts(1), counts(3), counts(6)), ([0, 0, 1], [1, 1, 1], [2, 1, 3]));
    }
}
