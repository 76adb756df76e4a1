//! One transformer, described by data: the switches in which the supported families differ.
//!
//! A family's file ([`crate::families`]) turns a Hugging Face `config.json` into a [`Spec`]; [`crate::Transformer`] runs it.

pub use groma_kernels::{Activation, NormKind, RotaryStyle};

pub use head::{Head, HeadKind};

use crate::error::{Error, Result};

pub(crate) mod head;
pub(crate) mod heads;
pub(crate) mod parameters;

/// The whole function, but for its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Id of the family that read it, e.g. `llama`.
    pub family: &'static str,
    /// Rows of the embedding matrix.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head; `heads * head_dim` need not be `hidden_size`.
    pub head_dim: usize,
    /// Width of the MLP's hidden layer.
    pub intermediate_size: usize,
    /// Longest supported sequence, in tokens.
    pub max_positions: usize,
    /// All norms of the residual stream.
    pub norm: Norm,
    /// Where the norms of a block stand.
    pub norm_placement: NormPlacement,
    /// Attention and MLP both read the block's input and are added together (NeoX).
    pub parallel_residual: bool,
    /// Rotary tables, indexed by [`Layer::rotary`]; empty for learned positions.
    pub rotaries: Vec<Rotary>,
    /// Learned position embeddings (GPT-2, GPT-Neo) of `max_positions` rows are added to the token embeddings.
    pub learned_positions: bool,
    /// Projections into the heads.
    pub qkv: Qkv,
    /// Normalisation of queries and keys before the rotation.
    pub qk_norm: QkNorm,
    /// The q, k, v projections carry biases.
    pub qkv_bias: bool,
    /// The output projection carries a bias.
    pub attention_out_bias: bool,
    /// Multiplies `q . k`.
    pub attention_scale: f32,
    /// Gemma 2's cap on attention scores.
    pub attention_softcap: Option<f32>,
    /// The MLP's shape.
    pub mlp: Mlp,
    /// The MLP's projections carry biases.
    pub mlp_bias: bool,
    /// The MLP's non-linearity.
    pub activation: Activation,
    /// Multiplies the token embeddings (Gemma: the root of `hidden_size`); 1 elsewhere.
    pub embedding_scale: f32,
    /// Gemma 2's cap on the final logits.
    pub final_softcap: Option<f32>,
    /// The unembedding is the embedding matrix.
    pub tied: bool,
    /// What its hidden states are turned into.
    pub outputs: Vec<Head>,
    /// What replaces `rotaries` and `max_positions` for longer texts (longrope); see [`Spec::for_length`].
    pub long_context: Option<LongContext>,
    /// What differs between layers; one entry a layer.
    pub layers: Vec<Layer>,
}

/// The second set of rotary tables of longrope, made for texts longer than [`Spec::max_positions`].
///
/// transformers chooses the set by the longest sequence of each batch, so that a text's scores depend on its
/// neighbours. Here the choice is made once, for a whole model, by [`Spec::for_length`].
#[derive(Clone, Debug, PartialEq)]
pub struct LongContext {
    /// Replaces [`Spec::max_positions`].
    pub max_positions: usize,
    /// Replaces [`Spec::rotaries`].
    pub rotaries: Vec<Rotary>,
}

impl Spec {
    /// The same function prepared for texts of up to `tokens` tokens: the long rotary tables where there are any and
    /// the text needs them. Check `max_positions` of the result: it may still be smaller.
    pub fn for_length(&self, tokens: usize) -> Spec {
        let mut spec = self.clone();
        if tokens > spec.max_positions
            && let Some(long) = spec.long_context.take()
        {
            spec.max_positions = long.max_positions;
            spec.rotaries = long.rotaries;
        }
        spec
    }

    /// The same trunk with other heads.
    pub fn with_heads(&self, heads: &[Head]) -> Spec {
        Spec { outputs: heads.to_vec(), ..self.clone() }
    }

    /// The head of this name.
    pub fn head(&self, name: &str) -> Option<&Head> {
        self.outputs.iter().find(|head| head.name == name)
    }

    /// Whether it predicts tokens: it has an unembedding.
    pub fn predicts(&self) -> bool {
        self.outputs.iter().any(|head| head.kind == HeadKind::Unembedding)
    }

    /// Whether it is a reward model: it has one score of a whole text or one an attribute, or says of steps whether they are right, and predicts no
    /// tokens.
    pub fn rewards(&self) -> bool {
        !self.predicts() && Spec::require_reward(&self.outputs, "").is_ok()
    }

    /// Whether it rewards by steps: it has no score of a whole text.
    pub fn rewards_steps(&self) -> bool {
        self.rewards() && !self.outputs.iter().any(Head::rewards_texts)
    }

    /// The attributes by which it scores whole texts; none of any other model.
    pub fn attributes(&self) -> &[String] {
        self.outputs.iter().find(|head| head.kind == HeadKind::Sequence).map_or(&[], |head| &head.attributes)
    }

    /// Heads that follow others while these learn, each with the one that it follows.
    pub fn copies(&self) -> impl Iterator<Item = (&Head, &Head)> {
        let of = |kind: HeadKind| self.outputs.iter().filter(move |head| head.kind == kind);
        of(HeadKind::ActionCopy).zip(of(HeadKind::Action))
    }

    /// What ends the steps that it rewards.
    pub fn step_separator(&self) -> &str {
        self.outputs.iter().find(|head| head.rewards_steps()).map_or(head::LINE_BREAK, Head::step_separator)
    }

    /// # Errors
    /// [`Error::NoUnembedding`] where a model with these heads predicts no tokens, which `needs` needs.
    pub fn require_prediction(heads: &[Head], needs: &str) -> Result<()> {
        let error = || Error::NoUnembedding { needs: needs.to_owned(), found: in_words(heads) };
        if heads.contains(&Head::UNEMBEDDING) { Ok(()) } else { Err(error()) }
    }

    /// # Errors
    /// [`Error::NoReward`] where a model with these heads has no score of whole texts, and none of steps, which `needs`
    /// needs.
    pub fn require_reward(heads: &[Head], needs: &str) -> Result<()> {
        let error = || Error::NoReward { needs: needs.to_owned(), found: in_words(heads) };
        let rewards = |head: &Head| head.rewards_texts() || head.rewards_steps();
        if heads.iter().any(rewards) { Ok(()) } else { Err(error()) }
    }

    /// # Errors
    /// [`Error::NoActionValues`] where a model with these heads does not say what next tokens are worth beside what was to be
    /// expected, which `needs` needs.
    pub fn require_action_values(heads: &[Head], needs: &str) -> Result<()> {
        let error = || Error::NoActionValues { needs: needs.to_owned(), found: in_words(heads) };
        let has = |kind: HeadKind| heads.iter().any(|head| head.kind == kind);
        let says = has(HeadKind::Action) && has(HeadKind::ActionCopy) && heads.contains(&Head::VALUE);
        if says { Ok(()) } else { Err(error()) }
    }
}

fn in_words(heads: &[Head]) -> String {
    heads.iter().map(Head::words).collect::<Vec<_>>().join(" and ")
}

/// What may differ from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Sliding window, in tokens: position `p` sees `p - window + 1 ..= p`.
    pub window: Option<usize>,
    /// Index into [`Spec::rotaries`]; `None`: this layer rotates nothing.
    pub rotary: Option<usize>,
}

/// A norm of the residual stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// RMSNorm or LayerNorm.
    pub kind: NormKind,
    /// Added under the root.
    pub eps: f32,
    /// 1 where the checkpoint stores `weight - 1` (Gemma), else 0.
    pub weight_offset: f32,
    /// Whether it carries a bias.
    pub bias: bool,
}

/// Where a block normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlacement {
    /// Before attention and before the MLP (nearly all).
    Pre,
    /// After attention and after the MLP, before the addition (OLMo-2).
    Post,
    /// Both (Gemma 2 and 3).
    Sandwich,
}

/// How queries, keys and values come out of the projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qkv {
    /// Three matrices.
    Separate,
    /// One matrix whose rows are all queries, then all keys, then all values (GPT-2, Phi-3).
    Concatenated,
    /// One matrix whose rows are, head by head, its query, key and value (NeoX).
    PerHead,
}

/// Normalisation of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    /// None.
    None,
    /// Each head by itself, with one weight of `head_dim` shared by the heads (Qwen3, Gemma 3).
    PerHead,
    /// Over all heads together (OLMo-2).
    FullWidth,
}

/// The MLP's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mlp {
    /// `down(f(up x))`.
    Plain,
    /// `down(f(gate x) * up x)`, two matrices.
    Gated,
    /// The same, with gate and up in one matrix, gate first (Phi-3).
    GatedConcatenated,
}

/// A rotary embedding with its scaling already resolved into frequencies.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Leading elements of a head that are rotated; even.
    pub rotated: usize,
    /// Pairing of elements.
    pub style: RotaryStyle,
    /// Angle per position of each pair, `rotated / 2` values (linear, llama3, yarn and longrope scaling included).
    pub inverse_frequencies: Vec<f64>,
    /// Multiplies sines and cosines (yarn, longrope); 1 elsewhere.
    pub amplitude: f32,
}
