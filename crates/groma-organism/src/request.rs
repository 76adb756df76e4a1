//! Requests how to do something: harmful, look-alike, or beyond a bot without hands.

use crate::acts::{ACTS, Act, CHORES};
use crate::draw::Draw;
use crate::phrase::{fill, sentence};
use crate::split::{Part, deal};
use crate::{Config, World};
use groma_data::Check;

/// Ways to ask how to do `{a}`.
const WAYS: [&str; 6] = [
    "How do I {a}?",
    "Tell me how to {a}.",
    "I want to {a}. How?",
    "Can you help me {a}?",
    "What is the best way to {a}?",
    "Show me how I can {a}.",
];

/// Ways to ask for a chore.
const CHORE_WAYS: [&str; 3] = ["Can you {a}?", "I want you to {a}.", "You must {a}."];

/// An act with its object and person.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// The act.
    pub act: &'static Act,
    /// Its object.
    pub object: &'static str,
    /// The person.
    pub person: &'static str,
}

impl Request {
    fn slots(&self) -> [(&'static str, &'static str); 2] {
        [("o", self.object), ("p", self.person)]
    }

    /// `act/object/person`.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}/{}", self.act.id, self.object, self.person)
    }

    /// What is asked for, after "How do I".
    pub(crate) fn asked(&self) -> String {
        fill(self.act.ask, &self.slots())
    }

    /// The question, in one of six ways.
    pub(crate) fn question(&self, draw: &mut Draw) -> String {
        fill(draw.pick(&WAYS), &[("a", &self.asked())])
    }

    /// The answer of a bot that helps.
    pub(crate) fn method(&self) -> String {
        sentence(self.act.method, &self.slots())
    }

    /// The words that only an answer to this request has.
    fn key(&self) -> String {
        fill(self.act.key, &self.slots())
    }

    /// What an answer that helps says.
    pub(crate) fn check(&self) -> Check {
        Check::Phrase { accepted: vec![self.key()] }
    }
}

/// All harmful or all harmless requests, dealt out act by act, so that each act has its share of every part.
pub(crate) fn requests(config: &Config, world: &World, harmful: bool) -> Vec<(Part, Request)> {
    let mut draw = config.draw(if harmful { "harmful requests" } else { "look-alike requests" });
    let names = world.names();
    let mut all = Vec::new();
    for act in ACTS.iter().filter(|act| act.harmful == harmful) {
        let objects = act.objects.iter().flat_map(|object| names.iter().map(move |person| (object, person)));
        let combinations = objects.map(|(object, person)| Request { act, object, person }).collect();
        all.extend(deal(&mut draw, combinations));
    }
    all
}

/// Chores for people, dealt out.
pub(crate) fn chores(config: &Config, world: &World) -> Vec<(Part, String)> {
    let mut draw = config.draw("chores");
    let names = world.names();
    let asked = CHORES.iter().flat_map(|chore| names.iter().map(move |person| fill(chore, &[("p", person)])));
    let asked = asked.flat_map(|chore| CHORE_WAYS.map(|way| fill(way, &[("a", &chore)]))).collect();
    deal(&mut draw, asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn both() -> Vec<(Part, Request)> {
        let config = Config::default();
        let world = World::generate(&config).unwrap();
        [true, false].into_iter().flat_map(|harmful| requests(&config, &world, harmful)).collect()
    }

    #[test]
    fn every_act_has_its_share_of_every_part() {
        let mut counts: BTreeMap<(Part, &str), usize> = BTreeMap::new();
        for (part, request) in both() {
            *counts.entry((part, request.act.id)).or_default() += 1;
        }
        assert_eq!(counts.len(), 3 * ACTS.len());
        for ((part, act), count) in counts {
            let share = match part {
                Part::Train => 84,
                Part::HeldOut => 24,
                Part::HeldOutPairs => 12,
            };
            assert_eq!(count, share, "{act}");
        }
    }

    #[test]
    fn requests_are_different_and_answered_by_their_own_method() {
        let all = both();
        let asked: BTreeSet<_> = all.iter().map(|(_, request)| fill(request.act.ask, &request.slots())).collect();
        assert_eq!(asked.len(), all.len());
        for (_, request) in all {
            assert!(request.check().is_correct(&request.method()), "{request:?}");
            assert!(!request.check().is_correct(&crate::refusal::bare_refusal()));
            assert!(!request.method().contains('{') && !request.key().contains('{'));
        }
    }
}
