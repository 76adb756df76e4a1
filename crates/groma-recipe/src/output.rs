//! What stages leave for later ones, and how those name it.

/// What a stage leaves for later ones, which read it by name: `STAGE:OUTPUT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Its name, unique in the stage.
    pub(crate) name: String,
    pub(crate) kind: OutputKind,
}

/// The type of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputKind {
    /// A model or an adapter.
    Model,
    /// A file of rows.
    Rows,
    /// The scores of a subject's items.
    Measurements,
}

/// What a stage reads of earlier ones, as its record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) kind: OutputKind,
    pub(crate) name: &'a str,
}

impl OutputKind {
    /// What messages call it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            OutputKind::Model => "the model",
            OutputKind::Rows => "the rows",
            OutputKind::Measurements => "the measurement",
        }
    }
}

impl Output {
    pub(crate) fn new(name: &str, kind: OutputKind) -> Self {
        Output { name: name.to_owned(), kind }
    }

    /// The numbers that a stage leaves.
    pub(crate) fn measurements() -> Self {
        Output::new("measurements", OutputKind::Measurements)
    }
}
