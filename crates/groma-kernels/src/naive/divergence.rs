//! Divergence from a teacher, one row at a time.
use super::head::{Row, products};
use super::values::values;
use crate::backend::Shares;
use crate::likeliest::Likeliest;
use crate::{Comparison, DivergenceOutput, HeadShape, Support, Teacher};

/// The divergence of one row.
struct Pair {
    value: f64,
    mean_score: f64,
    /// Gradient of the student's logits.
    gradient: Vec<f64>,
}

impl Pair {
    fn new(own: &Row, teacher: &Row, Comparison { by, among }: Comparison) -> Pair {
        let (own, teacher) = (own.logs(), teacher.logs());
        if let Support::Likeliest { count, tail } = among {
            let likeliest = Likeliest::new(&own, &teacher, by, (count, tail));
            let mut gradient = vec![0.0; own.len()];
            likeliest.gradient(&own, &mut |token, slope| gradient[token] = slope);
            return Pair { value: likeliest.value(), mean_score: likeliest.mean_score(), gradient };
        }
        let each: Vec<Shares> = own.iter().zip(&teacher).map(|(&a, &b)| by.shares(a, b)).collect();
        let value = each.iter().map(|token| token.value).sum();
        let mean_score: f64 = each.iter().map(|token| token.p * token.score).sum();
        Pair { value, mean_score, gradient: each.iter().map(|token| by.slope(token, mean_score)).collect() }
    }
}

/// The teacher's distribution at a row.
fn teachers(teacher: Teacher<'_>, row: usize, shape: HeadShape) -> Row {
    let shape = HeadShape { width: teacher.width, softcap: teacher.softcap, ..shape };
    Row::new(&values(teacher.hidden)[row * teacher.width..][..teacher.width], values(teacher.unembed), shape)
}

pub(super) fn forward(
    (hidden, unembed): (&[f32], &[f32]),
    teacher: Teacher<'_>,
    comparison: Comparison,
    shape: HeadShape,
) -> DivergenceOutput {
    let mut output = DivergenceOutput::default();
    for (row, hidden) in hidden.chunks_exact(shape.width).enumerate() {
        let (own, teacher) = (Row::new(hidden, unembed, shape), teachers(teacher, row, shape));
        let pair = Pair::new(&own, &teacher, comparison);
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
    comparison: Comparison,
    d_value: &[f32],
    shape: HeadShape,
) {
    products(to, student, shape, |row, own| {
        let gradient = Pair::new(own, &teachers(teacher, row, shape), comparison).gradient;
        let slopes = gradient.into_iter().zip(&own.slopes);
        slopes.map(|(d, slope)| f64::from(d_value[row]) * d * slope).collect()
    });
}
