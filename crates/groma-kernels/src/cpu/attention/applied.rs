//! Values weighted by a pattern that is given: what attention does with its own.
use crate::cpu::parallel::for_rows;
use crate::{AttentionShape, KeyOrder};

/// A pattern `[heads, queries, keys]` and what it weighs.
#[derive(Clone, Copy)]
pub(crate) struct Applied<'a> {
    pub(crate) pattern: &'a [f32],
    pub(crate) v: &'a [f32],
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) shape: AttentionShape,
}

impl Applied<'_> {
    /// Where the values of a key for a query head lie.
    fn place(&self, key: usize, head: usize) -> usize {
        let AttentionShape { heads, kv_heads, head_dim, key_order, .. } = self.shape;
        let kv_head = head / (heads / kv_heads);
        match key_order {
            KeyOrder::Rows => (key * kv_heads + kv_head) * head_dim,
            KeyOrder::Cached => (kv_head * self.keys + key) * head_dim,
        }
    }

    fn value(&self, key: usize, head: usize) -> &[f32] {
        &self.v[self.place(key, head)..][..self.shape.head_dim]
    }

    fn line(&self, head: usize, query: usize) -> &[f32] {
        &self.pattern[(head * self.queries + query) * self.keys..][..self.keys]
    }
}

/// `out[q] = sum over keys of pattern * v`, each head for itself.
pub(crate) fn forward(call: &Applied<'_>, out: &mut [f32]) {
    let dim = call.shape.head_dim;
    for_rows(out, call.shape.heads * dim, call.keys, |first, chunk| {
        for (row, line) in chunk.chunks_exact_mut(dim).enumerate() {
            let (query, head) = (first + row / call.shape.heads, row % call.shape.heads);
            let mut sums = vec![0.0f64; dim];
            for (key, &weight) in call.line(head, query).iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                sums.iter_mut().zip(call.value(key, head)).for_each(|(s, &v)| *s += f64::from(weight) * f64::from(v));
            }
            line.iter_mut().zip(&sums).for_each(|(to, &sum)| *to = sum as f32);
        }
    });
}

/// `d_pattern[h, q, k] += d_out . v`.
pub(crate) fn backward_pattern(call: &Applied<'_>, d_pattern: &mut [f32], d_out: &[f32]) {
    let (dim, heads) = (call.shape.head_dim, call.shape.heads);
    for_rows(d_pattern, call.keys, dim, |first, chunk| {
        for (row, line) in chunk.chunks_exact_mut(call.keys).enumerate() {
            let (head, query) = ((first + row) / call.queries, (first + row) % call.queries);
            let dy = &d_out[(query * heads + head) * dim..][..dim];
            for (key, to) in line.iter_mut().enumerate() {
                let sum: f64 = dy.iter().zip(call.value(key, head)).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                *to += sum as f32;
            }
        }
    });
}

/// `dv[k] += sum over queries, and over the heads that read it, of pattern * d_out`; in rows.
pub(crate) fn backward_values(call: &Applied<'_>, dv: &mut [f32], d_out: &[f32]) {
    let AttentionShape { heads, kv_heads, head_dim: dim, .. } = call.shape;
    let group = heads / kv_heads;
    for_rows(dv, kv_heads * dim, call.queries * group, |first, chunk| {
        for (row, line) in chunk.chunks_exact_mut(dim).enumerate() {
            let (key, kv_head) = (first + row / kv_heads, row % kv_heads);
            let mut sums = vec![0.0f64; dim];
            for head in kv_head * group..(kv_head + 1) * group {
                for query in 0..call.queries {
                    let weight = f64::from(call.line(head, query)[key]);
                    let dy = &d_out[(query * heads + head) * dim..][..dim];
                    sums.iter_mut().zip(dy).for_each(|(sum, &dy)| *sum += weight * f64::from(dy));
                }
            }
            line.iter_mut().zip(&sums).for_each(|(to, &sum)| *to += sum as f32);
        }
    });
}
