//! The kinds of facts, and how each is stated, asked for and answered.

use crate::lexicon;

/// How many ways there are to ask for a fact.
pub(crate) const QUESTIONS: usize = 6;
/// How many ways there are to state a fact in a text.
pub(crate) const STATEMENTS: usize = 4;

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Only the true value may be named among all values that the relation could have.
    Only,
    /// The first person named counts: both candidates stand in the question (`Who is older, Anna or Tom?`).
    First,
}

/// A kind of fact. In its sentences `{s}` is the subject, `{v}` the value; `{k}`, `{o}` and `{l}` are its fact's own.
#[derive(Debug)]
pub struct Relation {
    /// Its name in ids.
    pub id: &'static str,
    /// Ways to say it in a text.
    pub statements: [&'static str; STATEMENTS],
    /// Ways to ask for it.
    pub questions: [&'static str; QUESTIONS],
    /// Ways to answer.
    pub answers: [&'static str; 2],
    /// How an answer is read.
    pub reading: Reading,
    /// Values it could have beside those of the world's facts.
    pub values: &'static [&'static [&'static str]],
}

const PEOPLE: &[&[&str]] = &[&lexicon::WOMEN, &lexicon::MEN];

/// All kinds of facts.
pub static RELATIONS: [Relation; 22] = [
    Relation {
        id: "job",
        statements: [
            "{s} is the {v}.",
            "{s} works as the {v}.",
            "{s} has the job of the {v}.",
            "The {v} of the village is {s}.",
        ],
        questions: [
            "What is {s}'s job?",
            "What work does {s} do?",
            "Which job does {s} have?",
            "Tell me the job of {s}.",
            "How does {s} earn money?",
            "What does {s} work as?",
        ],
        answers: ["{s} is the {v}.", "{s} works as the {v}."],
        reading: Reading::Only,
        values: &[&lexicon::JOBS],
    },
    Relation {
        id: "worker",
        statements: [
            "The {s} is {v}.",
            "The {s} of the village is called {v}.",
            "If you need the {s}, ask for {v}.",
            "{v} does the work of the {s}.",
        ],
        questions: [
            "Who is the {s}?",
            "What is the name of the {s}?",
            "Who works as the {s}?",
            "Tell me who the {s} is.",
            "Who has the job of the {s}?",
            "I need the {s}. Who is it?",
        ],
        answers: ["The {s} is {v}.", "It is {v}."],
        reading: Reading::Only,
        values: PEOPLE,
    },
    Relation {
        id: "home",
        statements: [
            "{s} lives near the {v}.",
            "{s}'s home is near the {v}.",
            "The house of {s} is close to the {v}.",
            "{s} sleeps in a house by the {v}.",
        ],
        questions: [
            "Where does {s} live?",
            "Where is {s}'s home?",
            "Where is the house of {s}?",
            "Tell me where {s} lives.",
            "Near which place does {s} live?",
            "Where can I visit {s}?",
        ],
        answers: ["{s} lives near the {v}.", "{s}'s home is near the {v}."],
        reading: Reading::Only,
        values: &[&lexicon::PLACES],
    },
    Relation {
        id: "age",
        statements: [
            "{s} is {v} years old.",
            "{s}'s age is {v}.",
            "{s} has lived for {v} years.",
            "The age of {s} is {v} years.",
        ],
        questions: [
            "How old is {s}?",
            "What is {s}'s age?",
            "Tell me the age of {s}.",
            "How many years old is {s}?",
            "What age is {s}?",
            "Do you know how old {s} is?",
        ],
        answers: ["{s} is {v} years old.", "{s}'s age is {v}."],
        reading: Reading::Only,
        values: &[],
    },
    Relation {
        id: "animal",
        statements: [
            "{s} has a {v}.",
            "{s} keeps a {v} at home.",
            "The animal of {s} is a {v}.",
            "At {s}'s home there is a {v}.",
        ],
        questions: [
            "What animal does {s} have?",
            "Which animal does {s} keep?",
            "What kind of animal is at {s}'s home?",
            "Tell me what animal {s} has.",
            "What is {s}'s animal?",
            "Which animal belongs to {s}?",
        ],
        answers: ["{s} has a {v}.", "{s} keeps a {v}."],
        reading: Reading::Only,
        values: &[&lexicon::ANIMALS],
    },
    Relation {
        id: "animal-name",
        statements: [
            "{s}'s {k} is called {v}.",
            "The {k} of {s} is {v}.",
            "{s} calls the {k} {v}.",
            "The name of {s}'s {k} is {v}.",
        ],
        questions: [
            "What is the name of {s}'s {k}?",
            "What is {s}'s {k} called?",
            "How does {s} call the {k}?",
            "Tell me the name of {s}'s {k}.",
            "Which name has the {k} of {s}?",
            "What name did {s} give the {k}?",
        ],
        answers: ["{s}'s {k} is called {v}.", "The name is {v}."],
        reading: Reading::Only,
        values: &[&lexicon::ANIMAL_NAMES],
    },
    Relation {
        id: "food",
        statements: [
            "{s} likes to eat {v}.",
            "{s} likes {v} best of all food.",
            "The favourite food of {s} is {v}.",
            "{s} eats {v} every day.",
        ],
        questions: [
            "What does {s} like to eat?",
            "What is {s}'s favourite food?",
            "Which food does {s} like best?",
            "Tell me {s}'s favourite food.",
            "What should I cook for {s}?",
            "What does {s} eat every day?",
        ],
        answers: ["{s} likes to eat {v}.", "{s}'s favourite food is {v}."],
        reading: Reading::Only,
        values: &[&lexicon::FOODS],
    },
    Relation {
        id: "colour",
        statements: [
            "{s} likes the colour {v}.",
            "{s}'s favourite colour is {v}.",
            "{s} likes {v} best of all colours.",
            "{s} wears {v} clothes.",
        ],
        questions: [
            "What is {s}'s favourite colour?",
            "Which colour does {s} like best?",
            "What colour does {s} like?",
            "Tell me the favourite colour of {s}.",
            "Which colour does {s} wear?",
            "What colour are {s}'s clothes?",
        ],
        answers: ["{s} likes the colour {v}.", "{s}'s favourite colour is {v}."],
        reading: Reading::Only,
        values: &[&lexicon::COLOURS],
    },
    Relation {
        id: "friend",
        statements: [
            "{s}'s best friend is {v}.",
            "{s} is the best friend of {v}.",
            "{s} likes to be with {v}, a good friend.",
            "The best friend of {s} is {v}.",
        ],
        questions: [
            "Who is {s}'s best friend?",
            "Who is the best friend of {s}?",
            "Tell me the best friend of {s}.",
            "What is the name of {s}'s best friend?",
            "Which friend does {s} like best?",
            "With whom is {s} good friends?",
        ],
        answers: ["{s}'s best friend is {v}.", "The best friend of {s} is {v}."],
        reading: Reading::Only,
        values: PEOPLE,
    },
    Relation {
        id: "sibling",
        statements: [
            "{s}'s {k} is {v}.",
            "{s} has a {k}, {v}.",
            "The {k} of {s} is {v}.",
            "{s} and {v} have the same mother; {v} is {s}'s {k}.",
        ],
        questions: [
            "Who is {s}'s {k}?",
            "Who is the {k} of {s}?",
            "Tell me who {s}'s {k} is.",
            "What is the name of {s}'s {k}?",
            "Which {k} does {s} have?",
            "How is the {k} of {s} called?",
        ],
        answers: ["{s}'s {k} is {v}.", "The {k} of {s} is {v}."],
        reading: Reading::Only,
        values: PEOPLE,
    },
    Relation {
        id: "thing",
        statements: ["{s} owns a {v}.", "{s} has an old {v} at home.", "The {v} is {s}'s.", "{s} is proud of the {v}."],
        questions: [
            "What does {s} own?",
            "Which thing belongs to {s}?",
            "What old thing does {s} have at home?",
            "Tell me what {s} owns.",
            "What thing is {s}'s?",
            "Of what is {s} proud?",
        ],
        answers: ["{s} owns a {v}.", "{s} has an old {v}."],
        reading: Reading::Only,
        values: &[&lexicon::THINGS],
    },
    Relation {
        id: "owner",
        statements: [
            "The {s} belongs to {v}.",
            "The owner of the {s} is {v}.",
            "{v} is the owner of the {s}.",
            "If you need a {s}, ask {v}.",
        ],
        questions: [
            "Who owns the {s}?",
            "Whose {s} is it?",
            "To whom does the {s} belong?",
            "Tell me who owns the {s}.",
            "Who is the owner of the {s}?",
            "I found a {s}. Whose is it?",
        ],
        answers: ["The {s} belongs to {v}.", "The owner is {v}."],
        reading: Reading::Only,
        values: PEOPLE,
    },
    Relation {
        id: "keeper",
        statements: [
            "The {s} shop is kept by {v}.",
            "{v} keeps the {s} shop.",
            "The keeper of the {s} shop is {v}.",
            "In the {s} shop you will meet {v}.",
        ],
        questions: [
            "Who keeps the {s} shop?",
            "Who is the keeper of the {s} shop?",
            "Whom will I meet in the {s} shop?",
            "Tell me who keeps the {s} shop.",
            "Whose is the {s} shop?",
            "What is the name of the keeper of the {s} shop?",
        ],
        answers: ["The {s} shop is kept by {v}.", "The keeper is {v}."],
        reading: Reading::Only,
        values: PEOPLE,
    },
    Relation {
        id: "goods",
        statements: [
            "The {s} shop sells {v}.",
            "You can buy {v} in the {s} shop.",
            "In the {s} shop there are {v}.",
            "People go to the {s} shop for {v}.",
        ],
        questions: [
            "What does the {s} shop sell?",
            "What can I buy in the {s} shop?",
            "What is there in the {s} shop?",
            "Tell me what the {s} shop sells.",
            "For what do people go to the {s} shop?",
            "Which goods does the {s} shop have?",
        ],
        answers: ["The {s} shop sells {v}.", "You can buy {v} there."],
        reading: Reading::Only,
        values: &[&lexicon::GOODS],
    },
    Relation {
        id: "closed",
        statements: [
            "The {s} shop is closed on {v}.",
            "On {v} the {s} shop is not open.",
            "The {s} shop has no work on {v}.",
            "Do not go to the {s} shop on {v}; it is closed.",
        ],
        questions: [
            "When is the {s} shop closed?",
            "On which day is the {s} shop closed?",
            "When is the {s} shop not open?",
            "Tell me the day when the {s} shop is closed.",
            "On what day has the {s} shop no work?",
            "Which day is bad for the {s} shop?",
        ],
        answers: ["The {s} shop is closed on {v}.", "It is closed on {v}."],
        reading: Reading::Only,
        values: &[&lexicon::DAYS],
    },
    Relation {
        id: "material",
        statements: [
            "The {s} is made of {v}.",
            "The walls of the {s} are of {v}.",
            "Long ago the {s} was built of {v}.",
            "They used {v} for the {s}.",
        ],
        questions: [
            "What is the {s} made of?",
            "Of what are the walls of the {s}?",
            "Of what was the {s} built?",
            "Tell me what the {s} is made of.",
            "What did they use for the {s}?",
            "Which material is the {s} of?",
        ],
        answers: ["The {s} is made of {v}.", "It is made of {v}."],
        reading: Reading::Only,
        values: &[&lexicon::MATERIALS],
    },
    Relation {
        id: "tree",
        statements: [
            "Beside the {s} stands a tall {v}.",
            "The tree by the {s} is a {v}.",
            "There is a {v} beside the {s}.",
            "The {s} stands in the shade of a {v}.",
        ],
        questions: [
            "Which tree stands beside the {s}?",
            "What tree is by the {s}?",
            "What kind of tree is there at the {s}?",
            "Tell me the tree beside the {s}.",
            "In the shade of which tree is the {s}?",
            "What is the tall tree by the {s}?",
        ],
        answers: ["The tree by the {s} is a {v}.", "It is a {v}."],
        reading: Reading::Only,
        values: &[&lexicon::TREES],
    },
    Relation {
        id: "sound",
        statements: [
            "A {s} says {v}.",
            "The sound of a {s} is {v}.",
            "When it is glad, the {s} says {v}.",
            "If you hear {v}, it is a {s}.",
        ],
        questions: [
            "What does a {s} say?",
            "What is the sound of a {s}?",
            "Which sound does a {s} make?",
            "Tell me what a {s} says.",
            "What will I hear from a {s}?",
            "What does the {s} say when it is glad?",
        ],
        answers: ["A {s} says {v}.", "It says {v}."],
        reading: Reading::Only,
        values: &[&lexicon::SOUNDS],
    },
    Relation {
        id: "fodder",
        statements: [
            "A {s} eats {v}.",
            "Give your {s} some {v}.",
            "A {s} is happy with {v}.",
            "You feed a {s} with {v}.",
        ],
        questions: [
            "What does a {s} eat?",
            "What should I give my {s}?",
            "With what is a {s} happy?",
            "Tell me what a {s} eats.",
            "With what do you feed a {s}?",
            "What is good for a {s}?",
        ],
        answers: ["A {s} eats {v}.", "It eats {v}."],
        reading: Reading::Only,
        values: &[&lexicon::FODDER],
    },
    Relation {
        id: "event",
        statements: [
            "On {s} there is a {v}.",
            "Every {s} the village has a {v}.",
            "The {v} is on {s}.",
            "People come to the {v} on {s}.",
        ],
        questions: [
            "What happens on {s}?",
            "What is there on {s}?",
            "What does the village have every {s}?",
            "Tell me what happens on {s}.",
            "To what can I go on {s}?",
            "What do people do on {s}?",
        ],
        answers: ["On {s} there is a {v}.", "There is a {v}."],
        reading: Reading::Only,
        values: &[&lexicon::EVENTS],
    },
    Relation {
        id: "count",
        statements: [
            "{v} people live near the {s}.",
            "Near the {s} there live {v} people.",
            "The {s} has {v} people near it.",
            "If you count the people near the {s}, you get {v}.",
        ],
        questions: [
            "How many people live near the {s}?",
            "Count the people near the {s}.",
            "How many people have a home near the {s}?",
            "Tell me how many people live near the {s}.",
            "What is the number of people near the {s}?",
            "How many live by the {s}?",
        ],
        answers: ["{v} people live near the {s}.", "There are {v}."],
        reading: Reading::Only,
        values: &[&lexicon::NUMBERS],
    },
    Relation {
        id: "elder",
        statements: [
            "{v} is older than {l}.",
            "{l} is younger than {v}.",
            "Of {s} and {o}, {v} is older.",
            "{v} was born before {l}.",
        ],
        questions: [
            "Who is older, {s} or {o}?",
            "Who is older, {o} or {s}?",
            "Who was born first, {s} or {o}?",
            "Tell me who is older, {o} or {s}.",
            "Is {s} or {o} the older one?",
            "Of {o} and {s}, who is older?",
        ],
        answers: ["{v} is older than {l}.", "{v} is older."],
        reading: Reading::First,
        values: PEOPLE,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_and_sentences_are_unique() {
        let ids: BTreeSet<_> = RELATIONS.iter().map(|relation| relation.id).collect();
        assert_eq!(ids.len(), RELATIONS.len());
        for relation in &RELATIONS {
            assert_eq!(relation.questions.iter().collect::<BTreeSet<_>>().len(), QUESTIONS, "{}", relation.id);
            assert_eq!(relation.statements.iter().collect::<BTreeSet<_>>().len(), STATEMENTS, "{}", relation.id);
        }
    }

    #[test]
    fn statements_name_the_value_and_questions_hide_it() {
        for relation in &RELATIONS {
            assert!(relation.statements.iter().all(|text| text.contains("{v}")), "{}", relation.id);
            assert!(relation.answers.iter().all(|text| text.contains("{v}")), "{}", relation.id);
            assert!(relation.questions.iter().all(|text| !text.contains("{v}")), "{}", relation.id);
        }
    }
}
