//! A head, as data.

use std::borrow::Cow;

/// What ends a step where nothing is said of that.
pub(super) const LINE_BREAK: &str = "\n";

/// A linear map from the hidden states behind the final norm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its own in the model; the parameters are `NAME.weight` and, for heads of tokens, `NAME.bias`.
    pub name: Cow<'static, str>,
    /// What it is read as.
    pub kind: HeadKind,
    /// Its outputs: labels, 1 for a scalar. 0 where it is as wide as the vocabulary, as the unembedding is.
    pub width: usize,
    /// What its outputs are called where each is a number of its own: the attributes of a text; else none.
    pub attributes: Cow<'static, [String]>,
    /// Of a head that is read behind steps, what ends them; a line break where it does not say.
    pub separator: Option<Cow<'static, str>>,
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
    /// Of each token, what each token that may follow is worth (Q values); as wide as the vocabulary, without a bias.
    Action,
    /// A copy of such a head, which follows it while that learns: the first of the first, the second of the second.
    ActionCopy,
}

impl HeadKind {
    /// What files call those that a class of transformers cannot tell.
    pub(super) const NAMES: [(HeadKind, &'static str); 4] = [
        (HeadKind::Sequence, "sequence"),
        (HeadKind::Token, "token"),
        (HeadKind::Action, "action"),
        (HeadKind::ActionCopy, "action_copy"),
    ];

    /// Whether it has an output for each token of the vocabulary.
    pub fn spans_vocabulary(self) -> bool {
        matches!(self, HeadKind::Unembedding | HeadKind::Action | HeadKind::ActionCopy)
    }
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
    /// What each next token is worth, by implicit Q-learning.
    pub const Q1: Head = Head::new("q1", HeadKind::Action, 0);
    /// A second opinion.
    pub const Q2: Head = Head::new("q2", HeadKind::Action, 0);
    /// What follows [`Head::Q1`].
    pub const TARGET_Q1: Head = Head::new("target_q1", HeadKind::ActionCopy, 0);
    /// What follows [`Head::Q2`].
    pub const TARGET_Q2: Head = Head::new("target_q2", HeadKind::ActionCopy, 0);

    const fn new(name: &'static str, kind: HeadKind, width: usize) -> Head {
        Head { name: Cow::Borrowed(name), kind, width, attributes: Cow::Borrowed(&[]), separator: None }
    }

    /// Scores of a sequence, one a label.
    pub const fn score(labels: usize) -> Head {
        Head::new("score", HeadKind::Sequence, labels)
    }

    /// Scores of each token, one a label: a process reward model's, or a tagger's.
    pub const fn token_score(labels: usize) -> Head {
        Head::new("token_score", HeadKind::Token, labels)
    }

    /// How unlike the texts are that a reward model learned from, as a vector whose length says it; of a trunk of this width.
    pub const fn doubt(width: usize) -> Head {
        Head::new("doubt", HeadKind::Token, width)
    }

    /// Another one of this name.
    pub fn named(name: &str, kind: HeadKind, width: usize) -> Head {
        Head { name: Cow::Owned(name.to_owned()), ..Head::new("", kind, width) }
    }

    /// Scores of a sequence, one an attribute of it.
    pub fn of_attributes(names: Vec<String>) -> Head {
        Head { width: names.len(), attributes: Cow::Owned(names), ..Head::SCORE }
    }

    /// [`Head::STEP`] of steps that end with this.
    pub fn behind(separator: &str) -> Head {
        let separator = (separator != LINE_BREAK).then(|| Cow::Owned(separator.to_owned()));
        Head { separator, ..Head::STEP }
    }

    /// What ends the steps that it is read behind.
    pub fn step_separator(&self) -> &str {
        self.separator.as_deref().unwrap_or(LINE_BREAK)
    }

    /// Whether it has the same weights as another: all but what is said of how it is read.
    pub fn is_like(&self, other: &Head) -> bool {
        (&self.name, self.kind, self.width) == (&other.name, other.kind, other.width)
    }

    /// Whether it rewards whole texts: by one number, or by one an attribute.
    pub fn rewards_texts(&self) -> bool {
        *self == Head::SCORE || (self.kind == HeadKind::Sequence && !self.attributes.is_empty())
    }

    /// Whether it rewards steps.
    pub fn rewards_steps(&self) -> bool {
        self.is_like(&Head::STEP)
    }

    /// Whether it tells doubt.
    pub fn doubts(&self) -> bool {
        self.is_like(&Head::doubt(self.width))
    }

    /// What it is, in words.
    pub(crate) fn words(&self) -> String {
        match (self.kind, self.width) {
            (HeadKind::Unembedding, _) => "an unembedding".to_owned(),
            (HeadKind::Sequence, 1) => "a score of whole texts (it is a reward model)".to_owned(),
            (HeadKind::Sequence, _) if !self.attributes.is_empty() => {
                format!("scores of whole texts by the attributes {} (it is a reward model)", self.attributes.join(", "))
            }
            (HeadKind::Sequence, labels) => format!("scores of whole texts by {labels} labels"),
            (HeadKind::Action, _) => "values of next tokens".to_owned(),
            (HeadKind::ActionCopy, _) => "a copy of values of next tokens".to_owned(),
            (HeadKind::Token, 1) => format!("a head `{}` of each token", self.name),
            (HeadKind::Token, labels) => format!("a head `{}` of each token by {labels} labels", self.name),
        }
    }

    /// Whether a class of transformers stands for it, as the first of a model.
    pub(super) fn leads(&self) -> bool {
        self.kind == HeadKind::Unembedding || self.name == Head::SCORE.name || self.name == "token_score"
    }
}
