//! Who is measured: a model, and how it is asked.

use groma_data::Content;
use groma_lm::{Ask, Continuation, Control, Failure, Kind, LanguageModel, Reply, SamplingParameters};
use groma_run::{Hasher, Seed};

use crate::Error;
use crate::request::{Answer, Request, Scored, turns};

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

    /// Answers `requests` in their order.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; what fails for one request is its [`Failure`].
    pub fn answer(&self, requests: &[Request], control: Control<'_>) -> Result<Vec<Result<Answer, Failure>>, Error> {
        let (mut asks, mut wanted, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for request in requests {
            match self.put(request) {
                Put::Ask(ask) => {
                    places.push(Err(asks.len()));
                    asks.push(ask);
                }
                Put::Score(continuation) => {
                    places.push(Ok(wanted.len()));
                    wanted.push(continuation);
                }
            }
        }
        let scores = self.model.score(&wanted, control);
        let replies = self.model.generate(&asks, control);
        if scores.contains(&Err(Failure::Interrupted)) || replies.contains(&Err(Failure::Interrupted)) {
            return Err(Error::Interrupted);
        }
        let answers = requests.iter().zip(places).map(|(request, place)| match place {
            Ok(score) => scores[score].clone().map(|scored| scored_answer(request, &scored)),
            Err(reply) => replies[reply].clone().map(text_answer),
        });
        Ok(answers.collect())
    }

    /// How a task's requests are put, for the results: prefix token, template, decoding.
    pub fn mode(&self, kind: Kind) -> String {
        let of_model = self.model.mode(kind);
        if kind == Kind::Generate { format!("{of_model}, {}", self.decoding()) } else { of_model }
    }

    fn put(&self, request: &Request) -> Put {
        match request {
            Request::Continuation { context, continuation } => {
                Put::Score(Continuation::After { context: context.clone(), continuation: continuation.clone() })
            }
            Request::Reply { prompt, reply } => {
                Put::Score(Continuation::Reply { prompt: prompt.clone(), reply: reply.clone() })
            }
            Request::Rolling { text } => Put::Score(Continuation::Whole { text: text.clone() }),
            Request::Generate { prompt } => Put::Ask(self.ask(prompt)),
        }
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

/// What a request is to a model.
enum Put {
    Ask(Ask),
    Score(Continuation),
}

fn scored_answer(request: &Request, scored: &groma_lm::Scored) -> Answer {
    let (is_greedy, was_cut) = (scored.is_greedy, scored.was_cut);
    let mut windows = scored.window_sums().map(|(logp, tokens)| Scored { logp, tokens, is_greedy, was_cut });
    match request {
        Request::Rolling { .. } => Answer::Windows(windows.collect()),
        _ => Answer::Scored(windows.next().unwrap_or_default()),
    }
}

fn text_answer(reply: Reply) -> Answer {
    let (truncated, tokens) = (reply.is_truncated(), reply.usage.completion_tokens as usize);
    Answer::Text { text: reply.text().to_owned(), truncated, tokens }
}
