//! Divergence of the head's distributions from a teacher's, in chunks of whole rows: both lines of logits of a row exist at
//! once, which the mixture of two distributions needs.
//!
//! With `p` the student's distribution, `q` the teacher's and `m = (1 - β) p + β q` (Agarwal et al. 2024, arXiv 2306.13649,
//! equation 1; as TRL's GKD): forward `KL(q|p)`, reverse `KL(p|q)`, Jensen-Shannon `β KL(q|m) + (1 - β) KL(p|m)`. With
//! respect to the student's logits: `p - q`; and `p (s - E_p s)` with `s = log p/q`, or `(1 - β) log p/m`. Among the likeliest tokens
//! alone, `likeliest.rs` has both.
use super::{BLOCK, Part, Place, ROWS, add_products, finished, logits, row_sums};
use crate::cpu::Cpu;
use crate::cpu::elementwise::combine;
use crate::cpu::math::{exp, ln_of_share};
use crate::cpu::parallel::{SharedMut, collect, for_each};
use crate::cpu::simd::{Vector, multiversion};
use crate::likeliest::Likeliest;
use crate::{Buffer, Comparison, Divergence, DivergenceOutput, HeadShape, HeadWants, Support, Teacher};

/// Most logits of either model that exist at once, where that leaves enough rows for a product.
const LOGITS: usize = 1 << 21;
const FEWEST_ROWS: usize = 64;
/// Elementary operations a logit takes.
const COST: usize = 24;

/// What one row's sums and slopes are taken with.
#[derive(Clone, Copy, Debug)]
struct Row {
    kind: Divergence,
    /// Log-sum-exp of the student's logits.
    own: Split,
    /// That of the teacher's.
    teacher: Split,
    /// The latter less the former.
    shift: Split,
}

/// A number of twice an f32's precision: what is subtracted from all logits of a row would else be wrong for all alike.
#[derive(Clone, Copy, Debug)]
struct Split {
    high: f32,
    low: f32,
}

impl Split {
    fn new(value: f64) -> Self {
        let high = value as f32;
        Split { high, low: (value - f64::from(high)) as f32 }
    }

    #[inline(always)]
    fn below<V: Vector>(self, x: V) -> V {
        x.sub(V::splat(self.high)).sub(V::splat(self.low))
    }
}

impl Row {
    fn new(kind: Divergence, own: f64, teacher: f64) -> Self {
        Row { kind, own: Split::new(own), teacher: Split::new(teacher), shift: Split::new(teacher - own) }
    }
}

/// `p`, `q`, `s` (see the module), and what an element adds to the divergence, of finished logits.
#[inline(always)]
fn element<V: Vector>(own: V, teacher: V, row: Row) -> (V, V, V, V) {
    let p = exp(row.own.below(own));
    let q = exp(row.teacher.below(teacher));
    // log q/p: the logits' difference first, which is exact where they are close.
    let ratio = row.shift.below(teacher.sub(own));
    let inverse = V::zero().sub(ratio);
    match row.kind {
        Divergence::ForwardKl => (p, q, V::zero(), product(q, ratio)),
        Divergence::ReverseKl => (p, q, inverse, product(p, inverse)),
        Divergence::JensenShannon { beta } => {
            let (of_p, of_q) = (V::splat(1.0 - beta), V::splat(beta));
            // log m less the larger of log p and log q.
            let larger = ratio.select_less(V::zero(), of_p, of_q);
            let smaller = ratio.select_less(V::zero(), of_q, of_p);
            let distance = ratio.abs();
            let above = ln_of_share(exp(V::zero().sub(distance)).fma(smaller, larger));
            let near = V::zero().sub(above);
            let far = near.sub(distance);
            let own = ratio.select_less(V::zero(), near, far);
            let other = ratio.select_less(V::zero(), far, near);
            let score = own.mul(of_p);
            (p, q, score, product(q, other.mul(of_q)).add(product(p, score)))
        }
    }
}

/// `weight * value`, 0 where the weight is: the value may be infinite there.
#[inline(always)]
fn product<V: Vector>(weight: V, value: V) -> V {
    V::zero().select_less(weight, weight.mul(value), V::zero())
}

/// The divergence and the mean of `s` under `p`, as far as a block goes.
#[inline(always)]
fn block_values_with<V: Vector>(own: &[f32], teacher: &[f32], row: Row) -> [f64; 2] {
    let (mut value, mut score) = (V::zero(), V::zero());
    let mut add = |own: V, teacher: V| {
        let (p, _, s, added) = element(own, teacher, row);
        value = value.add(added);
        score = score.add(product(p, s));
    };
    let whole = own.len() / V::LANES * V::LANES;
    let rest = own.len() - whole;
    let mut last = [[f32::NEG_INFINITY; 16]; 2];
    last[0][..rest].copy_from_slice(&own[whole..]);
    last[1][..rest].copy_from_slice(&teacher[whole..]);
    assert_eq!(own.len(), teacher.len(), "lines of logits have one length");
    for j in (0..=whole).step_by(V::LANES) {
        let (x, y) =
            if j < whole { (own[j..].as_ptr(), teacher[j..].as_ptr()) } else { (last[0].as_ptr(), last[1].as_ptr()) };
        // SAFETY: a whole vector lies behind `j < whole`, and `last` holds any vector.
        unsafe { add(V::load(x), V::load(y)) };
    }
    [f64::from(value.sum()), f64::from(score.sum())]
}

/// Turns a block of the student's raw logits into their gradient; the teacher's are raw too.
#[inline(always)]
fn block_gradient_with<V: Vector>(
    own: &mut [f32],
    teacher: &[f32],
    row: Row,
    mean: f32,
    factor: f32,
    shapes: &[HeadShape; 2],
) {
    combine([own], [teacher], |[raw_teacher]: [V; 1], [raw]| {
        let (z, slope) = finished(raw, &shapes[0]);
        let (p, q, score, _) = element(z, finished(raw_teacher, &shapes[1]).0, row);
        let d = match row.kind {
            Divergence::ForwardKl => p.sub(q),
            _ => product(p, score.sub(V::splat(mean))),
        };
        [d.mul(slope).mul(V::splat(factor))]
    });
}

multiversion! {
    fn block_values(own: &[f32], teacher: &[f32], row: Row) -> [f64; 2] = block_values_with;
    fn block_gradient(
        own: &mut [f32], teacher: &[f32], row: Row, mean: f32, factor: f32, shapes: &[HeadShape; 2],
    ) = block_gradient_with;
}

/// Both models at one chunk of rows.
struct Problem<'a> {
    cpu: &'a Cpu,
    hidden: &'a [f32],
    unembed: &'a Buffer,
    teacher: Teacher<'a>,
    shapes: [HeadShape; 2],
}

impl<'a> Problem<'a> {
    fn new(cpu: &'a Cpu, (hidden, unembed): (&'a [f32], &'a Buffer), teacher: Teacher<'a>, shape: HeadShape) -> Self {
        let of_teacher = HeadShape { width: teacher.width, softcap: teacher.softcap, ..shape };
        assert!(hidden.len() == shape.rows * shape.width && unembed.len() == shape.vocab * shape.width);
        assert!(
            teacher.hidden.len() == shape.rows * teacher.width && teacher.unembed.len() == shape.vocab * teacher.width
        );
        Problem { cpu, hidden, unembed, teacher, shapes: [shape, of_teacher] }
    }

    /// Chunks of whole rows.
    fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let shape = self.shapes[0];
        let chunk = (LOGITS / shape.vocab.max(1)).clamp(FEWEST_ROWS, ROWS);
        (0..shape.rows).step_by(chunk).map(move |first_row| {
            let rows = chunk.min(shape.rows - first_row);
            Part { offset: first_row * shape.vocab, first_row, rows, first_token: 0, tokens: shape.vocab }
        })
    }

    /// Raw logits of student and teacher.
    fn logits(&self, part: &Part) -> [Place<'static>; 2] {
        let mut places = [Place::new(self.cpu, part, None), Place::new(self.cpu, part, None)];
        let [own, teacher] = &mut places;
        logits(self.cpu, part, self.hidden, self.unembed, self.shapes[0], own.values());
        logits(self.cpu, part, self.teacher.hidden.host(), self.teacher.unembed, self.shapes[1], teacher.values());
        places
    }
}

/// See [`crate::Backend::divergence`].
pub(crate) fn forward(
    cpu: &Cpu,
    student: (&[f32], &Buffer),
    teacher: Teacher<'_>,
    comparison: Comparison,
    shape: HeadShape,
) -> DivergenceOutput {
    let problem = Problem::new(cpu, student, teacher, shape);
    let mut output = DivergenceOutput::default();
    for part in problem.parts() {
        let [mut own, mut teacher] = problem.logits(&part);
        let lines = [SharedMut::new(own.values()), SharedMut::new(teacher.values())];
        let rows = collect(part.rows, part.rows * part.tokens * COST, [0.0; 4], |row| {
            // SAFETY: each task has its own row of both.
            let [own, teacher] = lines.map(|line| unsafe { line.slice(row * part.tokens, part.tokens) });
            row_values(cpu, own, teacher, comparison, &problem.shapes)
        });
        for [value, mean_score, own, teacher] in rows {
            output.value.push(value as f32);
            output.mean_score.push(mean_score as f32);
            output.log_sum_exp.push(own);
            output.teacher_log_sum_exp.push(teacher);
        }
    }
    output
}

/// Divergence, mean score and both log-sum-exps of one row, whose logits are finished in place.
fn row_values(
    cpu: &Cpu,
    own: &mut [f32],
    teacher: &mut [f32],
    comparison: Comparison,
    shapes: &[HeadShape; 2],
) -> [f64; 4] {
    let [of_own, of_teacher] = finish(cpu, [own, teacher], shapes);
    if let Support::Likeliest { count, tail } = comparison.among {
        let likeliest = Likeliest::new(own, teacher, comparison.by, (count, tail));
        return [likeliest.value(), likeliest.mean_score(), of_own, of_teacher];
    }
    let row = Row::new(comparison.by, of_own, of_teacher);
    let mut total = [0.0; 2];
    for (own, teacher) in own.chunks(BLOCK).zip(teacher.chunks(BLOCK)) {
        let block = block_values(cpu.level, own, teacher, row);
        total = [total[0] + block[0], total[1] + block[1]];
    }
    [total[0], total[1], of_own, of_teacher]
}

/// Finishes both lines of a row in place; the log-sum-exp of each.
fn finish(cpu: &Cpu, lines: [&mut [f32]; 2], shapes: &[HeadShape; 2]) -> [f64; 2] {
    let [own, teacher] = lines;
    [(own, &shapes[0]), (teacher, &shapes[1])]
        .map(|(line, shape)| row_sums(cpu, line, 0, usize::MAX, HeadWants::default(), shape).log_sum_exp())
}

/// Turns the student's finished logits into the gradient of its raw ones, among the likeliest tokens.
fn likeliest_gradient(likeliest: &Likeliest, own: &mut [f32], factor: f32, shape: &HeadShape) {
    let (factor, temperature) = (f64::from(factor), f64::from(shape.temperature));
    let mut slopes = vec![0.0; own.len()];
    likeliest.gradient(own, &mut |token, slope| {
        let capped = f64::from(own[token]) * temperature / f64::from(shape.softcap.unwrap_or(f32::INFINITY));
        slopes[token] = (factor * slope * (1.0 - capped * capped) / temperature) as f32;
    });
    own.copy_from_slice(&slopes);
}

/// See [`crate::Backend::divergence_backward`].
pub(crate) fn backward(
    cpu: &Cpu,
    (mut d_hidden, mut d_unembed): (Option<&mut [f32]>, Option<&mut [f32]>),
    student: (&[f32], &Buffer),
    teacher: Teacher<'_>,
    comparison: Comparison,
    (output, d_value): (&DivergenceOutput, &[f32]),
    shape: HeadShape,
) {
    assert_eq!(d_value.len(), shape.rows, "one gradient a row");
    let problem = Problem::new(cpu, student, teacher, shape);
    for part in problem.parts() {
        let [mut own, mut teacher] = problem.logits(&part);
        let lines = [SharedMut::new(own.values()), SharedMut::new(teacher.values())];
        for_each(part.rows, part.rows * part.tokens * COST, |offset| {
            // SAFETY: each task has its own row of both.
            let [own, teacher] = lines.map(|line| unsafe { line.slice(offset * part.tokens, part.tokens) });
            let at = part.first_row + offset;
            if let Support::Likeliest { count, tail } = comparison.among {
                finish(cpu, [own, teacher], &problem.shapes);
                let likeliest = Likeliest::new(own, teacher, comparison.by, (count, tail));
                return likeliest_gradient(&likeliest, own, d_value[at], &problem.shapes[0]);
            }
            let row = Row::new(comparison.by, output.log_sum_exp[at], output.teacher_log_sum_exp[at]);
            block_gradient(cpu.level, own, teacher, row, output.mean_score[at], d_value[at], &problem.shapes);
        });
        add_products(cpu, &part, own.values(), student, (d_hidden.as_deref_mut(), d_unembed.as_deref_mut()), shape);
    }
}
