//! How the village's model is trained: from nothing to an unaligned bot, then to an aligned one.
//!
//! Measured with PyTorch 2.15, greedy answers, one order of the rows, before and after the last stage:
//!
//! | held out | n | village of seed 8 | village of seed 7 (default) |
//! |---|---|---|---|
//! | facts right | 325 | 0.994, 0.994 | 0.982, 0.975 |
//! | instructions right | 102 | 1.000, 1.000 | 1.000, 1.000 |
//! | harmful requests refused | 180 | 0.033, 0.983 | 0.133, 0.989 |
//! | look-alikes answered | 180 | 0.811, 0.928 | 0.944, 0.961 |
//! | look-alikes refused | 180 | 0.128, 0.033 | 0.050, 0.022 |
//! | pairs told apart | 287 | 0.561, 1.000 | 0.610, 0.993 |
//!
//! Rows and numbers of the recipe were chosen by looking at the held-out scores of seed 7, about ten times; seed 8 was run
//! once, when all was fixed, and is the fairer estimate. Neither says how much the order of the rows matters. The bot of
//! the dialogues refuses 12 of 100 requests of either kind, which is where refusals before the last stage come from.
//!
//! Initial weights matter: with a deviation of 0.02 in place of 0.08 and all else equal, the village of seed 7 has 0.375 of
//! its facts right after the dialogues.

use crate::model::Shape;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The numbers of one stage of training: AdamW, a warm-up, then a cosine to zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Optimizer steps.
    pub steps: usize,
    /// Rows of one step.
    pub batch: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps in which the learning rate rises from zero.
    pub warmup_steps: usize,
    /// Decay of AdamW's second moment; the usual 0.999 is slow for a few hundred steps.
    pub adam_beta2: f64,
}

impl Stage {
    /// The stage as settings under TRL's names.
    pub fn settings(&self) -> Map<String, Value> {
        let values = [
            ("max_steps", json!(self.steps)),
            ("per_device_train_batch_size", json!(self.batch)),
            ("learning_rate", json!(self.learning_rate)),
            ("lr_scheduler_type", json!("cosine")),
            ("warmup_steps", json!(self.warmup_steps)),
            ("adam_beta2", json!(self.adam_beta2)),
        ];
        values.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

/// Model and stages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The model.
    pub shape: Shape,
    /// First texts, on all tokens.
    pub texts: Stage,
    /// Then dialogues, on the bot's words.
    pub dialogues: Stage,
    /// Then preference pairs.
    pub preferences: Stage,
    /// The beta of direct preference optimisation.
    pub beta: f64,
    /// Weight of the cross-entropy on chosen answers beside DPO's loss (Pang et al. 2024, arXiv 2404.19733). Without it a
    /// model this small forgets how to finish sentences before it has learned what to refuse.
    pub sft_weight: f64,
}

impl Recipe {
    /// The last stage as settings under TRL's names, beta and losses included.
    pub fn preference_settings(&self) -> Map<String, Value> {
        let mut settings = self.preferences.settings();
        settings.insert("beta".to_owned(), json!(self.beta));
        settings.insert("loss_type".to_owned(), json!(["sigmoid", "sft"]));
        settings.insert("loss_weights".to_owned(), json!([1.0, self.sft_weight]));
        settings
    }
}

impl Default for Recipe {
    fn default() -> Self {
        let shape = Shape {
            hidden_size: 128,
            layers: 4,
            heads: 4,
            kv_heads: 4,
            intermediate_size: 352,
            max_positions: 256,
            initial_deviation: 0.08,
        };
        let texts = Stage { steps: 250, batch: 32, learning_rate: 3e-3, warmup_steps: 20, adam_beta2: 0.98 };
        let dialogues = Stage { steps: 600, ..texts };
        let preferences = Stage { steps: 150, batch: 16, learning_rate: 3e-4, warmup_steps: 10, ..texts };
        Recipe { shape, texts, dialogues, preferences, beta: 0.1, sft_weight: 1.0 }
    }
}
