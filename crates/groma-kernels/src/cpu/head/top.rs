//! The most likely tokens of each row, found while the logits go by.
use super::{BLOCK, Part, Place, Sums, logits, parts, row_sums};
use crate::cpu::Cpu;
use crate::cpu::parallel::{SharedMut, for_each};
use crate::{Buffer, HeadOutput, HeadShape, HeadWants, TopTokens};

/// A token and its logit.
type Candidate = (f32, u32);

/// Puts a candidate in its place among the best so far, largest first and the lowest id among equals; ids must rise from
/// call to call.
fn insert(best: &mut [Candidate], candidate: Candidate) {
    let place = best.partition_point(|other| other.0 >= candidate.0);
    if place < best.len() {
        best[place..].rotate_right(1);
        best[place] = candidate;
    }
}

/// The sums of one row over a part, and the best tokens in it.
fn row(cpu: &Cpu, line: &mut [f32], part: &Part, best: &mut [Candidate], shape: &HeadShape) -> Sums {
    let sums = row_sums(cpu, line, part.first_token, usize::MAX, HeadWants::default(), shape);
    for (i, block) in line.chunks(BLOCK).enumerate() {
        for (j, &logit) in block.iter().enumerate() {
            if best.last().is_none_or(|last| logit > last.0) {
                insert(best, (logit, (part.first_token + i * BLOCK + j) as u32));
            }
        }
    }
    sums
}

/// See [`crate::Backend::top_tokens`].
pub(crate) fn top_tokens(cpu: &Cpu, hidden: &[f32], unembed: &Buffer, count: usize, shape: HeadShape) -> TopTokens {
    assert!(hidden.len() == shape.rows * shape.width && (1..=shape.vocab).contains(&count));
    let mut sums = vec![Sums::NONE; shape.rows];
    let mut best = vec![(f32::NEG_INFINITY, 0); shape.rows * count];
    for part in parts(shape) {
        let mut place = Place::new(cpu, &part, None);
        let raw = place.values();
        logits(cpu, &part, hidden, unembed, shape, raw);
        let (lines, sums, best) = (SharedMut::new(raw), SharedMut::new(&mut sums), SharedMut::new(&mut best));
        for_each(part.rows, part.rows * part.tokens * 10, |offset| {
            let at = part.first_row + offset;
            // SAFETY: each task has its own row of all three.
            let (line, sums, best) = unsafe {
                (lines.slice(offset * part.tokens, part.tokens), sums.slice(at, 1), best.slice(at * count, count))
            };
            sums[0].merge(row(cpu, line, &part, best, &shape));
        });
    }
    let logp = |(row, (logit, _)): (usize, &Candidate)| (f64::from(*logit) - sums[row / count].log_sum_exp()) as f32;
    TopTokens {
        ids: best.iter().map(|candidate| candidate.1).collect(),
        output: HeadOutput {
            logp: best.iter().enumerate().map(logp).collect(),
            log_sum_exp: sums.iter().map(|sums| sums.log_sum_exp() as f32).collect(),
            ..HeadOutput::default()
        },
    }
}
