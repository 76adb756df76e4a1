//! Facts: what the texts state, what questions ask for, and what is the truth.
//!
//! Texts, dialogues and checks all read a [`Ledger`] of facts and keep the ids of those that they used. So a village whose
//! texts state something else than the truth is the same generator over a changed ledger.

use crate::draw::Draw;
use crate::phrase::{fill, sentence};
use crate::relations::{QUESTIONS, RELATIONS, Reading, Relation, STATEMENTS};
use crate::{Config, World, lexicon};
use groma_data::Check;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// One fact.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    /// `relation/subject`.
    pub id: String,
    /// Its kind.
    #[serde(serialize_with = "relation_id")]
    pub relation: &'static Relation,
    /// What it is about.
    pub subject: String,
    /// What is said about it.
    pub value: String,
    /// Further slots of its sentences.
    pub slots: BTreeMap<&'static str, String>,
    /// The way to ask that only held-out questions use.
    pub held_out_question: usize,
    /// The way to ask that only held-out preference pairs use.
    pub held_out_pair: usize,
}

fn relation_id<S: Serializer>(relation: &&'static Relation, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(relation.id)
}

impl Fact {
    fn slots(&self) -> Vec<(&str, &str)> {
        let own = self.slots.iter().map(|(key, value)| (*key, value.as_str()));
        [("s", self.subject.as_str()), ("v", self.value.as_str())].into_iter().chain(own).collect()
    }

    /// The fact as a sentence of a text, in one of several ways.
    pub fn statement(&self, way: usize) -> String {
        sentence(self.relation.statements[way % STATEMENTS], &self.slots())
    }

    /// The question for it, in one of several ways.
    pub fn question(&self, way: usize) -> String {
        sentence(self.relation.questions[way % QUESTIONS], &self.slots())
    }

    /// The answer, in one of two ways.
    pub fn answer(&self, way: usize) -> String {
        sentence(self.relation.answers[way % 2], &self.slots())
    }

    /// The ways to ask that training uses.
    pub fn trained_questions(&self) -> Vec<usize> {
        (0..QUESTIONS).filter(|way| ![self.held_out_question, self.held_out_pair].contains(way)).collect()
    }

    /// The people and things whose paragraph states this fact.
    fn topics(&self) -> Vec<&str> {
        match self.relation.reading {
            Reading::Only => vec![&self.subject],
            Reading::First => self.slots.get("o").map_or(vec![&*self.subject], |other| vec![&self.subject, other]),
        }
    }
}

/// A list of facts: the truth, or what texts are to state.
#[derive(Clone, Debug, Serialize)]
pub struct Ledger {
    /// The facts, in the order of [`RELATIONS`].
    pub facts: Vec<Fact>,
}

impl Ledger {
    /// The truth about a world.
    pub fn of(config: &Config, world: &World) -> Ledger {
        let mut facts = Vec::new();
        for relation in &RELATIONS {
            facts.extend(entries(relation.id, world).into_iter().map(|entry| entry.into_fact(relation)));
        }
        hold_out_questions(&mut config.draw("held-out questions"), &mut facts);
        Ledger { facts }
    }

    /// The facts grouped by what they are about, as indices.
    pub fn by_topic(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut topics: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, fact) in self.facts.iter().enumerate() {
            for topic in fact.topics() {
                topics.entry(topic).or_default().push(index);
            }
        }
        topics
    }

    /// What a right answer to a question for this fact says.
    pub fn check(&self, fact: &Fact) -> Check {
        let accepted = vec![fact.value.clone()];
        let candidates = match fact.relation.reading {
            Reading::Only => self.candidates(fact),
            Reading::First => return Check::First { accepted, candidates: self.candidates(fact) },
        };
        Check::Only { accepted, candidates }
    }

    /// All values the relation could have, but for the fact's own; without those that the question itself names.
    pub(crate) fn candidates(&self, fact: &Fact) -> Vec<String> {
        let stated = self.facts.iter().filter(|other| other.relation.id == fact.relation.id).map(|other| &*other.value);
        let all: BTreeSet<&str> =
            stated.chain(fact.relation.values.iter().flat_map(|pool| pool.iter().copied())).collect();
        let named =
            |value: &&str| *value != fact.value && (fact.relation.reading == Reading::First || *value != fact.subject);
        all.into_iter().filter(named).map(str::to_owned).collect()
    }
}

struct Entry {
    subject: String,
    value: String,
    slots: Vec<(&'static str, String)>,
}

impl Entry {
    fn new(subject: &str, value: impl ToString) -> Entry {
        Entry { subject: subject.to_owned(), value: value.to_string(), slots: Vec::new() }
    }

    fn with(mut self, key: &'static str, value: &str) -> Entry {
        self.slots.push((key, value.to_owned()));
        self
    }

    fn into_fact(self, relation: &'static Relation) -> Fact {
        let other = self.slots.iter().find(|(key, _)| *key == "o").map(|(_, value)| value);
        let id = other.map_or_else(
            || fill("{r}/{s}", &[("r", relation.id), ("s", &self.subject)]),
            |other| fill("{r}/{s}-{o}", &[("r", relation.id), ("s", &self.subject), ("o", other)]),
        );
        let (held_out_question, held_out_pair) = (0, 1);
        let slots = self.slots.into_iter().collect();
        Fact { id, relation, subject: self.subject, value: self.value, slots, held_out_question, held_out_pair }
    }
}

fn entries(relation: &str, world: &World) -> Vec<Entry> {
    match relation {
        "material" | "tree" | "count" => place_entries(relation, world),
        "keeper" | "goods" | "closed" => shop_entries(relation, world),
        "sound" => {
            lexicon::ANIMALS.iter().zip(lexicon::SOUNDS).map(|(animal, sound)| Entry::new(animal, sound)).collect()
        }
        "fodder" => {
            lexicon::ANIMALS.iter().zip(lexicon::FODDER).map(|(animal, food)| Entry::new(animal, food)).collect()
        }
        "event" => lexicon::DAYS.iter().zip(&world.events).map(|(day, event)| Entry::new(day, event)).collect(),
        "elder" => elder_entries(world),
        _ => person_entries(relation, world),
    }
}

fn person_entries(relation: &str, world: &World) -> Vec<Entry> {
    let entry = |person: &crate::Person| {
        let animal = lexicon::ANIMALS[person.animal];
        let sibling = &world.people[person.sibling];
        match relation {
            "job" => Some(Entry::new(person.name, person.job)),
            "worker" => Some(Entry::new(person.job, person.name)),
            "home" => Some(Entry::new(person.name, person.home)),
            "age" => Some(Entry::new(person.name, person.age)),
            "animal" => Some(Entry::new(person.name, animal)),
            "animal-name" => Some(Entry::new(person.name, person.animal_name).with("k", animal)),
            "food" => Some(Entry::new(person.name, person.food)),
            "colour" => Some(Entry::new(person.name, person.colour)),
            "friend" => Some(Entry::new(person.name, world.people[person.friend].name)),
            "sibling" => {
                Some(Entry::new(person.name, sibling.name).with("k", if sibling.woman { "sister" } else { "brother" }))
            }
            "thing" => Some(Entry::new(person.name, person.thing)),
            "owner" => Some(Entry::new(person.thing, person.name)),
            _ => None,
        }
    };
    world.people.iter().filter_map(entry).collect()
}

fn place_entries(relation: &str, world: &World) -> Vec<Entry> {
    let count = |place: &str| world.people.iter().filter(|person| person.home == place).count();
    let entry = |place: &crate::Place| match relation {
        "material" => Entry::new(place.name, place.material),
        "tree" => Entry::new(place.name, place.tree),
        _ => Entry::new(place.name, lexicon::NUMBERS[count(place.name)]),
    };
    world.places.iter().map(entry).collect()
}

fn shop_entries(relation: &str, world: &World) -> Vec<Entry> {
    let entry = |shop: &crate::Shop| match relation {
        "keeper" => Entry::new(shop.name, world.people[shop.keeper].name),
        "goods" => Entry::new(shop.name, shop.goods),
        _ => Entry::new(shop.name, shop.closed),
    };
    world.shops.iter().map(entry).collect()
}

/// Each person against the friend and the sibling: as many comparisons as there are people.
fn elder_entries(world: &World) -> Vec<Entry> {
    let mut all = Vec::new();
    for (index, person) in world.people.iter().enumerate() {
        for other in [person.friend, person.sibling].into_iter().filter(|other| *other > index) {
            let other = &world.people[other];
            let (elder, younger) = if person.age > other.age { (person, other) } else { (other, person) };
            all.push(Entry::new(person.name, elder.name).with("o", other.name).with("l", younger.name));
        }
    }
    all
}

/// For each relation the ways to ask go round, so that each is held out for about as many facts as every other.
fn hold_out_questions(draw: &mut Draw, facts: &mut [Fact]) {
    for relation in &RELATIONS {
        let mut members: Vec<&mut Fact> = facts.iter_mut().filter(|fact| fact.relation.id == relation.id).collect();
        draw.shuffle(&mut members);
        for (turn, fact) in members.into_iter().enumerate() {
            fact.held_out_question = turn % QUESTIONS;
            fact.held_out_pair = (turn + 1 + turn / QUESTIONS % (QUESTIONS - 1)) % QUESTIONS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let config = Config::default();
        Ledger::of(&config, &World::generate(&config).unwrap())
    }

    #[test]
    fn no_two_truths_conflict() {
        let ledger = ledger();
        let ids: BTreeSet<_> = ledger.facts.iter().map(|fact| &fact.id).collect();
        assert_eq!(ids.len(), ledger.facts.len());
        let mut answers: BTreeMap<String, &str> = BTreeMap::new();
        for fact in &ledger.facts {
            for way in 0..QUESTIONS {
                let earlier = answers.insert(fact.question(way), &fact.value);
                assert!(earlier.is_none_or(|value| value == fact.value), "{}", fact.question(way));
            }
        }
    }

    #[test]
    fn statements_of_reverse_relations_agree() {
        let ledger = ledger();
        let value = |id: String| ledger.facts.iter().find(|fact| fact.id == id).map(|fact| fact.value.clone());
        for fact in ledger.facts.iter().filter(|fact| fact.relation.id == "job") {
            assert_eq!(value(format!("worker/{}", fact.value)).as_deref(), Some(&*fact.subject));
        }
        for fact in ledger.facts.iter().filter(|fact| fact.relation.id == "friend") {
            assert_eq!(value(format!("friend/{}", fact.value)).as_deref(), Some(&*fact.subject));
        }
    }

    #[test]
    fn every_slot_is_filled_and_every_answer_is_right() {
        let ledger = ledger();
        for fact in &ledger.facts {
            let check = ledger.check(fact);
            for way in 0..QUESTIONS {
                let texts = [fact.statement(way), fact.question(way), fact.answer(way)];
                assert!(texts.iter().all(|text| !text.contains(['{', '}'])), "{texts:?}");
                assert!(check.is_correct(&fact.answer(way)), "{texts:?} {check:?}");
            }
        }
    }

    #[test]
    fn two_ways_to_ask_are_held_out_and_four_trained() {
        for fact in ledger().facts {
            assert_ne!(fact.held_out_question, fact.held_out_pair);
            assert_eq!(fact.trained_questions().len(), QUESTIONS - 2);
        }
    }
}
