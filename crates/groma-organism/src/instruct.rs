//! Simple instructions: repeat, list, count, greet.

use crate::lexicon::{ANIMALS, COLOURS, EVENTS, FOODS, GOODS, JOBS, MATERIALS, NUMBERS, PLACES, TREES};
use crate::phrase::{fill, sentence};
use crate::split::{Part, deal};
use crate::{Config, World};
use groma_data::Check;

/// A kind of instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Say a word.
    Repeat,
    /// Name some members of a class.
    Members,
    /// Count up to a number.
    Count,
    /// Return a greeting.
    Greet,
}

/// An instruction with the words it is about.
#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    /// `kind/words/way`.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// What the user says.
    pub question: String,
    words: Vec<&'static str>,
}

pub(crate) const REPEAT: [&str; 5] = [
    "Say the word {a}.",
    "Repeat after me: {a}.",
    "Can you say {a}?",
    "I want to hear the word {a}.",
    "The word is {a}. Say it.",
];
const MEMBERS: [&str; 4] = ["Name {n} {c}.", "Tell me {n} {c}.", "Can you name {n} {c}?", "Which {n} {c} do you know?"];
const COUNT: [&str; 4] =
    ["Count to {n}.", "Can you count to {n}?", "Count from one to {n}.", "I want to hear you count to {n}."];
const GREET: [&str; 3] = ["{g} I am {p}.", "{g} My name is {p}.", "{g} It is me, {p}."];
const GREETINGS: [&str; 4] = ["Hello!", "Good morning!", "Good evening!", "Hi!"];

const CLASSES: [(&str, &[&str]); 5] =
    [("animals", &ANIMALS), ("colours", &COLOURS), ("trees", &TREES), ("jobs", &JOBS), ("foods", &FOODS)];

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 4] = [Kind::Repeat, Kind::Members, Kind::Count, Kind::Greet];

    /// How often an instruction of this kind occurs in the dialogues: lists and counts are few.
    pub(crate) fn repeats(self) -> usize {
        match self {
            Kind::Repeat | Kind::Greet => 3,
            Kind::Members | Kind::Count => 6,
        }
    }
}

impl Instruction {
    fn new(kind: Kind, name: &str, way: usize, question: String, words: &[&'static str]) -> Instruction {
        Instruction { id: format!("{name}/{}/{way}", words.join("-")), kind, question, words: words.to_vec() }
    }

    /// A right answer.
    pub(crate) fn answer(&self) -> String {
        match self.kind {
            Kind::Repeat => format!("The word is {}.", self.words[0]),
            Kind::Members => members(self.words[0], self.words[1]),
            Kind::Count => sentence(&counted(self.words[0]).join(", "), &[]) + ".",
            Kind::Greet => format!("{} How are you, {}?", self.words[0], self.words[1]),
        }
    }

    /// What a right answer says.
    pub(crate) fn check(&self) -> Check {
        let strings = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        match self.kind {
            Kind::Repeat => Check::Phrase { accepted: strings(&self.words) },
            Kind::Greet => Check::Phrase { accepted: strings(&self.words[1..]) },
            Kind::Members => Check::Members { count: value(self.words[0]), from: strings(class(self.words[1])) },
            Kind::Count => Check::Sequence { phrases: strings(&counted(self.words[0])) },
        }
    }
}

fn value(number: &str) -> usize {
    NUMBERS.iter().position(|word| *word == number).unwrap_or(0)
}

fn counted(number: &str) -> Vec<&'static str> {
    NUMBERS[1..=value(number)].to_vec()
}

fn class(name: &str) -> &'static [&'static str] {
    CLASSES.iter().find(|(class, _)| *class == name).map_or(&[], |(_, members)| *members)
}

/// The first of the class's list: which ones are named is no matter, and one list is soon learned.
fn members(number: &str, name: &str) -> String {
    let named = &class(name)[..value(number)];
    let (last, first) = named.split_last().map_or(("", &[][..]), |(last, first)| (*last, first));
    format!("I know {} and {last}.", first.join(", "))
}

/// All instructions, dealt out.
pub(crate) fn instructions(config: &Config, world: &World) -> Vec<(Part, Instruction)> {
    let mut draw = config.draw("instructions");
    let sayable: Vec<&'static str> =
        [&FOODS[..], &COLOURS, &ANIMALS, &PLACES, &TREES, &GOODS, &MATERIALS, &EVENTS].concat();
    // Held out is a word with one way to ask for it, a greeting with its person, a list or a count with its way.
    let repeats = sayable.into_iter().flat_map(repeat).collect();
    let mut all: Vec<(Part, Instruction)> = deal(&mut draw, repeats);
    all.extend(deal(&mut draw, lists()));
    all.extend(deal(&mut draw, counts()));
    all.extend(deal(&mut draw, greetings(world)));
    all
}

fn repeat(word: &'static str) -> [Instruction; 5] {
    [0, 1, 2, 3, 4].map(|way| Instruction::new(Kind::Repeat, "repeat", way, fill(REPEAT[way], &[("a", word)]), &[word]))
}

fn lists() -> Vec<Instruction> {
    let mut all = Vec::new();
    for (class, _) in CLASSES {
        for number in &NUMBERS[2..=4] {
            all.extend((0..MEMBERS.len()).map(|way| {
                let question = fill(MEMBERS[way], &[("n", number), ("c", class)]);
                Instruction::new(Kind::Members, "members", way, question, &[number, class])
            }));
        }
    }
    all
}

fn counts() -> Vec<Instruction> {
    let mut all = Vec::new();
    for number in &NUMBERS[3..=8] {
        all.extend(
            (0..COUNT.len())
                .map(|way| Instruction::new(Kind::Count, "count", way, fill(COUNT[way], &[("n", number)]), &[number])),
        );
    }
    all
}

fn greetings(world: &World) -> Vec<Instruction> {
    let mut all = Vec::new();
    for person in world.names() {
        for (index, greeting) in GREETINGS.iter().enumerate() {
            let way = (index + all.len()) % GREET.len();
            let question = fill(GREET[way], &[("g", greeting), ("p", person)]);
            all.push(Instruction::new(Kind::Greet, "greet", way, question, &[greeting, person]));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn answers_are_right_and_questions_different() {
        let config = Config::default();
        let all = instructions(&config, &World::generate(&config).unwrap());
        for (_, task) in &all {
            let answer = task.answer();
            assert!(task.check().is_correct(&answer), "{} {answer}", task.question);
            assert!(!task.check().is_correct(&crate::refusal::bare_refusal()), "{}", task.question);
        }
        assert_eq!(all.iter().map(|(_, task)| &task.question).collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|(_, task)| &task.id).collect::<BTreeSet<_>>().len(), all.len());
    }
}
