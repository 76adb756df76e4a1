//! What was said, what came of it, and what it cost.

use groma_lm::Usage;
use serde::Serialize;

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Turn {
    /// Who said it.
    pub role: String,
    /// What.
    pub says: String,
}

/// What a protocol took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Statements of those who are judged.
    pub statements: u64,
    /// Times that the judge was asked.
    pub judgements: u64,
    /// Tokens that models read and made.
    pub usage: Usage,
}

/// One question that went through a protocol: a row of its `transcripts`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Transcript {
    /// The question.
    pub question: String,
    /// How it was put: which game, who argued for what.
    pub form: String,
    /// What was said, in order.
    pub turns: Vec<Turn>,
    /// What the judge decided; nothing where no verdict could be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Whether that is right, where the truth is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<bool>,
    /// Why there is no verdict, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What it took.
    pub cost: Cost,
}

impl Transcript {
    /// Adds a statement.
    pub(crate) fn say(&mut self, role: &str, says: String) {
        self.turns.push(Turn { role: role.to_owned(), says });
        self.cost.statements += 1;
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.statements += other.statements;
        self.judgements += other.judgements;
        self.usage += other.usage;
    }
}
