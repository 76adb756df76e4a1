//! Mistral 7B and Nemo: Llama with a sliding window over all layers.

use super::common::{DecoderDefaults, finish_decoder, layer_windows, read_decoder, sliding_window};
use super::family::{Family, TokenClass};
use super::names::{LLAMA_MODULES, PRE_NORMS};
use super::rope;
use crate::error::Result;
use crate::spec::Spec;
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "mistral",
    architecture: "MistralForCausalLM",
    score_architectures: &["MistralForSequenceClassification"],
    token_class: Some(TokenClass { architecture: "MistralForTokenClassification", head: "score" }),
    model_type: "mistral",
    base_prefix: "model.",
    rules: &[LLAMA_MODULES, PRE_NORMS],
    read,
};

const DEFAULTS: DecoderDefaults = DecoderDefaults {
    family: "mistral",
    kv_heads: Some(8),
    head_dim: None,
    norm_eps: 1e-6,
    max_positions: 4096 * 32,
    tied: false,
    activation: ("hidden_act", "silu"),
};

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let mut spec = read_decoder(fields, &DEFAULTS)?;
    let window = sliding_window(fields, Some(4096))?;
    let windows = layer_windows(fields, window, |_| window.is_some())?;
    if windows.iter().any(|of_layer| *of_layer != window) {
        // transformers' class ignores `layer_types`, so that the weights' own meaning is not certain.
        return Err(fields.error("layer_types", "differs between layers, which this architecture does not do"));
    }
    finish_decoder(&mut spec, fields, &rope::PLAIN, windows)?;
    Ok(spec)
}
