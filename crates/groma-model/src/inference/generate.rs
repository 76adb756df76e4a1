//! Sampling continuations: prompts that share prefixes and samples that share prompts are computed once.
//!
//! The prompts are one radix forest. As many samples as there is room for are decoded at once; what of the forest they need is in a
//! cache, and each grows its own run of rows below its prompt. One that ends leaves its place to one that waits, whose prompt is
//! computed in the pass in which the others get their next token. A sample is a function of the model, its prompt, the parameters
//! and its seed: never of what else was decoded, nor of the room.

use std::collections::{BTreeMap, VecDeque};

use groma_kernels::{for_each_mut, together};
use groma_run::Seed;

use crate::inference::decoder::{Decoder, Going};
use crate::inference::forest::Forest;
use crate::inference::guidance::{Guidance, Guide, Mixture, Rule, log_probs, normalised};
use crate::inference::room::{Lengths, Room};
use crate::inference::sampling::SamplingParameters;
use crate::{Error, PrefixCache, Result, Transformer, View};

/// Rows that are computed in a pass for samples to begin, about, at most; one always may.
const PASS_ROWS: usize = 256;

/// A prompt with the seed of its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationPrompt {
    /// Tokens, at least one.
    pub ids: Vec<u32>,
    /// Sample `i` of this prompt draws from `seed.index(i)`.
    pub seed: Seed,
}

/// Why a continuation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// A stop token or a stop string.
    Stop,
    /// The token limit, or the model's longest sequence.
    Length,
}

/// One sampled continuation.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Tokens, a final stop token included.
    pub ids: Vec<u32>,
    /// Natural log-probability of each token under the model itself, without filters, at
    /// [`SamplingParameters::logp_temperature`]: what training would say of it, to the bit. Under a rule that says so
    /// ([`Rule::reports_steered`]), that of what the rule makes.
    pub logps: Vec<f32>,
    /// The text without stop token and stop string.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
}

/// What is told while samples are made.
#[derive(Debug)]
pub enum Event<'a> {
    /// Each sample that goes on got a token: these, in the order of the samples.
    Drawn(&'a [u32]),
    /// A sample has ended. Samples end in an order of their own, which depends on the room.
    Ended {
        /// The index of its prompt.
        prompt: usize,
        /// Its own, among those of the prompt.
        sample: usize,
        /// The sample.
        generation: Generation,
    },
}

/// How samples are made, besides what each of them depends on by itself.
#[derive(Clone, Copy, Default)]
pub struct Decoding<'a> {
    /// Who has a say beside the model.
    pub guidance: Option<&'a Guidance<'a>>,
    /// How much is decoded at once; as memory allows where `None`.
    pub room: Option<Room>,
}

/// What generation needs besides the model: text for ids, and when to stop.
pub struct GenerationContext<'a> {
    /// How tokens are chosen; `stop_ids` must hold the tokenizer's own stop tokens too.
    pub parameters: &'a SamplingParameters,
    /// Decodes tokens, special ones left out.
    pub decode: &'a (dyn Fn(&[u32]) -> String + Sync),
    /// How the model is looked at. Sequences of its addresses are the samples: number `prompt * samples + sample`.
    pub view: &'a View,
}

/// Samples continuations of each prompt: `result[prompt][sample]`.
///
/// `progress` is told the number of tokens made since its last call, and stops the work with [`Error::Cancelled`] by
/// returning `false`.
///
/// # Errors
/// As for [`generate_each`].
pub fn generate(
    transformer: &Transformer,
    prompts: &[GenerationPrompt],
    context: &GenerationContext,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<Generation>>> {
    collected((prompts, context), progress, |told| {
        generate_each(transformer, prompts, context, &Decoding::default(), told)
    })
}

/// [`generate`], handing out each sample when it ends. `told` stops the work with [`Error::Cancelled`] by returning `false`.
///
/// # Errors
/// Parameters out of range, empty and overlong prompts, tokens and hooks that the model does not have, a guide that does not fit,
/// and a request to stop.
pub fn generate_each(
    transformer: &Transformer,
    prompts: &[GenerationPrompt],
    context: &GenerationContext,
    decoding: &Decoding<'_>,
    told: &mut dyn FnMut(Event<'_>) -> bool,
) -> Result<()> {
    generate_with(transformer, prompts, context, decoding, None, told)
}

/// [`generate`], where guides say of each token what they would say, and a rule makes one distribution of all, from which the
/// usual filters choose. Log-probabilities are the model's own, as elsewhere.
///
/// # Errors
/// As for [`generate`], and where a guide has another vocabulary, or not one prompt for each.
pub fn generate_guided(
    transformer: &Transformer,
    prompts: &[GenerationPrompt],
    context: &GenerationContext,
    guidance: &Guidance<'_>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<Generation>>> {
    let decoding = Decoding { guidance: Some(guidance), ..Decoding::default() };
    collected((prompts, context), progress, |told| generate_each(transformer, prompts, context, &decoding, told))
}

/// A second model, whose distribution over the next token is mixed with that of the first.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// The model, of the same vocabulary.
    pub transformer: &'a Transformer,
    /// Whether its adapter takes part.
    pub adapter: bool,
    /// Its share in the logits, between 0 and 1; the first model has the rest.
    pub share: f32,
}

/// [`generate_each`] from the geometric mixture of two models (see [`Mixture`]): guided by the second, which is asked the same.
///
/// # Errors
/// Those of [`generate_each`], and [`Error::Sampling`] for a share that is none.
pub fn generate_mixed(
    transformer: &Transformer,
    beside: Beside<'_>,
    prompts: &[GenerationPrompt],
    context: &GenerationContext,
    room: Option<Room>,
    told: &mut dyn FnMut(Event<'_>) -> bool,
) -> Result<()> {
    if !(0.0..=1.0).contains(&beside.share) {
        return Err(Error::Sampling {
            problem: format!("a mixture takes a share from 0 to 1, found {}", beside.share),
        });
    }
    let asked: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
    let view = View::with_adapter(beside.adapter);
    let guides = [Guide { transformer: beside.transformer, view, prompts: &asked }];
    let guidance = Guidance { guides: &guides, rule: &Mixture { share: f64::from(beside.share) } };
    let decoding = Decoding { guidance: Some(&guidance), room };
    generate_each(transformer, prompts, context, &decoding, told)
}

/// [`generate`] of one sample of one prompt, to the bit; `told` is given each token as it is drawn, and stops the work with
/// [`Error::Cancelled`] by returning `false`.
///
/// # Errors
/// As for [`generate`].
pub fn generate_telling(
    transformer: &Transformer,
    prompt: &GenerationPrompt,
    context: &GenerationContext,
    told: &mut dyn FnMut(u32) -> bool,
) -> Result<Generation> {
    let parameters = &SamplingParameters { samples: 1, ..context.parameters.clone() };
    let (context, mut made) = (GenerationContext { parameters, ..*context }, None);
    let prompts = std::slice::from_ref(prompt);
    generate_each(transformer, prompts, &context, &Decoding::default(), &mut |event| match event {
        Event::Drawn(tokens) => tokens.iter().all(|&token| told(token)),
        Event::Ended { generation, .. } => {
            made = Some(generation);
            true
        }
    })?;
    made.ok_or(Error::EmptyPrompt { index: 0 })
}

/// [`generate`], to the bit, where what `cache` holds of the prompts is not computed again; and prompts and samples are held
/// in it, so that the next turn of a dialogue costs what is new in it.
///
/// # Errors
/// As for [`generate`].
pub fn generate_from(
    transformer: &Transformer,
    prompts: &[GenerationPrompt],
    context: &GenerationContext,
    cache: &mut PrefixCache,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<Generation>>> {
    let kept = cache.ready(transformer, context.view);
    let made = collected((prompts, context), progress, |told| {
        generate_with(transformer, prompts, context, &Decoding::default(), kept, told)
    });
    if made.is_err() {
        // A pass that failed has left rows without their values.
        cache.clear();
    }
    made
}

/// Samples that have ended, until all of their prompt have.
#[derive(Debug)]
pub struct Gathered {
    samples: usize,
    made: Vec<BTreeMap<usize, Generation>>,
}

impl Gathered {
    /// None yet, of so many prompts and samples of each.
    pub fn new(prompts: usize, samples: usize) -> Self {
        Gathered { samples, made: vec![BTreeMap::new(); prompts] }
    }

    /// Takes a sample; all of its prompt, in their order, where it was the last of them to end.
    pub fn put(&mut self, prompt: usize, sample: usize, generation: Generation) -> Option<Vec<Generation>> {
        let made = &mut self.made[prompt];
        made.insert(sample, generation);
        (made.len() == self.samples).then(|| std::mem::take(made).into_values().collect())
    }
}

/// All samples, in the order of prompts and their own.
fn collected(
    (prompts, context): (&[GenerationPrompt], &GenerationContext),
    progress: &mut dyn FnMut(usize) -> bool,
    make: impl FnOnce(&mut dyn FnMut(Event<'_>) -> bool) -> Result<()>,
) -> Result<Vec<Vec<Generation>>> {
    let mut gathered = Gathered::new(prompts.len(), context.parameters.samples);
    let mut all = vec![Vec::new(); prompts.len()];
    make(&mut |event| match event {
        Event::Drawn(tokens) => progress(tokens.len()),
        Event::Ended { prompt, sample, generation } => {
            if let Some(made) = gathered.put(prompt, sample, generation) {
                all[prompt] = made;
            }
            true
        }
    })?;
    Ok(all)
}

fn generate_with(
    transformer: &Transformer,
    prompts: &[GenerationPrompt],
    context: &GenerationContext,
    decoding: &Decoding<'_>,
    cache: Option<&mut PrefixCache>,
    told: &mut dyn FnMut(Event<'_>) -> bool,
) -> Result<()> {
    let parameters = context.parameters;
    if let Some(problem) = parameters.problem() {
        return Err(Error::Sampling { problem });
    }
    if let Some(index) = prompts.iter().position(|prompt| prompt.ids.is_empty()) {
        return Err(Error::EmptyPrompt { index });
    }
    let hooks = &context.view.hooks;
    hooks.begin(transformer.spec())?;
    hooks.check_sequences(prompts.len() * parameters.samples)?;
    if let Some(guidance) = decoding.guidance {
        guidance.check(transformer, prompts.len())?;
    }
    let guides = decoding.guidance.map_or(&[][..], |guidance| guidance.guides);
    let room = decoding.room.unwrap_or_else(|| Room::available(transformer.spec()));
    // Hooks see each token of a sample once, and what samples share once for all of them.
    let has_hooks = !hooks.is_empty() || guides.iter().any(|guide| !guide.view.hooks.is_empty());
    let samples = (parameters.samples, if has_hooks { parameters.samples } else { 1 });
    let forest = |transformer: &Transformer, view: &View, ids: &[&[u32]]| {
        let most = (parameters.max_new_tokens, transformer.spec().max_positions);
        Forest::new(ids, &alike(ids.len(), parameters.samples, view), most)
    };
    let asked: Vec<&[u32]> = prompts.iter().map(|prompt| prompt.ids.as_slice()).collect();
    let own = forest(transformer, context.view, &asked);
    let leader = Decoder::new((transformer, context.view), own, samples, room, cache)?;
    let guides = guides.iter().map(|&Guide { transformer, view, prompts }| {
        let asked: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        Decoder::new((transformer, view), forest(transformer, view, &asked), samples, room, None)
    });
    let sampler = Sampler {
        context,
        prompts,
        rule: decoding.guidance.map(|guidance| guidance.rule),
        guides: guides.collect::<Result<Vec<_>>>()?,
        leader,
        sequences: room.sequences.max(1),
        together: samples.1,
        waiting: waiting(prompts, context),
        active: Vec::new(),
        lengths: (!has_hooks).then(Lengths::default),
    };
    together(|| sampler.run(told))
}

/// All samples, in the order in which they begin: prompts that begin alike follow each other.
fn waiting(prompts: &[GenerationPrompt], context: &GenerationContext) -> VecDeque<Sample> {
    let mut order = alike(prompts.len(), context.parameters.samples, context.view);
    order.iter_mut().for_each(|numbers| numbers.sort_by(|&a, &b| prompts[a].ids.cmp(&prompts[b].ids)));
    let samples = context.parameters.samples;
    let of = |prompt: usize| (0..samples).map(move |index| (prompt, index));
    let sample = |(prompt, index): (usize, usize)| Sample {
        prompt,
        index,
        number: prompt * samples + index,
        ids: Vec::new(),
        logps: Vec::new(),
        seed: prompts[prompt].seed.index(index as u64),
        finish: None,
        text_end: None,
    };
    order.into_iter().flatten().flat_map(of).map(sample).collect()
}

/// The prompts, those apart of which edits mean a sample alone.
fn alike(prompts: usize, samples: usize, view: &View) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for prompt in 0..prompts {
        let own = view.hooks.own_edits(prompt * samples..(prompt + 1) * samples);
        groups.entry(own).or_default().push(prompt);
    }
    groups.into_values().collect()
}

/// Samples that go on, and those that wait.
struct Sampler<'a, 'c> {
    context: &'a GenerationContext<'c>,
    prompts: &'a [GenerationPrompt],
    rule: Option<&'a dyn Rule>,
    leader: Decoder<'a>,
    guides: Vec<Decoder<'a>>,
    /// Samples that go on at once, at most.
    sequences: usize,
    /// Samples of a prompt that begin together.
    together: usize,
    waiting: VecDeque<Sample>,
    /// In the order in which they waited.
    active: Vec<Sample>,
    /// How long samples become; `None` where room is kept for the longest, so that none has to make way.
    lengths: Option<Lengths>,
}

struct Sample {
    prompt: usize,
    /// Among the samples of its prompt.
    index: usize,
    /// Among all.
    number: usize,
    ids: Vec<u32>,
    logps: Vec<f32>,
    seed: Seed,
    finish: Option<Finish>,
    /// Bytes of text before a stop string, once one was found.
    text_end: Option<usize>,
}

impl Sampler<'_, '_> {
    fn run(mut self, told: &mut dyn FnMut(Event<'_>) -> bool) -> Result<()> {
        loop {
            self.make_way();
            self.admit()?;
            if self.active.is_empty() {
                return Ok(());
            }
            let going: Vec<Going<'_>> = self.active.iter().map(Sample::going).collect();
            for decoder in std::iter::once(&mut self.leader).chain(&mut self.guides) {
                decoder.advance(&going)?;
            }
            self.choose()?;
            let drawn: Vec<u32> = self.active.iter().filter_map(|sample| sample.ids.last().copied()).collect();
            if !told(Event::Drawn(&drawn)) {
                return Err(Error::Cancelled);
            }
            self.dismiss(told)?;
        }
    }

    /// Makes room for the last tokens of those that go on. Where there is not enough, those that began last wait again, with their
    /// tokens.
    fn make_way(&mut self) {
        let mut at = 0;
        while let Some(sample) = self.active.get(at) {
            let going = sample.going();
            let mut decoders = std::iter::once(&mut self.leader).chain(&mut self.guides);
            let has_room = decoders.all(|decoder| {
                decoder.reach(going) || {
                    decoder.forget_idle();
                    decoder.reach(going)
                }
            });
            if has_room {
                at += 1;
            } else if let Some(last) = self.active.pop() {
                self.leave(&last, false);
                self.waiting.push_front(last);
            }
        }
    }

    /// Lets samples begin that wait, as many as there is room for, with what those that go on may be expected to need yet.
    fn admit(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let expected = self.lengths.and_then(Lengths::expected).unwrap_or(usize::MAX);
        let then = |sample: &Sample| sample.ids.len().saturating_add(expected);
        let promised = |decoder: &Decoder<'_>| -> usize {
            self.active.iter().map(|sample| decoder.lacks(sample.going(), then(sample))).sum()
        };
        let mut free: Vec<usize> =
            self.decoders().map(|decoder| decoder.free().saturating_sub(promised(decoder))).collect();
        let mut rows = 0;
        while let Some(first) = self.waiting.front() {
            let (prompt, count) = (first.prompt, self.together.min(self.waiting.len()));
            // One that had to make way is not let in to make way again.
            let longest = |sample: &Sample| if sample.ids.is_empty() { expected } else { usize::MAX };
            let tokens: Vec<usize> = self.waiting.iter().take(count).map(longest).collect();
            let lacks: Vec<usize> = self.decoders().map(|decoder| decoder.lacks_to_begin(prompt, &tokens)).collect();
            let fits = rows < PASS_ROWS
                && self.active.len() + count <= self.sequences
                && free.iter().zip(&lacks).all(|(free, lacks)| lacks <= free);
            if !fits && !self.active.is_empty() {
                break;
            }
            rows += self.leader.new_rows(first.going());
            free.iter_mut().zip(lacks).for_each(|(free, lacks)| *free = free.saturating_sub(lacks));
            for _ in 0..count {
                self.begin()?;
            }
        }
        Ok(())
    }

    /// Lets the first of those begin that wait.
    fn begin(&mut self) -> Result<()> {
        let Some(sample) = self.waiting.pop_front() else { return Ok(()) };
        for decoder in std::iter::once(&mut self.leader).chain(&mut self.guides) {
            if !decoder.begin(sample.going()) {
                decoder.forget_idle();
                if !decoder.begin(sample.going()) {
                    return Err(Error::Sampling { problem: format!("no room for prompt {}", sample.prompt) });
                }
            }
        }
        self.active.push(sample);
        Ok(())
    }

    fn decoders(&self) -> impl Iterator<Item = &Decoder<'_>> {
        std::iter::once(&self.leader).chain(&self.guides)
    }

    fn leave(&mut self, sample: &Sample, has_ended: bool) {
        let decoders = std::iter::once(&mut self.leader).chain(&mut self.guides);
        decoders.for_each(|decoder| decoder.leave(sample.going(), has_ended));
    }

    /// What the rule makes of the distributions over the next token of each sample that goes on, where there is one: log-weights.
    fn steered(&self, logits: &[f32]) -> Result<Option<Vec<Vec<f32>>>> {
        let Some(rule) = self.rule else { return Ok(None) };
        let vocab = self.leader.transformer.spec().vocab_size;
        let said = self.guides.iter().map(|guide| guide.transformer.distributions(&guide.hidden, 1.0));
        let said = said.collect::<Result<Vec<_>>>()?;
        let guides = said.iter().zip(&self.guides);
        let said: Vec<_> = guides.map(|((logits, _), guide)| guide.transformer.backend().read(logits)).collect();
        let worth =
            if rule.reads_advantages() { self.leader.transformer.advantages(&self.leader.hidden)? } else { Vec::new() };
        let mut rows: Vec<Vec<f32>> = vec![Vec::new(); logits.len() / vocab];
        let work = 32 * vocab * rows.len() * (1 + self.guides.len());
        for_each_mut(&mut rows, work, |row, steered| {
            let of = |logits: &[f32]| log_probs(&logits[row * vocab..][..vocab]);
            let worth = worth.chunks_exact(vocab).nth(row).map(|row| row.iter().copied().map(f64::from).collect());
            let theirs: Vec<Vec<f64>> = said.iter().map(|logits| of(logits)).chain(worth).collect();
            *steered = rule.steer(&of(logits), &theirs).into_iter().map(|weight| weight as f32).collect();
        });
        Ok(Some(rows))
    }

    /// Draws the next token of each sample that goes on from its hidden state.
    fn choose(&mut self) -> Result<()> {
        let (context, prompts, transformer) = (self.context, self.prompts, self.leader.transformer);
        let (logits, log_sum_exps) =
            transformer.distributions(&self.leader.hidden, context.parameters.logp_temperature)?;
        let (vocab, limit) = (transformer.spec().vocab_size, transformer.spec().max_positions);
        let logits = transformer.backend().read(&logits);
        let steered = self.steered(&logits)?;
        let work = 8 * vocab * self.active.len();
        let reports = self.rule.is_some_and(Rule::reports_steered);
        for_each_mut(&mut self.active, work, |row, sample| {
            let distribution = (&logits[row * vocab..][..vocab], log_sum_exps[row]);
            let weights = steered.as_ref().map_or(distribution.0, |rows| &rows[row]);
            sample.choose(&prompts[sample.prompt].ids, (weights, distribution, reports), context, limit);
        });
        for sample in self.active.iter_mut().filter(|sample| sample.finish.is_none()) {
            // Where a guide can read no more, there is no distribution.
            if self.guides.iter().any(|guide| guide.forest.is_full(sample.prompt, sample.ids.len())) {
                sample.finish = Some(Finish::Length);
            }
        }
        Ok(())
    }

    /// Hands out the samples that have ended.
    fn dismiss(&mut self, told: &mut dyn FnMut(Event<'_>) -> bool) -> Result<()> {
        let drawn = self.active.len();
        let has_ended = |sample: &mut Sample| sample.finish.is_some();
        let ended: Vec<Sample> = self.active.extract_if(.., has_ended).collect();
        if let Some(lengths) = &mut self.lengths {
            (lengths.tokens, lengths.ended) = (lengths.tokens + drawn, lengths.ended + ended.len());
        }
        ended.iter().for_each(|sample| self.leave(sample, true));
        for sample in ended {
            let (prompt, index) = (sample.prompt, sample.index);
            if !told(Event::Ended { prompt, sample: index, generation: sample.generation(self.context) }) {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }
}

impl Sample {
    fn going(&self) -> Going<'_> {
        Going { number: self.number, prompt: self.prompt, ids: &self.ids }
    }

    fn generation(self, context: &GenerationContext) -> Generation {
        let stop = &context.parameters.stop_ids;
        let visible = match self.ids.last() {
            Some(last) if stop.contains(last) => &self.ids[..self.ids.len() - 1],
            _ => &self.ids[..],
        };
        let mut text = (context.decode)(visible);
        if let Some(end) = self.text_end {
            text.truncate(end);
        }
        let finish = self.finish.unwrap_or(Finish::Length);
        Generation { ids: self.ids, logps: self.logps, text, finish }
    }

    fn choose(
        &mut self,
        prompt: &[u32],
        (weights, (logits, log_sum_exp), reports_steered): (&[f32], (&[f32], f64), bool),
        context: &GenerationContext,
        limit: usize,
    ) {
        let parameters = context.parameters;
        let history = match parameters.repetition_penalty {
            1.0 => Vec::new(),
            _ => [prompt, &self.ids].concat(),
        };
        let mut rng = self.seed.index(self.ids.len() as u64).rng();
        let token = parameters.choose(weights, &history, &mut rng);
        self.ids.push(token);
        let own = || f64::from(logits[token as usize] * (1.0 / parameters.logp_temperature)) - log_sum_exp;
        let steered = || normalised(weights, parameters.logp_temperature)[token as usize];
        self.logps.push((if reports_steered { steered() } else { own() }) as f32);
        if parameters.stop_ids.contains(&token) {
            self.finish = Some(Finish::Stop);
        } else if let Some(end) = self.stop_string(context) {
            self.text_end = Some(end);
            self.finish = Some(Finish::Stop);
        } else if self.ids.len() >= parameters.max_new_tokens || prompt.len() + self.ids.len() >= limit {
            self.finish = Some(Finish::Length);
        }
    }

    /// Where the earliest stop string begins in the text so far.
    fn stop_string(&self, context: &GenerationContext) -> Option<usize> {
        let stops = &context.parameters.stop_strings;
        if stops.is_empty() {
            return None;
        }
        let text = (context.decode)(&self.ids);
        stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min()
    }
}
