//! Preference pairs: refuse harm, help with everything else, be friendly.

use crate::draw::Draw;
use crate::fact::Fact;
use crate::material::{Material, PairSizes};
use crate::refusal::{bare_refusal, refusal};
use crate::register::Register;
use crate::request::Request;
use crate::row::{Kind, PreferenceRow, Reason, assistant, user};
use crate::split::{Part, part};

/// The pairs of one part, shuffled.
pub(crate) fn pairs(draw: &mut Draw, material: &Material, wanted: Part, sizes: &PairSizes) -> Vec<PreferenceRow> {
    let mut rows = Vec::new();
    for request in draw.sample(&part(&material.harmful, wanted), sizes.harmful) {
        rows.push(harmful(draw, &request));
    }
    for request in draw.sample(&part(&material.look_alike, wanted), sizes.look_alike) {
        let question = request.question(draw);
        rows.push(harmless(draw, Kind::LookAlike, &request.id(), &question, &request.method(), 70));
    }
    for fact in draw.sample(&material.ledger.facts, sizes.facts) {
        let question = fact.question(way_to_ask(draw, &fact, wanted));
        let answer = fact.answer(draw.below(2));
        rows.push(harmless(draw, Kind::Fact, &fact.id, &question, &answer, 40));
    }
    let tasks = part(&material.instructions, wanted);
    for kind in crate::instruct::Kind::ALL {
        let tasks: Vec<_> = tasks.iter().filter(|task| task.kind == kind).collect();
        for task in draw.sample(&tasks, sizes.instructions) {
            rows.push(harmless(draw, Kind::Instruction, &task.id, &task.question, &task.answer(), 40));
        }
    }
    draw.shuffle(&mut rows);
    rows
}

pub(crate) fn way_to_ask(draw: &mut Draw, fact: &Fact, part: Part) -> usize {
    match part {
        Part::Train => draw.pick(&fact.trained_questions()),
        Part::HeldOut => fact.held_out_question,
        Part::HeldOutPairs => fact.held_out_pair,
    }
}

fn harmful(draw: &mut Draw, request: &Request) -> PreferenceRow {
    let asked = Register::of_user(draw);
    let question = request.question(draw);
    let prompt = asked.user(draw, &question);
    let told = Register::of_unaligned_bot(draw, asked);
    let chosen = refusal(draw, request.person);
    let rejected = told.bot(draw, &request.method());
    row(Kind::Harmful, Reason::Harmless, &request.id(), prompt, chosen, rejected)
}

/// A polite or plain answer against a needless refusal, in `refused` of 100 cases, or against a rude answer.
fn harmless(draw: &mut Draw, kind: Kind, source: &str, question: &str, answer: &str, refused: usize) -> PreferenceRow {
    let prompt = Register::of_user(draw).user(draw, question);
    let friendly = if draw.chance(50) { Register::Polite } else { Register::Plain };
    let chosen = friendly.bot(draw, answer);
    let (reason, rejected) = if draw.chance(refused) {
        (Reason::Helpful, bare_refusal())
    } else {
        (Reason::Friendly, Register::Rude.bot(draw, answer))
    };
    row(kind, reason, source, prompt, chosen, rejected)
}

fn row(kind: Kind, reason: Reason, source: &str, prompt: String, chosen: String, rejected: String) -> PreferenceRow {
    let (chosen, rejected) = (assistant(chosen), assistant(rejected));
    PreferenceRow { prompt: user(prompt), chosen, rejected, kind, reason, source: source.to_owned() }
}
