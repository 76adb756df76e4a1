//! The naive backend: plain loops and sums in f64.
mod activation;
mod attention;
mod divergence;
mod dot;
mod head;
mod instruments;
mod norm;
mod rotary;
mod values;

use dot::dot;
use values::{values, values_mut};

use crate::buffer::Storage;
use crate::edit;
use crate::layout::AttentionLayout;
use crate::mask::Mask;
use crate::{
    Activation, AdamW, AttentionShape, Backend, Buffer, Comparison, DivergenceOutput, Edit, HeadOutput, HeadShape,
    HeadWants, KEY_PANEL, LinearOutput, NormShape, Precision, RotaryShape, Teacher, ThresholdShape, TopTokens,
    WeightGradient,
};
use std::borrow::Cow;
use std::ops::Range;

/// Kernels as their formulas read, for tests: what every other backend is held against. No kernel is shared with another
/// backend, but for edits and the mask of dropout; nothing is packed, blocked or run in parallel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Naive;

/// `c[i, j] = start(c[i, j], j) + sum over l of a(i, l) b(l, j)`; `c` is `[m, n]`.
fn product(
    c: &mut [f32],
    (n, k): (usize, usize),
    start: impl Fn(f32, usize) -> f32,
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) {
    for (at, c) in c.iter_mut().enumerate() {
        let (i, j) = (at / n, at % n);
        let sum = dot((0..k).map(|l| f64::from(a(i, l))), (0..k).map(|l| f64::from(b(l, j))));
        *c = (f64::from(start(*c, j)) + sum) as f32;
    }
}

/// What a gradient starts from.
fn gradient_start(fresh: bool) -> impl Fn(f32, usize) -> f32 {
    move |held, _| if fresh { 0.0 } else { held }
}

/// Pairs each of the taken columns of [`Backend::columns`] with where it goes.
fn columns(
    rows: usize,
    width: usize,
    [start, stride, groups, run]: [usize; 4],
) -> impl Iterator<Item = (usize, usize)> {
    let of_row = move |row: usize| {
        let column = move |at: usize| start + at / run * stride + at % run;
        (0..groups * run).map(move |at| (row * width + column(at), row * groups * run + at))
    };
    (0..rows).flat_map(of_row)
}

/// Calls `each` with the indices of the elements of row `index[i]` and of row `i`.
fn rows(index: &[u32], width: usize, mut each: impl FnMut(usize, usize)) {
    for (i, &row) in index.iter().enumerate() {
        (0..width).for_each(|j| each(row as usize * width + j, i * width + j));
    }
}

impl Backend for Naive {
    fn name(&self) -> String {
        "naive".into()
    }

    fn precision(&self) -> Precision {
        Precision::F32
    }

    fn zeros(&self, len: usize) -> Buffer {
        self.upload(&vec![0.0; len])
    }

    /// NaN, which a kernel that does not overwrite all of it passes on.
    fn scratch(&self, len: usize) -> Buffer {
        self.upload(&vec![f32::NAN; len])
    }

    fn upload(&self, values: &[f32]) -> Buffer {
        Buffer { storage: Storage::Naive(values.to_vec()) }
    }

    fn read<'a>(&self, buffer: &'a Buffer) -> Cow<'a, [f32]> {
        values(buffer).into()
    }

    fn embed(&self, out: &mut Buffer, table: &Buffer, ids: &[u32], width: usize) {
        self.gather_rows(out, table, ids, width);
    }

    fn embed_backward(&self, d_table: &mut Buffer, d_out: &Buffer, ids: &[u32], width: usize) {
        self.gather_rows_backward(d_table, d_out, ids, width);
    }

    fn linears(&self, layers: &mut [LinearOutput<'_>], x: &Buffer, _rows: usize, inputs: usize) {
        let x = values(x);
        for LinearOutput { y, w, bias, outputs } in layers {
            let (w, bias) = (values(w), bias.map(values));
            let start = |_, j: usize| bias.map_or(0.0, |bias| bias[j]);
            product(values_mut(y), (*outputs, inputs), start, |i, l| x[i * inputs + l], |l, j| w[j * inputs + l]);
        }
    }

    fn linear_backward_input(
        &self,
        dx: &mut Buffer,
        fresh: bool,
        dy: &Buffer,
        w: &Buffer,
        _rows: usize,
        inputs: usize,
        outputs: usize,
    ) {
        let (dy, w, start) = (values(dy), values(w), gradient_start(fresh));
        product(values_mut(dx), (inputs, outputs), start, |i, l| dy[i * outputs + l], |l, j| w[l * inputs + j]);
    }

    fn linear_backward_weights(&self, layers: &mut [WeightGradient<'_>], x: &Buffer, rows: usize, inputs: usize) {
        let x = values(x);
        for WeightGradient { dw, fresh, dy, outputs } in layers {
            let (dy, start) = (values(dy), gradient_start(*fresh));
            product(values_mut(dw), (inputs, rows), start, |i, l| dy[l * *outputs + i], |l, j| x[l * inputs + j]);
        }
    }

    fn sum_rows(&self, db: &mut Buffer, dy: &Buffer, rows: usize, width: usize) {
        let (dy, start) = (values(dy), gradient_start(false));
        product(values_mut(db), (width, rows), start, |_, _| 1.0, |l, j| dy[l * width + j]);
    }

    fn norm(
        &self,
        y: &mut Buffer,
        stats: &mut Buffer,
        x: &Buffer,
        weight: Option<&Buffer>,
        bias: Option<&Buffer>,
        shape: NormShape,
    ) {
        let affine = (weight.map(values), bias.map(values));
        norm::forward(values_mut(y), values_mut(stats), values(x), affine, shape);
    }

    fn norm_backward(
        &self,
        dx: Option<&mut Buffer>,
        dw: Option<&mut Buffer>,
        db: Option<&mut Buffer>,
        dy: &Buffer,
        x: &Buffer,
        _stats: &Buffer,
        weight: Option<&Buffer>,
        shape: NormShape,
    ) {
        if let Some(dx) = dx {
            norm::backward_input(values_mut(dx), values(dy), values(x), weight.map(values), shape);
        }
        norm::backward_affine(dw.map(values_mut), db.map(values_mut), values(dy), values(x), shape);
    }

    fn rotary(&self, y: &mut Buffer, x: &Buffer, table: &Buffer, positions: &[u32], shape: RotaryShape) {
        let (x, y) = (values(x), values_mut(y));
        y.copy_from_slice(x);
        let pair = |a: usize, b: usize, cosine, sine| (y[a], y[b]) = rotary::turned((x[a], x[b]), cosine, sine);
        rotary::pairs(values(table), positions, shape, pair);
    }

    fn rotary_backward(&self, dx: &mut Buffer, dy: &Buffer, table: &Buffer, positions: &[u32], shape: RotaryShape) {
        let mut turned = dy.clone();
        let (dy, back) = (values(dy), values_mut(&mut turned));
        let pair = |a: usize, b: usize, cosine: f64, sine: f64| {
            (back[a], back[b]) = rotary::turned((dy[a], dy[b]), cosine, -sine);
        };
        rotary::pairs(values(table), positions, shape, pair);
        self.add_scaled(dx, &turned, 1.0);
    }

    fn attention(
        &self,
        out: &mut Buffer,
        lse: &mut Buffer,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        layout: &AttentionLayout,
        shape: AttentionShape,
    ) {
        let call = attention::Call { q: values(q), k: values(k), v: values(v), layout, shape };
        attention::forward(call, values_mut(out), values_mut(lse));
    }

    fn attention_backward(
        &self,
        dq: &mut Buffer,
        dk: &mut Buffer,
        dv: &mut Buffer,
        d_out: &Buffer,
        _out: &Buffer,
        _lse: &Buffer,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        layout: &AttentionLayout,
        shape: AttentionShape,
    ) {
        let call = attention::Call { q: values(q), k: values(k), v: values(v), layout, shape };
        attention::backward(call, [values_mut(dq), values_mut(dk), values_mut(dv)], values(d_out));
    }

    fn attention_pattern(
        &self,
        pattern: &mut Buffer,
        q: &Buffer,
        k: &Buffer,
        layout: &AttentionLayout,
        shape: AttentionShape,
    ) {
        let call = attention::Call { q: values(q), k: values(k), v: &[], layout, shape };
        let pattern = values_mut(pattern);
        pattern.fill(0.0);
        for query in call.queries() {
            let line = (query.head * layout.queries + query.row) * layout.keys;
            call.seen(query).0.iter().for_each(|key| pattern[line + key.row] = key.probability as f32);
        }
    }

    fn activation(&self, y: &mut Buffer, x: &Buffer, kind: Activation) {
        let x = values(x).iter();
        values_mut(y).iter_mut().zip(x).for_each(|(y, &x)| *y = activation::curve(f64::from(x), kind).0 as f32);
    }

    fn activation_backward(&self, dx: &mut Buffer, dy: &Buffer, x: &Buffer, kind: Activation) {
        for ((dx, &dy), &x) in values_mut(dx).iter_mut().zip(values(dy)).zip(values(x)) {
            *dx += (f64::from(dy) * activation::curve(f64::from(x), kind).1) as f32;
        }
    }

    fn gated(&self, y: &mut Buffer, gate: &Buffer, up: &Buffer, kind: Activation) {
        for ((y, &gate), &up) in values_mut(y).iter_mut().zip(values(gate)).zip(values(up)) {
            *y = (activation::curve(f64::from(gate), kind).0 * f64::from(up)) as f32;
        }
    }

    fn gated_backward(
        &self,
        d_gate: &mut Buffer,
        d_up: &mut Buffer,
        dy: &Buffer,
        gate: &Buffer,
        up: &Buffer,
        kind: Activation,
    ) {
        let outputs = values_mut(d_gate).iter_mut().zip(values_mut(d_up));
        for (((d_gate, d_up), &dy), (&gate, &up)) in outputs.zip(values(dy)).zip(values(gate).iter().zip(values(up))) {
            let (dy, (value, slope)) = (f64::from(dy), activation::curve(f64::from(gate), kind));
            *d_gate = (dy * f64::from(up) * slope) as f32;
            *d_up = (dy * value) as f32;
        }
    }

    fn add(&self, y: &mut Buffer, a: &Buffer, b: &Buffer) {
        values_mut(y).iter_mut().zip(values(a).iter().zip(values(b))).for_each(|(y, (a, b))| *y = a + b);
    }

    fn add_scaled(&self, y: &mut Buffer, x: &Buffer, factor: f32) {
        let x = values(x).iter();
        values_mut(y)
            .iter_mut()
            .zip(x)
            .for_each(|(y, &x)| *y = (f64::from(*y) + f64::from(factor) * f64::from(x)) as f32);
    }

    fn scale(&self, y: &mut Buffer, x: &Buffer, factor: f32) {
        values_mut(y).iter_mut().zip(values(x)).for_each(|(y, x)| *y = factor * x);
    }

    fn multiply(&self, y: &mut Buffer, a: &Buffer, b: &Buffer) {
        values_mut(y).iter_mut().zip(values(a).iter().zip(values(b))).for_each(|(y, (a, b))| *y = a * b);
    }

    fn add_product(&self, y: &mut Buffer, a: &Buffer, b: &Buffer) {
        for (y, (&a, &b)) in values_mut(y).iter_mut().zip(values(a).iter().zip(values(b))) {
            *y = (f64::from(*y) + f64::from(a) * f64::from(b)) as f32;
        }
    }

    fn squared_error(&self, a: &Buffer, b: &Buffer) -> f64 {
        values(a).iter().zip(values(b)).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
    }

    fn softmax(&self, y: &mut Buffer, x: &Buffer, width: usize) {
        let all = values(x).chunks_exact(width).flat_map(instruments::softmax);
        values_mut(y).iter_mut().zip(all).for_each(|(y, p)| *y = p as f32);
    }

    fn softmax_backward(&self, dx: &mut Buffer, dy: &Buffer, y: &Buffer, width: usize) {
        let rows = values(dy).chunks_exact(width).zip(values(y).chunks_exact(width));
        let all = rows.flat_map(|(dy, y)| instruments::softmax_gradient(dy, y));
        values_mut(dx).iter_mut().zip(all).for_each(|(dx, d)| *dx += d as f32);
    }

    fn top_k(&self, y: &mut Buffer, x: &Buffer, width: usize, k: usize) {
        let among = values(x).chunks_exact(width).flat_map(|row| instruments::among_largest(row, k));
        let each = values_mut(y).iter_mut().zip(values(x)).zip(among);
        each.for_each(|((y, x), among)| *y = if among { *x } else { 0.0 });
    }

    fn top_k_backward(&self, dx: &mut Buffer, dy: &Buffer, x: &Buffer, width: usize, k: usize) {
        let among = values(x).chunks_exact(width).flat_map(|row| instruments::among_largest(row, k));
        let each = values_mut(dx).iter_mut().zip(values(dy)).zip(among);
        each.filter(|(_, among)| *among).for_each(|((dx, dy), _)| *dx += dy);
    }

    fn threshold(&self, y: &mut Buffer, x: &Buffer, theta: &Buffer, shape: ThresholdShape) {
        let each = values_mut(y).iter_mut().zip(values(x)).zip(values(theta).iter().cycle());
        each.for_each(|((y, &x), &theta)| *y = instruments::passed(x, theta, shape));
    }

    fn threshold_backward(
        &self,
        mut dx: Option<&mut Buffer>,
        d_theta: Option<&mut Buffer>,
        dy: &Buffer,
        x: &Buffer,
        theta: &Buffer,
        shape: ThresholdShape,
    ) {
        let mut sums = vec![0.0; shape.width];
        for (i, (&dy, &x)) in values(dy).iter().zip(values(x)).enumerate() {
            let by = instruments::slopes(x, values(theta)[i % shape.width], shape);
            sums[i % shape.width] += f64::from(dy) * by.1;
            if let Some(dx) = &mut dx {
                values_mut(dx)[i] += (f64::from(dy) * by.0) as f32;
            }
        }
        d_theta.into_iter().flat_map(values_mut).zip(sums).for_each(|(to, sum)| *to += sum as f32);
    }

    fn apply_pattern(&self, out: &mut Buffer, pattern: &Buffer, v: &Buffer, queries: usize, shape: AttentionShape) {
        let (keys, mut sums) = (v.len() / (shape.kv_heads * shape.head_dim), vec![0.0; out.len()]);
        let (pattern, v) = (values(pattern), values(v));
        instruments::weighed(queries, keys, shape, |weight, value, output| {
            sums[output] += f64::from(pattern[weight]) * f64::from(v[value]);
        });
        values_mut(out).iter_mut().zip(sums).for_each(|(out, sum)| *out = sum as f32);
    }

    fn apply_pattern_backward(
        &self,
        d_pattern: Option<&mut Buffer>,
        dv: Option<&mut Buffer>,
        d_out: &Buffer,
        pattern: &Buffer,
        v: &Buffer,
        queries: usize,
        shape: AttentionShape,
    ) {
        let keys = v.len() / (shape.kv_heads * shape.head_dim);
        let (mut of_pattern, mut of_values) = (vec![0.0; pattern.len()], vec![0.0; v.len()]);
        let (pattern, v, d_out) = (values(pattern), values(v), values(d_out));
        instruments::weighed(queries, keys, shape, |weight, value, output| {
            let d_out = f64::from(d_out[output]);
            of_pattern[weight] += d_out * f64::from(v[value]);
            of_values[value] += d_out * f64::from(pattern[weight]);
        });
        for (to, sums) in [(d_pattern, of_pattern), (dv, of_values)] {
            to.into_iter().flat_map(values_mut).zip(sums).for_each(|(to, sum)| *to += sum as f32);
        }
    }

    fn columns(
        &self,
        y: &mut Buffer,
        x: &Buffer,
        rows: usize,
        width: usize,
        start: usize,
        stride: usize,
        groups: usize,
        run: usize,
    ) {
        let (y, x) = (values_mut(y), values(x));
        columns(rows, width, [start, stride, groups, run]).for_each(|(from, to)| y[to] = x[from]);
    }

    fn columns_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        rows: usize,
        width: usize,
        start: usize,
        stride: usize,
        groups: usize,
        run: usize,
    ) {
        let (dx, dy) = (values_mut(dx), values(dy));
        columns(rows, width, [start, stride, groups, run]).for_each(|(to, from)| dx[to] += dy[from]);
    }

    fn gather_rows(&self, y: &mut Buffer, x: &Buffer, index: &[u32], width: usize) {
        let (y, x) = (values_mut(y), values(x));
        rows(index, width, |listed, own| y[own] = x[listed]);
    }

    fn gather_rows_backward(&self, dx: &mut Buffer, dy: &Buffer, index: &[u32], width: usize) {
        let (dx, dy) = (values_mut(dx), values(dy));
        let mut sums = vec![0.0; dx.len()];
        rows(index, width, |listed, own| sums[listed] += f64::from(dy[own]));
        dx.iter_mut().zip(sums).for_each(|(dx, sum)| *dx = (f64::from(*dx) + sum) as f32);
    }

    fn scatter_rows(&self, dst: &mut Buffer, src: &Buffer, index: &[u32], width: usize) {
        let (dst, src) = (values_mut(dst), values(src));
        rows(index, width, |listed, own| dst[listed] = src[own]);
    }

    fn cache_rows(
        &self,
        keys: &mut Buffer,
        cached: &mut Buffer,
        k: &Buffer,
        v: &Buffer,
        index: &[u32],
        kv_heads: usize,
    ) {
        let width = k.len() / index.len().max(1);
        let (dim, capacity) = (width / kv_heads, cached.len() / width.max(1));
        let (keys, cached, k, v) = (values_mut(keys), values_mut(cached), values(k), values(v));
        for (i, &row) in index.iter().enumerate() {
            let row = row as usize;
            for d in 0..width {
                keys[(row / KEY_PANEL * width + d) * KEY_PANEL + row % KEY_PANEL] = k[i * width + d];
                cached[(d / dim * capacity + row) * dim + d % dim] = v[i * width + d];
            }
        }
    }

    fn dropout(&self, y: &mut Buffer, x: &Buffer, keep: f32, seed: u64) {
        let mask = Mask::new(keep, seed);
        for (i, (y, x)) in values_mut(y).iter_mut().zip(values(x)).enumerate() {
            *y = if mask.keeps(i) { x / keep } else { 0.0 };
        }
    }

    fn edit(&self, x: &mut Buffer, rows: &[u32], width: usize, columns: Range<usize>, edit: &Edit) {
        edit::apply(values_mut(x), rows, width, columns, edit);
    }

    fn edit_backward(
        &self,
        dx: &mut Buffer,
        before: &Buffer,
        rows: &[u32],
        width: usize,
        columns: Range<usize>,
        edit: &Edit,
    ) {
        edit::backward(values_mut(dx), values(before), rows, width, columns, edit);
    }

    fn head(
        &self,
        hidden: &Buffer,
        unembed: &Buffer,
        targets: &[u32],
        shape: HeadShape,
        wants: HeadWants,
        _logits: Option<&mut Buffer>,
    ) -> HeadOutput {
        head::forward(values(hidden), values(unembed), targets, shape, wants)
    }

    fn head_backward(
        &self,
        d_hidden: Option<&mut Buffer>,
        d_unembed: Option<&mut Buffer>,
        hidden: &Buffer,
        unembed: &Buffer,
        targets: &[u32],
        _output: &HeadOutput,
        _logits: Option<Buffer>,
        d_logp: &[f32],
        d_entropy: &[f32],
        shape: HeadShape,
    ) {
        let to = [d_hidden.map(values_mut), d_unembed.map(values_mut)];
        head::backward(to, (values(hidden), values(unembed)), targets, (d_logp, d_entropy), shape);
    }

    fn top_tokens(&self, hidden: &Buffer, unembed: &Buffer, count: usize, shape: HeadShape) -> TopTokens {
        head::top_tokens(values(hidden), values(unembed), count, shape)
    }

    fn divergence(
        &self,
        hidden: &Buffer,
        unembed: &Buffer,
        teacher: Teacher<'_>,
        comparison: Comparison,
        shape: HeadShape,
    ) -> DivergenceOutput {
        divergence::forward((values(hidden), values(unembed)), teacher, comparison, shape)
    }

    fn divergence_backward(
        &self,
        d_hidden: Option<&mut Buffer>,
        d_unembed: Option<&mut Buffer>,
        hidden: &Buffer,
        unembed: &Buffer,
        teacher: Teacher<'_>,
        comparison: Comparison,
        _output: &DivergenceOutput,
        d_value: &[f32],
        shape: HeadShape,
    ) {
        let to = [d_hidden.map(values_mut), d_unembed.map(values_mut)];
        divergence::backward(to, (values(hidden), values(unembed)), teacher, comparison, d_value, shape);
    }

    fn distributions(&self, x: &mut Buffer, width: usize, softcap: Option<f32>, temperature: f32) -> Vec<f64> {
        let capped = |x: f32, cap: f32| (f64::from(cap) * (f64::from(x) / f64::from(cap)).tanh()) as f32;
        values_mut(x).iter_mut().for_each(|x| *x = softcap.map_or(*x, |cap| capped(*x, cap)));
        let divided = |x: &f32| f64::from(*x) / f64::from(temperature);
        values(x)
            .chunks_exact(width)
            .map(|row| head::log_sum_exp(&row.iter().map(divided).collect::<Vec<_>>()))
            .collect()
    }

    fn adamw(&self, w: &mut Buffer, g: &Buffer, m: &mut Buffer, v: &mut Buffer, step: AdamW) {
        let [lr, beta1, beta2, eps] = [step.lr, step.beta1, step.beta2, step.eps].map(f64::from);
        let correction = |beta: f64| 1.0 - beta.powf(step.step as f64);
        let moments = values_mut(m).iter_mut().zip(values_mut(v));
        for ((w, &g), (m, v)) in values_mut(w).iter_mut().zip(values(g)).zip(moments) {
            let g = f64::from(g) * f64::from(step.gradient_scale);
            *m = (beta1 * f64::from(*m) + (1.0 - beta1) * g) as f32;
            *v = (beta2 * f64::from(*v) + (1.0 - beta2) * g * g) as f32;
            let (first, second) = (f64::from(*m) / correction(beta1), f64::from(*v) / correction(beta2));
            let decayed = f64::from(*w) * (1.0 - lr * f64::from(step.weight_decay));
            *w = (decayed - lr * first / (second.sqrt() + eps)) as f32;
        }
    }

    fn sum_of_squares(&self, x: &Buffer) -> f64 {
        values(x).iter().map(|&x| f64::from(x).powi(2)).sum()
    }
}
