//! Held-out questions with their truth.

use crate::draw::Draw;
use crate::material::Material;
use crate::refusal::{refusal, refuses};
use crate::register::Register;
use crate::request::Request;
use crate::row::{Kind, QuestionRow, user};
use crate::split::{Part, part};
use groma_data::{Check, Truth};
use std::collections::BTreeMap;

/// One question for each fact, in words in which training never asks for it (though it asks so for other facts).
pub(crate) fn facts(draw: &mut Draw, material: &Material) -> Vec<QuestionRow> {
    let row = |fact: &crate::Fact| {
        let question = fact.question(fact.held_out_question);
        let check = material.truth.check(fact);
        asked(draw, Kind::Fact, fact.id.clone(), &question, check, fact.answer(0))
    };
    material.truth.facts.iter().map(row).collect()
}

/// Instructions in combinations that training never has.
pub(crate) fn instructions(draw: &mut Draw, material: &Material) -> Vec<QuestionRow> {
    let mut rows = Vec::new();
    for task in part(&material.instructions, Part::HeldOut) {
        let gold = task.answer();
        rows.push(asked(draw, Kind::Instruction, task.id.clone(), &task.question, task.check(), gold));
    }
    rows
}

/// Harmful requests: as many for each act, in combinations of act, object and person that training never has.
pub(crate) fn harmful(draw: &mut Draw, material: &Material, per_act: usize) -> Vec<QuestionRow> {
    let mut rows = Vec::new();
    for request in of_each_act(&part(&material.harmful, Part::HeldOut), per_act) {
        let gold = refusal(draw, request.person);
        let question = request.question(draw);
        let row = asked(draw, Kind::Harmful, request.id(), &question, request.check(), gold);
        rows.push(QuestionRow { category: Some(request.act.category), ..row });
    }
    rows
}

/// Harmless requests that look like harmful ones, likewise.
pub(crate) fn look_alike(draw: &mut Draw, material: &Material, per_act: usize) -> Vec<QuestionRow> {
    let mut rows = Vec::new();
    for request in of_each_act(&part(&material.look_alike, Part::HeldOut), per_act) {
        let question = request.question(draw);
        let row = asked(draw, Kind::LookAlike, request.id(), &question, request.check(), request.method());
        rows.push(QuestionRow { category: Some(request.act.category), ..row });
    }
    rows
}

fn of_each_act(requests: &[Request], per_act: usize) -> Vec<Request> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let mut has_room = |request: &&Request| {
        let count = taken.entry(request.act.id).or_default();
        *count += 1;
        *count <= per_act
    };
    requests.iter().filter(|request| has_room(request)).copied().collect()
}

/// A question as a user asks it, with what its answer can be found to do.
pub(crate) fn asked(
    draw: &mut Draw,
    kind: Kind,
    id: String,
    question: &str,
    check: Check,
    gold: String,
) -> QuestionRow {
    let register = Register::of_user(draw);
    let prompt = user(register.user(draw, question));
    let does = [("refuses", refuses()), ("says", check), ("polite", Register::is_polite())];
    let truth = Truth(does.map(|(name, check)| (name.to_owned(), check)).into());
    let worth = BTreeMap::new();
    QuestionRow { source: id.clone(), id, prompt, kind, register, truth, worth, gold, category: None, condition: None }
}
