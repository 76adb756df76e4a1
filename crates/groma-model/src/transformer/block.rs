//! One block of the transformer: attention, MLP, norms and linear layers, as the description has them.

use groma_kernels::{AttentionShape, Columns, KeyOrder, NormParameters, ParameterId, RotaryTable, Tape, Var};

use super::Transformer;
use super::layers::{Block, Linear, MlpLayers, Norm, QkvLayers};
use super::pass::{Input, Ongoing};
use crate::Spec;
use crate::hooks::Site;
use crate::inference::cache::Cache;
use crate::spec::Qkv;

impl Transformer {
    #[allow(clippy::too_many_arguments, reason = "the state of one forward pass")]
    pub(super) fn block(
        &self,
        tape: &mut Tape,
        layer: usize,
        block: &Block,
        x: Var,
        input: &mut Input,
        rotaries: &[RotaryTable],
        pass: &Ongoing,
    ) -> Var {
        let x = pass.at(tape, layer, Site::ResidPre, x);
        let normed = self.norm(tape, &x, block.norm_attention.as_ref());
        let normed = pass.at(tape, layer, Site::NormAttention, normed);
        let attention = self.attention(tape, layer, block, &normed, input, rotaries, pass);
        let attention = self.norm(tape, &attention, block.norm_attention_out.as_ref());
        let attention = pass.at(tape, layer, Site::AttentionOut, attention);
        let x = input.narrowed(layer).map_or(x.clone(), |narrowed| tape.gather_rows(&x, &narrowed.rows));
        if self.spec.parallel_residual {
            let mlp = self.mlp_branch(tape, layer, block, &x, pass);
            let both = tape.add(&mlp, &attention);
            let out = tape.add(&both, &x);
            return pass.at(tape, layer, Site::ResidPost, out);
        }
        let mid = tape.add(&x, &attention);
        let mid = pass.at(tape, layer, Site::ResidMid, mid);
        let mlp = self.mlp_branch(tape, layer, block, &mid, pass);
        let out = tape.add(&mid, &mlp);
        pass.at(tape, layer, Site::ResidPost, out)
    }

    fn mlp_branch(&self, tape: &mut Tape, layer: usize, block: &Block, x: &Var, pass: &Ongoing) -> Var {
        let normed = self.norm(tape, x, block.norm_mlp.as_ref());
        let normed = pass.at(tape, layer, Site::NormMlp, normed);
        let out = self.mlp(tape, layer, &block.mlp, &normed, pass);
        let out = self.norm(tape, &out, block.norm_mlp_out.as_ref());
        pass.at(tape, layer, Site::MlpOut, out)
    }

    #[allow(clippy::too_many_arguments, reason = "the state of one forward pass")]
    fn attention(
        &self,
        tape: &mut Tape,
        layer: usize,
        block: &Block,
        x: &Var,
        input: &mut Input,
        rotaries: &[RotaryTable],
        pass: &Ongoing,
    ) -> Var {
        let (q, k, v) = self.project(tape, block, x, pass);
        let q = pass.at(tape, layer, Site::Query, q);
        let k = pass.at(tape, layer, Site::Key, k);
        let v = pass.at(tape, layer, Site::Value, v);
        let (mut q, mut k) = (self.qk_norm(tape, &q, block.q_norm), self.qk_norm(tape, &k, block.k_norm));
        if let Some(rotary) = self.spec.layers[layer].rotary {
            q = tape.rotary(&q, &rotaries[rotary], &input.positions, self.spec.head_dim);
            k = tape.rotary(&k, &rotaries[rotary], &input.positions, self.spec.head_dim);
            q = pass.at(tape, layer, Site::RotaryQuery, q);
            k = pass.at(tape, layer, Site::RotaryKey, k);
        }
        let (k, v) = match &mut input.cache {
            None => (k, v),
            Some(cache) => cache.write(layer, &k, &v),
        };
        let (q, layout) = match input.narrowed(layer) {
            None => (q, &input.layout),
            Some(narrowed) => (tape.gather_rows(&q, &narrowed.rows), &narrowed.layout),
        };
        let key_order = input.cache.as_ref().map_or(KeyOrder::Rows, Cache::key_order);
        let shape = AttentionShape { key_order, ..self.attention_shape(layer) };
        let pattern = pass.wants(layer, Site::Pattern).then(|| {
            let pattern = tape.attention_pattern(&q, &k, layout, shape);
            pass.at(tape, layer, Site::Pattern, pattern)
        });
        let z = match pattern.filter(|_| pass.acts(layer, Site::Pattern)) {
            Some(pattern) => tape.apply_pattern(&pattern, &v, shape),
            None => tape.attention(&q, &k, &v, layout, shape),
        };
        let z = pass.at(tape, layer, Site::Z, z);
        self.linear(tape, &block.attention_out, &z, pass)
    }

    fn attention_shape(&self, layer: usize) -> AttentionShape {
        AttentionShape {
            heads: self.spec.heads,
            kv_heads: self.spec.kv_heads,
            head_dim: self.spec.head_dim,
            scale: self.spec.attention_scale,
            softcap: self.spec.attention_softcap,
            window: self.spec.layers[layer].window,
            key_order: KeyOrder::Rows,
        }
    }

    fn project(&self, tape: &mut Tape, block: &Block, x: &Var, pass: &Ongoing) -> (Var, Var, Var) {
        let fused = match &block.qkv {
            QkvLayers::Separate { q, k, v } => {
                return self.linears(tape, [q, k, v], x, pass).into();
            }
            QkvLayers::Fused(qkv) => self.linear(tape, qkv, x, pass),
        };
        let Spec { heads, kv_heads, head_dim, .. } = self.spec;
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        let mut cut = |start, run| {
            let columns = match self.spec.qkv {
                Qkv::PerHead => Columns { start: start * head_dim, stride: 3 * head_dim, groups: heads, run: head_dim },
                _ => Columns { start: [0, queries, queries + keys][start], stride: 0, groups: 1, run },
            };
            tape.columns(&fused, columns)
        };
        (cut(0, queries), cut(1, keys), cut(2, keys))
    }

    fn qk_norm(&self, tape: &mut Tape, x: &Var, weight: Option<ParameterId>) -> Var {
        let Some(id) = weight else { return x.clone() };
        let weight = self.parameters.var(id);
        let width = weight.width();
        tape.norm(x, width, self.norm_parameters(Some(&weight), None))
    }

    fn mlp(&self, tape: &mut Tape, layer: usize, mlp: &MlpLayers, x: &Var, pass: &Ongoing) -> Var {
        let activation = self.spec.activation;
        let hidden = match mlp {
            MlpLayers::Plain { up, .. } => {
                let pre = self.linear(tape, up, x, pass);
                let pre = pass.at(tape, layer, Site::MlpPre, pre);
                tape.activation(&pre, activation)
            }
            MlpLayers::Gated { gate, up, .. } => {
                let [gate, up] = self.linears(tape, [gate, up], x, pass);
                let gate = pass.at(tape, layer, Site::MlpPre, gate);
                let up = pass.at(tape, layer, Site::MlpPreLinear, up);
                tape.gated(&gate, &up, activation)
            }
            MlpLayers::GatedConcatenated { gate_up, .. } => {
                let both = self.linear(tape, gate_up, x, pass);
                let run = self.spec.intermediate_size;
                let gate = tape.columns(&both, Columns { start: 0, stride: 0, groups: 1, run });
                let up = tape.columns(&both, Columns { start: run, stride: 0, groups: 1, run });
                let gate = pass.at(tape, layer, Site::MlpPre, gate);
                let up = pass.at(tape, layer, Site::MlpPreLinear, up);
                tape.gated(&gate, &up, activation)
            }
        };
        let hidden = pass.at(tape, layer, Site::MlpPost, hidden);
        self.linear(tape, mlp.down(), &hidden, pass)
    }

    /// Normalises with the model's norm; without one, `x` passes.
    pub(super) fn norm(&self, tape: &mut Tape, x: &Var, norm: Option<&Norm>) -> Var {
        let Some(norm) = norm else { return x.clone() };
        let weight = self.parameters.var(norm.weight);
        let bias = norm.bias.map(|id| self.parameters.var(id));
        tape.norm(x, x.width(), self.norm_parameters(Some(&weight), bias.as_ref()))
    }

    fn norm_parameters<'a>(&self, weight: Option<&'a Var>, bias: Option<&'a Var>) -> NormParameters<'a> {
        let norm = self.spec.norm;
        NormParameters { weight, bias, kind: norm.kind, eps: norm.eps, weight_offset: norm.weight_offset }
    }

    fn linear(&self, tape: &mut Tape, layer: &Linear, x: &Var, pass: &Ongoing) -> Var {
        let [y] = self.linears(tape, [layer], x, pass);
        y
    }

    /// Layers that read the same input.
    fn linears<const N: usize>(&self, tape: &mut Tape, layers: [&Linear; N], x: &Var, pass: &Ongoing) -> [Var; N] {
        let parameters =
            layers.map(|layer| (self.parameters.var(layer.weight), layer.bias.map(|bias| self.parameters.var(bias))));
        let outputs = tape.linears(x, parameters.each_ref().map(|(weight, bias)| (weight, bias.as_ref())));
        let mut layers = layers.into_iter();
        outputs.map(|y| match layers.next() {
            Some(layer) => self.adapted(tape, layer, x, y, pass),
            None => y,
        })
    }

    /// Adds what the adapter makes of a layer's input to the layer's output.
    fn adapted(&self, tape: &mut Tape, layer: &Linear, x: &Var, y: Var, pass: &Ongoing) -> Var {
        let Some(index) = pass.adapter else { return y };
        let Some(&(_, a, b)) = layer.low_rank.iter().find(|(of, ..)| *of == index) else { return y };
        let adapter = &self.adapters[index];
        let dropped = match pass.dropout {
            Some(seed) if adapter.dropout > 0.0 => {
                tape.dropout(x, 1.0 - adapter.dropout, seed.index(u64::from(layer.weight.0)).bits())
            }
            _ => x.clone(),
        };
        let low = tape.linear(&dropped, &self.parameters.var(a), None);
        let low = tape.linear(&low, &self.parameters.var(b), None);
        tape.add_scaled(&y, &low, adapter.scale)
    }
}
