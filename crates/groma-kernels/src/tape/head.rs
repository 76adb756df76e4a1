//! Heads on the tape: log-probabilities of targets, the most likely tokens, and divergence from a teacher.

use std::sync::Arc;

use super::backward::Flow;
use super::{Op, Tape, Var};
use crate::{Buffer, Divergence, DivergenceOutput, HeadOutput, HeadShape, HeadWants, Teacher};

/// The result of the log-probability head, with what its backward pass needs.
#[derive(Clone, Debug)]
pub struct HeadVar {
    output: Arc<HeadOutput>,
    pub(super) key: Option<u32>,
}

impl HeadVar {
    /// Log-probabilities and what else was asked for.
    pub fn output(&self) -> &HeadOutput {
        &self.output
    }
}

/// A teacher of [`Tape::divergence`]; no gradient goes to it.
#[derive(Clone, Debug)]
pub struct TeacherVar {
    /// Its hidden states, row by row those that the student's are compared with.
    pub hidden: Var,
    /// Its unembedding, over the student's vocabulary.
    pub unembed: Var,
    /// Its own cap on logits.
    pub softcap: Option<f32>,
}

impl TeacherVar {
    fn teacher(&self) -> Teacher<'_> {
        let TeacherVar { hidden, unembed, softcap } = self;
        Teacher { hidden: &hidden.buffer, unembed: &unembed.buffer, width: hidden.width, softcap: *softcap }
    }
}

/// Divergences from a teacher, with what their backward pass needs.
#[derive(Clone, Debug)]
pub struct DivergenceVar {
    output: Arc<DivergenceOutput>,
    pub(super) key: Option<u32>,
}

impl DivergenceVar {
    /// The divergence of each row, in nats.
    pub fn values(&self) -> &[f32] {
        &self.output.value
    }
}

/// Where a backward pass starts at a head.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slopes<'a> {
    Head { d_logp: &'a [f32], d_entropy: &'a [f32] },
    Divergence { d_value: &'a [f32] },
}

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
        kind: Divergence,
        softcap: Option<f32>,
        temperature: f32,
    ) -> DivergenceVar {
        assert_eq!(hidden.rows, teacher.hidden.rows, "student and teacher stand at the same rows");
        assert_eq!(unembed.rows, teacher.unembed.rows, "student and teacher have one vocabulary");
        let shape = head_shape(hidden, unembed, softcap, temperature);
        let output = self.backend.divergence(&hidden.buffer, &unembed.buffer, teacher.teacher(), kind, shape);
        let output = Arc::new(output);
        let key = self.records(hidden, unembed).then(|| {
            let (hidden, unembed, teacher) = (hidden.clone(), unembed.clone(), teacher.clone());
            self.push_op(Op::Divergence { hidden, unembed, teacher, kind, output: output.clone(), shape })
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

/// Sends the gradient at a head on.
pub(super) fn backward(flow: &mut Flow, op: Op, slopes: Slopes<'_>) {
    match (op, slopes) {
        (Op::Head { hidden, unembed, targets, output, logits, shape }, Slopes::Head { d_logp, d_entropy }) => {
            let (h, u) = (&hidden.buffer, &unembed.buffer);
            let mut dh = flow.lend(hidden.key, h.len());
            let mut du = flow.lend(unembed.key, u.len());
            let backend = &flow.backend;
            backend.head_backward(dh.as_mut(), du.as_mut(), h, u, &targets, &output, logits, d_logp, d_entropy, shape);
            flow.give_back(hidden.key, dh);
            flow.give_back(unembed.key, du);
        }
        (Op::Divergence { hidden, unembed, teacher, kind, output, shape }, Slopes::Divergence { d_value }) => {
            let (h, u) = (&hidden.buffer, &unembed.buffer);
            let mut dh = flow.lend(hidden.key, h.len());
            let mut du = flow.lend(unembed.key, u.len());
            let (backend, teacher) = (&flow.backend, teacher.teacher());
            backend.divergence_backward(dh.as_mut(), du.as_mut(), h, u, teacher, kind, &output, d_value, shape);
            flow.give_back(hidden.key, dh);
            flow.give_back(unembed.key, du);
        }
        _ => {}
    }
}
