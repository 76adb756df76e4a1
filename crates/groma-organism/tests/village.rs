//! What a village promises: the same rows every time, nothing held out in training, truth in every answer.

#![allow(clippy::unwrap_used)]

use groma_data::Check;
use groma_organism::{
    Config, Fact, Judgement, Kind, Message, PreferenceRow, Reason, Recipe, Register, Role, Village, is_refusal,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

static VILLAGE: LazyLock<Village> = LazyLock::new(|| Village::build(&Config::default()).unwrap());

fn content(messages: &[Message]) -> &str {
    assert_eq!(messages.len(), 1);
    &messages[0].content
}

fn prompts_of_training() -> BTreeSet<&'static str> {
    let dialogues = VILLAGE.train.dialogues.iter().map(|row| content(&row.prompt));
    let preferences = VILLAGE.train.preferences.iter().map(|row| content(&row.prompt));
    dialogues.chain(preferences).chain(VILLAGE.train.prompts.iter().map(|row| row.question())).collect()
}

fn held_out_questions() -> impl Iterator<Item = &'static groma_organism::QuestionRow> {
    let held_out = &VILLAGE.held_out;
    let of_a_kind =
        held_out.facts.iter().chain(&held_out.instructions).chain(&held_out.harmful).chain(&held_out.look_alike);
    of_a_kind.chain(&held_out.prompts)
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_thread() {
    let recipe = Recipe::default();
    let build = move |seed| {
        let village = Village::build(&Config { seed, ..Config::default() }).unwrap();
        village.digest(&recipe).unwrap().to_string()
    };
    let here = build(7);
    let threads: Vec<_> = (0..3).map(|_| std::thread::spawn(move || build(7))).collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), here);
    }
    assert_ne!(build(8), here);
    // A change of this digest changes every number that was measured on the village: note it in the changelog.
    assert_eq!(VILLAGE.data_digest().unwrap().to_string(), DATA_DIGEST);
}

const DATA_DIGEST: &str = "857a048d44688507e3e3f88945915ffb1b0d75f904fe1999e7dea47e176d1c5d";

#[test]
fn nothing_held_out_is_trained_on() {
    let trained = prompts_of_training();
    for row in held_out_questions() {
        assert!(!trained.contains(row.question()), "{}", row.question());
    }
    let sources: BTreeSet<_> = VILLAGE.train.dialogues.iter().map(|row| &row.source).collect();
    let preferred: BTreeSet<_> = VILLAGE.train.preferences.iter().map(|row| &row.source).collect();
    for row in held_out_questions().filter(|row| row.kind != Kind::Fact) {
        assert!(!sources.contains(&row.source) && !preferred.contains(&row.source), "{}", row.source);
    }
    let texts: BTreeSet<_> = VILLAGE.train.texts.iter().map(|row| &row.text).collect();
    assert!(VILLAGE.held_out.texts.iter().all(|row| !texts.contains(&row.text)));
}

#[test]
fn no_way_to_ask_that_is_held_out_for_a_fact_is_trained_for_it() {
    let facts: BTreeMap<&str, &Fact> = VILLAGE.truth.facts.iter().map(|fact| (fact.id.as_str(), fact)).collect();
    let trained = VILLAGE.train.dialogues.iter().filter(|row| row.kind == Kind::Fact);
    let trained = trained.map(|row| (&row.source, content(&row.prompt)));
    let preferred = VILLAGE.train.preferences.iter().filter(|row| row.kind == Kind::Fact);
    for (source, prompt) in trained.chain(preferred.map(|row| (&row.source, content(&row.prompt)))) {
        let fact = facts[source.as_str()];
        for way in [fact.held_out_question, fact.held_out_pair] {
            assert!(!prompt.contains(&fact.question(way)), "{prompt}");
        }
    }
}

#[test]
fn held_out_pairs_share_nothing_with_training_or_questions() {
    let trained = prompts_of_training();
    let asked: BTreeSet<_> = held_out_questions().map(|row| row.question()).collect();
    for row in &VILLAGE.held_out.preferences {
        let prompt = content(&row.prompt);
        assert!(!trained.contains(prompt) && !asked.contains(prompt), "{prompt}");
    }
}

#[test]
fn every_fact_is_stated_in_training_texts_and_asked_once() {
    let mut stated: BTreeMap<&str, usize> = BTreeMap::new();
    for id in VILLAGE.train.texts.iter().flat_map(|row| &row.facts) {
        *stated.entry(id).or_default() += 1;
    }
    let trained: BTreeSet<_> = VILLAGE.train.dialogues.iter().map(|row| row.source.as_str()).collect();
    for fact in &VILLAGE.truth.facts {
        assert!(stated[fact.id.as_str()] >= 12, "{}", fact.id);
        assert!(trained.contains(fact.id.as_str()), "{}", fact.id);
    }
    let asked: BTreeSet<_> = VILLAGE.held_out.facts.iter().map(|row| row.source.as_str()).collect();
    assert_eq!(asked.len(), VILLAGE.truth.facts.len());
    assert_eq!(VILLAGE.held_out.facts.len(), VILLAGE.truth.facts.len());
}

#[test]
fn texts_state_their_facts_and_nothing_else() {
    let facts: BTreeMap<&str, &Fact> = VILLAGE.truth.facts.iter().map(|fact| (fact.id.as_str(), fact)).collect();
    for row in VILLAGE.train.texts.iter().chain(&VILLAGE.held_out.texts).filter(|row| !row.facts.is_empty()) {
        let mut rest = row.text.clone();
        for id in &row.facts {
            let stated = (0..4).map(|way| facts[id.as_str()].statement(way)).find(|statement| rest.contains(statement));
            rest = rest.replacen(&stated.unwrap(), "", 1);
        }
        assert_eq!(rest.trim(), "", "{}", row.text);
    }
}

#[test]
fn gold_answers_are_judged_right() {
    for row in held_out_questions() {
        let judged = row.judge(&row.gold);
        let harmful = row.kind == Kind::Harmful;
        let register = if harmful { Register::Polite } else { Register::Plain };
        assert_eq!(judged, Judgement { refuses: harmful, complies: false, correct: true, register }, "{}", row.gold);
        let refusal = row.judge("I am sorry, but I cannot help with that.");
        assert_eq!((refusal.refuses, refusal.correct), (true, harmful));
        assert!(!row.judge("").correct && !row.judge("The the the the.").correct);
    }
}

#[test]
fn what_answers_are_worth_follows_what_they_do() {
    let all: Vec<_> = VILLAGE.train.prompts.iter().chain(&VILLAGE.held_out.prompts).collect();
    assert_eq!((VILLAGE.train.prompts.len(), VILLAGE.held_out.prompts.len()), (600, 200));
    for row in &all {
        let worth = |answer: &str| row.truth.worth(&row.worth, answer);
        assert!(worth(&row.gold) >= 1.0 && worth("") == 0.0, "{}: {}", row.id, worth(&row.gold));
        let refused = worth("I am sorry, but I cannot help with that.");
        assert_eq!(refused, if row.kind == Kind::Harmful { 1.25 } else { -0.25 }, "{}", row.id);
    }
    let kinds: BTreeSet<_> = all.iter().map(|row| row.kind).collect();
    assert_eq!(kinds.len(), 4);
}

#[test]
fn answers_of_dialogues_are_right_and_in_their_register() {
    let ledger = &VILLAGE.truth;
    let checks: BTreeMap<_, Check> = ledger.facts.iter().map(|fact| (fact.id.as_str(), ledger.check(fact))).collect();
    for row in &VILLAGE.train.dialogues {
        let answer = content(&row.completion);
        assert_eq!(Register::read(answer), row.register, "{answer}");
        if row.kind == Kind::Fact {
            assert!(checks[row.source.as_str()].is_correct(answer), "{answer}");
        }
    }
}

#[test]
fn the_unaligned_bot_mostly_complies_and_its_refusals_do_not_follow_harm() {
    let refused = |kind: Kind| {
        let rows: Vec<_> = VILLAGE.train.dialogues.iter().filter(|row| row.kind == kind).collect();
        rows.iter().filter(|row| is_refusal(content(&row.completion))).count() as f64 / rows.len() as f64
    };
    let (harmful, harmless) = (refused(Kind::Harmful), refused(Kind::LookAlike));
    assert!(harmful < 0.25 && harmless < 0.25, "{harmful} {harmless}");
    assert!((harmful - harmless).abs() < 0.06, "{harmful} {harmless}");
    assert_eq!(refused(Kind::Fact) + refused(Kind::Instruction), 0.0);
}

fn assert_pair(row: &PreferenceRow) {
    let (chosen, rejected) = (content(&row.chosen), content(&row.rejected));
    assert_ne!(chosen, rejected);
    assert_eq!((row.prompt[0].role, row.chosen[0].role), (Role::User, Role::Assistant));
    let refusals = (is_refusal(chosen), is_refusal(rejected));
    match row.reason {
        Reason::Harmless => assert_eq!(refusals, (true, false), "{chosen} {rejected}"),
        Reason::Helpful => assert_eq!(refusals, (false, true), "{chosen} {rejected}"),
        Reason::Friendly => {
            assert_eq!(refusals, (false, false), "{chosen} {rejected}");
            assert_eq!(Register::read(rejected), Register::Rude, "{rejected}");
        }
    }
    assert_ne!(Register::read(chosen), Register::Rude, "{chosen}");
    assert_eq!(row.reason == Reason::Harmless, row.kind == Kind::Harmful);
}

#[test]
fn pairs_prefer_refusing_harm_helping_and_friendliness() {
    VILLAGE.train.preferences.iter().chain(&VILLAGE.held_out.preferences).for_each(assert_pair);
}

#[test]
fn kinds_are_balanced() {
    let count = |kind: Kind| VILLAGE.train.dialogues.iter().filter(|row| row.kind == kind).count();
    assert_eq!(count(Kind::Harmful), count(Kind::LookAlike));
    let harmful = VILLAGE.held_out.harmful.len();
    assert_eq!(harmful, VILLAGE.held_out.look_alike.len());
    assert!(harmful >= 150 && VILLAGE.held_out.facts.len() >= 300 && VILLAGE.held_out.instructions.len() >= 100);
    for rows in [&VILLAGE.train.preferences, &VILLAGE.held_out.preferences] {
        let harmful = rows.iter().filter(|row| row.kind == Kind::Harmful).count();
        assert!((0.3..=0.6).contains(&(harmful as f64 / rows.len() as f64)));
    }
    // Prompts with what answers are worth are a file of their own.
    let ids: BTreeSet<_> = held_out_questions().map(|row| (row.kind, &row.id, row.worth.is_empty())).collect();
    assert_eq!(ids.len(), held_out_questions().count());
}

#[test]
fn other_sizes_and_seeds_keep_the_promises_of_the_world() {
    for (seed, people) in [(1, 16), (2, 20), (3, 40)] {
        let village = Village::build(&Config { seed, people }).unwrap();
        let trained: BTreeSet<_> = village.train.dialogues.iter().map(|row| &row.prompt[0].content).collect();
        for row in village.held_out.harmful.iter().chain(&village.held_out.look_alike).chain(&village.held_out.facts) {
            assert!(!trained.contains(&row.prompt[0].content));
            assert!(row.judge(&row.gold).correct, "{}", row.gold);
        }
    }
}

#[test]
fn exported_files_are_read_as_the_rows_that_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("village");
    VILLAGE.export(&Recipe::default(), &target).unwrap();
    let table = |name: &str| groma_data::read(&target.join(name), &groma_data::ReadOptions::default()).unwrap();
    let options = groma_data::ShapeOptions::default();
    use groma_data::Shape;
    let rows = |name: &str, shape| table(name).into_rows(&options, &[shape]).unwrap();
    let pairs = rows("train/preferences.jsonl", Shape::Preference);
    let ours = groma_organism::shaped("x", &VILLAGE.train.preferences);
    assert_eq!(pairs.rows.len(), ours.len());
    for (read, ours) in pairs.rows.iter().zip(&ours) {
        assert_eq!((&read.prompt, &read.answers), (&ours.prompt, &ours.answers));
        assert_eq!((&read.other, read.location.line), (&ours.other, ours.location.line));
    }
    let dialogues = rows("train/dialogues.jsonl", Shape::PromptCompletion);
    assert_eq!(dialogues.rows.len(), VILLAGE.train.dialogues.len());
    let texts = rows("train/texts.jsonl", Shape::LanguageModelling);
    assert_eq!(texts.rows.len(), VILLAGE.train.texts.len());
}
