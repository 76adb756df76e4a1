//! What can go wrong with a model's files, its configuration and its use.

use std::fmt;
use std::path::PathBuf;

use groma_run::{Class, Classify, class_of_io, counted, is_or_are};

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // Files in general
    /// An operation on a file or directory failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, e.g. `read`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is larger than any sensible one of its kind.
    #[error("{} has {}; the limit for {what} is {limit}", path.display(), counted(*bytes, "byte"))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What it is, e.g. `a model configuration`.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A file is not the JSON that it should be.
    #[error("{} is not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },

    // Model configuration
    /// A field of a configuration is missing, of the wrong type, out of range, or asks for what is not supported.
    #[error("{}: `{field}` {problem}", path.display())]
    Field {
        /// The configuration.
        path: PathBuf,
        /// The field, with its parents, e.g. `rope_scaling.factor`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A configuration has fields whose meaning is not known, and which may change the function.
    #[error("{}: unknown {}: {}", path.display(), if fields.len() == 1 { "field" } else { "fields" }, fields.join(", "))]
    UnknownFields {
        /// The configuration.
        path: PathBuf,
        /// Each unknown field with its value and, where one is near, the known field that may be meant.
        fields: Vec<String>,
    },
    /// The architecture is not supported.
    #[error("{}: architecture {found} is not supported; supported are {supported}", path.display())]
    Architecture {
        /// The configuration.
        path: PathBuf,
        /// What it asks for.
        found: String,
        /// What there is.
        supported: String,
    },

    // Weights
    /// No weights in a model directory.
    #[error("{} has neither model.safetensors nor model.safetensors.index.json", path.display())]
    NoWeights {
        /// The directory.
        path: PathBuf,
    },
    /// The weights are pickled Python objects, which can run code when read.
    #[error("{} is a pickle or an archive of pickles, which are never read", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// A safetensors file contradicts itself.
    #[error("{}: {problem}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        problem: SafetensorsProblem,
    },
    /// An index of shards cannot be followed.
    #[error("{}: {problem}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The tensors on disk are not those that the configuration asks for.
    #[error("the weights in {} do not fit the configuration:\n{}", path.display(), MismatchTable(mismatches))]
    Mismatches {
        /// The directory or file.
        path: PathBuf,
        /// All of them.
        mismatches: Vec<Mismatch>,
    },
    /// Weights are NaN or infinite.
    #[error("weights in {} are not finite: {}", path.display(), describe_non_finite(tensors))]
    NonFiniteWeights {
        /// Where they were read from or were to be written to.
        path: PathBuf,
        /// Name of each such tensor, with the number of bad values in it.
        tensors: Vec<(String, usize)>,
    },
    /// Weights in memory are not those that a specification asks for.
    #[error("the weights do not fit the model: {problem}")]
    Weights {
        /// What is wrong.
        problem: String,
    },
    /// What was written reads back differently.
    #[error("{} does not read back as it was written: {problem}", path.display())]
    Verification {
        /// The directory.
        path: PathBuf,
        /// What differs.
        problem: String,
    },

    // Running a model
    /// A name is not that of a hook point of this model.
    #[error(
        "`{name}` is not a hook point of this model{}",
        near.as_ref().map_or(String::new(), |near| format!("; did you mean `{near}`?"))
    )]
    UnknownHook {
        /// The name.
        name: String,
        /// The nearest name that the model has, where that is known.
        near: Option<String>,
    },
    /// A parameter that somebody still reads was to change.
    #[error("{name} is still read by somebody and cannot change")]
    ParameterHeld {
        /// The parameter.
        name: String,
    },
    /// Parameters could not be fitted.
    #[error("{problem}")]
    Fit {
        /// What is wrong.
        problem: String,
    },
    /// What was to be done at a hook point does not fit, or was never done.
    #[error("{name}: {problem}")]
    Hook {
        /// The hook point.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// No adapter of that name is attached.
    #[error("no adapter named `{name}` is attached; there are: {}", if known.is_empty() { "none".into() } else { known.join(", ") })]
    UnknownAdapter {
        /// The name.
        name: String,
        /// Names of those that are.
        known: Vec<String>,
    },
    /// A hook point can be read or replaced by code, but neither edited nor differentiated.
    #[error("`{name}` can be read, or replaced by code, but neither edited nor differentiated")]
    ReadOnlyHook {
        /// The name.
        name: String,
    },
    /// A token id is beyond the embedding.
    #[error("token id {id} is beyond the model's vocabulary of {vocab_size}")]
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// A sequence is longer than the model's positions.
    #[error("a sequence of {} is longer than the model's limit of {limit}", counted(*tokens, "token"))]
    TooLong {
        /// Its length.
        tokens: usize,
        /// The limit.
        limit: usize,
    },
    /// Two models that are compared token by token have other tokens to choose from.
    #[error(
        "the models have {first} and {second} tokens, and they are compared token by token: take two of one vocabulary"
    )]
    Vocabularies {
        /// The first model's.
        first: usize,
        /// The second model's.
        second: usize,
    },
    /// A prompt holds no token.
    #[error("prompt {index} holds no token; a model needs at least one, e.g. its begin-of-text token")]
    EmptyPrompt {
        /// Which prompt, from 0.
        index: usize,
    },
    /// A sampling parameter is out of range.
    #[error("{problem}")]
    Sampling {
        /// Which, and its range.
        problem: String,
    },
    /// The work was stopped from outside.
    #[error("stopped before the end")]
    Cancelled,
    /// A model that predicts tokens is needed, and this one has other heads alone.
    #[error("{needs} needs a model that predicts text, and this one has {found} alone")]
    NoUnembedding {
        /// Who or what needs it.
        needs: String,
        /// What it is by its heads.
        found: String,
    },
    /// A model that says what next tokens are worth is needed, and this one does not.
    #[error("{needs} needs a model that says what next tokens are worth, and this one has {found} alone")]
    NoActionValues {
        /// Who or what needs it.
        needs: String,
        /// What it is by its heads.
        found: String,
    },
    /// A reward model is needed, and this one is none.
    #[error("{needs} needs a reward model, and this one has {found}")]
    NoReward {
        /// Who or what needs it.
        needs: String,
        /// What it is by its heads.
        found: String,
    },

    /// Something on disk, told by the crate that keeps runs.
    #[error(transparent)]
    Run(#[from] groma_run::Error),

    /// Of the tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] crate::tokenizer::TokenizerError),
    /// Of a chat template.
    #[error(transparent)]
    Template(#[from] groma_chat::TemplateError),

    // Adapters
    /// The model that an adapter adapts is not to be found.
    #[error("{}: {problem}", path.display())]
    NoBase {
        /// The adapter's configuration.
        path: PathBuf,
        /// Which is missing.
        problem: String,
    },
    /// The files of an adapter contradict each other or the model.
    #[error("{}: {problem}", path.display())]
    Adapter {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Each way in which the header of a safetensors file can lie.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SafetensorsProblem {
    /// Fewer than the 8 bytes that give the header's length.
    #[error("has only {}, too few for a safetensors file", counted(*bytes, "byte"))]
    TooShort {
        /// Size of the file.
        bytes: u64,
    },
    /// The header's length is above the format's limit.
    #[error("declares a header of {}; the limit is {limit}", counted(*bytes, "byte"))]
    HeaderTooLarge {
        /// Declared length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The header does not fit into the file.
    #[error("declares a header of {}, but only {available} {} there: the file is cut short", counted(*header, "byte"), is_or_are(*available))]
    HeaderBeyondEnd {
        /// Declared length.
        header: u64,
        /// What is there.
        available: u64,
    },
    /// The header does not begin with `{`.
    #[error("the header does not begin with `{{`")]
    HeaderStart,
    /// The header is not UTF-8.
    #[error("the header is not UTF-8 after byte {valid_bytes}")]
    HeaderEncoding {
        /// Valid bytes before the first bad one.
        valid_bytes: usize,
    },
    /// The header is not JSON of the right form (malformed, unknown element type, negative size, duplicate name ...).
    #[error("the header is malformed: {message}")]
    Header {
        /// Place and reason.
        message: String,
    },
    /// More tensors than any sensible file has.
    #[error("lists {tensors} tensors; the limit is {limit}")]
    TooManyTensors {
        /// How many.
        tensors: usize,
        /// The limit.
        limit: usize,
    },
    /// The product of a shape is beyond what can be addressed.
    #[error("`{tensor}` has a shape whose size overflows")]
    ShapeOverflow {
        /// The tensor.
        tensor: String,
    },
    /// Shape and element type do not give the size between the offsets.
    #[error("`{tensor}` needs {} by its shape and type, but its offsets span {given}", counted(*needed, "byte"))]
    WrongSpan {
        /// The tensor.
        tensor: String,
        /// By shape and type.
        needed: u64,
        /// By offsets.
        given: u64,
    },
    /// The end comes before the beginning.
    #[error("`{tensor}` ends before it begins")]
    NegativeSpan {
        /// The tensor.
        tensor: String,
    },
    /// Two tensors share bytes.
    #[error("`{tensor}` overlaps `{other}`")]
    Overlap {
        /// The later tensor.
        tensor: String,
        /// The earlier one.
        other: String,
    },
    /// Bytes that belong to no tensor.
    #[error("before `{tensor}` there {} {} of no tensor", is_or_are(*bytes), counted(*bytes, "byte"))]
    Hole {
        /// The tensor after the hole.
        tensor: String,
        /// Its size.
        bytes: u64,
    },
    /// The data go beyond the end of the file.
    #[error("the tensors need {}, but only {available} {} there: the file is cut short", counted(*needed, "byte"), is_or_are(*available))]
    DataBeyondEnd {
        /// By the offsets.
        needed: u64,
        /// In the file.
        available: u64,
    },
    /// Bytes after the last tensor.
    #[error("after the last tensor there {} {}", is_or_are(*bytes), counted(*bytes, "byte"))]
    TrailingBytes {
        /// How many.
        bytes: u64,
    },
}

/// One tensor that is not as the configuration asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Its name in the file.
    pub tensor: String,
    /// What is wrong.
    pub problem: MismatchProblem,
}

/// What can be wrong with a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MismatchProblem {
    /// It is not there.
    Missing,
    /// It is there, and nothing asks for it.
    Unexpected,
    /// Its shape is another.
    Shape {
        /// What the configuration gives, in the file's orientation.
        expected: Vec<usize>,
        /// What the file has.
        found: Vec<usize>,
    },
    /// Its elements are of a type that is not read.
    ElementType {
        /// What the file has.
        found: String,
    },
    /// It differs from the embedding to which the configuration ties it.
    Untied,
}

impl fmt::Display for MismatchProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(formatter, "missing"),
            Self::Unexpected => write!(formatter, "unexpected"),
            Self::Shape { expected, found } => write!(formatter, "shape {found:?} instead of {expected:?}"),
            Self::ElementType { found } => write!(formatter, "element type {found}, which is not F32, F16 or BF16"),
            Self::Untied => {
                write!(formatter, "differs from the embedding, although `tie_word_embeddings` makes them one")
            }
        }
    }
}

/// Rows shown; the error itself has all.
const SHOWN_MISMATCHES: usize = 60;

struct MismatchTable<'a>(&'a [Mismatch]);

impl fmt::Display for MismatchTable<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN_MISMATCHES)];
        let width = shown.iter().map(|mismatch| mismatch.tensor.len()).max().unwrap_or(0);
        for (row, Mismatch { tensor, problem }) in shown.iter().enumerate() {
            let end = if row + 1 < self.0.len() { "\n" } else { "" };
            write!(formatter, "  {tensor:width$}  {problem}{end}")?;
        }
        if shown.len() < self.0.len() {
            write!(formatter, "  ... and {} more", self.0.len() - shown.len())?;
        }
        Ok(())
    }
}

fn describe_non_finite(tensors: &[(String, usize)]) -> String {
    let shown: Vec<String> =
        tensors.iter().take(8).map(|(name, count)| format!("{name} ({})", counted(*count, "value"))).collect();
    let rest = tensors.len().saturating_sub(8);
    if rest == 0 { shown.join(", ") } else { format!("{} and {} more", shown.join(", "), counted(rest, "tensor")) }
}

impl Error {
    /// For `map_err` after an operation on a file.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Io { source, .. } => class_of_io(source),
            Error::NonFiniteWeights { .. } => Class::NonFinite,
            Error::Run(source) => source.class(),
            Error::Tokenizer(source) => source.class(),
            Error::Template(source) => source.class(),
            Error::Cancelled => Class::Interrupted,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::Run(source) => return source.hint(),
            Error::Tokenizer(source) => return source.hint(),
            Error::Template(source) => return source.hint(),
            Error::Pickle { .. } => {
                "convert it once where you trust it: \
                 `model.save_pretrained(DIR, safe_serialization=True)` in transformers writes safetensors"
            }
            Error::UnknownFields { .. } => {
                "remove a field that does not change what the model computes; \
                 a field that does is not supported"
            }
            Error::UnknownHook { .. } => "names are those of TransformerLens, e.g. blocks.0.hook_resid_pre",
            Error::NoUnembedding { .. } => {
                "a reward model is trained on by `groma train reward`, measured by `groma eval --task preference`, asked by \
                 `groma score`, and rewards another as its `reward_model`"
            }
            Error::NoBase { .. } => "say where the base model is with --base DIR|HUB_ID",
            Error::NoReward { .. } => "train one by `groma train reward`",
            Error::NoActionValues { .. } => "train one by `groma train ilql`",
            Error::NoWeights { .. } => "a model directory in Hugging Face layout is expected",
            Error::Safetensors { .. } => "fetch or write the file again",
            _ => return None,
        };
        Some(hint.into())
    }
}
