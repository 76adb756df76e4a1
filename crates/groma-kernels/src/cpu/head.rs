//! The log-probability head: from hidden states to log-probabilities of targets, in chunks of rows and of the vocabulary.
mod divergence;
mod top;

pub(crate) use divergence::{backward as divergence_backward, forward as divergence};
pub(crate) use top::top_tokens;

use super::linear;
use super::math::{exp, tanh};
use super::matmul::{Initial, Right, Size, multiply};
use super::operand::Operand;
use super::parallel::{SharedMut, collect, for_each};
use super::simd::{Vector, multiversion};
use super::{Cpu, Level};
use crate::pool::Lease;
use crate::{Buffer, HeadOutput, HeadShape, HeadWants};

/// Rows of a chunk.
const ROWS: usize = 512;
/// Logits whose sums are taken in f32; sums of these are added in f64, in order. So a row's bits depend on nothing else.
const BLOCK: usize = 1024;
/// Most logits that exist at once.
const LOGITS: usize = 1 << 21;

/// Sums over part of the vocabulary, relative to the largest logit in it.
#[derive(Clone, Copy, Debug)]
struct Sums {
    max: f32,
    argmax: u32,
    /// Sum of `e^(z - max)`.
    weight: f64,
    /// Sum of `e^(z - max) (z - max)`.
    moment: f64,
    /// Sum of the logits.
    total: f64,
    /// The target's logit.
    target: f32,
}

impl Sums {
    const NONE: Sums =
        Sums { max: f32::NEG_INFINITY, argmax: 0, weight: 0.0, moment: 0.0, total: 0.0, target: f32::NEG_INFINITY };

    /// The same, relative to another maximum.
    fn shifted(self, max: f32) -> (f64, f64) {
        if self.max == max || self.weight == 0.0 {
            return (self.weight, self.moment);
        }
        let shift = f64::from(self.max) - f64::from(max);
        let factor = shift.exp();
        (self.weight * factor, factor * (self.moment + shift * self.weight))
    }

    /// Adds the sums of the part that follows.
    fn merge(&mut self, next: Sums) {
        let keep = next.max <= self.max;
        let (max, argmax) = if keep { (self.max, self.argmax) } else { (next.max, next.argmax) };
        let ((weight, moment), (next_weight, next_moment)) = (self.shifted(max), next.shifted(max));
        self.weight = weight + next_weight;
        self.moment = moment + next_moment;
        self.total += next.total;
        self.target = self.target.max(next.target);
        (self.max, self.argmax) = (max, argmax);
    }

    fn log_sum_exp(&self) -> f64 {
        f64::from(self.max) + self.weight.ln()
    }

    fn entropy(&self) -> f64 {
        self.weight.ln() - self.moment / self.weight
    }
}

/// Caps and divides raw logits; the second is the slope of that.
#[inline(always)]
fn finished<V: Vector>(raw: V, shape: &HeadShape) -> (V, V) {
    let scale = V::splat(1.0 / shape.temperature);
    match shape.softcap {
        None => (raw.mul(scale), scale),
        Some(cap) => {
            let t = tanh(raw.div(V::splat(cap)));
            (t.mul(V::splat(cap)).mul(scale), V::splat(1.0).sub(t.mul(t)).mul(scale))
        }
    }
}

/// Finishes the raw logits of a block in place and sums over them. Lanes beyond the end add nothing.
#[inline(always)]
fn block_sums_with<V: Vector>(logits: &mut [f32], shape: &HeadShape) -> Sums {
    let (len, at) = (logits.len(), logits.as_mut_ptr());
    let whole = len / V::LANES * V::LANES;
    let rest = len - whole;
    let (mut largest, mut total) = (V::splat(f32::NEG_INFINITY), V::zero());
    let (mut weight, mut moment) = (V::zero(), V::zero());
    let mut last = [f32::NEG_INFINITY; 16];
    // SAFETY: vectors below `whole` and `rest` values beyond are inside the logits; `last` holds any vector.
    unsafe {
        for j in (0..whole).step_by(V::LANES) {
            let z = finished(V::load(at.add(j)), shape).0;
            z.store(at.add(j));
            largest = largest.max(z);
            total = total.add(z);
        }
        let z = finished(V::load_first(at.add(whole), rest), shape).0;
        z.store_first(at.add(whole), rest);
        z.store_first(last.as_mut_ptr(), rest);
        let last = V::load(last.as_ptr());
        let max = largest.max(last).largest();
        for j in (0..=whole).step_by(V::LANES) {
            let z = if j < whole { V::load(at.add(j)) } else { last };
            let distance = z.sub(V::splat(max));
            let e = exp(distance);
            weight = weight.add(e);
            // Where e is 0, the distance may be infinite.
            moment = V::zero().select_less(e, e.mul(distance), V::zero()).add(moment);
        }
        let total = f64::from(total.sum()) + logits[whole..].iter().map(|&z| f64::from(z)).sum::<f64>();
        let (weight, moment) = (f64::from(weight.sum()), f64::from(moment.sum()));
        Sums { max, argmax: 0, weight, moment, total, target: f32::NEG_INFINITY }
    }
}

/// How the gradient of one row's logits is made.
#[derive(Clone, Copy, Debug)]
struct RowGradient {
    log_sum_exp: f32,
    entropy: f32,
    d_logp: f32,
    d_entropy: f32,
}

/// Turns raw logits into their gradient, but for the target's share.
#[inline(always)]
fn block_gradient_with<V: Vector>(logits: &mut [f32], row: RowGradient, shape: &HeadShape) {
    let (lse, entropy) = (V::splat(row.log_sum_exp), V::splat(row.entropy));
    let (d_logp, d_entropy) = (V::splat(-row.d_logp), V::splat(-row.d_entropy));
    super::elementwise::combine([logits], [], |_: [V; 0], [raw]| {
        let (z, slope) = finished(raw, shape);
        let logp = z.sub(lse);
        let p = exp(logp);
        // d logp[target] / dz = [target] - p; d entropy / dz = -p (log p + entropy).
        let surprise = V::zero().select_less(p, logp.add(entropy), V::zero());
        [p.mul(surprise.fma(d_entropy, d_logp)).mul(slope)]
    });
}

/// The slope of [`finished`] at one raw logit.
#[inline(always)]
fn slope_at_with<V: Vector>(raw: f32, shape: &HeadShape) -> f32 {
    let mut slope = [0.0];
    // SAFETY: one value is written to where there is one.
    unsafe { finished(V::splat(raw), shape).1.store_first(slope.as_mut_ptr(), 1) };
    slope[0]
}

multiversion! {
    fn block_sums(logits: &mut [f32], shape: &HeadShape) -> Sums = block_sums_with;
    fn block_gradient(logits: &mut [f32], row: RowGradient, shape: &HeadShape) = block_gradient_with;
    fn slope_at(raw: f32, shape: &HeadShape) -> f32 = slope_at_with;
}

/// A run of the vocabulary, for a chunk of rows.
#[derive(Clone, Debug)]
struct Part {
    /// Logits of the parts before.
    offset: usize,
    first_row: usize,
    rows: usize,
    first_token: usize,
    tokens: usize,
}

/// The parts that a call goes through: rows in order, and for each chunk of rows the vocabulary in order. Only where the
/// vocabulary is cut depends on the number of rows, and only at multiples of [`BLOCK`].
fn parts(shape: HeadShape) -> impl Iterator<Item = Part> {
    (0..shape.rows).step_by(ROWS).flat_map(move |first_row| {
        let rows = ROWS.min(shape.rows - first_row);
        let wide = (LOGITS / rows / BLOCK).max(1) * BLOCK;
        (0..shape.vocab).step_by(wide).map(move |first_token| {
            let tokens = wide.min(shape.vocab - first_token);
            Part { offset: first_row * shape.vocab + rows * first_token, first_row, rows, first_token, tokens }
        })
    })
}

/// Where the logits of a part are: among those that are kept, or in memory for this part alone.
enum Place<'a> {
    Kept(&'a mut [f32]),
    Own(Lease),
}

impl<'a> Place<'a> {
    fn new(cpu: &Cpu, part: &Part, kept: Option<&'a mut [f32]>) -> Self {
        let len = part.rows * part.tokens;
        match kept {
            Some(all) => Place::Kept(&mut all[part.offset..][..len]),
            None => Place::Own(Lease::new(&cpu.pool, len)),
        }
    }

    fn values(&mut self) -> &mut [f32] {
        match self {
            Place::Kept(values) => values,
            Place::Own(lease) => lease,
        }
    }
}

/// The raw logits of a part.
fn logits(cpu: &Cpu, part: &Part, hidden: &[f32], unembed: &Buffer, shape: HeadShape, to: &mut [f32]) {
    let width = shape.width;
    let hidden = &hidden[part.first_row * width..][..part.rows * width];
    let size = Size { m: part.rows, n: part.tokens, k: width };
    let b = match linear::forward_copy(cpu, unembed, width, shape.vocab) {
        // Parts start at multiples of a block, and so at panels.
        Some(packed) => Right::Packed { packed, panel: part.first_token / cpu.arithmetic.tile_columns(), inner: 0 },
        None => {
            let weight = &unembed.host()[part.first_token * width..][..part.tokens * width];
            Right::Plain(Operand::rows(weight, width))
        }
    };
    multiply(cpu.arithmetic, &cpu.pool, size, Operand::rows(hidden, width), b, to, Initial::Zero);
}

/// The sums of one row over a part.
fn row_sums(
    cpu: &Cpu,
    logits: &mut [f32],
    first_token: usize,
    target: usize,
    wants: HeadWants,
    shape: &HeadShape,
) -> Sums {
    let mut sums = Sums::NONE;
    for (i, block) in logits.chunks_mut(BLOCK).enumerate() {
        let mut next = block_sums(cpu.level, block, shape);
        let first = first_token + i * BLOCK;
        if wants.argmax && next.max > sums.max {
            next.argmax = (first + block.iter().position(|&z| z == next.max).unwrap_or(0)) as u32;
        }
        if (first..first + block.len()).contains(&target) {
            next.target = block[target - first];
        }
        sums.merge(next);
    }
    sums
}

/// Whether finished logits are raw ones, so that they may be kept for the backward pass.
fn are_final(shape: &HeadShape) -> bool {
    shape.softcap.is_none() && shape.temperature == 1.0
}

/// See [`crate::Backend::distributions`].
pub(crate) fn distributions(
    level: Level,
    x: &mut [f32],
    width: usize,
    softcap: Option<f32>,
    temperature: f32,
) -> Vec<f64> {
    let capped = HeadShape { rows: 1, width: 0, vocab: width, softcap, temperature: 1.0 };
    let divided = HeadShape { softcap: None, temperature, ..capped };
    let (rows, work) = (x.len() / width.max(1), x.len() * 8);
    let shared = SharedMut::new(x);
    collect(rows, work, 0.0, |row| {
        let mut block = [0.0; BLOCK];
        let mut sums = Sums::NONE;
        // SAFETY: each task has its own row.
        for values in unsafe { shared.slice(row * width, width) }.chunks_mut(BLOCK) {
            if softcap.is_some() {
                block_sums(level, values, &capped);
            }
            block[..values.len()].copy_from_slice(values);
            sums.merge(block_sums(level, &mut block[..values.len()], &divided));
        }
        sums.log_sum_exp()
    })
}

/// See [`crate::Backend::head`].
pub(crate) fn forward(
    cpu: &Cpu,
    hidden: &[f32],
    unembed: &Buffer,
    targets: &[u32],
    shape: HeadShape,
    wants: HeadWants,
    mut kept: Option<&mut [f32]>,
) -> HeadOutput {
    assert!(targets.len() == shape.rows && hidden.len() == shape.rows * shape.width);
    assert!(kept.as_ref().is_none_or(|kept| kept.len() == shape.rows * shape.vocab && are_final(&shape)));
    let mut sums = vec![Sums::NONE; shape.rows];
    for part in parts(shape) {
        let mut place = Place::new(cpu, &part, kept.as_deref_mut());
        let raw = place.values();
        logits(cpu, &part, hidden, unembed, shape, raw);
        let shared = SharedMut::new(raw);
        let next = collect(part.rows, part.rows * part.tokens * 8, Sums::NONE, |row| {
            // SAFETY: each task has its own row.
            let logits = unsafe { shared.slice(row * part.tokens, part.tokens) };
            row_sums(cpu, logits, part.first_token, targets[part.first_row + row] as usize, wants, &shape)
        });
        sums[part.first_row..].iter_mut().zip(next).for_each(|(sums, next)| sums.merge(next));
    }
    let each = |wanted: bool, f: fn(&Sums) -> f64| {
        if wanted { sums.iter().map(|sums| f(sums) as f32).collect() } else { Vec::new() }
    };
    HeadOutput {
        logp: each(true, |sums| f64::from(sums.target) - sums.log_sum_exp()),
        log_sum_exp: each(true, Sums::log_sum_exp),
        entropy: each(wants.entropy, Sums::entropy),
        mean_logit: sums.iter().filter(|_| wants.mean_logit).map(|s| (s.total / shape.vocab as f64) as f32).collect(),
        argmax: sums.iter().filter(|_| wants.argmax).map(|sums| sums.argmax).collect(),
    }
}

/// What the backward pass reads besides hidden states and weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    /// As many a row as there are in `d_logp`.
    pub(crate) targets: &'a [u32],
    pub(crate) output: &'a HeadOutput,
    pub(crate) d_logp: &'a [f32],
    /// Empty: none.
    pub(crate) d_entropy: &'a [f32],
}

/// Turns the raw logits of a part into their gradients.
fn gradients(cpu: &Cpu, part: &Part, raw: &mut [f32], entropy: &[f32], given: Given<'_>, shape: &HeadShape) {
    let each = given.targets.len() / shape.rows;
    let mut hits = vec![0.0; part.rows * each];
    let (shared, hits) = (SharedMut::new(raw), SharedMut::new(&mut hits));
    for_each(part.rows, part.rows * part.tokens * 8, |offset| {
        let row = part.first_row + offset;
        // SAFETY: each task has its own row of both.
        let (logits, hits) =
            unsafe { (shared.slice(offset * part.tokens, part.tokens), hits.slice(offset * each, each)) };
        let (targets, slopes) = (&given.targets[row * each..][..each], &given.d_logp[row * each..][..each]);
        let local = |target: u32| Some((target as usize).wrapping_sub(part.first_token)).filter(|&at| at < part.tokens);
        for ((hit, &target), d) in hits.iter_mut().zip(targets).zip(slopes) {
            *hit = local(target).map_or(0.0, |at| d * slope_at(cpu.level, logits[at], shape));
        }
        let d_logp = slopes.iter().sum();
        let gradient = RowGradient {
            log_sum_exp: given.output.log_sum_exp[row],
            entropy: entropy.get(row).copied().unwrap_or(0.0),
            d_logp,
            d_entropy: given.d_entropy.get(row).copied().unwrap_or(0.0),
        };
        block_gradient(cpu.level, logits, gradient, shape);
        for (hit, &target) in hits.iter().zip(targets) {
            if let Some(at) = local(target) {
                logits[at] += hit;
            }
        }
    });
}

/// See [`crate::Backend::head_backward`].
pub(crate) fn backward(
    cpu: &Cpu,
    mut d_hidden: Option<&mut [f32]>,
    mut d_unembed: Option<&mut [f32]>,
    (hidden, unembed): (&[f32], &Buffer),
    given: Given<'_>,
    mut kept: Option<Buffer>,
    shape: HeadShape,
) {
    let width = shape.width;
    assert!(hidden.len() == shape.rows * width && given.d_logp.len() == given.targets.len());
    assert!(given.targets.len().is_multiple_of(shape.rows.max(1)), "each row has as many targets");
    let recomputed = (!given.d_entropy.is_empty() && given.output.entropy.is_empty()).then(|| {
        let wants = HeadWants { entropy: true, ..HeadWants::default() };
        forward(cpu, hidden, unembed, given.targets, shape, wants, None).entropy
    });
    let entropy = recomputed.as_deref().unwrap_or(&given.output.entropy);
    for part in parts(shape) {
        let mut place = Place::new(cpu, &part, kept.as_mut().map(Buffer::host_mut));
        let is_kept = matches!(place, Place::Kept(_));
        let raw = place.values();
        if !is_kept {
            logits(cpu, &part, hidden, unembed, shape, raw);
        }
        gradients(cpu, &part, raw, entropy, given, &shape);
        add_products(cpu, &part, raw, (hidden, unembed), (d_hidden.as_deref_mut(), d_unembed.as_deref_mut()), shape);
    }
}

/// Adds what the gradient of a part's logits makes of hidden states and unembedding.
fn add_products(
    cpu: &Cpu,
    part: &Part,
    raw: &[f32],
    (hidden, unembed): (&[f32], &Buffer),
    (d_hidden, d_unembed): (Option<&mut [f32]>, Option<&mut [f32]>),
    shape: HeadShape,
) {
    let width = shape.width;
    let rows = part.first_row * width..(part.first_row + part.rows) * width;
    let tokens = part.first_token * width..(part.first_token + part.tokens) * width;
    if let Some(d_hidden) = d_hidden {
        let size = Size { m: part.rows, n: width, k: part.tokens };
        let b = match linear::backward_copy(cpu, unembed, width, shape.vocab) {
            Some(packed) => Right::Packed { packed, panel: 0, inner: part.first_token },
            None => Right::Plain(Operand::columns(&unembed.host()[tokens.clone()], width)),
        };
        let to = &mut d_hidden[rows.clone()];
        multiply(cpu.arithmetic, &cpu.pool, size, Operand::rows(raw, part.tokens), b, to, Initial::Result);
    }
    if let Some(d_unembed) = d_unembed {
        let size = Size { m: part.tokens, n: width, k: part.rows };
        let b = Right::Plain(Operand::columns(&hidden[rows], width));
        let to = &mut d_unembed[tokens];
        multiply(cpu.arithmetic, &cpu.pool, size, Operand::columns(raw, part.tokens), b, to, Initial::Result);
    }
}
