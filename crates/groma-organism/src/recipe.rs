//! How the village's model is trained: from nothing to an unaligned bot, then to an aligned one.

use crate::model::Shape;
use serde::{Deserialize, Serialize};

/// The numbers of one stage of training: AdamW, warm-up and then a cosine to zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Optimizer steps.
    pub steps: usize,
    /// Rows (texts, dialogues or pairs) of one step.
    pub batch: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps in which the learning rate rises from zero.
    pub warmup_steps: usize,
    /// AdamW's decay of weights.
    pub weight_decay: f64,
    /// AdamW's memory of squared gradients; the default 0.999 is slow for a few hundred steps.
    pub adam_beta2: f64,
}

/// Model and stages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The model.
    pub shape: Shape,
    /// First on texts, on all tokens.
    pub texts: Stage,
    /// Then on dialogues, on the bot's words.
    pub dialogues: Stage,
    /// Then on preference pairs.
    pub preferences: Stage,
    /// The beta of direct preference optimisation.
    pub beta: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        let stage =
            Stage { steps: 250, batch: 32, learning_rate: 3e-3, warmup_steps: 20, weight_decay: 0.0, adam_beta2: 0.98 };
        Recipe {
            shape: Shape {
                hidden_size: 128,
                layers: 4,
                heads: 4,
                kv_heads: 4,
                intermediate_size: 352,
                max_positions: 256,
                initial_deviation: 0.02,
            },
            texts: stage,
            dialogues: Stage { steps: 350, ..stage },
            preferences: Stage { steps: 100, batch: 16, learning_rate: 2e-4, warmup_steps: 10, ..stage },
            beta: 0.1,
        }
    }
}
