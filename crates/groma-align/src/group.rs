//! What is learned from, as tokens: sequences that share a prompt, and what is known of each.

use crate::forest::tree_rows;
use crate::sequence::Sequence;
use crate::translation::Translation;
use groma_run::{Digest, Hasher};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One row, or one prompt with what was sampled for it: a text, a completion, a pair (the preferred one first), a ranking, a
/// labelled completion, an answer in steps, rollouts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// `file:line`.
    pub place: String,
    /// Its sequences; of a prompt alone, the prompt.
    pub members: Vec<Member>,
    /// The row's further columns and, as `prompt`, its prompt, where a reward reads them; else empty.
    pub columns: Map<String, Value>,
}

/// A sequence, and what is known of it. Nothing is known of a text or of a plain completion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The prompt and what follows it.
    pub sequence: Sequence,
    /// Whether it is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<bool>,
    /// How good it is beside the other members; higher is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// By how much it is better than the next member, where the row says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Of an answer in steps: after how many tokens each step ends, and whether it is right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<(usize, bool)>,
    /// What a teacher that is the model itself reads in the prompt's place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<u32>,
    /// What a teacher reads that has tokens of its own, once it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translation: Option<Translation>,
    /// How much it has of each attribute that is learned, where the row says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Option<f64>>,
    /// What a rollout was found to be worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
    /// Of a rollout, how much of that lies at each scored token; the rest lies at the last. Empty: all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placed: Vec<f64>,
    /// What a rollout was found to cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// By how much that is more than was to be expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantage: Option<f64>,
    /// Where a critic was asked: what it had to say, and what is made of it, of each scored token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub estimates: Vec<Estimate>,
    /// Log-probabilities of its scored tokens when it was sampled, at the temperature of sampling.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sampled: Vec<f32>,
    /// Whether a rollout came to its end, and was not cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<bool>,
    /// Log-probabilities of its scored tokens under the reference model, once they were looked up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference: Vec<f32>,
}

/// What a critic expected when a token was sampled, and how it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// What was to be expected before the token.
    pub value: f32,
    /// By how much better than that the token was.
    pub advantage: f64,
    /// What the critic should have said.
    #[serde(rename = "return")]
    pub target: f64,
}

impl Member {
    /// What a teacher that is the model itself reads: its completion behind another prompt, or the same where there is none.
    pub(crate) fn taught(&self) -> Sequence {
        if self.context.is_empty() {
            return self.sequence.clone();
        }
        Sequence::completion(&self.context, &self.sequence.ids[self.sequence.prompt().len()..])
    }

    /// A sequence of which nothing is known.
    pub fn new(sequence: Sequence) -> Self {
        Member { sequence, ..Member::default() }
    }

    /// The reward of each token of a rollout that is learned from; together they are its reward.
    pub(crate) fn token_rewards(&self) -> Vec<f64> {
        let mut rewards = self.placed.clone();
        rewards.resize(self.sampled.len(), 0.0);
        let rest = self.reward.unwrap_or(0.0) - rewards.iter().sum::<f64>();
        rewards.last_mut().into_iter().for_each(|last| *last += rest);
        rewards
    }
}

impl Group {
    /// A group of one sequence.
    pub fn of(place: String, sequence: Sequence) -> Self {
        Group { place, members: vec![Member::new(sequence)], columns: Map::new() }
    }

    /// Its sequences.
    pub fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.members.iter().map(|member| &member.sequence)
    }

    /// Tokens of all members, shared ones counted as often as they occur.
    pub fn tokens(&self) -> usize {
        self.sequences().map(|sequence| sequence.ids.len()).sum()
    }

    /// Rows of its token tree: shared prefixes count once.
    pub fn tree_rows(&self) -> usize {
        tree_rows(&self.sequences().collect::<Vec<_>>())
    }

    /// +1 for a member that is wanted, -1 for one that is not, 0 where nothing says so: as the sides of a pair, by labels, or as
    /// the best and the worst by scores.
    pub(crate) fn sides(&self) -> Vec<f64> {
        let labelled = self.members.iter().any(|member| member.label.is_some());
        let scored = self.members.iter().all(|member| member.score.is_some());
        let scores = || self.members.iter().filter_map(|member| member.score);
        match &self.members[..] {
            [_, _] if self.is_pair() => vec![1.0, -1.0],
            members if labelled => {
                let side = |member: &Member| member.label.map_or(0.0, |wanted| if wanted { 1.0 } else { -1.0 });
                members.iter().map(side).collect()
            }
            _ if scored => {
                let (worst, best) =
                    (scores().fold(f64::INFINITY, f64::min), scores().fold(f64::NEG_INFINITY, f64::max));
                let side = |score: f64| f64::from(u8::from(score == best)) - f64::from(u8::from(score == worst));
                scores().map(side).collect()
            }
            members => vec![0.0; members.len()],
        }
    }

    /// Whether it is two different sequences, the first preferred: both are labelled, or neither is.
    fn is_pair(&self) -> bool {
        let alike = |a: &Member, b: &Member| a.label.is_some() == b.label.is_some() && a.score.or(b.score).is_none();
        matches!(&self.members[..], [a, b] if a.sequence.ids != b.sequence.ids && alike(a, b))
    }

    /// The same sequences, each called what its opposite was: what is wanted is not, and the other way round.
    #[must_use]
    pub(crate) fn exchanged(&self) -> Group {
        let mut group = self.clone();
        for member in &mut group.members {
            member.label = member.label.map(|wanted| !wanted);
            member.score = member.score.map(|score| -score);
        }
        if let ([first, second], true) = (&mut group.members[..], self.is_pair()) {
            std::mem::swap(first, second);
            std::mem::swap(&mut first.margin, &mut second.margin);
        }
        group
    }
}

/// Digest of all that training reads of groups, in their order: tokens, masks, and everything known; not the places.
pub fn digest(groups: &[Group]) -> Digest {
    let mut hasher = Hashing(Hasher::default());
    for group in groups {
        // Writing to a hasher cannot fail, and neither can the serialisation of plain records.
        let _ = serde_json::to_writer(&mut hasher, &(&group.members, &group.columns));
    }
    hasher.0.finish()
}

struct Hashing(Hasher);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        let member = |ids: &[u32]| Member::new(Sequence::completion(&[1, 2], ids));
        Group { place: "rows:1".into(), members: vec![member(&[3]), member(&[4, 5])], columns: Map::new() }
    }

    /// Whatever is known of a member, a resumed run must not go on with another value of it.
    #[test]
    fn the_digest_hears_everything_but_the_place() {
        let changes: [fn(&mut Group); 17] = [
            |g| g.members[0].sequence.ids[2] = 9,
            |g| g.members[0].sequence.supervised[1] = true,
            |g| g.members[1].label = Some(false),
            |g| g.members[1].score = Some(0.5),
            |g| g.members[0].margin = Some(0.5),
            |g| g.members[0].steps = vec![(1, true)],
            |g| g.members[0].context = vec![1, 7],
            |g| g.members[0].translation = Some(Translation::default()),
            |g| g.members[0].attributes = vec![Some(1.0), None],
            |g| g.members[0].reward = Some(1.0),
            |g| g.members[0].placed = vec![0.5],
            |g| g.members[0].advantage = Some(1.0),
            |g| g.members[0].cost = Some(1.0),
            |g| g.members[0].estimates = vec![Estimate::default()],
            |g| g.members[0].sampled = vec![-0.5],
            |g| g.members[0].ended = Some(true),
            |g| drop(g.columns.insert("answer".into(), Value::from(7))),
        ];
        let plain = digest(&[group()]);
        for (index, change) in changes.iter().enumerate() {
            let mut changed = group();
            change(&mut changed);
            assert_ne!(digest(&[changed]), plain, "change {index}");
        }
        assert_eq!(digest(&[Group { place: "elsewhere:3".into(), ..group() }]), plain);
    }

    #[test]
    fn sides_turn_round_when_exchanged() {
        let mut labelled = group();
        labelled.members[0].label = Some(true);
        let mut scored = group();
        (scored.members[0].score, scored.members[1].score) = (Some(3.0), Some(1.0));
        assert_eq!(
            (group().sides(), labelled.sides(), scored.sides()),
            (vec![1.0, -1.0], vec![1.0, 0.0], vec![1.0, -1.0])
        );
        assert_eq!((labelled.exchanged().sides(), scored.exchanged().sides()), (vec![-1.0, 0.0], vec![-1.0, 1.0]));
        assert_eq!(group().exchanged().members[0], group().members[1]);
        assert_eq!(group().tree_rows(), 2 + 1 + 2);
    }
}
