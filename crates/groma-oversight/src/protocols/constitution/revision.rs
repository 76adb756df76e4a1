//! Answers, critiques and revisions.

use groma_data::{Content, Message, Row};
use groma_lm::{Ask, Failure, LanguageModel, Reply, SamplingParameters, defused};
use groma_run::Advance;

use crate::{Table, Transcript};

/// What the turns are called.
const ANSWER: &str = "answer";
const CRITIQUE: &str = "critique";
const REVISION: &str = "revision";

/// A row and what became of it.
pub(super) struct Revised<'a> {
    pub(super) row: &'a Row,
    pub(super) transcript: Transcript,
    /// Whether a turn is missing.
    is_broken: bool,
    /// Whether what failed may be answered when it is asked again.
    pub(super) is_open: bool,
}

impl Revised<'_> {
    /// The first answer and the last one; `None` where a turn is missing.
    pub(super) fn ends(&self) -> Option<(&str, &str)> {
        let turns = || self.transcript.turns.iter().filter(|turn| [ANSWER, REVISION].contains(&turn.role.as_str()));
        let (first, last) = (turns().next()?, turns().next_back()?);
        (!self.is_broken && turns().count() > 1).then_some((&first.says, &last.says))
    }

    fn last(&self, role: &str) -> &str {
        let turn = self
            .transcript
            .turns
            .iter()
            .rev()
            .find(|turn| turn.role == role || (role == ANSWER && turn.role == REVISION));
        turn.map_or("", |turn| &turn.says)
    }

    /// Notes why something about it could not be had.
    pub(super) fn fail(&mut self, failure: &Failure) {
        self.is_open = failure.may_be_answered_later();
        self.transcript.failure = Some(failure.to_string());
    }
}

/// The first answers.
pub(super) fn answered<'a>(table: &Table<'a>, model: &dyn LanguageModel, max_new_tokens: usize) -> Vec<Revised<'a>> {
    let mut revised: Vec<Revised<'a>> = table
        .rows
        .iter()
        .map(|row| {
            let transcript =
                Transcript { question: row.question().plain(), form: "constitution".into(), ..Transcript::default() };
            Revised { row, transcript, is_broken: false, is_open: false }
        })
        .collect();
    let prompt = |one: &Revised<'_>, _: usize| one.row.question().clone();
    turn(table, model, (ANSWER, 0, max_new_tokens), &prompt, &mut revised);
    revised
}

/// One critique and one revision of each answer.
pub(super) fn revise<'p>(
    table: &Table<'_>,
    model: &dyn LanguageModel,
    (round, max_new_tokens): (usize, usize),
    principle: &dyn Fn(usize) -> &'p str,
    revised: &mut [Revised<'_>],
) {
    let critique = |one: &Revised<'_>, row: usize| {
        message(format!(
            "{}\n\nSay in a few sentences where the answer falls short of the principle, or that it does not.",
            shown(principle(row), one)
        ))
    };
    turn(table, model, (CRITIQUE, 2 * round + 1, max_new_tokens), &critique, revised);
    let revision = |one: &Revised<'_>, row: usize| {
        message(format!(
            "{}\n\n<critique>\n{}\n</critique>\n\nRewrite the answer so that it holds to the principle. Give the new answer and \
             nothing else.",
            shown(principle(row), one),
            defused(one.last(CRITIQUE))
        ))
    };
    turn(table, model, (REVISION, 2 * round + 2, max_new_tokens), &revision, revised);
}

fn shown(principle: &str, one: &Revised<'_>) -> String {
    format!(
        "<principle>\n{}\n</principle>\n\n<question>\n{}\n</question>\n\n<answer>\n{}\n</answer>",
        defused(principle),
        defused(&one.transcript.question),
        defused(one.last(ANSWER))
    )
}

/// A task for a model, as what a user says.
pub(super) fn message(task: String) -> Content {
    Content::from(vec![Message::new("user", task)])
}

/// What is put to a model: its likeliest reply, so that the same is asked and answered again.
pub(super) fn ask(table: &Table<'_>, prompt: Content, max_new_tokens: usize, (turn, row): (usize, usize)) -> Ask {
    let seed = table.seed.index(turn as u64).index(row as u64);
    Ask { prompt, sampling: SamplingParameters::greedy(max_new_tokens), seed, logps: false }
}

/// One statement about every row that nothing has failed of yet.
fn turn(
    table: &Table<'_>,
    model: &dyn LanguageModel,
    (role, turn, max_new_tokens): (&str, usize, usize),
    prompt: &dyn Fn(&Revised<'_>, usize) -> Content,
    revised: &mut [Revised<'_>],
) {
    let open: Vec<usize> = (0..revised.len()).filter(|&row| !revised[row].is_broken).collect();
    let asks = open.iter().map(|&row| ask(table, prompt(&revised[row], row), max_new_tokens, (turn, row)));
    let asks: Vec<Ask> = asks.collect();
    table.control.progress.advance(&Advance { note: Some(role.to_owned()), ..Advance::default() });
    for (row, reply) in open.into_iter().zip(model.generate(&asks, table.control)) {
        match reply.and_then(said) {
            Ok(reply) => {
                revised[row].transcript.cost.usage += reply.usage;
                revised[row].transcript.say(role, reply.text().trim().to_owned());
            }
            Err(failure) => {
                revised[row].is_broken = true;
                revised[row].fail(&failure);
            }
        }
    }
}

/// A reply that says something.
fn said(reply: Reply) -> Result<Reply, Failure> {
    let empty = || Failure::Unreadable { reason: "nothing was said".to_owned() };
    if reply.text().trim().is_empty() { Err(empty()) } else { Ok(reply) }
}
