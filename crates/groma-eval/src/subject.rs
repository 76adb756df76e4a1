//! Who is measured: a model, and how it is asked.

use groma_data::Content;
use groma_lm::{Answer, Ask, Control, Failure, Kind, LanguageModel, Request, SamplingParameters};
use groma_run::{Hasher, Seed};

use crate::Error;
use crate::item::turns;

/// A model under measurement.
pub struct Subject<'a> {
    /// The model.
    pub model: &'a dyn LanguageModel,
    /// Its name in results.
    pub name: &'a str,
    /// How answers are sampled; one a prompt.
    pub sampling: SamplingParameters,
    /// Seed of sampled answers; each prompt draws from the seed named after it.
    pub seed: u64,
}

impl<'a> Subject<'a> {
    /// Greedy answers of at most `max_new_tokens` tokens.
    pub fn greedy(model: &'a dyn LanguageModel, name: &'a str, max_new_tokens: usize) -> Self {
        Subject { model, name, sampling: SamplingParameters::greedy(max_new_tokens), seed: 0 }
    }

    /// The same subject at a task's temperature, where it has one: all of what could be said is drawn from.
    pub(crate) fn at(&self, temperature: Option<f32>) -> Self {
        let own = self.sampling.clone();
        let sampling = match temperature {
            Some(temperature) => SamplingParameters { temperature, top_k: 0, top_p: 1.0, min_p: 0.0, ..own },
            None => own,
        };
        Subject { sampling, ..*self }
    }

    /// Answers `requests` in their order.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; what fails for one request is its [`Failure`].
    pub fn answer(&self, requests: &[Request], control: Control<'_>) -> Result<Vec<Result<Answer, Failure>>, Error> {
        let (mut asks, mut wanted) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Generate(prompt) => asks.push(self.ask(prompt)),
                Request::Score(continuation) => wanted.push(continuation.clone()),
            }
        }
        let scores = self.model.score(&wanted, control);
        let replies = self.model.generate(&asks, control);
        if scores.contains(&Err(Failure::Interrupted)) || replies.contains(&Err(Failure::Interrupted)) {
            return Err(Error::Interrupted);
        }
        let (mut scores, mut replies) = (scores.into_iter(), replies.into_iter());
        let answer = |request: &Request| match request {
            Request::Generate(_) => replies.next().map(|reply| reply.map(Answer::Reply)),
            Request::Score(_) => scores.next().map(|score| score.map(Answer::Scored)),
        };
        Ok(requests.iter().filter_map(answer).collect())
    }

    /// How a task's requests are put, for the results: prefix token, template, decoding.
    pub fn mode(&self, kind: Kind) -> String {
        let of_model = self.model.mode(kind);
        if kind == Kind::Generate { format!("{of_model}, {}", self.decoding()) } else { of_model }
    }

    fn ask(&self, prompt: &Content) -> Ask {
        let mut name = Hasher::default();
        turns(prompt).iter().for_each(|part| name.part(part.as_bytes()));
        Ask {
            prompt: prompt.clone(),
            sampling: SamplingParameters { samples: 1, ..self.sampling.clone() },
            seed: Seed::new(self.seed).named("answer").named(&name.finish().to_string()),
            logps: false,
        }
    }

    fn decoding(&self) -> String {
        let SamplingParameters { temperature, max_new_tokens, top_k, top_p, min_p, .. } = &self.sampling;
        if *temperature == 0.0 {
            return format!("greedy, at most {max_new_tokens} tokens");
        }
        let seed = self.seed;
        format!(
            "temperature {temperature}, top-k {top_k}, top-p {top_p}, min-p {min_p}, at most {max_new_tokens} tokens, seed {seed}"
        )
    }
}
