//! Rows for training.

use crate::row::{DialogueRow, PreferenceRow, QuestionRow, TextRow};

/// Rows for training.
#[derive(Debug)]
pub struct Training {
    /// Texts, all of whose tokens train.
    pub texts: Vec<TextRow>,
    /// Dialogues of the unaligned bot.
    pub dialogues: Vec<DialogueRow>,
    /// Preference pairs.
    pub preferences: Vec<PreferenceRow>,
    /// Prompts, with what answers to them are worth.
    pub prompts: Vec<QuestionRow>,
}
