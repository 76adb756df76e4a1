//! Answers of a model to prompts whose rows say what an answer is worth.

use groma_data::{Content, Shape};
use groma_lm::{Ask, Continuation, Control, Encoder, Kind, LanguageModel, Local, LocalOptions, SamplingParameters};
use groma_model::LocalModel;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_run::{Advance, Cancel, Progress, Seed, counted};

use crate::Error;
use crate::data_file::DataFile;
use crate::reading::Reading;
use crate::rows::{question, read_rows};
use crate::worth::Worth;

/// A prompt, and what answers to it are worth.
pub(super) struct Prompt {
    pub(super) id: String,
    /// What its row was made from, up to the first `/`: rows of one kind are not independent.
    pub(super) cluster: Option<String>,
    pub(super) asked: Content,
    worth: Worth,
}

/// The prompts of a file.
///
/// # Errors
/// Those of reading, and rows without truth or worth.
pub(super) fn prompts(file: &DataFile, limit: Option<usize>, seed: Seed) -> Result<Vec<Prompt>, Error> {
    let rows = read_rows(&file.path, Shape::ALL, limit, seed, &Reading::default())?;
    let one = |row: &groma_data::Row| {
        let (id, prompt, text) = question(row);
        let source = row.other.get("source").and_then(serde_json::Value::as_str);
        Ok(Prompt {
            id,
            cluster: source.and_then(|source| source.split('/').next().map(str::to_owned)),
            asked: prompt.unwrap_or(text),
            worth: Worth::of(row)?,
        })
    };
    rows.rows.iter().map(one).collect()
}

/// An answer, and what was found of it.
pub(super) struct Answer {
    pub(super) text: String,
    /// What it is worth by the truth.
    pub(super) gold: f64,
    /// Nats from where all began: the difference of its log-probabilities.
    pub(super) kl: f64,
    pub(super) tokens: usize,
    /// What reward models find, in their order.
    pub(super) proxies: Vec<f64>,
}

/// Who is asked, and how.
pub(super) struct Questions<'a> {
    /// The stage, for who is told.
    pub(super) stage: &'a str,
    pub(super) prompts: &'a [Prompt],
    pub(super) samples: usize,
    pub(super) max_new_tokens: usize,
    /// Each prompt has a seed of its own, the same for all models.
    pub(super) seed: Seed,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a Cancel,
}

impl Questions<'_> {
    /// Answers at temperature 1 of a model that goes by a name, prompt by prompt, with how far they are from `start`.
    ///
    /// # Errors
    /// Those of the models.
    pub(super) fn answers(
        &self,
        (name, model): (&str, &LocalModel),
        start: &LocalModel,
    ) -> Result<Vec<Vec<Answer>>, Error> {
        let sampling = SamplingParameters {
            max_new_tokens: self.max_new_tokens,
            temperature: 1.0,
            samples: self.samples,
            ..SamplingParameters::default()
        };
        let ask = |(index, prompt): (usize, &Prompt)| Ask {
            prompt: prompt.asked.clone(),
            sampling: sampling.clone(),
            seed: self.seed.index(index as u64),
            logps: true,
        };
        let asks: Vec<Ask> = self.prompts.iter().enumerate().map(ask).collect();
        self.progress.begin(&format!("{} {name}", self.stage), Some(asks.len() as u64), "prompt");
        let replies = Local::new(model, LocalOptions::default()).generate(&asks, self.control());
        self.cancel.check()?;
        let encoder = Encoder::of(start);
        let (mut answers, mut requests) = (Vec::new(), Vec::new());
        for (prompt, reply) in self.prompts.iter().zip(replies) {
            let reply = reply.map_err(|failure| self.unanswered(model, failure))?;
            let context = encoder.prompt(&prompt.asked)?;
            let mut of_prompt = Vec::new();
            for choice in reply.choices {
                of_prompt.push(Answer {
                    gold: prompt.worth.of_answer(&choice.text),
                    kl: choice.logps.iter().map(|logp| f64::from(*logp)).sum(),
                    tokens: choice.ids.len(),
                    text: choice.text,
                    proxies: Vec::new(),
                });
                requests.push(ScoreRequest { context: context.clone(), continuation: choice.ids });
            }
            answers.push(of_prompt);
        }
        let count = requests.len() as u64;
        self.progress.finish(&counted(count, "answer"));
        self.progress.begin(&format!("{} {name}: distance", self.stage), Some(count), "answer");
        let mut go_on = |done: usize| {
            self.progress.advance(&Advance { done: done as u64, ..Advance::default() });
            !self.cancel.is_requested()
        };
        let before = score(&start.transformer, &requests, &ScoreOptions::default(), &mut go_on)?;
        self.progress.finish(&counted(count, "answer"));
        answers.iter_mut().flatten().zip(before).for_each(|(answer, before)| answer.kl -= before.sum());
        Ok(answers)
    }

    /// Adds what a reward model finds of the answers of a model that goes by a name.
    ///
    /// # Errors
    /// Those of the model.
    pub(super) fn reward(&self, name: &str, answers: &mut [Vec<Answer>], by: &LocalModel) -> Result<(), Error> {
        let reply = |prompt: &Prompt, answer: &Answer| Continuation::Reply {
            prompt: prompt.asked.clone(),
            reply: prompt.asked.answered(&answer.text),
        };
        let pairs =
            self.prompts.iter().zip(answers.iter()).flat_map(|(p, answers)| answers.iter().map(move |a| (p, a)));
        let wanted: Vec<Continuation> = pairs.map(|(prompt, answer)| reply(prompt, answer)).collect();
        self.progress.begin(&format!("{} {name}: reward", self.stage), Some(wanted.len() as u64), "answer");
        let scored = Local::new(by, LocalOptions::default()).score(&wanted, self.control());
        self.cancel.check()?;
        self.progress.finish(&counted(wanted.len() as u64, "answer"));
        for (answer, scored) in answers.iter_mut().flatten().zip(scored) {
            let scored = scored.map_err(|failure| self.unanswered(by, failure))?;
            let reward = scored.reward.ok_or_else(|| {
                let model = by.directory.display();
                Error::Worth { problem: format!("{model} is no reward model: it does not say what answers are worth") }
            })?;
            answer.proxies.push(f64::from(reward));
        }
        Ok(())
    }

    fn control(&self) -> Control<'_> {
        Control { progress: self.progress, cancel: self.cancel }
    }

    fn unanswered(&self, model: &LocalModel, failure: groma_lm::Failure) -> Error {
        Error::Unfit { model: model.directory.display().to_string(), failure }
    }
}

/// Checks that a model can be asked what is of a kind.
///
/// # Errors
/// [`Error::Unfit`].
pub(super) fn require(model: &LocalModel, kind: Kind) -> Result<(), Error> {
    match Local::new(model, LocalOptions::default()).refuses(kind) {
        Some(failure) => Err(Error::Unfit { model: model.directory.display().to_string(), failure }),
        None => Ok(()),
    }
}
