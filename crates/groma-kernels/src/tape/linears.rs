//! Linear layers on a tape: those that read the same input are one operation.

use std::sync::Arc;

use super::key::Key;
use super::record::{Layer, Op, Tape};
use super::var::{Saved, Var};
use crate::LinearOutput;

impl Tape<'_> {
    /// `x wᵀ + bias`; w `[outputs, inputs]`, bias `[1, outputs]`.
    pub fn linear(&mut self, x: &Var, w: &Var, bias: Option<&Var>) -> Var {
        let [y] = self.linears(x, [(w, bias)]);
        y
    }

    /// [`Tape::linear`] for several layers that read the same `x`: the same results as one by one, with less work.
    pub fn linears<const N: usize>(&mut self, x: &Var, layers: [(&Var, Option<&Var>); N]) -> [Var; N] {
        for (w, bias) in &layers {
            assert_eq!(x.width, w.width, "a linear layer reads rows of its width");
            assert!(bias.is_none_or(|bias| bias.buffer.len() == w.rows), "a bias has one value an output");
        }
        let mut outputs = layers.map(|(w, _)| self.backend.scratch(x.rows * w.rows));
        let mut products: Vec<_> = (outputs.iter_mut().zip(layers))
            .map(|(y, (w, bias))| {
                let bias = bias.map(|bias| &*bias.buffer);
                LinearOutput { y, w: &w.buffer, bias, outputs: w.rows }
            })
            .collect();
        self.backend.linears(&mut products, &x.buffer, x.rows, x.width);
        let (keys, buffers) = (self.record_linears(x, &layers), outputs.map(Arc::new));
        std::array::from_fn(|i| Var {
            rows: x.rows,
            width: layers[i].0.rows,
            buffer: buffers[i].clone(),
            key: keys[i],
            recipe: None,
        })
    }

    /// Records layers as one operation; the keys of their outputs.
    fn record_linears<const N: usize>(&mut self, x: &Var, layers: &[(&Var, Option<&Var>); N]) -> [Option<Key>; N] {
        let mut recorded = Vec::new();
        let keys = std::array::from_fn(|i| {
            let (w, bias) = layers[i];
            let bias = bias.and_then(|bias| bias.key);
            let tracked = x.key.is_some() || w.key.is_some() || bias.is_some();
            (self.recording && tracked).then(|| {
                let node = self.fresh();
                recorded.push(Layer { node, w: w.clone(), bias });
                Key::Node(node)
            })
        });
        if let Some(last) = recorded.last() {
            let inputs = recorded.iter().any(|layer| layer.w.key.is_some()).then(|| Saved::of(x));
            self.ops.push((last.node, Op::Linears { x: x.key, rows: x.rows, inputs, layers: recorded }));
        }
        keys
    }
}
