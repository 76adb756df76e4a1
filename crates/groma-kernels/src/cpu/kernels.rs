//! The kernels, each at its place in the backend's trait.
use super::device::Cpu;
use super::memory::Memory;
use super::precision::Precision;
use super::rows::{self, Columns};
use super::{activation, adamw, attention, dropout, elementwise, head, linear, norm, rotary, softmax, sparse};
use crate::edit;
use crate::layout::AttentionLayout;
use crate::pool::{Lease, Stay};
use crate::{
    Activation, AdamW, AttentionShape, Backend, Buffer, Comparison, DivergenceOutput, Edit, HeadOutput, HeadShape,
    HeadWants, LinearOutput, NormShape, RotaryShape, Teacher, ThresholdShape, TopTokens, WeightGradient,
};
use std::borrow::Cow;
use std::io;
use std::ops::Range;

impl Backend for Cpu {
    fn name(&self) -> String {
        match self.precision() {
            Precision::F32 => format!("cpu {}", self.level.in_f32().name()),
            Precision::Bf16 => format!("cpu {} bf16", self.level.name()),
        }
    }

    fn precision(&self) -> Precision {
        self.arithmetic.precision()
    }

    fn zeros(&self, len: usize) -> Buffer {
        let mut buffer = self.scratch(len);
        buffer.host_mut().fill(0.0);
        buffer
    }

    fn scratch(&self, len: usize) -> Buffer {
        Memory::Values(Lease::new(&self.pool, len)).into()
    }

    fn upload(&self, values: &[f32]) -> Buffer {
        let mut lease = Lease::staying(&self.pool, values.len(), Stay::Long);
        lease.copy_from_slice(values);
        Memory::Values(lease).into()
    }

    fn weight(
        &self,
        rows: usize,
        width: usize,
        next: &mut dyn FnMut(&mut [f32]) -> io::Result<()>,
    ) -> io::Result<Buffer> {
        Ok(Memory::read(self, rows, width, next)?.into())
    }

    fn read<'a>(&self, buffer: &'a Buffer) -> Cow<'a, [f32]> {
        match buffer.memory().weight() {
            Some(weight) if weight.as_plain().is_none() => weight.to_vec().into(),
            _ => buffer.host().into(),
        }
    }

    fn embed(&self, out: &mut Buffer, table: &Buffer, ids: &[u32], width: usize) {
        self.gather_rows(out, table, ids, width);
    }

    fn embed_backward(&self, d_table: &mut Buffer, d_out: &Buffer, ids: &[u32], width: usize) {
        rows::scatter_add(d_table.host_mut(), d_out.host(), ids, width);
    }

    fn linears(&self, layers: &mut [LinearOutput<'_>], x: &Buffer, rows: usize, inputs: usize) {
        debug_assert_eq!(x.len(), rows * inputs);
        linear::forward(self, layers, x.host(), rows, inputs);
    }

    fn linear_backward_input(
        &self,
        dx: &mut Buffer,
        fresh: bool,
        dy: &Buffer,
        w: &Buffer,
        rows: usize,
        inputs: usize,
        outputs: usize,
    ) {
        debug_assert_eq!((dx.len(), w.len(), dy.len()), (rows * inputs, inputs * outputs, rows * outputs));
        linear::backward_input(self, dx.host_mut(), fresh, dy.host(), w, rows, inputs, outputs);
    }

    fn linear_backward_weights(&self, layers: &mut [WeightGradient<'_>], x: &Buffer, rows: usize, inputs: usize) {
        debug_assert_eq!(x.len(), rows * inputs);
        linear::backward_weight(self, layers, x.host(), rows, inputs);
    }

    fn sum_rows(&self, db: &mut Buffer, dy: &Buffer, rows: usize, width: usize) {
        debug_assert_eq!((db.len(), dy.len()), (width, rows * width));
        rows::sum_rows(db.host_mut(), dy.host());
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
        let affine = (weight.map(Buffer::host), bias.map(Buffer::host));
        norm::forward(self, y.host_mut(), stats.host_mut(), x.host(), affine, shape);
    }

    fn norm_backward(
        &self,
        dx: Option<&mut Buffer>,
        dw: Option<&mut Buffer>,
        db: Option<&mut Buffer>,
        dy: &Buffer,
        x: &Buffer,
        stats: &Buffer,
        weight: Option<&Buffer>,
        shape: NormShape,
    ) {
        let inputs = [dy.host(), x.host(), stats.host()];
        if let Some(dx) = dx {
            norm::backward_input(self, dx.host_mut(), inputs, weight.map(Buffer::host), shape);
        }
        if dw.is_some() || db.is_some() {
            norm::backward_affine(self, dw.map(Buffer::host_mut), db.map(Buffer::host_mut), inputs, shape);
        }
    }

    fn rotary(&self, y: &mut Buffer, x: &Buffer, table: &Buffer, positions: &[u32], shape: RotaryShape) {
        rotary::forward(y.host_mut(), x.host(), table.host(), positions, shape);
    }

    fn rotary_backward(&self, dx: &mut Buffer, dy: &Buffer, table: &Buffer, positions: &[u32], shape: RotaryShape) {
        rotary::backward(dx.host_mut(), dy.host(), table.host(), positions, shape);
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
        let call = attention::Call { cpu: self, q: q.host(), k: k.host(), v: v.host(), layout, shape };
        attention::forward(&call, out.host_mut(), lse.host_mut());
    }

    fn attention_backward(
        &self,
        dq: &mut Buffer,
        dk: &mut Buffer,
        dv: &mut Buffer,
        d_out: &Buffer,
        out: &Buffer,
        lse: &Buffer,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        layout: &AttentionLayout,
        shape: AttentionShape,
    ) {
        let call = attention::Call { cpu: self, q: q.host(), k: k.host(), v: v.host(), layout, shape };
        let output = attention::Output { d_out: d_out.host(), out: out.host(), lse: lse.host() };
        attention::backward(&call, dq.host_mut(), dk.host_mut(), dv.host_mut(), output);
    }

    fn attention_pattern(
        &self,
        pattern: &mut Buffer,
        q: &Buffer,
        k: &Buffer,
        layout: &AttentionLayout,
        shape: AttentionShape,
    ) {
        let call = attention::Call { cpu: self, q: q.host(), k: k.host(), v: &[], layout, shape };
        attention::pattern(&call, pattern.host_mut());
    }

    fn activation(&self, y: &mut Buffer, x: &Buffer, kind: Activation) {
        activation::forward(self.level, y.host_mut(), x.host(), kind);
    }

    fn activation_backward(&self, dx: &mut Buffer, dy: &Buffer, x: &Buffer, kind: Activation) {
        activation::backward(self.level, dx.host_mut(), dy.host(), x.host(), kind);
    }

    fn gated(&self, y: &mut Buffer, gate: &Buffer, up: &Buffer, kind: Activation) {
        activation::gated(self.level, y.host_mut(), gate.host(), up.host(), kind);
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
        let inputs = [dy.host(), gate.host(), up.host()];
        activation::gated_backward(self.level, d_gate.host_mut(), d_up.host_mut(), inputs, kind);
    }

    fn add(&self, y: &mut Buffer, a: &Buffer, b: &Buffer) {
        elementwise::add(self.level, y.host_mut(), a.host(), b.host());
    }

    fn add_scaled(&self, y: &mut Buffer, x: &Buffer, factor: f32) {
        elementwise::add_scaled(self.level, y.host_mut(), x.host(), factor);
    }

    fn scale(&self, y: &mut Buffer, x: &Buffer, factor: f32) {
        elementwise::scale(self.level, y.host_mut(), x.host(), factor);
    }

    fn multiply(&self, y: &mut Buffer, a: &Buffer, b: &Buffer) {
        elementwise::multiply(self.level, y.host_mut(), a.host(), b.host());
    }

    fn add_product(&self, y: &mut Buffer, a: &Buffer, b: &Buffer) {
        elementwise::add_product(self.level, y.host_mut(), a.host(), b.host());
    }

    fn squared_error(&self, a: &Buffer, b: &Buffer) -> f64 {
        debug_assert_eq!(a.len(), b.len());
        elementwise::squared_error(a.host(), b.host())
    }

    fn softmax(&self, y: &mut Buffer, x: &Buffer, width: usize) {
        softmax::forward(self.level, y.host_mut(), x.host(), width);
    }

    fn softmax_backward(&self, dx: &mut Buffer, dy: &Buffer, y: &Buffer, width: usize) {
        softmax::backward(dx.host_mut(), dy.host(), y.host(), width);
    }

    fn top_k(&self, y: &mut Buffer, x: &Buffer, width: usize, k: usize) {
        sparse::top_k(y.host_mut(), x.host(), width, k);
    }

    fn top_k_backward(&self, dx: &mut Buffer, dy: &Buffer, x: &Buffer, width: usize, k: usize) {
        sparse::top_k_backward(dx.host_mut(), dy.host(), x.host(), width, k);
    }

    fn threshold(&self, y: &mut Buffer, x: &Buffer, theta: &Buffer, shape: ThresholdShape) {
        sparse::threshold(y.host_mut(), x.host(), theta.host(), shape);
    }

    fn threshold_backward(
        &self,
        dx: Option<&mut Buffer>,
        d_theta: Option<&mut Buffer>,
        dy: &Buffer,
        x: &Buffer,
        theta: &Buffer,
        shape: ThresholdShape,
    ) {
        if let Some(dx) = dx {
            sparse::threshold_backward_input(dx.host_mut(), dy.host(), x.host(), theta.host(), shape);
        }
        if let Some(d_theta) = d_theta {
            sparse::threshold_backward_theta(d_theta.host_mut(), dy.host(), x.host(), theta.host(), shape);
        }
    }

    fn apply_pattern(&self, out: &mut Buffer, pattern: &Buffer, v: &Buffer, queries: usize, shape: AttentionShape) {
        attention::applied::forward(&applied(pattern, v, queries, shape), out.host_mut());
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
        let call = applied(pattern, v, queries, shape);
        if let Some(d_pattern) = d_pattern {
            attention::applied::backward_pattern(&call, d_pattern.host_mut(), d_out.host());
        }
        if let Some(dv) = dv {
            attention::applied::backward_values(&call, dv.host_mut(), d_out.host());
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
        debug_assert_eq!((x.len(), y.len()), (rows * width, rows * groups * run));
        rows::columns(y.host_mut(), x.host(), Columns { width, start, stride, groups, run });
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
        debug_assert_eq!((dx.len(), dy.len()), (rows * width, rows * groups * run));
        rows::columns_backward(dx.host_mut(), dy.host(), Columns { width, start, stride, groups, run });
    }

    fn gather_rows(&self, y: &mut Buffer, x: &Buffer, index: &[u32], width: usize) {
        match x.memory().weight() {
            Some(weight) if weight.width() == width => weight.gather(y.host_mut(), index),
            _ => rows::gather(y.host_mut(), x.host(), index, width),
        }
    }

    fn gather_rows_backward(&self, dx: &mut Buffer, dy: &Buffer, index: &[u32], width: usize) {
        rows::scatter_add(dx.host_mut(), dy.host(), index, width);
    }

    fn scatter_rows(&self, dst: &mut Buffer, src: &Buffer, index: &[u32], width: usize) {
        rows::scatter(dst.host_mut(), src.host(), index, width);
    }

    fn cache_rows(
        &self,
        keys: &mut Buffer,
        values: &mut Buffer,
        k: &Buffer,
        v: &Buffer,
        index: &[u32],
        kv_heads: usize,
    ) {
        rows::cache_keys(keys.host_mut(), k.host(), index);
        rows::cache_values(values.host_mut(), v.host(), index, kv_heads);
    }

    fn dropout(&self, y: &mut Buffer, x: &Buffer, keep: f32, seed: u64) {
        dropout::dropout(y.host_mut(), x.host(), keep, seed);
    }

    fn edit(&self, x: &mut Buffer, rows: &[u32], width: usize, columns: Range<usize>, edit: &Edit) {
        edit::apply(x.host_mut(), rows, width, columns, edit);
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
        edit::backward(dx.host_mut(), before.host(), rows, width, columns, edit);
    }

    fn head(
        &self,
        hidden: &Buffer,
        unembed: &Buffer,
        targets: &[u32],
        shape: HeadShape,
        wants: HeadWants,
        logits: Option<&mut Buffer>,
    ) -> HeadOutput {
        head::forward(self, hidden.host(), unembed, targets, shape, wants, logits.map(Buffer::host_mut))
    }

    fn head_backward(
        &self,
        d_hidden: Option<&mut Buffer>,
        d_unembed: Option<&mut Buffer>,
        hidden: &Buffer,
        unembed: &Buffer,
        targets: &[u32],
        output: &HeadOutput,
        logits: Option<Buffer>,
        d_logp: &[f32],
        d_entropy: &[f32],
        shape: HeadShape,
    ) {
        let given = head::Given { targets, output, d_logp, d_entropy };
        let (d_hidden, d_unembed) = (d_hidden.map(Buffer::host_mut), d_unembed.map(Buffer::host_mut));
        head::backward(self, d_hidden, d_unembed, (hidden.host(), unembed), given, logits, shape);
    }

    fn top_tokens(&self, hidden: &Buffer, unembed: &Buffer, count: usize, shape: HeadShape) -> TopTokens {
        head::top_tokens(self, hidden.host(), unembed, count, shape)
    }

    fn divergence(
        &self,
        hidden: &Buffer,
        unembed: &Buffer,
        teacher: Teacher<'_>,
        comparison: Comparison,
        shape: HeadShape,
    ) -> DivergenceOutput {
        head::divergence(self, (hidden.host(), unembed), teacher, comparison, shape)
    }

    fn divergence_backward(
        &self,
        d_hidden: Option<&mut Buffer>,
        d_unembed: Option<&mut Buffer>,
        hidden: &Buffer,
        unembed: &Buffer,
        teacher: Teacher<'_>,
        comparison: Comparison,
        output: &DivergenceOutput,
        d_value: &[f32],
        shape: HeadShape,
    ) {
        let to = (d_hidden.map(Buffer::host_mut), d_unembed.map(Buffer::host_mut));
        head::divergence_backward(self, to, (hidden.host(), unembed), teacher, comparison, (output, d_value), shape);
    }

    fn distributions(&self, x: &mut Buffer, width: usize, softcap: Option<f32>, temperature: f32) -> Vec<f64> {
        head::distributions(self.level, x.host_mut(), width, softcap, temperature)
    }

    fn adamw(&self, w: &mut Buffer, g: &Buffer, m: &mut Buffer, v: &mut Buffer, step: AdamW) {
        adamw::step(self.level, w.host_mut(), g.host(), m.host_mut(), v.host_mut(), step);
    }

    fn sum_of_squares(&self, x: &Buffer) -> f64 {
        elementwise::sum_of_squares(x.host())
    }
}

fn applied<'a>(
    pattern: &'a Buffer,
    v: &'a Buffer,
    queries: usize,
    shape: AttentionShape,
) -> attention::applied::Applied<'a> {
    let keys = v.len() / (shape.kv_heads * shape.head_dim);
    debug_assert_eq!(pattern.len(), shape.heads * queries * keys);
    attention::applied::Applied { pattern: pattern.host(), v: v.host(), queries, keys, shape }
}
