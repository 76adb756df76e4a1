//! Heads on the tape: log-probabilities of targets, the most likely tokens, and divergence from a teacher.

use std::sync::Arc;

use super::head_var::{DivergenceVar, HeadVar, TeacherVar};
use super::record::{Op, Tape};
use super::var::Var;
use crate::{Buffer, Comparison, HeadOutput, HeadShape, HeadWants};

impl<'m> Tape<'m> {
    /// Log-probabilities of `targets`, one a hidden row; unembed `[vocab, width]`.
    pub fn head(
        &mut self,
        hidden: &Var,
        unembed: &Var,
        targets: &Arc<[u32]>,
        softcap: Option<f32>,
        temperature: f32,
        wants: HeadWants,
    ) -> HeadVar {
        assert_eq!(hidden.rows, targets.len(), "each hidden state has a target");
        assert!(targets.iter().all(|&id| (id as usize) < unembed.rows), "targets are below the vocabulary size");
        let shape = head_shape(hidden, unembed, softcap, temperature);
        let keep = self.records(hidden, unembed) && shape.keeps_logits();
        let mut logits = keep.then(|| self.backend.scratch(shape.rows * shape.vocab));
        let output = self.backend.head(&hidden.buffer, &unembed.buffer, targets, shape, wants, logits.as_mut());
        self.push_head(hidden, unembed, targets.clone(), Arc::new(output), logits, shape)
    }

    /// The `count` most likely tokens of each hidden row, `[rows, count]`, and their log-probabilities, in the same order.
    pub fn top_tokens(
        &mut self,
        hidden: &Var,
        unembed: &Var,
        count: usize,
        softcap: Option<f32>,
        temperature: f32,
    ) -> (Arc<[u32]>, HeadVar) {
        assert!((1..=unembed.rows).contains(&count), "1 to as many tokens as there are");
        let shape = head_shape(hidden, unembed, softcap, temperature);
        let top = self.backend.top_tokens(&hidden.buffer, &unembed.buffer, count, shape);
        let ids: Arc<[u32]> = top.ids.into();
        let head = self.push_head(hidden, unembed, ids.clone(), Arc::new(top.output), None, shape);
        (ids, head)
    }

    /// How each hidden row's distribution differs from the teacher's; both at `temperature`.
    pub fn divergence(
        &mut self,
        hidden: &Var,
        unembed: &Var,
        teacher: &TeacherVar,
        comparison: impl Into<Comparison>,
        softcap: Option<f32>,
        temperature: f32,
    ) -> DivergenceVar {
        assert_eq!(hidden.rows, teacher.hidden.rows, "student and teacher stand at the same rows");
        assert_eq!(unembed.rows, teacher.unembed.rows, "student and teacher have one vocabulary");
        let (shape, comparison) = (head_shape(hidden, unembed, softcap, temperature), comparison.into());
        let output = self.backend.divergence(&hidden.buffer, &unembed.buffer, teacher.teacher(), comparison, shape);
        let output = Arc::new(output);
        let key = self.records(hidden, unembed).then(|| {
            let (hidden, unembed, teacher) = (hidden.clone(), unembed.clone(), teacher.clone());
            self.push_op(Op::Divergence { hidden, unembed, teacher, comparison, output: output.clone(), shape })
        });
        DivergenceVar { output, key }
    }

    fn records(&self, hidden: &Var, unembed: &Var) -> bool {
        self.recording && (hidden.key.is_some() || unembed.key.is_some())
    }

    fn push_op(&mut self, op: Op<'m>) -> u32 {
        let node = self.fresh();
        self.ops.push((node, op));
        node
    }

    fn push_head(
        &mut self,
        hidden: &Var,
        unembed: &Var,
        targets: Arc<[u32]>,
        output: Arc<HeadOutput>,
        logits: Option<Buffer>,
        shape: HeadShape,
    ) -> HeadVar {
        let key = self.records(hidden, unembed).then(|| {
            let (hidden, unembed) = (hidden.clone(), unembed.clone());
            self.push_op(Op::Head { hidden, unembed, targets, output: output.clone(), logits, shape })
        });
        HeadVar { output, key }
    }
}

fn head_shape(hidden: &Var, unembed: &Var, softcap: Option<f32>, temperature: f32) -> HeadShape {
    HeadShape { rows: hidden.rows, width: hidden.width, vocab: unembed.rows, softcap, temperature }
}
