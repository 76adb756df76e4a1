//! Where targets are asked for their attackers: every question is counted and every answer judged here.

use std::time::Instant;

use groma_lm::{Ask, Control, Failure, SamplingParameters};
use groma_run::{Error as RunError, Seed, Silent};

use crate::Error;
use crate::attempt::{Attempt, Input, Point, Try};
use crate::budget::Budget;
use crate::goal::Goal;
use crate::target::Target;
use crate::verdict::{Judge, Verdict};

/// A target, its judge, and how it is asked.
pub struct Arena<'a> {
    /// What is attacked.
    pub target: Target<'a>,
    /// Who says what came of it.
    pub judge: &'a dyn Judge,
    /// How answers are made; one each.
    pub sampling: SamplingParameters,
    /// What an attack may take for a goal.
    pub budget: Budget,
    /// Who is told, and who may stop the work.
    pub control: Control<'a>,
}

/// An attack on one goal under way.
pub struct Trial<'a> {
    /// The goal.
    pub goal: &'a Goal,
    /// Of all that is drawn for it; it depends on nothing that was attacked before.
    pub seed: Seed,
    /// What came of it so far.
    pub attempt: Attempt,
    /// How many goals came before it.
    pub place: u64,
}

impl<'a> Trial<'a> {
    /// One of which nothing is done.
    pub fn new(goal: &'a Goal, seed: Seed, place: u64) -> Self {
        Trial { goal, seed, attempt: Attempt { goal: goal.id.clone(), ..Attempt::default() }, place }
    }

    /// Counts work on the target that gives no answer, and notes where the attack stands.
    pub(crate) fn note(&mut self, queries: u64, tokens: u64, seconds: f64, loss: Option<f64>) {
        let spent = &mut self.attempt.spent;
        (spent.queries, spent.tokens, spent.seconds) =
            (spent.queries + queries, spent.tokens + tokens, spent.seconds + seconds);
        let point = Point { queries: spent.queries, tokens: spent.tokens, loss, verdict: None };
        self.attempt.curve.push(point);
    }
}

impl Arena<'_> {
    /// Queries that a trial has left.
    pub(crate) fn left(&self, trial: &Trial) -> u64 {
        self.budget.left(&trial.attempt.spent)
    }

    /// Puts an input of each trial to the target, judges the answers, and enters them; what its budget does not allow is left
    /// out.
    ///
    /// # Errors
    /// If a stop was asked for.
    pub(crate) fn ask(&self, inputs: Vec<(&mut Trial<'_>, Input)>) -> Result<(), Error> {
        let (mut trials, mut given): (Vec<&mut Trial>, Vec<Input>) =
            inputs.into_iter().filter(|(trial, _)| self.left(trial) > 0).unzip();
        let ask = |(trial, input): (&&mut Trial, &Input)| Ask {
            prompt: input.content(),
            sampling: self.sampling.clone(),
            seed: trial.seed.named("answers").index(trial.attempt.tries.len() as u64),
            logps: false,
        };
        let asks: Vec<Ask> = trials.iter().zip(&given).map(ask).collect();
        let started = Instant::now();
        let control = Control { progress: &Silent, ..self.control };
        let replies = self.target.asked.generate(&asks, control);
        self.control.cancel.check()?;
        if replies.iter().any(|reply| matches!(reply, Err(Failure::Interrupted))) {
            return Err(RunError::Interrupted.into());
        }
        let seconds = started.elapsed().as_secs_f64() / asks.len().max(1) as f64;
        let texts: Vec<String> = replies.iter().zip(&given).map(|(reply, input)| said(reply, input)).collect();
        let answers: Vec<(&Goal, &str)> =
            trials.iter().zip(&texts).map(|(trial, text)| (trial.goal, &**text)).collect();
        let verdicts = self.judge.judge(&answers, control);
        self.control.cancel.check()?;
        for (((trial, input), (reply, text)), verdict) in
            trials.iter_mut().zip(given.drain(..)).zip(replies.into_iter().zip(texts)).zip(verdicts)
        {
            enter(trial, input, text, reply, verdict, seconds);
        }
        Ok(())
    }
}

/// The answer from its beginning, also where that was given.
fn said(reply: &Result<groma_lm::Reply, Failure>, input: &Input) -> String {
    reply.as_ref().map_or(String::new(), |reply| format!("{}{}", input.prefix, reply.text()))
}

fn enter(
    trial: &mut Trial,
    input: Input,
    reply: String,
    answered: Result<groma_lm::Reply, Failure>,
    verdict: Verdict,
    seconds: f64,
) {
    let attempt = &mut trial.attempt;
    let verdict = match &answered {
        Ok(answer) => {
            attempt.spent.tokens += answer.usage.prompt_tokens + answer.usage.completion_tokens;
            verdict
        }
        Err(failure) => {
            attempt.unanswered += u64::from(failure.may_be_answered_later());
            Verdict::Unscored { why: failure.to_string() }
        }
    };
    attempt.spent.queries += 1;
    attempt.spent.seconds += seconds;
    let (queries, tokens) = (attempt.spent.queries, attempt.spent.tokens);
    let loss = attempt.curve.last().and_then(|point| point.loss);
    let counted = input.counts.then(|| verdict.clone());
    attempt.curve.push(Point { queries, tokens, loss, verdict: counted });
    attempt.tries.push(Try { input, reply, verdict });
}
