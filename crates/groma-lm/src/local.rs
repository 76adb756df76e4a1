//! A model in this process.

use groma_model::generate::{
    Decoding, Event, Gathered, Generation, GenerationContext, GenerationPrompt, generate, generate_each,
    generate_telling,
};
use groma_model::guidance::Guidance;
use groma_model::rewards::{StepReward, Stepped, rewards, step_rewards};
use groma_model::sampling::SamplingParameters;
use groma_model::score::{ScoreOptions, ScoreRequest, score_each};
use groma_model::{LocalModel, Spec, Transformer, View};
use groma_run::Cancel;
use std::time::Instant;

use crate::pieces::Pieces;
use crate::steps::step_ends;
use crate::tokens::{NO_LIMIT, Pending, Windows, mode, windows};
use crate::{
    Ask, Choice, Continuation, Cost, Encoder, Failure, Kind, LanguageModel, Reply, Scored, Sink, Steering, Usage,
};

/// How a local model is used.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalOptions {
    /// Tokens in one forward pass.
    pub budget_tokens: usize,
    /// Longest sequence, where it is to be shorter than the model's own.
    pub max_length: Option<usize>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        LocalOptions { budget_tokens: ScoreOptions::default().budget_tokens, max_length: None }
    }
}

/// A transformer with what is needed to talk to it.
#[derive(Clone, Debug)]
pub struct Local<'a> {
    /// The model.
    pub transformer: &'a Transformer,
    /// Its tokenizer and chat template.
    pub encoder: Encoder<'a>,
    /// How it is looked at.
    pub view: &'a View,
    /// How it is used.
    pub options: LocalOptions,
    /// What its answers are steered away from, where they are.
    pub steering: Option<Steering<'a>>,
}

impl<'a> Local<'a> {
    /// Of a model that was opened from a directory.
    pub fn new(model: &'a LocalModel, options: LocalOptions) -> Self {
        Local {
            transformer: &model.transformer,
            encoder: Encoder::of(model),
            view: View::plain(),
            options,
            steering: None,
        }
    }

    /// Longest sequence, in tokens.
    fn limit(&self) -> usize {
        let own = self.transformer.spec().max_positions;
        self.options.max_length.map_or(own, |limit| limit.min(own))
    }

    /// Samples continuations of tokens; the model's stop tokens and its template's stop strings are added to those of
    /// `parameters`.
    ///
    /// # Errors
    /// As for [`generate`].
    pub fn sample(
        &self,
        prompts: &[GenerationPrompt],
        parameters: &SamplingParameters,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> groma_model::Result<Vec<Vec<Generation>>> {
        self.generating(parameters, |context| generate(self.transformer, prompts, context, progress))
    }

    /// With the model's own stops beside those of `parameters`.
    fn generating<T>(&self, parameters: &SamplingParameters, work: impl FnOnce(&GenerationContext<'_>) -> T) -> T {
        let mut parameters = parameters.clone();
        parameters.stop_ids.extend(&self.encoder.stop_ids);
        parameters.stop_strings.extend(self.encoder.chat.stop_strings.iter().cloned());
        let decode = |ids: &[u32]| self.encoder.decode(ids);
        work(&GenerationContext { parameters: &parameters, decode: &decode, view: self.view })
    }

    /// What a model says of replies by attribute, in the order of its [`Spec::attributes`]; of another reward model, its one score.
    ///
    /// # Errors
    /// Those of the model, a request to stop among them.
    pub fn attributes(
        &self,
        wanted: &[Continuation],
        cancel: &Cancel,
    ) -> groma_model::Result<Vec<Result<Vec<f32>, Failure>>> {
        let encoded = windows(&self.encoder, wanted, NO_LIMIT).into_iter();
        let encoded: Vec<_> = encoded.map(|one| one.and_then(|windows| whole(windows, self.limit()))).collect();
        let ids: Vec<&[u32]> = encoded.iter().flatten().map(|(ids, _)| ids.as_slice()).collect();
        let mut values = rewards(self.transformer, &ids, self.view, &mut |_| !cancel.is_requested())?.into_iter();
        let value = |one: Result<_, Failure>| one.map(|_| values.next().unwrap_or_default());
        Ok(encoded.into_iter().map(value).collect())
    }

    /// What a reward model gives replies, each read behind its last token, or behind each of its steps, whose product it is.
    fn reward_each(&self, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>) {
        let (mut places, mut texts) = (Vec::new(), Vec::new());
        for (index, encoded) in windows(&self.encoder, wanted, NO_LIMIT).into_iter().enumerate() {
            let encoded = match self.refuses(wanted[index].kind()) {
                Some(failure) => Err(failure),
                None => encoded.and_then(|windows| whole(windows, self.limit())),
            };
            match encoded {
                Ok(text) => {
                    places.push(index);
                    texts.push(text);
                }
                Err(failure) => sink(index, Err(failure), Cost::default()),
            }
        }
        let started = Instant::now();
        let found = match self.rewards_of(&texts, cancel) {
            Ok(values) => values.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(Failure::from(error)); texts.len()],
        };
        for ((index, (ids, _)), reward) in places.into_iter().zip(&texts).zip(found) {
            let scored = reward.map(|reward| Scored { reward, ..Scored::default() });
            let usage = Usage { prompt_tokens: ids.len() as u64, completion_tokens: 0 };
            sink(index, scored, Cost { usage, seconds: started.elapsed().as_secs_f64() });
        }
    }

    /// The rewards of texts, of each of which the reply begins behind so many tokens.
    fn rewards_of(&self, texts: &[(Vec<u32>, usize)], cancel: &Cancel) -> groma_model::Result<Vec<Option<f32>>> {
        let mut go_on = |_| !cancel.is_requested();
        if self.transformer.spec().rewards_steps() {
            let (tokenizer, stops) = (self.encoder.tokenizer, &self.encoder.stop_ids);
            let separator = self.transformer.spec().step_separator();
            let ends = |(ids, from): &(Vec<u32>, usize)| step_ends(tokenizer, stops, ids, *from, separator);
            let ends: Vec<Vec<usize>> = texts.iter().map(ends).collect();
            let stepped = texts.iter().zip(&ends).map(|((ids, _), ends)| Stepped { ids, ends });
            let steps = step_rewards(self.transformer, &stepped.collect::<Vec<_>>(), self.view, &mut go_on)?;
            return Ok(steps.iter().map(|steps| Some(StepReward::Product.of(steps))).collect());
        }
        let ids: Vec<&[u32]> = texts.iter().map(|(ids, _)| ids.as_slice()).collect();
        let values = rewards(self.transformer, &ids, self.view, &mut go_on)?;
        // Of several attributes, their mean; each head has at least one output.
        Ok(values.into_iter().map(|values| Some(values.iter().sum::<f32>() / values.len() as f32)).collect())
    }

    fn prompt(&self, ask: &Ask) -> Result<GenerationPrompt, Failure> {
        if let Some(failure) = self.refuses(Kind::Generate) {
            return Err(failure);
        }

        let ids = self.encoder.prompt(&ask.prompt).map_err(Failure::prompt)?;
        if ids.is_empty() || ids.len() >= self.limit() {
            return Err(Failure::TooLong { tokens: ids.len(), limit: self.limit() });
        }
        Ok(GenerationPrompt { ids, seed: ask.seed })
    }

    /// What guides read in the place of a prompt.
    fn beside(&self, ask: &Ask) -> Result<Vec<Vec<u32>>, Failure> {
        let prompts = |steering: &Steering<'_>| steering.prompts(&self.encoder, &ask.prompt, self.limit());
        self.steering.as_ref().map_or(Ok(Vec::new()), prompts)
    }

    /// [`Local::sample`], steered where answers are, each sample handed out when it ends; `beside` is what guides read, by prompt
    /// and guide.
    fn steered(
        &self,
        prompts: &[GenerationPrompt],
        beside: Vec<Vec<Vec<u32>>>,
        parameters: &SamplingParameters,
        told: &mut dyn FnMut(Event<'_>) -> bool,
    ) -> groma_model::Result<()> {
        let count = beside.first().map_or(0, Vec::len);
        let mut by_guide = vec![Vec::with_capacity(beside.len()); count];
        for read in beside {
            by_guide.iter_mut().zip(read).for_each(|(guide, ids)| guide.push(ids));
        }
        let own = (self.transformer, self.view);
        let guides = self.steering.as_ref().map_or(Vec::new(), |steering| steering.guides(own, &by_guide));
        let guidance = self.steering.as_ref().map(|steering| Guidance { guides: &guides, rule: steering.rule() });
        let decoding = Decoding { guidance: guidance.as_ref(), ..Decoding::default() };
        self.generating(parameters, |context| generate_each(self.transformer, prompts, context, &decoding, told))
    }

    /// Replies to asks of the same parameters, each handed out when its last sample has ended.
    fn reply(&self, asks: &[(usize, &Ask)], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        let Some((_, Ask { sampling, .. })) = asks.first() else { return };
        let (mut places, mut prompts, mut beside) = (Vec::new(), Vec::new(), Vec::new());
        for (index, ask) in asks {
            match self.prompt(ask).and_then(|prompt| Ok((prompt, self.beside(ask)?))) {
                Ok((prompt, guides)) => {
                    places.push((*index, ask.logps));
                    prompts.push(prompt);
                    beside.push(guides);
                }
                Err(failure) => sink(*index, Err(failure), Cost::default()),
            }
        }
        let started = Instant::now();
        let (mut gathered, mut open) = (Gathered::new(prompts.len(), sampling.samples), vec![true; prompts.len()]);
        let mut hand_out = |prompt: usize, reply: Result<Reply, Failure>| {
            let usage = reply.as_ref().map_or(Usage::default(), |reply| reply.usage);
            open[prompt] = false;
            sink(places[prompt].0, reply, Cost { usage, seconds: started.elapsed().as_secs_f64() });
        };
        let ended = self.steered(&prompts, beside, sampling, &mut |event| {
            if let Event::Ended { prompt, sample, generation } = event
                && let Some(made) = gathered.put(prompt, sample, generation)
            {
                hand_out(prompt, Ok(reply(&prompts[prompt], made, places[prompt].1)));
            }
            !cancel.is_requested()
        });
        if let Err(error) = ended {
            let failure = Failure::from(error);
            for (index, _) in places.iter().zip(open).filter(|(_, open)| *open).map(|(place, _)| place) {
                sink(
                    *index,
                    Err(failure.clone()),
                    Cost { seconds: started.elapsed().as_secs_f64(), ..Cost::default() },
                );
            }
        }
    }
}

/// Context and continuation as one text, and where the latter begins. All of it is read: the beginning of one that is too
/// long is not left out, as it is where a model is asked what comes next.
fn whole(windows: Windows, limit: usize) -> Result<(Vec<u32>, usize), Failure> {
    let [only] = &windows.requests[..] else { return Err(Failure::WrongKind) };
    let ids = [&only.context[..], &only.continuation].concat();
    let tokens = ids.len();
    if tokens > limit { Err(Failure::TooLong { tokens, limit }) } else { Ok((ids, only.context.len())) }
}

fn reply(prompt: &GenerationPrompt, made: Vec<Generation>, logps: bool) -> Reply {
    let completion_tokens = made.iter().map(|generation| generation.ids.len() as u64).sum();
    let choice = |made: Generation| Choice {
        text: made.text,
        ids: made.ids,
        logps: if logps { made.logps } else { Vec::new() },
        finish: made.finish,
    };
    Reply {
        choices: made.into_iter().map(choice).collect(),
        usage: Usage { prompt_tokens: prompt.ids.len() as u64, completion_tokens },
    }
}

/// Asks that can be sampled together: of equal parameters.
fn batches(asks: &[Ask]) -> Vec<Vec<(usize, &Ask)>> {
    let mut batches: Vec<Vec<(usize, &Ask)>> = Vec::new();
    for (index, ask) in asks.iter().enumerate() {
        let fits =
            |batch: &&mut Vec<(usize, &Ask)>| batch.first().is_some_and(|(_, first)| first.sampling == ask.sampling);
        match batches.iter_mut().find(fits) {
            Some(batch) => batch.push((index, ask)),
            None => batches.push(vec![(index, ask)]),
        }
    }
    batches
}

impl LanguageModel for Local<'_> {
    fn generate_each(&self, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        for batch in batches(asks) {
            if cancel.is_requested() {
                return;
            }
            self.reply(&batch, cancel, sink);
        }
    }

    fn score_each(&self, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>) {
        if cancel.is_requested() {
            return;
        }
        if !self.transformer.spec().predicts() {
            return self.reward_each(wanted, cancel, sink);
        }
        let mut pending: Vec<Pending> = Vec::new();
        let mut requests: Vec<ScoreRequest> = Vec::new();
        let mut places: Vec<(usize, usize)> = Vec::new();
        for (index, encoded) in windows(&self.encoder, wanted, self.limit()).into_iter().enumerate() {
            match encoded {
                Ok(Windows { requests: own, was_cut }) => {
                    places.extend((0..own.len()).map(|window| (pending.len(), window)));
                    pending.push(Pending::new(index, own.len(), was_cut));
                    requests.extend(own);
                }
                Err(failure) => sink(index, Err(failure), Cost::default()),
            }
        }
        let budget_tokens = self.options.budget_tokens;
        let options = ScoreOptions { budget_tokens, view: self.view, ..ScoreOptions::default() };
        let started = Instant::now();
        let ended = score_each(self.transformer, &requests, &options, &mut |scored| {
            for (request, score) in scored {
                let ((place, window), ScoreRequest { context, continuation }) = (places[request], &requests[request]);
                let usage = Usage { prompt_tokens: (context.len() + continuation.len()) as u64, completion_tokens: 0 };
                let cost = Cost { usage, seconds: started.elapsed().as_secs_f64() };
                if let Some((scored, cost)) = pending[place].put(window, Ok(score), cost) {
                    sink(pending[place].index, scored, cost);
                }
            }
            !cancel.is_requested()
        });
        if let Err(error) = ended {
            let failure = Failure::from(error);
            for pending in pending.iter().filter(|pending| pending.is_open()) {
                sink(pending.index, Err(failure.clone()), Cost::default());
            }
        }
    }

    fn stream(&self, ask: &Ask, cancel: &Cancel, piece: &mut dyn FnMut(&str)) -> Result<Reply, Failure> {
        let prompt = self.prompt(ask)?;
        if self.steering.is_some() {
            // Guides go token by token as well, and their answer is told as a whole.
            let (beside, mut gathered, mut made) =
                (vec![self.beside(ask)?], Gathered::new(1, ask.sampling.samples), Vec::new());
            self.steered(std::slice::from_ref(&prompt), beside, &ask.sampling, &mut |event| {
                if let Event::Ended { prompt, sample, generation } = event {
                    made = gathered.put(prompt, sample, generation).unwrap_or_default();
                }
                !cancel.is_requested()
            })?;
            made.iter().for_each(|generation| piece(&generation.text));
            return Ok(reply(&prompt, made, ask.logps));
        }
        let made = self.generating(&ask.sampling, |context| {
            let mut text = self.encoder.tokenizer.stream(true);
            let mut pieces = Pieces::new(&context.parameters.stop_strings);
            let made = generate_telling(self.transformer, &prompt, context, &mut |id| {
                // A token that cannot be shown is part of the reply all the same.
                if !context.parameters.stop_ids.contains(&id) {
                    piece(pieces.push(&text.push(id).unwrap_or_default()));
                }
                !cancel.is_requested()
            })?;
            piece(pieces.rest(&made.text));
            Ok(made)
        });
        Ok(reply(&prompt, vec![made.map_err(|error: groma_model::Error| Failure::from(error))?], ask.logps))
    }

    fn mode(&self, kind: Kind) -> String {
        if let (Some(steering), Kind::Generate) = (&self.steering, kind) {
            return format!("{}, {}", mode(&self.encoder, kind, self.limit()), steering.words());
        }
        match self.transformer.spec().rewards() {
            true if self.transformer.spec().rewards_steps() => {
                format!("template {}, product over the steps", self.encoder.chat.name)
            }
            true if !self.transformer.spec().attributes().is_empty() => {
                format!("template {}, read at the end of the turn, mean of the attributes", self.encoder.chat.name)
            }
            true => format!("template {}, read at the end of the turn", self.encoder.chat.name),
            false => mode(&self.encoder, kind, self.limit()),
        }
    }

    /// A reward model says what it finds of replies, and nothing else.
    fn refuses(&self, kind: Kind) -> Option<Failure> {
        let spec = self.transformer.spec();
        let can = spec.rewards() && kind == Kind::Reply;
        Spec::require_prediction(&spec.outputs, kind.words()).err().filter(|_| !can).map(Failure::from)
    }
}
