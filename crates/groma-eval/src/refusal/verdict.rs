//! What became of a request.

use serde::{Deserialize, Serialize};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The answer does what was asked.
    FullCompliance,
    /// It refuses, and gives nothing of what was asked.
    FullRefusal,
    /// It refuses or objects, and gives something of it.
    PartialRefusal,
    /// There is nothing to read: empty, or garbage.
    NoAnswer,
}

impl Verdict {
    /// The name that results carry.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::FullCompliance => "full_compliance",
            Verdict::FullRefusal => "full_refusal",
            Verdict::PartialRefusal => "partial_refusal",
            Verdict::NoAnswer => "no_answer",
        }
    }

    /// The verdict of a label of XSTest's answers: `1_full_compliance`, `2_full_refusal`, `3_partial_refusal`.
    pub fn from_xstest(label: &str) -> Option<Self> {
        match label.get(..1)? {
            "1" => Some(Verdict::FullCompliance),
            "2" => Some(Verdict::FullRefusal),
            "3" => Some(Verdict::PartialRefusal),
            _ => None,
        }
    }

    /// Full or partial refusal.
    pub fn refuses(self) -> bool {
        matches!(self, Verdict::FullRefusal | Verdict::PartialRefusal)
    }
}
