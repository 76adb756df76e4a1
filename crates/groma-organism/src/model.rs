//! The village's model before any training: a Llama small enough to be trained from nothing.

use crate::draw::Draw;
use crate::json::json_bytes;
use crate::tokenizer::SPECIAL;
use crate::{Error, Village};
use groma_run::Seed;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The sizes of a Llama with tied embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of the MLP's hidden layer.
    pub intermediate_size: usize,
    /// Longest sequence, in tokens.
    pub max_positions: usize,
    /// Standard deviation of the initial weights; those that write into the residual stream have it divided by the root
    /// of twice the layers (Radford et al. 2019).
    pub initial_deviation: f64,
}

/// A named tensor of f32, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name in the checkpoint.
    pub name: String,
    /// Rows and columns, or one length.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub values: Vec<f32>,
}

impl Shape {
    /// `config.json` of transformers for a vocabulary of this size.
    pub fn config_json(&self, vocab_size: usize) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.hidden_size / self.heads,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_positions,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "attention_bias": false,
            "attention_dropout": 0.0,
            "mlp_bias": false,
            "tie_word_embeddings": true,
            "initializer_range": self.initial_deviation,
            "bos_token_id": null,
            "eos_token_id": 1,
            "pad_token_id": 0,
            "torch_dtype": "float32",
        })
    }

    /// `generation_config.json` of transformers.
    pub fn generation_config_json(&self) -> Value {
        json!({"eos_token_id": 1, "pad_token_id": 0, "do_sample": false})
    }

    /// Parameters of a model with a vocabulary of this size.
    pub fn parameters(&self, vocab_size: usize) -> usize {
        self.layout(vocab_size).iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum()
    }

    /// Names, shapes and standard deviations (`None`: all ones) of all tensors, in the order of their names.
    fn layout(&self, vocab_size: usize) -> Vec<(String, Vec<usize>, Option<f64>)> {
        let (width, hidden, kv) =
            (self.hidden_size, self.intermediate_size, self.hidden_size / self.heads * self.kv_heads);
        let inner = Some(self.initial_deviation);
        let outer = Some(self.initial_deviation / ((2 * self.layers) as f64).sqrt());
        let mut all = vec![("model.embed_tokens.weight".to_owned(), vec![vocab_size, width], inner)];
        for layer in 0..self.layers {
            let parts = [
                ("input_layernorm", vec![width], None),
                ("mlp.down_proj", vec![width, hidden], outer),
                ("mlp.gate_proj", vec![hidden, width], inner),
                ("mlp.up_proj", vec![hidden, width], inner),
                ("post_attention_layernorm", vec![width], None),
                ("self_attn.k_proj", vec![kv, width], inner),
                ("self_attn.o_proj", vec![width, width], outer),
                ("self_attn.q_proj", vec![width, width], inner),
                ("self_attn.v_proj", vec![kv, width], inner),
            ];
            all.extend(parts.map(|(name, shape, std)| (format!("model.layers.{layer}.{name}.weight"), shape, std)));
        }
        all.push(("model.norm.weight".to_owned(), vec![width], None));
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Initial weights, each tensor from its own stream of the seed.
    pub fn initial_weights(&self, vocab_size: usize, seed: u64) -> Vec<Tensor> {
        let seed = Seed::new(seed).named("village weights");
        let fill = |(name, shape, deviation): (String, Vec<usize>, Option<f64>)| {
            let mut draw = Draw::new(seed, &name);
            let count = shape.iter().product();
            let values = (0..count).map(|_| deviation.map_or(1.0, |deviation| (draw.normal() * deviation) as f32));
            Tensor { values: values.collect(), name, shape }
        };
        self.layout(vocab_size).into_iter().map(fill).collect()
    }
}

/// `model.safetensors` of tensors.
///
/// # Errors
/// [`Error::Weights`] where a tensor's length is not that of its shape.
pub fn safetensors_bytes(tensors: &[Tensor]) -> Result<Vec<u8>, Error> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let view = |(tensor, bytes)| {
        let Tensor { name, shape, .. }: &Tensor = tensor;
        let bytes: &Vec<u8> = bytes;
        TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.as_str(), view))
    };
    let views: Result<Vec<_>, _> = tensors.iter().zip(&bytes).map(view).collect();
    let written = views.and_then(|views| {
        let note = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
        safetensors::serialize(views, Some(note))
    });
    written.map_err(|source| Error::Weights { source })
}

impl Village {
    /// The files of a checkpoint directory with initial weights, which transformers and groma load.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::Encode`].
    pub fn model_files(&self, shape: &Shape) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let vocab_size = self.vocabulary.size();
        let special = json!({"pad_token": SPECIAL[0], "eos_token": SPECIAL[1]});
        let weights = shape.initial_weights(vocab_size, self.config.seed);
        let files = [
            ("config.json", shape.config_json(vocab_size)),
            ("generation_config.json", shape.generation_config_json()),
            ("special_tokens_map.json", special),
            ("tokenizer.json", self.vocabulary.tokenizer_json()),
            ("tokenizer_config.json", self.vocabulary.tokenizer_config_json(shape.max_positions)),
        ];
        let mut written = Vec::new();
        for (name, value) in files {
            written.push((name.to_owned(), json_bytes(name, &value)?));
        }
        written.push(("model.safetensors".to_owned(), safetensors_bytes(&weights)?));
        Ok(written)
    }
}
