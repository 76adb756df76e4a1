//! Softmax of rows, their largest values, thresholds, and patterns that are given.
use super::dot::dot;
use crate::{AttentionShape, KeyOrder, Threshold, ThresholdShape};

pub(super) fn softmax(x: &[f32]) -> Vec<f64> {
    let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let log_sum = super::head::log_sum_exp(&x);
    x.iter().map(|x| (x - log_sum).exp()).collect()
}

/// `y (dy - sum dy y)` of a row.
pub(super) fn softmax_gradient(dy: &[f32], y: &[f32]) -> Vec<f64> {
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    let (dy, y) = (wide(dy), wide(y));
    let mean = dot(dy.iter().copied(), y.iter().copied());
    y.iter().zip(&dy).map(|(y, dy)| y * (dy - mean)).collect()
}

/// Whether each value of a row is among the `k` largest: fewer than `k` are larger, or equal and before it.
pub(super) fn among_largest(x: &[f32], k: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[b].total_cmp(&x[a]));
    let mut among = vec![false; x.len()];
    order.into_iter().take(k).for_each(|i| among[i] = true);
    among
}

/// What a threshold lets through of `x`.
pub(super) fn passed(x: f32, theta: f32, shape: ThresholdShape) -> f32 {
    match shape.kind {
        _ if x.is_nan() || x <= theta => 0.0,
        Threshold::Jump => x,
        Threshold::Step => 1.0,
    }
}

/// The slopes of that by `x` and by `theta`.
pub(super) fn slopes(x: f32, theta: f32, shape: ThresholdShape) -> (f64, f64) {
    let [x, theta, bandwidth] = [x, theta, shape.bandwidth].map(f64::from);
    let height = if shape.kind == Threshold::Jump { theta } else { 1.0 };
    let by_theta = if ((x - theta) / bandwidth).abs() < 0.5 { -height / bandwidth } else { 0.0 };
    (f64::from(u8::from(shape.kind == Threshold::Jump && x > theta)), by_theta)
}

/// Calls `each(weight, value, output)` with the indices of every weight of a pattern, value that it weighs, and output that
/// receives it.
pub(super) fn weighed(queries: usize, keys: usize, shape: AttentionShape, mut each: impl FnMut(usize, usize, usize)) {
    let AttentionShape { heads, kv_heads, head_dim, key_order, .. } = shape;
    for (head, query, key) in (0..heads * queries * keys).map(|i| (i / keys / queries, i / keys % queries, i % keys)) {
        let kv_head = head * kv_heads / heads;
        let value = match key_order {
            KeyOrder::Rows => key * kv_heads + kv_head,
            KeyOrder::Cached => kv_head * keys + key,
        };
        let weight = (head * queries + query) * keys + key;
        (0..head_dim).for_each(|d| each(weight, value * head_dim + d, (query * heads + head) * head_dim + d));
    }
}
