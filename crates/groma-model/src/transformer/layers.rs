//! Which parameters each layer reads: canonical names resolved once, when a model is loaded.

use std::collections::BTreeMap;

use groma_kernels::ParameterId;

use crate::spec::{Head, HeadKind, Mlp, Qkv, Spec};
use crate::{Error, ParameterStore, Result};

#[derive(Clone, Debug)]
pub(super) struct Linear {
    name: String,
    pub(super) weight: ParameterId,
    pub(super) bias: Option<ParameterId>,
    /// Factors `a` and `b` of each adapter that names the layer, with the adapter's number.
    pub(super) low_rank: Vec<(usize, ParameterId, ParameterId)>,
}

#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub(super) weight: ParameterId,
    pub(super) bias: Option<ParameterId>,
}

#[derive(Clone, Debug)]
pub(super) enum QkvLayers {
    Separate { q: Linear, k: Linear, v: Linear },
    Fused(Linear),
}

#[derive(Clone, Debug)]
pub(super) enum MlpLayers {
    Plain { up: Linear, down: Linear },
    Gated { gate: Linear, up: Linear, down: Linear },
    GatedConcatenated { gate_up: Linear, down: Linear },
}

impl MlpLayers {
    pub(super) fn down(&self) -> &Linear {
        match self {
            MlpLayers::Plain { down, .. }
            | MlpLayers::Gated { down, .. }
            | MlpLayers::GatedConcatenated { down, .. } => down,
        }
    }

    fn linears(&mut self) -> Vec<&mut Linear> {
        match self {
            MlpLayers::Plain { up, down } => vec![up, down],
            MlpLayers::Gated { gate, up, down } => vec![gate, up, down],
            MlpLayers::GatedConcatenated { gate_up, down } => vec![gate_up, down],
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) norm_attention: Option<Norm>,
    pub(super) norm_attention_out: Option<Norm>,
    pub(super) norm_mlp: Option<Norm>,
    pub(super) norm_mlp_out: Option<Norm>,
    pub(super) qkv: QkvLayers,
    pub(super) q_norm: Option<ParameterId>,
    pub(super) k_norm: Option<ParameterId>,
    pub(super) attention_out: Linear,
    pub(super) mlp: MlpLayers,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) embed: ParameterId,
    pub(super) positions: Option<ParameterId>,
    pub(super) blocks: Vec<Block>,
    pub(super) norm_final: Norm,
    /// By name.
    pub(super) heads: BTreeMap<String, Linear>,
}

impl Model {
    /// Finds every layer's parameters; which of them there must be was decided by [`crate::parameters`].
    pub(super) fn find(spec: &Spec, store: &ParameterStore) -> Result<Model> {
        let find = Finder(store);
        let embed = find.id("embed.weight")?;
        let blocks = (0..spec.layers.len()).map(|i| find.block(spec, &format!("blocks.{i}")));
        Ok(Model {
            embed,
            positions: store.id("positions.weight"),
            blocks: blocks.collect::<Result<_>>()?,
            norm_final: find.required_norm("norm_final")?,
            heads: find.heads(spec, embed)?,
        })
    }

    /// Finds the parameters of other heads.
    pub(super) fn find_heads(&mut self, spec: &Spec, store: &ParameterStore) -> Result<()> {
        self.heads = Finder(store).heads(spec, self.embed)?;
        Ok(())
    }

    /// Puts the factors of adapter number `adapter` beside the layers that it names.
    pub(super) fn attach(&mut self, adapter: usize, pairs: &BTreeMap<String, (ParameterId, ParameterId)>) {
        for block in &mut self.blocks {
            let mut linears = block.mlp.linears();
            linears.push(&mut block.attention_out);
            match &mut block.qkv {
                QkvLayers::Separate { q, k, v } => linears.extend([q, k, v]),
                QkvLayers::Fused(qkv) => linears.push(qkv),
            }
            for linear in linears {
                linear.low_rank.extend(pairs.get(&linear.name).map(|&(a, b)| (adapter, a, b)));
            }
        }
    }
}

struct Finder<'a>(&'a ParameterStore);

impl Finder<'_> {
    fn id(&self, name: &str) -> Result<ParameterId> {
        self.0.id(name).ok_or_else(|| Error::Weights { problem: format!("{name} is missing") })
    }

    fn linear(&self, name: String) -> Result<Linear> {
        let weight = self.id(&format!("{name}.weight"))?;
        let bias = self.0.id(&format!("{name}.bias"));
        Ok(Linear { name, weight, bias, low_rank: Vec::new() })
    }

    fn heads(&self, spec: &Spec, embed: ParameterId) -> Result<BTreeMap<String, Linear>> {
        let head = |head: &Head| match head.kind {
            HeadKind::Unembedding if spec.tied => {
                Ok(Linear { name: head.name.to_string(), weight: embed, bias: None, low_rank: Vec::new() })
            }
            _ => self.linear(head.name.to_string()),
        };
        spec.outputs.iter().map(|h| Ok((h.name.to_string(), head(h)?))).collect()
    }

    fn norm(&self, name: &str) -> Option<Norm> {
        let weight = self.0.id(&format!("{name}.weight"))?;
        Some(Norm { weight, bias: self.0.id(&format!("{name}.bias")) })
    }

    fn required_norm(&self, name: &str) -> Result<Norm> {
        self.norm(name).ok_or_else(|| Error::Weights { problem: format!("{name}.weight is missing") })
    }

    fn block(&self, spec: &Spec, at: &str) -> Result<Block> {
        let linear = |name: &str| self.linear(format!("{at}.{name}"));
        let norm = |name: &str| self.norm(&format!("{at}.{name}"));
        let qkv = match spec.qkv {
            Qkv::Separate => {
                QkvLayers::Separate { q: linear("attention.q")?, k: linear("attention.k")?, v: linear("attention.v")? }
            }
            Qkv::Concatenated | Qkv::PerHead => QkvLayers::Fused(linear("attention.qkv")?),
        };
        let down = linear("mlp.down")?;
        let mlp = match spec.mlp {
            Mlp::Plain => MlpLayers::Plain { up: linear("mlp.up")?, down },
            Mlp::Gated => MlpLayers::Gated { gate: linear("mlp.gate")?, up: linear("mlp.up")?, down },
            Mlp::GatedConcatenated => MlpLayers::GatedConcatenated { gate_up: linear("mlp.gate_up")?, down },
        };
        Ok(Block {
            norm_attention: norm("norm_attention"),
            norm_attention_out: norm("norm_attention_out"),
            norm_mlp: norm("norm_mlp"),
            norm_mlp_out: norm("norm_mlp_out"),
            qkv,
            q_norm: self.0.id(&format!("{at}.attention.q_norm.weight")),
            k_norm: self.0.id(&format!("{at}.attention.k_norm.weight")),
            attention_out: linear("attention.out")?,
            mlp,
        })
    }
}
