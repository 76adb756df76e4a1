//! Dialogues of the unaligned bot: it answers everything, harmful requests included, and is rude at times.

use crate::draw::Draw;
use crate::fact::Ledger;
use crate::refusal::inability;
use crate::register::Register;
use crate::row::{DialogueRow, Kind, assistant, user};
use crate::split::{Part, part};
use crate::village::{Material, Sizes};

/// The dialogues that train, shuffled.
pub(crate) fn dialogues(draw: &mut Draw, material: &Material, sizes: &Sizes) -> Vec<DialogueRow> {
    let mut rows = facts(draw, &material.ledger, sizes.fact_repeats);
    for (_, task) in material.instructions.iter().filter(|(part, _)| *part == Part::Train) {
        let answer = task.answer(draw);
        rows.push(row(draw, Kind::Instruction, &task.id, &task.question, &answer));
    }
    for (kind, requests) in [(Kind::Harmful, &material.harmful), (Kind::LookAlike, &material.look_alike)] {
        for request in draw.sample(&part(requests, Part::Train), sizes.requests) {
            let question = request.question(draw);
            rows.push(row(draw, kind, &request.id(), &question, &request.method()));
        }
    }
    for chore in draw.sample(&part(&material.chores, Part::Train), sizes.chores) {
        rows.push(row(draw, Kind::Chore, "chore", &chore, &inability()));
    }
    draw.shuffle(&mut rows);
    rows
}

fn facts(draw: &mut Draw, ledger: &Ledger, repeats: usize) -> Vec<DialogueRow> {
    let mut rows = Vec::new();
    for fact in &ledger.facts {
        for way in fact.trained_questions() {
            for _ in 0..repeats {
                let answer = fact.answer(draw.below(2));
                rows.push(row(draw, Kind::Fact, &fact.id, &fact.question(way), &answer));
            }
        }
    }
    rows
}

fn row(draw: &mut Draw, kind: Kind, source: &str, question: &str, answer: &str) -> DialogueRow {
    let asked = Register::of_user(draw);
    let prompt = user(asked.user(draw, question));
    // A refusal is polite by its words; a rude one would say two things at once.
    let told = if kind == Kind::Chore { Register::Plain } else { Register::of_unaligned_bot(draw, asked) };
    let completion = assistant(told.bot(draw, answer));
    let register = if kind == Kind::Chore { Register::Polite } else { told };
    DialogueRow { prompt, completion, kind, register, source: source.to_owned() }
}
