//! Tree attention.
use crate::{AttentionLayout, AttentionSegment, AttentionShape};

/// Rows of the keys that the query at `offset` in the segment sees.
fn visible(segment: &AttentionSegment, offset: usize, window: Option<usize>) -> Vec<usize> {
    let position = segment.position + offset;
    let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
    let ancestors = segment.ancestors.iter().flat_map(|span| (0..span.len).map(|i| (span.position + i, span.start + i)));
    let own = (0..=offset).map(|i| (segment.position + i, segment.key_start + i));
    ancestors.chain(own).filter(|&(position, _)| position >= first).map(|(_, row)| row).collect()
}

fn score(q: &[f32], k: &[f32], shape: AttentionShape) -> (f32, f32) {
    let raw = q.iter().zip(k).map(|(q, k)| q * k).sum::<f32>() * shape.scale;
    match shape.softcap {
        None => (raw, shape.scale),
        Some(cap) => {
            let t = (raw / cap).tanh();
            (cap * t, (1.0 - t * t) * shape.scale)
        }
    }
}

fn key(k: &[f32], row: usize, head: usize, shape: AttentionShape) -> &[f32] {
    let group = shape.heads / shape.kv_heads;
    &k[(row * shape.kv_heads + head / group) * shape.head_dim..][..shape.head_dim]
}

fn for_queries(
    layout: &AttentionLayout,
    shape: AttentionShape,
    mut visit: impl FnMut(usize, usize, Vec<usize>),
) {
    for segment in &layout.segments {
        for offset in 0..segment.len {
            for head in 0..shape.heads {
                visit(segment.query_start + offset, head, visible(segment, offset, shape.window));
            }
        }
    }
}

pub(crate) fn forward(
    out: &mut [f32],
    lse: &mut [f32],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    layout: &AttentionLayout,
    shape: AttentionShape,
) {
    let dim = shape.head_dim;
    for_queries(layout, shape, |row, head, rows| {
        let at = row * shape.heads + head;
        let q = &q[at * dim..][..dim];
        let scores: Vec<f32> = rows.iter().map(|&r| score(q, key(k, r, head, shape), shape).0).collect();
        let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = scores.iter().map(|s| (s - max).exp()).sum();
        lse[at] = max + sum.ln();
        let out = &mut out[at * dim..][..dim];
        out.fill(0.0);
        for (&r, s) in rows.iter().zip(&scores) {
            let p = (s - lse[at]).exp();
            out.iter_mut().zip(key(v, r, head, shape)).for_each(|(o, v)| *o += p * v);
        }
    });
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn backward(
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
    d_out: &[f32],
    out: &[f32],
    lse: &[f32],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    layout: &AttentionLayout,
    shape: AttentionShape,
) {
    let (dim, group) = (shape.head_dim, shape.heads / shape.kv_heads);
    for_queries(layout, shape, |row, head, rows| {
        let at = row * shape.heads + head;
        let range = at * dim..at * dim + dim;
        let (q, out, d_out) = (&q[range.clone()], &out[range.clone()], &d_out[range.clone()]);
        let delta: f32 = out.iter().zip(d_out).map(|(a, b)| a * b).sum();
        for r in rows {
            let (s, slope) = score(q, key(k, r, head, shape), shape);
            let p = (s - lse[at]).exp();
            let dp: f32 = d_out.iter().zip(key(v, r, head, shape)).map(|(a, b)| a * b).sum();
            let ds = p * (dp - delta) * slope;
            let start = (r * shape.kv_heads + head / group) * dim;
            for d in 0..dim {
                dv[start + d] += p * d_out[d];
                dk[start + d] += ds * q[d];
                dq[range.start + d] += ds * k[start + d];
            }
        }
    });
}

pub(crate) fn pattern(pattern: &mut [f32], q: &[f32], k: &[f32], layout: &AttentionLayout, shape: AttentionShape) {
    let dim = shape.head_dim;
    pattern.fill(0.0);
    for_queries(layout, shape, |row, head, rows| {
        let q = &q[(row * shape.heads + head) * dim..][..dim];
        let scores: Vec<f32> = rows.iter().map(|&r| score(q, key(k, r, head, shape), shape).0).collect();
        let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = scores.iter().map(|s| (s - max).exp()).sum();
        let line = &mut pattern[(head * layout.queries + row) * layout.keys..][..layout.keys];
        rows.iter().zip(&scores).for_each(|(&r, s)| line[r] = (s - max).exp() / sum);
    });
}
