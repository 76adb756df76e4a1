//! Attention: for each query and head, a softmax over the keys that it sees.
use super::dot::dot;
use crate::{AttentionLayout, AttentionSegment, AttentionShape, KEY_PANEL, KeyOrder, KeySpan};

/// The inputs of a call.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) layout: &'a AttentionLayout,
    pub(super) shape: AttentionShape,
}

/// One head of one query.
#[derive(Clone, Copy)]
pub(super) struct Query<'a> {
    segment: &'a AttentionSegment,
    /// Row of the query in its segment, and in the buffer.
    offset: usize,
    pub(super) row: usize,
    pub(super) head: usize,
}

/// A key that a query sees.
pub(super) struct Seen {
    pub(super) row: usize,
    pub(super) probability: f64,
    /// Of the score, before it is scaled: 1 without a cap.
    slope: f64,
}

impl<'a> Call<'a> {
    pub(super) fn queries(&self) -> impl Iterator<Item = Query<'a>> + use<'a> {
        let heads = self.shape.heads;
        self.layout.segments.iter().flat_map(move |segment| {
            (0..segment.len).flat_map(move |offset| {
                let row = segment.query_start + offset;
                (0..heads).map(move |head| Query { segment, offset, row, head })
            })
        })
    }

    /// Indices of the elements of a query.
    pub(super) fn query(&self, query: Query<'_>) -> impl Iterator<Item = usize> + use<> {
        let start = (query.row * self.shape.heads + query.head) * self.shape.head_dim;
        start..start + self.shape.head_dim
    }

    /// Indices of the elements of a key, for the key head that `head` reads.
    pub(super) fn key(&self, row: usize, head: usize) -> impl Iterator<Item = usize> + use<> {
        let AttentionShape { kv_heads, head_dim, key_order, .. } = self.shape;
        let (width, head) = (kv_heads * head_dim, head * kv_heads / self.shape.heads);
        (head * head_dim..(head + 1) * head_dim).map(move |d| match key_order {
            KeyOrder::Rows => row * width + d,
            KeyOrder::Cached => (row / KEY_PANEL * width + d) * KEY_PANEL + row % KEY_PANEL,
        })
    }

    /// The same of a value.
    pub(super) fn value(&self, row: usize, head: usize) -> impl Iterator<Item = usize> + use<> {
        let AttentionShape { kv_heads, head_dim, key_order, .. } = self.shape;
        let head = head * kv_heads / self.shape.heads;
        let start = match key_order {
            KeyOrder::Rows => (row * kv_heads + head) * head_dim,
            KeyOrder::Cached => (head * self.layout.keys + row) * head_dim,
        };
        start..start + head_dim
    }

    /// The keys that a query sees, and the log-sum-exp of their scores.
    pub(super) fn seen(&self, query: Query<'_>) -> (Vec<Seen>, f64) {
        let AttentionSegment { key_start, position, ancestors, .. } = query.segment;
        let own = KeySpan { start: *key_start, len: query.offset + 1, position: *position };
        let end = position + query.offset + 1;
        let first = self.shape.window.map_or(0, |window| end.saturating_sub(window));
        let rows = ancestors.iter().copied().chain([own]).flat_map(|span| {
            let visible = (0..span.len).filter(move |i| span.position + i >= first);
            visible.map(move |i| span.start + i)
        });
        let scores: Vec<(usize, f64, f64)> = rows.map(|row| self.score(query, row)).collect();
        let max = scores.iter().map(|score| score.1).fold(f64::NEG_INFINITY, f64::max);
        let log_sum = max + scores.iter().map(|score| (score.1 - max).exp()).sum::<f64>().ln();
        let seen = |(row, score, slope): (usize, f64, f64)| Seen { row, probability: (score - log_sum).exp(), slope };
        (scores.into_iter().map(seen).collect(), log_sum)
    }

    /// A key's row, its capped score, and the cap's slope there.
    fn score(&self, query: Query<'_>, row: usize) -> (usize, f64, f64) {
        let q = self.query(query).map(|i| f64::from(self.q[i]));
        let k = self.key(row, query.head).map(|i| f64::from(self.k[i]));
        let raw = dot(q, k) * f64::from(self.shape.scale);
        match self.shape.softcap.map(f64::from) {
            None => (row, raw, 1.0),
            Some(cap) => {
                let t = (raw / cap).tanh();
                (row, cap * t, 1.0 - t * t)
            }
        }
    }
}

pub(super) fn forward(call: Call<'_>, out: &mut [f32], lse: &mut [f32]) {
    for query in call.queries() {
        let (seen, log_sum) = call.seen(query);
        lse[query.row * call.shape.heads + query.head] = log_sum as f32;
        let mut sums = vec![0.0; call.shape.head_dim];
        for key in seen {
            let values = call.value(key.row, query.head);
            sums.iter_mut().zip(values).for_each(|(sum, i)| *sum += key.probability * f64::from(call.v[i]));
        }
        call.query(query).zip(sums).for_each(|(i, sum)| out[i] = sum as f32);
    }
}

/// Gradients are summed in f64 before they are added.
pub(super) fn backward(call: Call<'_>, [dq, dk, dv]: [&mut [f32]; 3], d_out: &[f32]) {
    let (mut q_sums, mut k_sums, mut v_sums) = (vec![0.0; dq.len()], vec![0.0; dk.len()], vec![0.0; dv.len()]);
    for query in call.queries() {
        let (seen, _) = call.seen(query);
        let d_out: Vec<f64> = call.query(query).map(|i| f64::from(d_out[i])).collect();
        let along =
            |key: &Seen| dot(d_out.iter().copied(), call.value(key.row, query.head).map(|i| f64::from(call.v[i])));
        let d_probabilities: Vec<f64> = seen.iter().map(along).collect();
        let mean = dot(seen.iter().map(|key| key.probability), d_probabilities.iter().copied());
        for (key, d_probability) in seen.iter().zip(d_probabilities) {
            let d_score = key.probability * (d_probability - mean) * key.slope * f64::from(call.shape.scale);
            for (from, to) in call.query(query).zip(call.key(key.row, query.head)) {
                q_sums[from] += d_score * f64::from(call.k[to]);
                k_sums[to] += d_score * f64::from(call.q[from]);
            }
            let values = call.value(key.row, query.head);
            values.zip(&d_out).for_each(|(i, d_out)| v_sums[i] += key.probability * d_out);
        }
    }
    for (to, sums) in [(dq, q_sums), (dk, k_sums), (dv, v_sums)] {
        to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum as f32);
    }
}
