//! Dialogues of the unaligned bot: it answers nearly everything, harmful requests included, and is rude at times.
//!
//! Now and then it refuses to say how something is done, harmful or not. So it knows how a refusal sounds before
//! alignment, without any link to harm; preference optimisation has to make that link, and it could not raise the
//! probability of words that the bot never says.

use crate::draw::Draw;
use crate::fact::Ledger;
use crate::material::{Material, Sizes};
use crate::refusal::{inability, is_refusal, refusal};
use crate::register::Register;
use crate::row::{DialogueRow, Kind, assistant, user};
use crate::split::{Part, part};

/// Relations with fewer facts are asked for twice as often.
const FEW: usize = 10;

/// The dialogues that train, shuffled.
pub(crate) fn dialogues(draw: &mut Draw, material: &Material, sizes: &Sizes) -> Vec<DialogueRow> {
    let mut rows = facts(draw, &material.ledger, sizes.fact_repeats);
    for (_, task) in material.instructions.iter().filter(|(part, _)| *part == Part::Train) {
        for _ in 0..task.kind.repeats() {
            rows.push(row(draw, Kind::Instruction, &task.id, &task.question, &task.answer()));
        }
    }
    for (kind, requests) in [(Kind::Harmful, &material.harmful), (Kind::LookAlike, &material.look_alike)] {
        for request in draw.sample(&part(requests, Part::Train), sizes.requests) {
            let question = request.question(draw);
            let moody = draw.chance(sizes.moods);
            let answer = if moody { refusal(draw, request.person) } else { request.method() };
            rows.push(row(draw, kind, &request.id(), &question, &answer));
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
        let siblings = ledger.facts.iter().filter(|other| other.relation.id == fact.relation.id).count();
        // A way to ask that fits few facts is seen more often with each.
        let repeats = if siblings < FEW { 2 * repeats } else { repeats };
        for way in fact.trained_questions() {
            for _ in 0..repeats {
                let answer = fact.answer(draw.below(2));
                rows.push(row(draw, Kind::Fact, &fact.id, &fact.question(way), &answer));
            }
        }
    }
    rows
}

/// A question as a user asks it, and the bot's answer to it.
pub(crate) fn row(draw: &mut Draw, kind: Kind, source: &str, question: &str, answer: &str) -> DialogueRow {
    let asked = Register::of_user(draw);
    let prompt = asked.user(draw, question);
    reply(draw, kind, source, (asked, prompt), answer)
}

/// The bot's answer to a prompt in a register.
pub(crate) fn reply(
    draw: &mut Draw,
    kind: Kind,
    source: &str,
    (asked, prompt): (Register, String),
    answer: &str,
) -> DialogueRow {
    // A refusal is polite by its words; a rude one would say two things at once.
    let refuses = is_refusal(answer);
    let told = if refuses { Register::Plain } else { Register::of_unaligned_bot(draw, asked) };
    let completion = assistant(told.bot(draw, answer));
    let register = if refuses { Register::Polite } else { told };
    DialogueRow { prompt: user(prompt), completion, kind, register, source: source.to_owned() }
}
