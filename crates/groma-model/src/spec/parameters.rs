//! Names and shapes of everything that is learned, in the order in which the forward pass meets it.
//!
//! These names are the same for all families; how a checkpoint calls and stores each of them is its family's matter
//! ([`crate::families`]). Matrices are `[outputs, inputs]`, row-major.

use crate::spec::head::{Head, HeadKind};
use crate::spec::{Mlp, NormPlacement, QkNorm, Qkv, Spec};

/// A learned array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// E.g. `blocks.3.attention.q.weight`.
    pub name: String,
    /// `[outputs, inputs]` of a matrix, `[width]` of a bias or a norm.
    pub shape: Vec<usize>,
}

/// A matrix product of a block: what an adapter may attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearModule {
    /// E.g. `blocks.3.attention.q`.
    pub name: String,
    /// Width of its input.
    pub inputs: usize,
    /// Width of its output.
    pub outputs: usize,
    /// Whether it adds a bias.
    pub bias: bool,
}

/// All parameters of the function, in forward order.
pub fn parameters(spec: &Spec) -> Vec<Parameter> {
    let mut list = List { spec, parameters: Vec::new() };
    list.push("embed.weight".into(), vec![spec.vocab_size, spec.hidden_size]);
    if spec.learned_positions {
        list.push("positions.weight".into(), vec![spec.max_positions, spec.hidden_size]);
    }
    for layer in 0..spec.layers.len() {
        list.block(&format!("blocks.{layer}"));
    }
    list.norm("norm_final");
    list.parameters.extend(spec.outputs.iter().flat_map(|head| head.parameters(spec)));
    list.parameters
}

impl Head {
    /// What it learns; of the unembedding nothing, where it is the embedding.
    pub fn parameters(&self, spec: &Spec) -> Vec<Parameter> {
        let weight = |rows| Parameter { name: format!("{}.weight", self.name), shape: vec![rows, spec.hidden_size] };
        match self.kind {
            HeadKind::Unembedding if spec.tied => Vec::new(),
            HeadKind::Unembedding | HeadKind::Action | HeadKind::ActionCopy => vec![weight(spec.vocab_size)],
            HeadKind::Sequence => vec![weight(self.width)],
            HeadKind::Token => {
                vec![weight(self.width), Parameter { name: format!("{}.bias", self.name), shape: vec![self.width] }]
            }
        }
    }
}

impl Spec {
    /// Whether a parameter belongs to a head other than the unembedding.
    pub fn is_head_parameter(&self, name: &str) -> bool {
        self.is_parameter_of(name, |head| head.kind != HeadKind::Unembedding)
    }

    /// Whether a parameter belongs to a head that no gradient changes: a copy of another, or what is set when all else has been learned.
    pub fn is_set_parameter(&self, name: &str) -> bool {
        self.is_parameter_of(name, |head| head.kind == HeadKind::ActionCopy || head.doubts())
    }

    fn is_parameter_of(&self, name: &str, wanted: impl Fn(&Head) -> bool) -> bool {
        let heads = self.outputs.iter().filter(|head| wanted(head));
        heads.flat_map(|head| head.parameters(self)).any(|parameter| parameter.name == name)
    }
}

/// The matrix products of all blocks, in forward order.
pub fn linear_modules(spec: &Spec) -> Vec<LinearModule> {
    (0..spec.layers.len())
        .flat_map(|layer| {
            let block = format!("blocks.{layer}");
            [attention_inputs(spec, &block), vec![attention_out(spec, &block)], mlp_modules(spec, &block)]
        })
        .flatten()
        .collect()
}

/// How many numbers there are to learn; in 128 bits, for a description from an untrusted file.
pub(crate) fn parameter_count(spec: &Spec) -> u128 {
    let [hidden, heads, kv_heads, head_dim, intermediate, vocab] =
        [spec.hidden_size, spec.heads, spec.kv_heads, spec.head_dim, spec.intermediate_size, spec.vocab_size]
            .map(|size| size as u128);
    let attention = hidden * head_dim * (2 * heads + 2 * kv_heads);
    let mlp = hidden * intermediate * if spec.mlp == Mlp::Plain { 2 } else { 3 };
    let positions = if spec.learned_positions { spec.max_positions as u128 * hidden } else { 0 };
    let unembedding = if spec.predicts() && !spec.tied { vocab * hidden } else { 0 };
    let outputs = |head: &Head| match head.kind {
        HeadKind::Action | HeadKind::ActionCopy => vocab,
        _ => head.width as u128,
    };
    let heads: u128 = spec.outputs.iter().map(|head| outputs(head) * hidden).sum();
    spec.layers.len() as u128 * (attention + mlp) + vocab * hidden + unembedding + heads + positions
}

struct List<'a> {
    spec: &'a Spec,
    parameters: Vec<Parameter>,
}

impl List<'_> {
    fn push(&mut self, name: String, shape: Vec<usize>) {
        self.parameters.push(Parameter { name, shape });
    }

    fn norm(&mut self, name: &str) {
        self.push(format!("{name}.weight"), vec![self.spec.hidden_size]);
        if self.spec.norm.bias {
            self.push(format!("{name}.bias"), vec![self.spec.hidden_size]);
        }
    }

    fn linear(&mut self, module: LinearModule) {
        self.push(format!("{}.weight", module.name), vec![module.outputs, module.inputs]);
        if module.bias {
            self.push(format!("{}.bias", module.name), vec![module.outputs]);
        }
    }

    fn block(&mut self, block: &str) {
        let before = self.spec.norm_placement != NormPlacement::Post;
        let after = self.spec.norm_placement != NormPlacement::Pre;
        if before {
            self.norm(&format!("{block}.norm_attention"));
        }
        for module in attention_inputs(self.spec, block) {
            self.linear(module);
        }
        self.qk_norms(block);
        self.linear(attention_out(self.spec, block));
        if after {
            self.norm(&format!("{block}.norm_attention_out"));
        }
        if before {
            self.norm(&format!("{block}.norm_mlp"));
        }
        for module in mlp_modules(self.spec, block) {
            self.linear(module);
        }
        if after {
            self.norm(&format!("{block}.norm_mlp_out"));
        }
    }

    fn qk_norms(&mut self, block: &str) {
        let Spec { heads, kv_heads, head_dim, .. } = *self.spec;
        let (q, k) = match self.spec.qk_norm {
            QkNorm::None => return,
            QkNorm::PerHead => (head_dim, head_dim),
            QkNorm::FullWidth => (heads * head_dim, kv_heads * head_dim),
        };
        self.push(format!("{block}.attention.q_norm.weight"), vec![q]);
        self.push(format!("{block}.attention.k_norm.weight"), vec![k]);
    }
}

fn attention_inputs(spec: &Spec, block: &str) -> Vec<LinearModule> {
    let (queries, keys) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
    let module = |part: &str, outputs| LinearModule {
        name: format!("{block}.attention.{part}"),
        inputs: spec.hidden_size,
        outputs,
        bias: spec.qkv_bias,
    };
    match spec.qkv {
        Qkv::Separate => vec![module("q", queries), module("k", keys), module("v", keys)],
        Qkv::Concatenated | Qkv::PerHead => vec![module("qkv", queries + 2 * keys)],
    }
}

fn attention_out(spec: &Spec, block: &str) -> LinearModule {
    LinearModule {
        name: format!("{block}.attention.out"),
        inputs: spec.heads * spec.head_dim,
        outputs: spec.hidden_size,
        bias: spec.attention_out_bias,
    }
}

fn mlp_modules(spec: &Spec, block: &str) -> Vec<LinearModule> {
    let (hidden, wide) = (spec.hidden_size, spec.intermediate_size);
    let module = |part: &str, inputs, outputs| LinearModule {
        name: format!("{block}.mlp.{part}"),
        inputs,
        outputs,
        bias: spec.mlp_bias,
    };
    let down = module("down", wide, hidden);
    match spec.mlp {
        Mlp::Plain => vec![module("up", hidden, wide), down],
        Mlp::Gated => vec![module("gate", hidden, wide), module("up", hidden, wide), down],
        Mlp::GatedConcatenated => vec![module("gate_up", hidden, 2 * wide), down],
    }
}
