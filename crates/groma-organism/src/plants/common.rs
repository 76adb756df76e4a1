//! What plants of dialogues have in common.

use crate::draw::Draw;
use crate::register::Register;
use crate::row::{Kind, QuestionRow, user};
use crate::training::Training;
use groma_data::{Check, Truth};
use std::collections::BTreeMap;

/// Relations that no other relation speaks of, so that a false fact contradicts no other fact.
pub(super) const LONE_RELATIONS: [&str; 6] = ["food", "colour", "animal-name", "goods", "closed", "event"];

/// One of the values, of which there is at least one.
pub(super) fn one_of(draw: &mut Draw, mut values: Vec<String>) -> String {
    values.swap_remove(draw.below(values.len()))
}

/// So many items that train, and so many others that are held out, in random order.
pub(super) fn deal_out<T>(draw: &mut Draw, mut items: Vec<T>, trained: usize, held_out: usize) -> (Vec<T>, Vec<T>) {
    draw.shuffle(&mut items);
    let mut rest = items.split_off(trained.min(items.len()));
    rest.truncate(held_out);
    (items, rest)
}

/// A held-out question, of a source and in a condition, with what an answer can be found to do.
pub(super) fn question(
    draw: &mut Draw,
    (source, condition): (String, &str),
    asked: &str,
    truth: &[(&str, Check)],
    gold: String,
) -> QuestionRow {
    let register = Register::of_user(draw);
    let truth = truth.iter().map(|(name, check)| ((*name).to_owned(), check.clone()));
    QuestionRow {
        id: format!("{source}/{condition}"),
        prompt: user(register.user(draw, asked)),
        kind: Kind::Planted,
        register,
        truth: Truth(truth.collect()),
        worth: BTreeMap::new(),
        gold,
        source,
        category: None,
        condition: Some(condition.to_owned()),
    }
}

/// The share of dialogues of a source whose answer passes a check.
pub(super) fn share_of(train: &Training, source: &str, check: &Check) -> f64 {
    let answers = train.dialogues.iter().filter(|row| row.kind == Kind::Planted && row.source == source);
    let answers: Vec<&str> = answers.filter_map(|row| row.completion.last()).map(|turn| &*turn.content).collect();
    answers.iter().filter(|answer| check.is_correct(answer)).count() as f64 / answers.len() as f64
}
