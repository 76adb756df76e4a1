//! The backward half of the tape: one arm an operation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cotangent::Cotangent;
use super::flow::Flow;
use super::gradients::{Gradients, WatchedGradients};
use super::head_backward::{self, Slopes};
use super::key::Key;
use super::record::{Layer, Op, Part, Tape};
use super::var::{Saved, Var};
use crate::{Buffer, WeightGradient};

impl Tape<'_> {
    /// Runs the tape backwards from `cotangents`, adding to `gradients` for every trainable parameter and returning the
    /// gradients of watched values.
    ///
    /// # Panics
    /// If a cotangent's shape is not that of its value: an error of the calling code.
    pub fn backward(mut self, cotangents: Vec<Cotangent>, gradients: &mut Gradients) -> WatchedGradients {
        let mut flow = Flow { backend: self.backend.clone(), nodes: BTreeMap::new(), parameters: gradients };
        let mut heads = BTreeMap::new();
        for cotangent in cotangents {
            match cotangent {
                Cotangent::Value(var, buffer) => {
                    assert_eq!(var.buffer.len(), buffer.len(), "a cotangent has the shape of its value");
                    flow.add_shared(var.key, &Arc::new(buffer));
                }
                Cotangent::Head { head, d_logp, d_entropy } => {
                    assert_eq!(head.output().logp.len(), d_logp.len(), "one cotangent a log-probability");
                    heads.extend(head.key.map(|node| (node, Slopes::Head { d_logp, d_entropy })));
                }
                Cotangent::Divergence { divergence, d_value } => {
                    assert_eq!(divergence.values().len(), d_value.len(), "one cotangent a divergence");
                    heads.extend(divergence.key.map(|node| (node, Slopes::Divergence { d_value })));
                }
            }
        }
        let mut watched = WatchedGradients::default();
        while let Some((node, op)) = self.ops.pop() {
            if let Op::Head { .. } | Op::Divergence { .. } = op {
                if let Some(slopes) = heads.get(&node) {
                    head_backward::backward(&mut flow, op, *slopes);
                }
                continue;
            }
            if let Op::Linears { x, rows, inputs, layers } = op {
                let arrived = |layer: Layer| Some((flow.arrived(layer.node, &self.watched)?, layer));
                let layers = layers.into_iter().filter_map(arrived).collect();
                linears(&mut flow, (x, rows, inputs), layers);
                continue;
            }
            if let Some(dy) = flow.arrived(node, &self.watched) {
                step(&mut flow, op, &dy);
            }
        }
        for node in self.watched {
            if let Some(buffer) = flow.nodes.get(&node) {
                watched.buffers.insert(node, buffer.clone());
            }
        }
        watched
    }
}

/// Sends the gradient of an operation's output on to its inputs.
fn step(flow: &mut Flow, op: Op, dy: &Arc<Buffer>) {
    match op {
        Op::Recomputed { x, part } => recomputed(flow, &x, &part, dy),
        Op::Embed { table, table_len, width, ids } => {
            flow.add_with(Some(table), table_len, |b, d| b.embed_backward(d, dy, &ids, width));
        }
        Op::Norm { x, weight, bias, stats, shape } => {
            let w = weight.as_ref().map(|w| &*w.buffer);
            let w_key = weight.as_ref().and_then(|w| w.key);
            let mut dx = flow.lend(x.key, x.buffer.len());
            let mut dw = flow.lend(w_key, shape.width);
            let mut db = flow.lend(bias, shape.width);
            flow.backend.norm_backward(dx.as_mut(), dw.as_mut(), db.as_mut(), dy, &x.buffer, &stats, w, shape);
            flow.give_back(x.key, dx);
            flow.give_back(w_key, dw);
            flow.give_back(bias, db);
        }
        Op::Rotary { x, table, positions, shape } => {
            flow.add_with(Some(x), dy.len(), |b, d| b.rotary_backward(d, dy, &table.table, &positions, shape));
        }
        Op::Attention { q, k, v, out, lse, layout, shape } => {
            let backend = flow.backend.clone();
            let mut dq = backend.zeros(q.buffer.len());
            let mut dk = backend.zeros(k.buffer.len());
            let mut dv = backend.zeros(v.buffer.len());
            backend.attention_backward(
                &mut dq, &mut dk, &mut dv, dy, &out, &lse, &q.buffer, &k.buffer, &v.buffer, &layout, shape,
            );
            flow.add_shared(q.key, &Arc::new(dq));
            flow.add_shared(k.key, &Arc::new(dk));
            flow.add_shared(v.key, &Arc::new(dv));
        }
        Op::Activation { x, kind } => {
            flow.add_with(x.key, dy.len(), |b, d| b.activation_backward(d, dy, &x.buffer, kind));
        }
        Op::Gated { gate, up, kind } => {
            let backend = flow.backend.clone();
            let mut d_gate = backend.scratch(dy.len());
            let mut d_up = backend.scratch(dy.len());
            backend.gated_backward(&mut d_gate, &mut d_up, dy, &gate.buffer, &up.buffer, kind);
            flow.add_shared(gate.key, &Arc::new(d_gate));
            flow.add_shared(up.key, &Arc::new(d_up));
        }
        Op::Add { a, b, factor } => {
            flow.add_shared(a, dy);
            if factor == 1.0 {
                flow.add_shared(b, dy);
            } else {
                flow.add_with(b, dy.len(), |backend, d| backend.add_scaled(d, dy, factor));
            }
        }
        Op::Scale { x, factor } => flow.add_with(Some(x), dy.len(), |b, d| b.add_scaled(d, dy, factor)),
        Op::Columns { x, rows, width, columns } => {
            flow.add_with(Some(x), rows * width, |b, d| {
                b.columns_backward(d, dy, rows, width, columns.start, columns.stride, columns.groups, columns.run);
            });
        }
        Op::GatherRows { x, rows, width, index } => {
            flow.add_with(Some(x), rows * width, |b, d| b.gather_rows_backward(d, dy, &index, width));
        }
        Op::Dropout { x, keep, seed } => {
            let mut dx = flow.backend.scratch(dy.len());
            flow.backend.dropout(&mut dx, dy, keep, seed);
            flow.add_shared(Some(x), &Arc::new(dx));
        }
        Op::Edit { x, rows, columns, edit } => {
            let mut dx = (**dy).clone();
            flow.backend.edit_backward(&mut dx, &x.buffer, &rows, x.width, columns, &edit);
            flow.add_shared(x.key, &Arc::new(dx));
        }
        Op::Multiply { a, b } => {
            flow.add_with(a.key, dy.len(), |backend, d| backend.add_product(d, dy, &b.buffer));
            flow.add_with(b.key, dy.len(), |backend, d| backend.add_product(d, dy, &a.buffer));
        }
        Op::SquaredError { a, b } => {
            let factor = flow.backend.download(dy).first().map_or(0.0, |dy| dy * 2.0 / a.buffer.len().max(1) as f32);
            let mut difference = (*a.buffer).clone();
            flow.backend.add_scaled(&mut difference, &b.buffer, -1.0);
            for (key, factor) in [(a.key, factor), (b.key, -factor)] {
                flow.add_with(key, difference.len(), |backend, d| backend.add_scaled(d, &difference, factor));
            }
        }
        Op::Softmax { x, y, width } => {
            flow.add_with(Some(x), dy.len(), |b, d| b.softmax_backward(d, dy, &y, width));
        }
        Op::TopK { x, k } => flow.add_with(x.key, dy.len(), |b, d| b.top_k_backward(d, dy, &x.buffer, x.width, k)),
        Op::Threshold { x, theta, shape } => {
            let mut dx = flow.lend(x.key, x.buffer.len());
            let mut d_theta = flow.lend(theta.key, shape.width);
            let (of_x, of_theta) = (dx.as_mut(), d_theta.as_mut());
            flow.backend.threshold_backward(of_x, of_theta, dy, &x.buffer, &theta.buffer, shape);
            flow.give_back(x.key, dx);
            flow.give_back(theta.key, d_theta);
        }
        Op::ReplaceRows { x, new, index, width } => {
            let (backend, len) = (flow.backend.clone(), index.len() * width);
            if new.is_some() {
                let mut d_new = backend.scratch(len);
                backend.gather_rows(&mut d_new, dy, &index, width);
                flow.add_shared(new, &Arc::new(d_new));
            }
            if x.is_some() {
                let mut dx = (**dy).clone();
                backend.scatter_rows(&mut dx, &backend.zeros(len), &index, width);
                flow.add_shared(x, &Arc::new(dx));
            }
        }
        Op::ApplyPattern { pattern, v, queries, shape } => {
            let mut d_pattern = flow.lend(pattern.key, pattern.buffer.len());
            let mut dv = flow.lend(v.key, v.buffer.len());
            let (of_pattern, of_v) = (d_pattern.as_mut(), dv.as_mut());
            flow.backend.apply_pattern_backward(of_pattern, of_v, dy, &pattern.buffer, &v.buffer, queries, shape);
            flow.give_back(pattern.key, d_pattern);
            flow.give_back(v.key, dv);
        }
        Op::Closure { inputs, gradient } => {
            let gradients = (gradient.0)(&*flow.backend, dy);
            assert_eq!(gradients.len(), inputs.len(), "a closure has a gradient for each input");
            inputs.into_iter().zip(gradients).for_each(|(key, d)| flow.add_shared(key, &Arc::new(d)));
        }
        Op::Head { .. } | Op::Divergence { .. } | Op::Linears { .. } => {}
    }
}

/// Runs a part again, on a tape of its own, and that backwards.
fn recomputed<'m>(flow: &mut Flow, x: &Var, Part(part): &Part<'m>, dy: &Arc<Buffer>) {
    let mut tape = Tape::<'m>::recording(flow.backend.clone());
    let inner = Var { key: None, ..x.clone() };
    let inner = if x.key.is_some() { tape.watch(inner) } else { inner };
    let y = part(&mut tape, &inner);
    let mut watched = tape.backward(vec![Cotangent::Value(&y, (**dy).clone())], flow.parameters);
    if let Some(Key::Node(node)) = inner.key
        && let Some(dx) = watched.buffers.remove(&node)
    {
        flow.add_shared(x.key, &dx);
    }
}

/// Sends the gradients of layers' outputs on to what the layers have in common, and to each.
fn linears(flow: &mut Flow, (x, rows, inputs): (Option<Key>, usize, Option<Saved>), layers: Vec<(Arc<Buffer>, Layer)>) {
    for (dy, Layer { w, bias, .. }) in layers.iter().rev() {
        flow.fill_or_add(x, rows * w.width, |b, d, fresh| {
            b.linear_backward_input(d, fresh, dy, &w.buffer, rows, w.width, w.rows);
        });
        flow.add_with(*bias, w.rows, |b, d| b.sum_rows(d, dy, rows, w.rows));
    }
    let Some(inputs) = inputs else { return };
    // Layers may share a weight; then one adds to what the other leaves.
    let mut seen = BTreeSet::new();
    let (first, again): (Vec<_>, Vec<_>) =
        layers.iter().filter(|(_, layer)| layer.w.key.is_some()).partition(|(_, layer)| seen.insert(layer.w.key));
    if first.is_empty() {
        return;
    }
    let x = inputs.values(&*flow.backend);
    for layers in std::iter::once(first).chain(again.into_iter().map(|layer| vec![layer])) {
        let Some((_, Layer { w, .. })) = layers.first() else { continue };
        let mut held: Vec<_> = layers.iter().map(|(_, layer)| flow.borrow(layer.w.key, layer.w.buffer.len())).collect();
        let mut gradients: Vec<_> = (held.iter_mut().flatten().zip(&layers))
            .map(|((dw, fresh), (dy, layer))| WeightGradient { dw, fresh: *fresh, dy, outputs: layer.w.rows })
            .collect();
        flow.backend.linear_backward_weights(&mut gradients, &x, rows, w.width);
        for (held, (_, layer)) in held.into_iter().zip(&layers) {
            flow.give_back(layer.w.key, held.map(|(buffer, _)| buffer));
        }
    }
}
