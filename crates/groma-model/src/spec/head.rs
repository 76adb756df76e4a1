//! A head, as data.

use std::borrow::Cow;

/// A linear map from the hidden states behind the final norm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its own in the model; the parameters are `NAME.weight` and, for heads of tokens, `NAME.bias`.
    pub name: Cow<'static, str>,
    /// What it is read as.
    pub kind: HeadKind,
    /// Its outputs: labels, 1 for a scalar. 0 for the unembedding, which is as wide as the vocabulary.
    pub width: usize,
}

/// What a head is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Log-probabilities of the next token; without a bias, and the embedding itself where they are tied.
    Unembedding,
    /// Of a whole sequence, at its last token (rewards, classes); without a bias, as in transformers.
    Sequence,
    /// Of each token (values, rewards of steps, labels of tokens); with a bias, as in transformers and TRL.
    Token,
}

impl HeadKind {
    /// What files call those that a class of transformers cannot tell.
    pub(super) const NAMES: [(HeadKind, &'static str); 2] =
        [(HeadKind::Sequence, "sequence"), (HeadKind::Token, "token")];
}

impl Head {
    /// A language model's.
    pub const UNEMBEDDING: Head = Head::new("unembed", HeadKind::Unembedding, 0);
    /// A reward model's.
    pub const SCORE: Head = Head::score(1);
    /// A process reward model's: behind each step, that it is wrong and that it is right.
    pub const STEP: Head = Head::token_score(2);
    /// The value of each prefix, beside the unembedding of a policy.
    pub const VALUE: Head = Head::new("value", HeadKind::Token, 1);

    const fn new(name: &'static str, kind: HeadKind, width: usize) -> Head {
        Head { name: Cow::Borrowed(name), kind, width }
    }

    /// Scores of a sequence, one a label.
    pub const fn score(labels: usize) -> Head {
        Head::new("score", HeadKind::Sequence, labels)
    }

    /// Scores of each token, one a label: a process reward model's, or a tagger's.
    pub const fn token_score(labels: usize) -> Head {
        Head::new("token_score", HeadKind::Token, labels)
    }

    /// Another one of this name.
    pub fn named(name: &str, kind: HeadKind, width: usize) -> Head {
        Head { name: Cow::Owned(name.to_owned()), kind, width }
    }

    /// What it is, in words.
    pub(crate) fn words(&self) -> String {
        match (self.kind, self.width) {
            (HeadKind::Unembedding, _) => "an unembedding".to_owned(),
            (HeadKind::Sequence, 1) => "a score of whole texts (it is a reward model)".to_owned(),
            (HeadKind::Sequence, labels) => format!("scores of whole texts by {labels} labels"),
            (HeadKind::Token, 1) => format!("a head `{}` of each token", self.name),
            (HeadKind::Token, labels) => format!("a head `{}` of each token by {labels} labels", self.name),
        }
    }

    /// Whether a class of transformers stands for it, as the first of a model.
    pub(super) fn leads(&self) -> bool {
        self.kind == HeadKind::Unembedding || self.name == Head::SCORE.name || self.name == "token_score"
    }
}
