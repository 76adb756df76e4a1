//! Operations that transformers do without, for what is trained or put in beside them: probes, dictionaries, lenses, soft
//! prompts, perturbations.

use std::sync::Arc;

use super::key::key_of;
use super::record::{Gradient, Op, Tape};
use super::var::Var;
use crate::{AttentionShape, Backend, Buffer, Threshold, ThresholdShape};

impl<'m> Tape<'m> {
    /// `a * b` elementwise.
    pub fn multiply(&mut self, a: &Var, b: &Var) -> Var {
        assert_eq!((a.rows, a.width), (b.rows, b.width), "both sides of a product have one shape");
        let mut y = self.backend.scratch(a.buffer.len());
        self.backend.multiply(&mut y, &a.buffer, &b.buffer);
        let tracked = a.key.is_some() || b.key.is_some();
        self.push(y, a.rows, a.width, tracked, |_| Op::Multiply { a: a.clone(), b: b.clone() })
    }

    /// The mean over all elements of `(a - b)^2`, `[1, 1]`.
    pub fn mean_squared_error(&mut self, a: &Var, b: &Var) -> Var {
        assert_eq!((a.rows, a.width), (b.rows, b.width), "both sides of a difference have one shape");
        let mean = self.backend.squared_error(&a.buffer, &b.buffer) / a.buffer.len().max(1) as f64;
        let y = self.backend.upload(&[mean as f32]);
        let tracked = a.key.is_some() || b.key.is_some();
        self.push(y, 1, 1, tracked, |_| Op::SquaredError { a: a.clone(), b: b.clone() })
    }

    /// The softmax of each row.
    pub fn softmax(&mut self, x: &Var) -> Var {
        let mut y = self.backend.scratch(x.buffer.len());
        self.backend.softmax(&mut y, &x.buffer, x.width);
        let (key, width) = (x.key, x.width);
        self.push(y, x.rows, width, key.is_some(), |y| Op::Softmax { x: key_of(key), y: y.clone(), width })
    }

    /// Each row's `k` largest values, and 0 elsewhere.
    pub fn top_k(&mut self, x: &Var, k: usize) -> Var {
        let mut y = self.backend.scratch(x.buffer.len());
        self.backend.top_k(&mut y, &x.buffer, x.width, k);
        self.push(y, x.rows, x.width, x.key.is_some(), |_| Op::TopK { x: x.clone(), k })
    }

    /// What is above its column's threshold; theta `[1, width]`. See [`Backend::threshold_backward`] for `bandwidth`.
    pub fn threshold(&mut self, x: &Var, theta: &Var, kind: Threshold, bandwidth: f32) -> Var {
        assert_eq!(theta.buffer.len(), x.width, "each column has a threshold");
        let shape = ThresholdShape { width: x.width, kind, bandwidth };
        let mut y = self.backend.scratch(x.buffer.len());
        self.backend.threshold(&mut y, &x.buffer, &theta.buffer, shape);
        let tracked = x.key.is_some() || theta.key.is_some();
        let (x, theta) = (x.clone(), theta.clone());
        self.push(y, x.rows, x.width, tracked, |_| Op::Threshold { x, theta, shape })
    }

    /// `x` with the listed rows (each at most once) replaced by those of `new`.
    pub fn replace_rows(&mut self, x: &Var, index: &Arc<[u32]>, new: &Var) -> Var {
        assert!(new.width == x.width && new.rows == index.len(), "the new rows fit");
        assert!(index.iter().all(|&i| (i as usize) < x.rows), "row indices lie within the matrix");
        let mut y = (*x.buffer).clone();
        self.backend.scatter_rows(&mut y, &new.buffer, index, x.width);
        let tracked = x.key.is_some() || new.key.is_some();
        self.push(y, x.rows, x.width, tracked, |_| Op::ReplaceRows {
            x: x.key,
            new: new.key,
            index: index.clone(),
            width: x.width,
        })
    }

    /// What attention makes of values with a pattern that is given, as [`Tape::attention_pattern`] shapes it.
    pub fn apply_pattern(&mut self, pattern: &Var, v: &Var, shape: AttentionShape) -> Var {
        assert_eq!((pattern.rows % shape.heads, pattern.width), (0, v.rows), "a pattern has a column for each key");
        let queries = pattern.rows / shape.heads;
        let width = shape.heads * shape.head_dim;
        let mut out = self.backend.scratch(queries * width);
        self.backend.apply_pattern(&mut out, &pattern.buffer, &v.buffer, queries, shape);
        let tracked = pattern.key.is_some() || v.key.is_some();
        let (pattern, v) = (pattern.clone(), v.clone());
        self.push(out, queries, width, tracked, |_| Op::ApplyPattern { pattern, v, queries, shape })
    }

    /// A function of the caller's own: `y`, `[rows, width]`, is what it makes of `inputs`; `gradient` gets the gradient with
    /// respect to `y` and returns one buffer for each input, in their order and of their sizes.
    pub fn closure(
        &mut self,
        inputs: &[&Var],
        (y, rows, width): (Buffer, usize, usize),
        gradient: impl FnOnce(&dyn Backend, &Buffer) -> Vec<Buffer> + 'm,
    ) -> Var {
        assert_eq!(y.len(), rows * width, "a result has its shape");
        let keys: Vec<_> = inputs.iter().map(|input| input.key).collect();
        let tracked = keys.iter().any(Option::is_some);
        self.push(y, rows, width, tracked, |_| Op::Closure { inputs: keys, gradient: Gradient(Box::new(gradient)) })
    }
}
