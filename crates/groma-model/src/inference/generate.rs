//! Sampling continuations: prompts that share prefixes and samples that share prompts are computed once.
//!
//! The prompts' radix tree is computed into the upper part of a cache; each sample then grows its own run of rows below
//! its prompt. A sample is a function of the model, its prompt, the parameters and its seed: never of what else was in
//! the batch.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use groma_kernels::{AttentionLayout, AttentionSegment, KEY_PANEL, KeySpan, Tape, Var, for_each_mut, together};
use groma_run::Seed;

use crate::hooks::Cell;
use crate::inference::cache::{Cache, KvCache};
use crate::inference::guidance::{Guidance, Guide, Mixture, Rule, log_probs, normalised};
use crate::inference::prefixes::{Kept, Known};
use crate::inference::sampling::SamplingParameters;
use crate::transformer::Input;
use crate::tree::{distinct_rows, pack};
use crate::{Error, Pass, PrefixCache, Result, SegmentId, TokenTree, Transformer, View};

/// Cache rows in one batch of prompts, at most (a single larger prompt still runs).
pub const BATCH_ROWS: usize = 16_384;
/// Sequences in one batch, at most.
const BATCH_SEQUENCES: usize = 256;

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

/// What generation needs besides the model: text for ids, and when to stop.
pub struct GenerationContext<'a> {
    /// How tokens are chosen; `stop_ids` must hold the tokenizer's own stop tokens too.
    pub parameters: &'a SamplingParameters,
    /// Decodes tokens, special ones left out.
    pub decode: &'a (dyn Fn(&[u32]) -> String + Sync),
    /// How the model is looked at. Sequences of its addresses are the samples: number `prompt * samples + sample`.
    pub view: &'a View,
}

struct Sample {
    prompt: usize,
    /// Cache rows of its own.
    rows: Range<usize>,
    ids: Vec<u32>,
    logps: Vec<f32>,
    seed: Seed,
    /// Where its last token but one is kept beyond the call.
    place: Option<u32>,
    finish: Option<Finish>,
    /// Bytes of text before a stop string, once one was found.
    text_end: Option<usize>,
}

/// Samples continuations of each prompt: `result[prompt][sample]`.
///
/// `progress` is told the number of tokens made since its last call, and stops the work with [`Error::Cancelled`] by
/// returning `false`.
pub fn generate(
    transformer: &Transformer,
    prompts: &[GenerationPrompt],
    context: &GenerationContext,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<Generation>>> {
    generate_with(transformer, prompts, context, (&mut None, None), &mut |_, made| progress(made))
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
    generate_with(transformer, prompts, context, (&mut None, Some(guidance)), &mut |_, made| progress(made))
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

/// [`generate`] from the geometric mixture of two models (see [`Mixture`]): guided by the second, which is asked the same.
///
/// # Errors
/// Those of [`generate_guided`], and [`Error::Sampling`] for a share that is none.
pub fn generate_mixed(
    transformer: &Transformer,
    beside: Beside<'_>,
    prompts: &[GenerationPrompt],
    context: &GenerationContext,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<Generation>>> {
    if !(0.0..=1.0).contains(&beside.share) {
        return Err(Error::Sampling {
            problem: format!("a mixture takes a share from 0 to 1, found {}", beside.share),
        });
    }
    let asked: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
    let view = View::with_adapter(beside.adapter);
    let guides = [Guide { transformer: beside.transformer, view, prompts: &asked }];
    let guidance = Guidance { guides: &guides, rule: &Mixture { share: f64::from(beside.share) } };
    generate_guided(transformer, prompts, context, &guidance, progress)
}

/// [`generate`] of one sample of one prompt, to the bit; `told` is given each token as it is drawn, and stops the work with
/// [`Error::Cancelled`] by returning `false`.
pub fn generate_telling(
    transformer: &Transformer,
    prompt: &GenerationPrompt,
    context: &GenerationContext,
    told: &mut dyn FnMut(u32) -> bool,
) -> Result<Generation> {
    let parameters = &SamplingParameters { samples: 1, ..context.parameters.clone() };
    let context = GenerationContext { parameters, ..*context };
    let mut step = |samples: &[Sample], _| {
        let token = samples.first().and_then(|sample| sample.ids.last());
        token.is_none_or(|&token| told(token))
    };
    let made = generate_with(transformer, std::slice::from_ref(prompt), &context, (&mut None, None), &mut step)?;
    made.into_iter().flatten().next().ok_or(Error::EmptyPrompt { index: 0 })
}

/// Is shown the samples after each token, and how many got one; `false` stops the work.
type Step<'a> = dyn FnMut(&[Sample], usize) -> bool + 'a;

/// [`generate`], to the bit, where what `cache` holds of the prompts is not computed again; and prompts and samples are held
/// in it, so that the next turn of a dialogue costs what is new in it.
pub fn generate_from(
    transformer: &Transformer,
    prompts: &[GenerationPrompt],
    context: &GenerationContext,
    cache: &mut PrefixCache,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<Generation>>> {
    let mut step = |_: &[Sample], made| progress(made);
    let kept = &mut cache.ready(transformer, context.view);
    let made = generate_with(transformer, prompts, context, (kept, None), &mut step);
    if made.is_err() {
        // A pass that failed has left rows without their values.
        cache.clear();
    }
    made
}

fn generate_with(
    transformer: &Transformer,
    prompts: &[GenerationPrompt],
    context: &GenerationContext,
    (cache, guidance): (&mut Option<&mut PrefixCache>, Option<&Guidance<'_>>),
    step: &mut Step<'_>,
) -> Result<Vec<Vec<Generation>>> {
    if let Some(problem) = context.parameters.problem() {
        return Err(Error::Sampling { problem });
    }
    if let Some(index) = prompts.iter().position(|prompt| prompt.ids.is_empty()) {
        return Err(Error::EmptyPrompt { index });
    }
    let parameters = context.parameters;
    let rows_per_prompt = |p: &GenerationPrompt| {
        // A sample's rows may start up to a panel of keys later than they could.
        let rows = p.ids.len() + parameters.samples * (parameters.max_new_tokens + KEY_PANEL - 1);
        rows.max(parameters.samples * BATCH_ROWS / BATCH_SEQUENCES)
    };
    let hooks = &context.view.hooks;
    hooks.begin(transformer.spec())?;
    hooks.check_sequences(prompts.len() * parameters.samples)?;
    if let Some(guidance) = guidance {
        guidance.check(transformer, prompts.len())?;
    }
    let guides = guidance.map_or(&[][..], |guidance| guidance.guides);
    let guiding: Vec<Guiding<'_>> = guides.iter().map(|guide| Guiding::new(guide, context)).collect();
    let rule = guidance.map(|guidance| guidance.rule);
    let mut generations = vec![Vec::new(); prompts.len()];
    for alike in alike(prompts.len(), context) {
        let sizes: Vec<usize> = alike.iter().map(|&prompt| rows_per_prompt(&prompts[prompt])).collect();
        for range in pack(&sizes, BATCH_ROWS) {
            let numbers = &alike[range];
            let batch: Vec<&GenerationPrompt> = numbers.iter().map(|&number| &prompts[number]).collect();
            let cache = cache.as_deref_mut();
            let beside: Vec<Vec<&GenerationPrompt>> =
                guiding.iter().map(|guide| numbers.iter().map(|&number| &guide.prompts[number]).collect()).collect();
            let made = together(|| {
                let guides = guiding
                    .iter()
                    .zip(&beside)
                    .map(|(guide, prompts)| Batch::prefill(guide.transformer, prompts, numbers, &guide.context, None));
                let guides = guides.collect::<Result<Vec<_>>>()?;
                Batch::prefill(transformer, &batch, numbers, context, cache)?.run((guides, rule), step)
            })?;
            numbers.iter().zip(made).for_each(|(&number, samples)| generations[number] = samples);
        }
    }
    Ok(generations)
}

/// The prompts, those apart of which edits mean a sample alone.
fn alike(prompts: usize, context: &GenerationContext) -> Vec<Vec<usize>> {
    let samples = context.parameters.samples;
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for prompt in 0..prompts {
        let own = context.view.hooks.own_edits(prompt * samples..(prompt + 1) * samples);
        groups.entry(own).or_default().push(prompt);
    }
    groups.into_values().collect()
}

/// A guide as it is asked beside a call. Its seeds are never drawn from.
struct Guiding<'a> {
    transformer: &'a Transformer,
    context: GenerationContext<'a>,
    prompts: Vec<GenerationPrompt>,
}

impl<'a> Guiding<'a> {
    fn new(guide: &Guide<'a>, context: &GenerationContext<'a>) -> Self {
        let prompt = |ids: &Vec<u32>| GenerationPrompt { ids: ids.clone(), seed: Seed::new(0) };
        let context = GenerationContext { view: guide.view, ..*context };
        Guiding { transformer: guide.transformer, context, prompts: guide.prompts.iter().map(prompt).collect() }
    }
}

/// Prompts in a cache, and their samples growing below them.
struct Batch<'a> {
    transformer: &'a Transformer,
    context: &'a GenerationContext<'a>,
    prompts: &'a [&'a GenerationPrompt],
    /// Of each prompt, among those of the call.
    numbers: &'a [usize],
    tree: TokenTree,
    ends: Vec<SegmentId>,
    cache: KvCache,
    samples: Vec<Sample>,
    prefixes: Option<&'a mut PrefixCache>,
    /// Hidden state before each sample's next token.
    hidden: Var,
}

impl<'a> Batch<'a> {
    fn prefill(
        transformer: &'a Transformer,
        prompts: &'a [&'a GenerationPrompt],
        numbers: &'a [usize],
        context: &'a GenerationContext<'a>,
        mut prefixes: Option<&'a mut PrefixCache>,
    ) -> Result<Self> {
        let borrowed: Vec<&[u32]> = prompts.iter().map(|p| p.ids.as_slice()).collect();
        let (tree, ends) = TokenTree::share_prefixes(&borrowed);
        let mut samples = Vec::new();
        let mut capacity = tree.len();
        for (prompt, p) in prompts.iter().enumerate() {
            let room = transformer.spec().max_positions.saturating_sub(p.ids.len());
            for i in 0..context.parameters.samples {
                // A row lies in its panel of keys where its position lies in a block of the attention's.
                let start = (capacity..).find(|row| row % KEY_PANEL == p.ids.len() % KEY_PANEL).unwrap_or(capacity);
                let rows = start..start + context.parameters.max_new_tokens.min(room + 1);
                capacity = rows.end;
                let seed = p.seed.index(i as u64);
                samples.push(Sample {
                    prompt,
                    rows,
                    ids: vec![],
                    logps: vec![],
                    seed,
                    finish: None,
                    text_end: None,
                    place: None,
                });
            }
        }
        let mut cache = KvCache::new(transformer.spec(), transformer.backend().clone(), capacity);
        transformer.check_tokens(tree.tokens())?;
        let last: Vec<u32> = samples.iter().map(|s| tree.last_row(ends[s.prompt]).unwrap_or(0) as u32).collect();
        let (distinct, places) = distinct_rows(&last);
        let (keys, all) = (cache.rows(), transformer.looks_at_all(context.view));
        let layout = AttentionLayout { keys, ..tree.layout_of(&distinct) };
        let known = match &mut prefixes {
            Some(prefixes) => prefixes.find(&tree, &distinct, None, transformer.spec()),
            None => Known { new: (0..tree.len() as u32).collect(), ..Known::default() },
        };
        if let Some(prefixes) = &prefixes {
            cache.fill(prefixes, &known.there);
            samples.iter_mut().zip(&last).for_each(|(sample, &row)| sample.place = known.places[row as usize]);
        }
        let new = |row: &u32| known.new.partition_point(|other| other < row) as u32;
        let (tokens, positions, narrow) = (tree.tokens(), tree.positions(), distinct.iter().map(new).collect());
        let kept = prefixes.as_deref_mut().map(|prefixes| (prefixes, known.keep.clone()));
        let input = Input {
            ids: known.new.iter().map(|&row| tokens[row as usize]).collect(),
            positions: known.new.iter().map(|&row| positions[row as usize]).collect(),
            layout: Arc::new(AttentionLayout { keys, ..tree.layout_of(&known.new) }),
            cache: Some(Cache::Rows(&mut cache, known.new.as_slice().into(), kept)),
            narrowed: (!all).then(|| transformer.narrowed(narrow, layout)),
            cells: prompt_cells(&tree, &ends, numbers, context),
            stream: None,
        };
        let mut tape = Tape::inference(transformer.backend().clone());
        let hidden = transformer.run(&mut tape, input, &Pass::of(context.view))?;
        let places: Arc<[u32]> = if all { last.into() } else { places };
        let hidden = tape.gather_rows(&hidden, &places);
        Ok(Batch { transformer, context, prompts, numbers, tree, ends, cache, samples, prefixes, hidden })
    }

    fn run(
        mut self,
        (mut guides, rule): (Vec<Batch<'_>>, Option<&dyn Rule>),
        step: &mut Step<'_>,
    ) -> Result<Vec<Vec<Generation>>> {
        loop {
            let active: Vec<usize> = (0..self.samples.len()).filter(|&i| self.samples[i].finish.is_none()).collect();
            if active.is_empty() {
                return Ok(self.finish());
            }
            self.choose(&active, &guides, rule)?;
            guides.iter_mut().for_each(|guide| guide.follow(&mut self.samples));
            for guide in &mut guides {
                guide.samples.iter_mut().zip(&self.samples).for_each(|(own, leader)| own.finish = leader.finish);
            }
            if !step(&self.samples, active.len()) {
                return Err(Error::Cancelled);
            }
            self.advance()?;
            guides.iter_mut().try_for_each(Batch::advance)?;
        }
    }

    /// Takes over the tokens that were chosen; who has room for no more is led no further.
    fn follow(&mut self, leaders: &mut [Sample]) {
        let limit = self.transformer.spec().max_positions;
        for (own, leader) in self.samples.iter_mut().zip(leaders).filter(|(own, _)| own.finish.is_none()) {
            own.ids.extend(leader.ids.last());
            if leader.finish.is_none() && self.prompts[own.prompt].ids.len() + own.ids.len() >= limit {
                leader.finish = Some(Finish::Length);
            }
        }
    }

    /// What the rule makes of the distributions over the next token of each sample that goes on, where there is one: log-weights.
    fn steered(&self, logits: &[f32], guides: &[Batch<'_>], rule: Option<&dyn Rule>) -> Result<Option<Vec<Vec<f32>>>> {
        let Some(rule) = rule else { return Ok(None) };
        let vocab = self.transformer.spec().vocab_size;
        let said = guides.iter().map(|guide| guide.transformer.distributions(&guide.hidden, 1.0));
        let said = said.collect::<Result<Vec<_>>>()?;
        let said: Vec<_> =
            said.iter().zip(guides).map(|((logits, _), guide)| guide.transformer.backend().read(logits)).collect();
        let mut rows: Vec<Vec<f32>> = vec![Vec::new(); logits.len() / vocab];
        let work = 32 * vocab * rows.len() * (1 + guides.len());
        for_each_mut(&mut rows, work, |row, steered| {
            let of = |logits: &[f32]| log_probs(&logits[row * vocab..][..vocab]);
            let theirs: Vec<Vec<f64>> = said.iter().map(|logits| of(logits)).collect();
            *steered = rule.steer(&of(logits), &theirs).into_iter().map(|weight| weight as f32).collect();
        });
        Ok(Some(rows))
    }

    /// Draws the next token of each active sample from its hidden state.
    fn choose(&mut self, active: &[usize], guides: &[Batch<'_>], rule: Option<&dyn Rule>) -> Result<()> {
        let temperature = self.context.parameters.logp_temperature;
        let (logits, log_sum_exps) = self.transformer.distributions(&self.hidden, temperature)?;
        let vocab = self.transformer.spec().vocab_size;
        let (context, prompts, limit) = (self.context, self.prompts, self.transformer.spec().max_positions);
        let logits = self.transformer.backend().read(&logits);
        let steered = self.steered(&logits, guides, rule)?;
        let mut chosen: Vec<&mut Sample> =
            self.samples.iter_mut().enumerate().filter(|(i, _)| active.binary_search(i).is_ok()).map(|s| s.1).collect();
        let work = 8 * vocab * chosen.len();
        for_each_mut(&mut chosen, work, |row, sample| {
            let distribution = (&logits[row * vocab..][..vocab], log_sum_exps[row]);
            let weights = steered.as_ref().map_or(distribution.0, |rows| &rows[row]);
            let reports = rule.is_some_and(Rule::reports_steered);
            sample.choose(&prompts[sample.prompt].ids, (weights, distribution, reports), context, limit);
        });
        Ok(())
    }

    /// Computes the hidden states behind the tokens just chosen, for samples that go on.
    fn advance(&mut self) -> Result<()> {
        let going: Vec<&Sample> = self.samples.iter().filter(|s| s.finish.is_none()).collect();
        if going.is_empty() {
            return Ok(());
        }
        let segments: Vec<_> = going.iter().enumerate().map(|(row, sample)| self.segment(row, sample)).collect();
        let layout = AttentionLayout {
            trees: std::iter::once(0..segments.len()).collect(),
            queries: segments.len(),
            keys: self.cache.rows(),
            segments,
        };
        let rows = layout.segments.iter().map(|s| s.key_start as u32).collect();
        let cells = self.cells();
        let ids = going.iter().filter_map(|s| s.ids.last().copied()).collect();
        let kept = self.keep();
        let kept = self.prefixes.as_deref_mut().map(|prefixes| (prefixes, kept));
        let input = Input {
            ids,
            positions: layout.segments.iter().map(|s| s.position as u32).collect(),
            layout: Arc::new(layout),
            cache: Some(Cache::Rows(&mut self.cache, rows, kept)),
            narrowed: None,
            cells,
            stream: None,
        };
        let mut tape = Tape::inference(self.transformer.backend().clone());
        self.hidden = self.transformer.run(&mut tape, input, &Pass::of(self.context.view))?;
        Ok(())
    }

    /// Where the last tokens of the samples that go on are kept beyond the call.
    fn keep(&mut self) -> Kept {
        let (spec, mut kept) = (self.transformer.spec(), Kept::default());
        let Some(prefixes) = self.prefixes.as_deref_mut() else { return kept };
        for (row, sample) in self.samples.iter_mut().filter(|sample| sample.finish.is_none()).enumerate() {
            let Some(&token) = sample.ids.last() else { continue };
            sample.place = prefixes.next(sample.place, token, spec);
            if let Some(place) = sample.place {
                kept.from.push(row as u32);
                kept.to.push(place);
            }
        }
        kept
    }

    /// Where the last tokens of the samples stand that go on.
    fn cells(&self) -> Arc<[Cell]> {
        if self.context.view.hooks.is_empty() {
            return Arc::default();
        }
        let count = self.context.parameters.samples;
        let going = self.samples.iter().enumerate().filter(|(_, sample)| sample.finish.is_none());
        let cells = going.enumerate().map(|(row, (i, sample))| Cell {
            sequence: self.numbers[sample.prompt] * count + i % count,
            position: self.prompts[sample.prompt].ids.len() + sample.ids.len() - 1,
            row,
        });
        cells.collect()
    }

    /// Where the last token of a sample stands.
    fn segment(&self, row: usize, sample: &Sample) -> AttentionSegment {
        let prompt = self.tree.path_len(self.ends[sample.prompt]);
        let before = sample.ids.len() - 1;
        let mut ancestors = self.tree.ancestor_spans(Some(self.ends[sample.prompt]));
        if before > 0 {
            ancestors.push(KeySpan { start: sample.rows.start, len: before, position: prompt });
        }
        let (key_start, position) = (sample.rows.start + before, prompt + before);
        AttentionSegment { query_start: row, len: 1, key_start, position, ancestors }
    }

    fn finish(self) -> Vec<Vec<Generation>> {
        let mut generations: Vec<Vec<Generation>> = self.prompts.iter().map(|_| Vec::new()).collect();
        for sample in self.samples {
            let stop = &self.context.parameters.stop_ids;
            let visible = match sample.ids.last() {
                Some(last) if stop.contains(last) => &sample.ids[..sample.ids.len() - 1],
                _ => &sample.ids[..],
            };
            let mut text = (self.context.decode)(visible);
            if let Some(end) = sample.text_end {
                text.truncate(end);
            }
            let finish = sample.finish.unwrap_or(Finish::Length);
            generations[sample.prompt].push(Generation { ids: sample.ids, logps: sample.logps, text, finish });
        }
        generations
    }
}

impl Sample {
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

/// The tokens of prompts, each of every sample of its prompt.
fn prompt_cells(tree: &TokenTree, ends: &[SegmentId], numbers: &[usize], context: &GenerationContext) -> Arc<[Cell]> {
    if context.view.hooks.is_empty() {
        return Arc::default();
    }
    let samples = context.parameters.samples;
    let sequences = |(&number, &end): (&usize, &SegmentId)| (0..samples).map(move |i| (number * samples + i, end));
    tree.cells(numbers.iter().zip(ends).flat_map(sequences)).into()
}
