//! Kinds of what can be asked.

/// Kinds of what can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// [`crate::Continuation::After`].
    Continuation,
    /// [`crate::Continuation::Reply`].
    Reply,
    /// [`crate::Continuation::Whole`].
    Rolling,
    /// An [`crate::Ask`].
    Generate,
}

impl Kind {
    /// What asks so, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Kind::Continuation | Kind::Reply => "the likelihood of an answer",
            Kind::Rolling => "the likelihood of a text",
            Kind::Generate => "an answer",
        }
    }
}
