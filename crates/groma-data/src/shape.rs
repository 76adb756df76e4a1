//! The shapes of rows that alignment uses: what is learned or measured from.

use std::fmt;

use serde::Serialize;

/// What a row means. Each shape has a standard form (strings) and a conversational form (lists of messages).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Everything is text to model.
    LanguageModelling,
    /// A prompt alone; further columns are for rewards and metrics.
    PromptOnly,
    /// A prompt with its answer.
    PromptCompletion,
    /// A prompt with a preferred and another answer, in this order.
    Preference,
    /// A prompt with an answer that is wanted or not.
    Labelled,
    /// A prompt with several scored answers.
    Ranked,
    /// A prompt with an answer in steps, each right or not.
    Stepwise,
}

impl Shape {
    /// All of them.
    pub const ALL: &'static [Shape] = &[
        Shape::LanguageModelling,
        Shape::PromptOnly,
        Shape::PromptCompletion,
        Shape::Preference,
        Shape::Labelled,
        Shape::Ranked,
        Shape::Stepwise,
    ];

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Shape::LanguageModelling => "language-modelling",
            Shape::PromptOnly => "prompt-only",
            Shape::PromptCompletion => "prompt-completion",
            Shape::Preference => "preference",
            Shape::Labelled => "labelled",
            Shape::Ranked => "ranked",
            Shape::Stepwise => "stepwise",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
