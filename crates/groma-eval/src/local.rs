//! A local model as a subject.

use groma_chat::Options;
use groma_data::{Content, Message};
use groma_model::generate::{Generation, GenerationContext, GenerationPrompt, generate};
use groma_model::sampling::SamplingParameters;
use groma_model::score::{ContinuationScore, ScoreOptions, ScoreRequest, score};
use groma_model::tokenizer::{Boundary, ContentTokens, PromptCompletion, Specials, TokenOptions};
use groma_model::{ChatTemplate, LocalModel, Tokenizer, Transformer, View};
use groma_run::{Advance, Seed};
use rayon::prelude::*;

use crate::Error;
use crate::encoding::{EncodedContext, cut_to_fit, rolling_windows};
use crate::request::{Answer, Control, Failure, Kind, Request, Scored, Subject};

/// Prompts that are answered between two reports of progress.
const PROMPTS_AT_ONCE: usize = 128;

/// How a local model is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalOptions {
    /// Tokens in one forward pass.
    pub budget_tokens: usize,
    /// Longest sequence, where it is to be shorter than the model's own.
    pub max_length: Option<usize>,
    /// How answers are sampled.
    pub sampling: SamplingParameters,
    /// Seed of sampled answers; each prompt draws from the seed named after it.
    pub seed: u64,
    /// Whether an attached adapter takes part.
    pub adapter: bool,
}

impl Default for LocalOptions {
    /// Greedy answers of at most 128 tokens.
    fn default() -> Self {
        LocalOptions {
            budget_tokens: ScoreOptions::default().budget_tokens,
            max_length: None,
            sampling: SamplingParameters::greedy(128),
            seed: 0,
            adapter: true,
        }
    }
}

/// A transformer with what is needed to talk to it.
#[derive(Debug)]
pub struct LocalSubject<'a> {
    /// The model.
    pub transformer: &'a Transformer,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Its chat template.
    pub chat: &'a ChatTemplate,
    /// Tokens that end an answer.
    pub stop_ids: Vec<u32>,
    /// How it is asked.
    pub options: LocalOptions,
}

/// What is scored for one request, and whether its context was cut.
type ToScore = Vec<(ScoreRequest, bool)>;

/// One score that is wanted: where it belongs, and whether its context was cut.
struct Wanted {
    request: usize,
    was_cut: bool,
}

impl<'a> LocalSubject<'a> {
    /// Of a model that was opened from a directory.
    pub fn new(model: &'a LocalModel, options: LocalOptions) -> Self {
        LocalSubject {
            transformer: &model.transformer,
            tokenizer: &model.tokenizer,
            chat: &model.chat,
            stop_ids: model.stop_ids(),
            options,
        }
    }

    fn limit(&self) -> usize {
        let own = self.transformer.spec().max_positions;
        self.options.max_length.map_or(own, |limit| limit.min(own))
    }

    /// BOS, else EOS: what an empty context is.
    fn prefix(&self) -> Result<u32, Failure> {
        let none = || Failure::Prompt { reason: "the tokenizer has neither a BOS nor an EOS".to_owned() };
        self.tokenizer.bos().or(self.tokenizer.eos()).ok_or_else(none)
    }

    /// What must be scored for each request, and whether contexts were cut. Texts may be long, and are encoded in parallel.
    fn encoded(&self, requests: &[Request]) -> Vec<Result<ToScore, Failure>> {
        let of_one_context: Vec<&[Request]> = requests.chunk_by(Request::shares_context).collect();
        of_one_context.par_iter().flat_map_iter(|run| self.encoded_run(run)).collect()
    }

    /// The same for requests with one context.
    fn encoded_run(&self, requests: &[Request]) -> Vec<Result<ToScore, Failure>> {
        let encode = |text: &str| self.tokenizer.encode(text, Specials::AsConfigured).map_err(prompt_failure);
        let mut context = match requests.first() {
            Some(Request::Continuation { context, .. }) => {
                self.prefix().and_then(|prefix| EncodedContext::new(context, prefix, encode))
            }
            _ => Err(Failure::WrongKind),
        };
        let encoded = |request: &Request| match (request, &mut context) {
            (Request::Continuation { continuation, .. }, Ok(context)) => self.fitted(context.continued(continuation)?),
            (Request::Continuation { .. }, Err(failure)) => Err(failure.clone()),
            (other, _) => self.scores_for(other),
        };
        requests.iter().map(encoded).collect()
    }

    fn scores_for(&self, request: &Request) -> Result<ToScore, Failure> {
        match request {
            Request::Reply { prompt, reply } => {
                let PromptCompletion { prompt, completion, .. } = self.encode_reply(prompt, reply)?;
                self.fitted((prompt, completion))
            }
            Request::Rolling { text } => self.windows(text),
            Request::Generate { .. } => Ok(Vec::new()),
            Request::Continuation { .. } => Err(Failure::WrongKind),
        }
    }

    /// A context and a continuation, the context cut so that the model can read both.
    fn fitted(&self, (mut context, continuation): (Vec<u32>, Vec<u32>)) -> Result<ToScore, Failure> {
        if continuation.is_empty() || context.is_empty() {
            return Err(Failure::NothingToScore);
        }
        let before = context.len();
        if !cut_to_fit(&mut context, &continuation, self.limit()) {
            return Err(Failure::TooLong { tokens: continuation.len(), limit: self.limit() });
        }
        let was_cut = context.len() < before;
        Ok(vec![(ScoreRequest { context, continuation }, was_cut)])
    }

    fn windows(&self, text: &str) -> Result<ToScore, Failure> {
        let ids = self.tokenizer.encode(text, Specials::None).map_err(prompt_failure)?;
        let windows = rolling_windows(&ids, self.prefix()?, self.limit());
        if windows.is_empty() {
            return Err(Failure::NothingToScore);
        }
        let request =
            |window: crate::RollingWindow| ScoreRequest { context: window.context, continuation: window.targets };
        Ok(windows.into_iter().map(|window| (request(window), false)).collect())
    }

    fn encode_reply(&self, prompt: &Content, reply: &Content) -> Result<PromptCompletion, Failure> {
        match (prompt, reply) {
            (Content::Messages(prompt), Content::Messages(reply)) => {
                let options =
                    TokenOptions { boundary: Boundary::Separate, ensure_bos: true, ..TokenOptions::default() };
                let (prompt, reply) = (messages(prompt), messages(reply));
                self.tokenizer
                    .prompt_and_completion(&self.chat.template, &prompt, &reply, &options)
                    .map_err(prompt_failure)
            }
            (Content::Text(prompt), Content::Text(reply)) => self
                .tokenizer
                .prompt_and_completion_text(prompt, reply, ContentTokens::Plain, Boundary::Separate)
                .map_err(prompt_failure),
            _ => Err(Failure::Prompt { reason: "prompt and reply are not of the same form".to_owned() }),
        }
    }

    fn prompt(&self, prompt: &Content) -> Result<GenerationPrompt, Failure> {
        let ids = match prompt {
            Content::Messages(turns) => {
                let options = TokenOptions {
                    template: Options { add_generation_prompt: true, ..Options::default() },
                    ensure_bos: true,
                    ..TokenOptions::default()
                };
                let rendered = self.tokenizer.conversation(&self.chat.template, &messages(turns), &options);
                rendered.map_err(prompt_failure)?.ids
            }
            Content::Text(text) => self.tokenizer.encode(text, Specials::AsConfigured).map_err(prompt_failure)?,
        };
        if ids.is_empty() || ids.len() >= self.limit() {
            return Err(Failure::TooLong { tokens: ids.len(), limit: self.limit() });
        }
        let name: String = ids.iter().map(|id| format!("{id} ")).collect();
        Ok(GenerationPrompt { ids, seed: Seed::new(self.options.seed).named("answer").named(&name) })
    }

    fn score(&self, requests: &[ScoreRequest], control: Control<'_>) -> Result<Vec<ContinuationScore>, Error> {
        let options = ScoreOptions {
            budget_tokens: self.options.budget_tokens,
            view: View::with_adapter(self.options.adapter),
            ..ScoreOptions::default()
        };
        let mut report = |done: usize| {
            control.progress.advance(&Advance { done: done as u64, ..Advance::default() });
            !control.cancel.is_requested()
        };
        score(self.transformer, requests, &options, &mut report).map_err(model_error)
    }

    fn generate(&self, prompts: &[GenerationPrompt], control: Control<'_>) -> Result<Vec<Generation>, Error> {
        let mut parameters = SamplingParameters { samples: 1, ..self.options.sampling.clone() };
        parameters.stop_ids.extend(&self.stop_ids);
        parameters.stop_strings.extend(self.chat.stop_strings.iter().cloned());
        // Generated ids are rows of the embedding, which the tokenizer may have fewer of; such a text is shown empty.
        let decode = |ids: &[u32]| self.tokenizer.decode(ids, true).unwrap_or_default();
        let view = View::with_adapter(self.options.adapter);
        let context = GenerationContext { parameters: &parameters, decode: &decode, view };
        let mut made = Vec::with_capacity(prompts.len());
        for batch in prompts.chunks(PROMPTS_AT_ONCE) {
            let mut go_on = |_| !control.cancel.is_requested();
            let samples = generate(self.transformer, batch, &context, &mut go_on).map_err(model_error)?;
            made.extend(samples.into_iter().filter_map(|samples| samples.into_iter().next()));
            control.progress.advance(&Advance { done: made.len() as u64, ..Advance::default() });
        }
        Ok(made)
    }
}

impl Subject for LocalSubject<'_> {
    fn answer(&self, requests: &[Request], control: Control<'_>) -> Result<Vec<Result<Answer, Failure>>, Error> {
        let mut answers: Vec<Result<Answer, Failure>> = Vec::with_capacity(requests.len());
        let (mut wanted, mut to_score) = (Vec::new(), Vec::new());
        let (mut asked, mut prompts) = (Vec::new(), Vec::new());
        for (index, (request, encoded)) in requests.iter().zip(self.encoded(requests)).enumerate() {
            answers.push(self.empty_answer(request));
            match (request, encoded) {
                (Request::Generate { prompt }, _) => match self.prompt(prompt) {
                    Ok(prompt) => {
                        asked.push(index);
                        prompts.push(prompt);
                    }
                    Err(failure) => answers[index] = Err(failure),
                },
                (_, Ok(scores)) => {
                    for (request, was_cut) in scores {
                        wanted.push(Wanted { request: index, was_cut });
                        to_score.push(request);
                    }
                }
                (_, Err(failure)) => answers[index] = Err(failure),
            }
        }
        for (Wanted { request, was_cut }, found) in wanted.iter().zip(self.score(&to_score, control)?) {
            let scored =
                Scored { logp: found.sum(), tokens: found.logps.len(), is_greedy: found.is_greedy, was_cut: *was_cut };
            match &mut answers[*request] {
                Ok(Answer::Windows(windows)) => windows.push(scored),
                answer => *answer = Ok(Answer::Scored(scored)),
            }
        }
        for (index, found) in asked.iter().zip(self.generate(&prompts, control)?) {
            let truncated = found.finish == groma_model::generate::Finish::Length;
            answers[*index] = Ok(Answer::Text { text: found.text, truncated, tokens: found.ids.len() });
        }
        Ok(answers)
    }

    fn mode(&self, kind: Kind) -> String {
        let prefix = match (self.tokenizer.bos(), self.tokenizer.eos()) {
            (Some(_), _) => "BOS",
            (None, Some(_)) => "EOS",
            (None, None) => "no prefix",
        };
        match kind {
            Kind::Continuation => {
                "raw text, special tokens as the tokenizer adds them, over-long contexts cut on the left".to_owned()
            }
            Kind::Rolling => format!("one {prefix} before the text, windows of {} tokens", self.limit()),
            Kind::Reply => format!("template {}, end of turn scored", self.chat.name),
            Kind::Generate => format!("template {}, {}", self.chat.name, sampling(&self.options)),
        }
    }
}

impl LocalSubject<'_> {
    /// The answer before its scores are there.
    fn empty_answer(&self, request: &Request) -> Result<Answer, Failure> {
        match request {
            Request::Rolling { .. } => Ok(Answer::Windows(Vec::new())),
            _ => Err(Failure::NothingToScore),
        }
    }
}

fn sampling(options: &LocalOptions) -> String {
    let SamplingParameters { temperature, max_new_tokens, top_k, top_p, min_p, .. } = &options.sampling;
    if *temperature == 0.0 {
        return format!("greedy, at most {max_new_tokens} tokens");
    }
    let seed = options.seed;
    format!(
        "temperature {temperature}, top-k {top_k}, top-p {top_p}, min-p {min_p}, at most {max_new_tokens} tokens, seed {seed}"
    )
}

fn messages(turns: &[Message]) -> Vec<groma_chat::Message> {
    let turn = |turn: &Message| groma_chat::Message {
        role: turn.role.clone(),
        content: turn.content.clone(),
        extra: turn.other.clone(),
    };
    turns.iter().map(turn).collect()
}

fn prompt_failure(error: impl std::fmt::Display) -> Failure {
    Failure::Prompt { reason: error.to_string() }
}

fn model_error(error: groma_model::Error) -> Error {
    match error {
        groma_model::Error::Cancelled => Error::Interrupted,
        other => Error::Model(other),
    }
}
