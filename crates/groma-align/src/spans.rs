//! How far a policy is from a teacher of other tokens, span by span, and the gradient.
//!
//! Logits of both are needed at the last token of each span alone, and exist for a few spans at once; the backward pass makes them
//! again. Tokens before the last of a span take part by their own log-probabilities.

use crate::Error;
use crate::forest::{Forest, Run};
use crate::group::Member;
use crate::span_loss::{Difference, FLOOR, SpanLoss};
use crate::translation::{Span, Translation};
use crate::vocabularies::Vocabularies;
use groma_kernels::{Backend, Buffer, Cotangent, Gradients, HeadOutput, HeadVar, HeadWants, Tape, Var, for_each_mut};
use groma_model::Transformer;
use std::ops::Range;
use std::sync::Arc;

/// Logits of a model that exist at once, at most, where that leaves a few spans; with those of the other, and the gradient twice, as many
/// as the divergence from a teacher of the same tokens holds.
const LOGITS: usize = 1 << 20;
const SPANS: Range<usize> = 16..512;
/// Elementary operations that a logit takes.
const COST: usize = 256;

/// Who is compared, and how.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'a> {
    pub(crate) policy: &'a Transformer,
    pub(crate) teacher: &'a Transformer,
    pub(crate) vocabularies: &'a Arc<Vocabularies>,
    pub(crate) loss: SpanLoss,
    /// Whether log-probabilities of all scored tokens are wanted, too.
    pub(crate) likelihood: bool,
}

/// The spans of a micro-batch, by member and in their order, and the tape that differentiates them.
#[derive(Debug)]
pub(crate) struct Spans<'m> {
    tape: Tape<'m>,
    /// Of all scored tokens, at temperature 1, where they were wanted.
    likelihood: Option<HeadVar>,
    /// Of the tokens before the last of the spans.
    before: Before,
    chunks: Vec<(Range<usize>, Var)>,
    values: Vec<f32>,
    /// How each value changes with the log-probability of what is before.
    rates: Vec<f64>,
}

/// Log-probabilities of the tokens before the last of each span.
#[derive(Debug, Default)]
struct Before {
    head: Option<HeadVar>,
    /// Of each such token its span.
    spans: Vec<usize>,
    /// Their sums, span by span.
    sums: Vec<f64>,
}

/// Where a span's tokens are predicted: slots of a forest, the last token apart.
#[derive(Clone, Debug)]
struct Place {
    before: Vec<u32>,
    last: u32,
}

impl Place {
    fn of(slots: &[u32], span: &Range<usize>) -> Place {
        let last = span.end - 1;
        Place { before: slots[span.start..last].to_vec(), last: slots[last] }
    }
}

impl Before {
    fn of<'m>(
        tape: &mut Tape<'m>,
        (model, hidden): (&'m Transformer, &Var),
        (forest, places): (&Forest, &[Place]),
        temperature: f32,
    ) -> Result<Before, Error> {
        let numbered = places.iter().enumerate();
        let tokens: Vec<(usize, u32)> =
            numbered.flat_map(|(span, place)| place.before.iter().map(move |slot| (span, *slot))).collect();
        let mut sums = vec![0.0; places.len()];
        if tokens.is_empty() {
            return Ok(Before { sums, ..Before::default() });
        }
        let slots: Arc<[u32]> = tokens.iter().map(|token| token.1).collect();
        let targets = slots.iter().map(|&slot| forest.target(slot as usize)).collect();
        let hidden = tape.gather_rows(hidden, &slots);
        let softcap = model.spec().final_softcap;
        let head = tape.head(&hidden, &model.unembed()?, &targets, softcap, temperature, HeadWants::default());
        for ((span, _), &logp) in tokens.iter().zip(&head.output().logp) {
            sums[*span] += f64::from(logp).max(FLOOR);
        }
        Ok(Before { head: Some(head), spans: tokens.iter().map(|token| token.0).collect(), sums })
    }

    /// Slopes by token, of slopes with respect to the sums.
    fn slopes(&self, of_sums: &[f64]) -> Vec<f32> {
        let logps = self.head.iter().flat_map(|head| &head.output().logp);
        let slope = |(span, &logp): (&usize, &f32)| if f64::from(logp) < FLOOR { 0.0 } else { of_sums[*span] as f32 };
        self.spans.iter().zip(logps).map(slope).collect()
    }
}

impl<'m> Spans<'m> {
    /// Of the members of a micro-batch, whose sequences are those of the forest.
    ///
    /// # Errors
    /// Those of the models.
    pub(crate) fn of(
        comparison: Comparison<'m>,
        (forest, members): (&Forest, &[&Member]),
        (mut tape, run): (Tape<'m>, Run),
    ) -> Result<Self, Error> {
        let Comparison { policy, teacher, loss, .. } = comparison;
        let translated: Vec<(usize, &Translation)> =
            members.iter().enumerate().filter_map(|(at, member)| Some((at, member.translation.as_ref()?))).collect();
        let read = Forest::new(&translated.iter().map(|(_, translation)| &translation.sequence).collect::<Vec<_>>());
        let (mut own, mut its) = (Vec::new(), Vec::new());
        for (other, (member, translation)) in translated.iter().enumerate() {
            for Span { own: a, its: b } in &translation.spans {
                own.push(Place::of(forest.slots(*member), a));
                its.push(Place::of(read.slots(other), b));
            }
        }
        let hidden = forest.hidden(policy, &mut tape, run)?;
        let likelihood = match comparison.likelihood {
            true => Some(forest.likelihood(policy, &mut tape, &hidden)?),
            false => None,
        };
        let before = Before::of(&mut tape, (policy, &hidden), (forest, &own), loss.temperature)?;
        let spans = Spans { tape, likelihood, before, chunks: Vec::new(), values: Vec::new(), rates: Vec::new() };
        if own.is_empty() {
            return Ok(spans);
        }
        let mut its_tape = Tape::inference(teacher.backend().clone());
        let its_hidden = read.hidden(teacher, &mut its_tape, Run::plain(true))?;
        let its_before = Before::of(&mut its_tape, (teacher, &its_hidden), (&read, &its), loss.teacher_temperature)?;
        spans.compared(comparison, (&hidden, &own), (its_tape, &its_hidden, &its, &its_before.sums))
    }

    /// With how both differ at the last tokens, in chunks.
    fn compared(
        mut self,
        comparison: Comparison<'m>,
        (hidden, own): (&Var, &[Place]),
        (mut its_tape, its_hidden, its, its_before): (Tape<'m>, &Var, &[Place], &[f64]),
    ) -> Result<Self, Error> {
        let Comparison { policy, teacher, loss, vocabularies, .. } = comparison;
        let largest = policy.spec().vocab_size.max(teacher.spec().vocab_size);
        let count = (LOGITS / largest.max(1)).clamp(SPANS.start, SPANS.end);
        let rows = |places: &[Place]| -> Arc<[u32]> { places.iter().map(|place| place.last).collect() };
        for first in (0..own.len()).step_by(count) {
            let range = first..own.len().min(first + count);
            let side = |model: &Transformer, hidden, before: &[f64], temperature| -> Result<Side, Error> {
                let (unembed, softcap) = (model.unembed()?, model.spec().final_softcap);
                Ok(Side { hidden, unembed, softcap, temperature, before: before[range.clone()].to_vec() })
            };
            let own_rows = self.tape.gather_rows(hidden, &rows(&own[range.clone()]));
            let its_rows = its_tape.gather_rows(its_hidden, &rows(&its[range.clone()]));
            let chunk = Chunk {
                own: side(policy, own_rows, &self.before.sums, loss.temperature)?,
                its: side(teacher, its_rows, its_before, loss.teacher_temperature)?,
                loss,
                vocabularies: vocabularies.clone(),
            };
            let (values, rates): (Vec<f32>, Vec<f64>) = chunk.values(&**self.tape.backend()).into_iter().unzip();
            let value = (self.tape.backend().upload(&values), values.len(), 1);
            self.values.extend(values);
            self.rates.extend(rates);
            let (hidden, unembed) = (chunk.own.hidden.clone(), chunk.own.unembed.clone());
            let inputs = if unembed.is_tracked() { vec![&hidden, &unembed] } else { vec![&hidden] };
            let both = inputs.len() > 1;
            let var = self.tape.closure(&inputs, value, move |backend, slopes| chunk.backward(backend, slopes, both));
            self.chunks.push((range, var));
        }
        Ok(self)
    }

    /// How far both are from each other, by span, in the order of members.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Log-probabilities of all scored tokens by slot, where they were wanted.
    pub(crate) fn likelihood(&self) -> Option<&HeadOutput> {
        self.likelihood.as_ref().map(HeadVar::output)
    }

    /// Adds the gradients of the sum of values and of log-probabilities times their slopes.
    pub(crate) fn backward(self, d_value: &[f32], d_logp: &[f32], gradients: &mut Gradients) {
        let backend = self.tape.backend().clone();
        let of_sums: Vec<f64> = self.rates.iter().zip(d_value).map(|(rate, d)| rate * f64::from(*d)).collect();
        let before = self.before.slopes(&of_sums);
        let head = |head, d_logp| Cotangent::Head { head, d_logp, d_entropy: &[] };
        let mut cotangents: Vec<Cotangent<'_>> = self
            .chunks
            .iter()
            .map(|(range, var)| Cotangent::Value(var, backend.upload(&d_value[range.clone()])))
            .collect();
        cotangents.extend(self.before.head.as_ref().map(|found| head(found, &before[..])));
        cotangents.extend(self.likelihood.as_ref().map(|found| head(found, d_logp)));
        self.tape.backward(cotangents, gradients);
    }
}

/// Logits `[spans, vocab]` of a model, and of each row the log-sum-exp.
type Lines = (Vec<f32>, Vec<f64>);

/// One model at the last tokens of a few spans.
#[derive(Debug)]
struct Side {
    /// `[spans, width]`.
    hidden: Var,
    unembed: Var,
    softcap: Option<f32>,
    temperature: f32,
    /// Log-probabilities of what is before, span by span.
    before: Vec<f64>,
}

impl Side {
    /// Logits `[spans, vocab]` with the final cap, and the log-sum-exp of each row at the temperature.
    fn logits(&self, backend: &dyn Backend) -> Lines {
        let (rows, width, vocab) = (self.hidden.rows(), self.hidden.width(), self.unembed.rows());
        let mut logits = backend.scratch(rows * vocab);
        backend.linear(&mut logits, self.hidden.buffer(), self.unembed.buffer(), None, rows, width, vocab);
        let sums = backend.distributions(&mut logits, vocab, self.softcap, self.temperature);
        (backend.download(&logits), sums)
    }

    /// Of a span, log-probabilities of what is before with each token behind.
    fn joint(&self, (logits, sums): &Lines, span: usize) -> Vec<f64> {
        let vocab = self.unembed.rows();
        let shift = self.before[span] - sums[span];
        let row = &logits[span * vocab..(span + 1) * vocab];
        row.iter().map(|&logit| f64::from(logit) / f64::from(self.temperature) + shift).collect()
    }
}

/// Both models at the last tokens of a few spans.
#[derive(Debug)]
struct Chunk {
    own: Side,
    its: Side,
    loss: SpanLoss,
    vocabularies: Arc<Vocabularies>,
}

impl Chunk {
    /// Gives each span, with its place for a result, to `task`: its log-probabilities, and how both models differ there.
    fn each<T: Send>(
        &self,
        (own, its): &(Lines, Lines),
        results: &mut [T],
        task: impl Fn(usize, &[f64], Difference, &mut T) + Sync + Send,
    ) {
        for_each_mut(results, COST * (own.0.len() + its.0.len()), |span, to| {
            let (a, b) = (self.own.joint(own, span), self.its.joint(its, span));
            let difference = self.loss.of(&a, &b, &self.vocabularies);
            task(span, &a, difference, to);
        });
    }

    /// Values, and how they change with the log-probability of what is before.
    fn values(&self, backend: &dyn Backend) -> Vec<(f32, f64)> {
        let logits = (self.own.logits(backend), self.its.logits(backend));
        let mut found = vec![(0.0, 0.0); self.own.hidden.rows()];
        self.each(&logits, &mut found, |_, _, Difference { value, slopes }, to| {
            *to = (value as f32, slopes.iter().sum());
        });
        found
    }

    /// Gradients of the sum of values times their slopes: of hidden states and, where `both`, of the unembedding.
    fn backward(&self, backend: &dyn Backend, d_value: &Buffer, both: bool) -> Vec<Buffer> {
        let (rows, width, vocab) = (self.own.hidden.rows(), self.own.hidden.width(), self.own.unembed.rows());
        let logits = (self.own.logits(backend), self.its.logits(backend));
        let d_value = backend.download(d_value);
        let mut slopes = vec![0.0_f32; rows * vocab];
        let mut lines: Vec<&mut [f32]> = slopes.chunks_mut(vocab).collect();
        self.each(&logits, &mut lines, |span, joint, difference, line| {
            let finished = &logits.0.0[span * vocab..(span + 1) * vocab];
            self.send((joint, finished), (&difference, f64::from(d_value[span]), span), line);
        });
        let slopes = backend.upload(&slopes);
        let mut d_hidden = backend.scratch(rows * width);
        backend.linear_backward_input(&mut d_hidden, true, &slopes, self.own.unembed.buffer(), rows, width, vocab);
        let mut found = vec![d_hidden];
        if both {
            let mut d_unembed = backend.scratch(vocab * width);
            backend.linear_backward_weight(&mut d_unembed, true, &slopes, self.own.hidden.buffer(), rows, width, vocab);
            found.push(d_unembed);
        }
        found
    }

    /// Writes the gradient of a span's value times `d` with respect to its raw logits: `(s - p E) d / T`, with `s` the slopes with
    /// respect to log-probabilities, `E` their sum and `p` the probabilities of the last token.
    fn send(
        &self,
        (joint, finished): (&[f64], &[f32]),
        (difference, d, span): (&Difference, f64, usize),
        to: &mut [f32],
    ) {
        let Side { softcap, temperature, before, .. } = &self.own;
        let sum: f64 = difference.slopes.iter().sum();
        for (id, to) in to.iter_mut().enumerate() {
            let p = (joint[id] - before[span]).exp();
            let capped = softcap.map_or(1.0, |cap| 1.0 - (f64::from(finished[id]) / f64::from(cap)).powi(2));
            *to = ((difference.slopes[id] - p * sum) * d * capped / f64::from(*temperature)) as f32;
        }
    }
}
