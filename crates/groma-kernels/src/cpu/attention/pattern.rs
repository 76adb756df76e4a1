//! The attention probabilities, for looking at.
use super::block::Block;
use super::{BLOCK, Call};
use crate::{AttentionSegment, KEY_PANEL, KeyOrder};

/// The scaled and capped score of a query and a key.
fn score(call: &Call<'_>, q: &[f32], k: &[f32]) -> f64 {
    let raw = q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>() * f64::from(call.shape.scale);
    match call.shape.softcap {
        None => raw,
        Some(cap) => f64::from(cap) * (raw / f64::from(cap)).tanh(),
    }
}

/// Key rows that the query at `offset` of a segment sees.
fn visible(call: &Call<'_>, segment: &AttentionSegment, offset: usize) -> Vec<usize> {
    let end = segment.position + offset + 1;
    let first = call.first_visible(end - 1);
    let blocks = (first / BLOCK..end.div_ceil(BLOCK)).map(|index| Block::new(segment, index, end));
    let rows = blocks.flat_map(|block| {
        let rows = block.runs.into_iter().flat_map(|(start, count)| start..start + count);
        block.positions.zip(rows)
    });
    rows.filter(|&(position, _)| position >= first).map(|(_, row)| row).collect()
}

/// Where element `d` (of all heads) of a key row lies.
fn key_place(call: &Call<'_>, row: usize, d: usize) -> usize {
    let width = call.shape.kv_heads * call.shape.head_dim;
    match call.shape.key_order {
        KeyOrder::Rows => row * width + d,
        KeyOrder::Cached => (row / KEY_PANEL * width + d) * KEY_PANEL + row % KEY_PANEL,
    }
}

/// See [`crate::Backend::attention_pattern`].
pub(crate) fn pattern(call: &Call<'_>, pattern: &mut [f32]) {
    let (dim, heads) = (call.shape.head_dim, call.shape.heads);
    let (queries, keys) = (call.layout.queries, call.layout.keys);
    assert_eq!(pattern.len(), heads * queries * keys);
    pattern.fill(0.0);
    for segment in &call.layout.segments {
        for offset in 0..segment.len {
            let rows = visible(call, segment, offset);
            let query = segment.query_start + offset;
            for head in 0..heads {
                let q = &call.q[(query * heads + head) * dim..][..dim];
                let first = head / call.group() * dim;
                let key =
                    |row: usize| (first..first + dim).map(|d| call.k[key_place(call, row, d)]).collect::<Vec<_>>();
                let scores: Vec<f64> = rows.iter().map(|&row| score(call, q, &key(row))).collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|score| (score - max).exp()).sum();
                let line = &mut pattern[(head * queries + query) * keys..][..keys];
                rows.iter().zip(&scores).for_each(|(&row, score)| line[row] = ((score - max).exp() / sum) as f32);
            }
        }
    }
}
