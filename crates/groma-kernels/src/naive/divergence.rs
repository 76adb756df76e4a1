//! Divergence from a teacher, one row at a time.
use super::head::{Row, products};
use super::values::values;
use crate::{Divergence, DivergenceOutput, HeadShape, Teacher};

/// The divergence of one row.
struct Pair {
    value: f64,
    mean_score: f64,
    /// Gradient of the student's logits.
    gradient: Vec<f64>,
}

impl Pair {
    fn new(own: &Row, teacher: &Row, kind: Divergence) -> Pair {
        let (own, teacher) = (own.logs(), teacher.logs());
        let each: Vec<[f64; 4]> = own.iter().zip(&teacher).map(|(&a, &b)| token(a, b, kind)).collect();
        let value = each.iter().map(|[_, _, _, value]| value).sum();
        let mean_score: f64 = each.iter().map(|[p, _, score, _]| p * score).sum();
        let gradient = each.iter().map(|&[p, q, score, _]| match kind {
            Divergence::ForwardKl => p - q,
            _ => p * (score - mean_score),
        });
        Pair { value, mean_score, gradient: gradient.collect() }
    }
}

/// `p`, `q`, the derivative by `p`, and the share of the divergence, of one token's log-probabilities.
fn token(own: f64, teacher: f64, kind: Divergence) -> [f64; 4] {
    let (p, q) = (own.exp(), teacher.exp());
    let share = |weight: f64, log: f64| if weight == 0.0 { 0.0 } else { weight * log };
    let (score, value) = match kind {
        Divergence::ForwardKl => (0.0, share(q, teacher - own)),
        Divergence::ReverseKl => (own - teacher, share(p, own - teacher)),
        Divergence::JensenShannon { beta } => {
            let beta = f64::from(beta);
            let mixture = ((1.0 - beta) * p + beta * q).ln();
            let score = (1.0 - beta) * (own - mixture);
            (score, share(beta * q, teacher - mixture) + share(p, score))
        }
    };
    [p, q, if p == 0.0 { 0.0 } else { score }, value]
}

/// The teacher's distribution at a row.
fn teachers(teacher: Teacher<'_>, row: usize, shape: HeadShape) -> Row {
    let shape = HeadShape { width: teacher.width, softcap: teacher.softcap, ..shape };
    Row::new(&values(teacher.hidden)[row * teacher.width..][..teacher.width], values(teacher.unembed), shape)
}

pub(super) fn forward(
    (hidden, unembed): (&[f32], &[f32]),
    teacher: Teacher<'_>,
    kind: Divergence,
    shape: HeadShape,
) -> DivergenceOutput {
    let mut output = DivergenceOutput::default();
    for (row, hidden) in hidden.chunks_exact(shape.width).enumerate() {
        let (own, teacher) = (Row::new(hidden, unembed, shape), teachers(teacher, row, shape));
        let pair = Pair::new(&own, &teacher, kind);
        output.value.push(pair.value as f32);
        output.mean_score.push(pair.mean_score as f32);
        output.log_sum_exp.push(own.log_sum_exp);
        output.teacher_log_sum_exp.push(teacher.log_sum_exp);
    }
    output
}

pub(super) fn backward(
    to: [Option<&mut [f32]>; 2],
    student: (&[f32], &[f32]),
    teacher: Teacher<'_>,
    kind: Divergence,
    d_value: &[f32],
    shape: HeadShape,
) {
    products(to, student, shape, |row, own| {
        let gradient = Pair::new(own, &teachers(teacher, row, shape), kind).gradient;
        let slopes = gradient.into_iter().zip(&own.slopes);
        slopes.map(|(d, slope)| f64::from(d_value[row]) * d * slope).collect()
    });
}
