//! What can go wrong in a recipe.

use groma_run::{Class, Classify};

/// The error of this crate; most are those of the crates that do the work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A recipe that cannot be done.
    #[error("recipe `{name}`: {problem}")]
    Recipe {
        /// The recipe's file or name.
        name: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// An override that does not fit the recipe.
    #[error("cannot set `{pair}`: it {problem}")]
    Override {
        /// As it was given.
        pair: String,
        /// What is wrong.
        problem: String,
    },
    /// Of a stage: names it.
    #[error("stage `{stage}`: {source}")]
    Stage {
        /// The stage.
        stage: String,
        /// What happened.
        source: Box<Error>,
    },
    /// A model of a kind that cannot be asked this.
    #[error("{model}: {failure}")]
    Unfit {
        /// The model.
        model: String,
        /// Why not.
        failure: groma_lm::Failure,
    },
    /// Models that cannot decode together.
    #[error("{problem}")]
    Decoding {
        /// Why not.
        problem: String,
    },
    /// A row, or a model, that does not say what answers are worth.
    #[error("{problem}")]
    Worth {
        /// Which, and what is missing.
        problem: String,
    },
    /// A model whose weights are needed is on a server.
    #[error("the model {model} is on a server; its weights are needed here")]
    OnServer {
        /// The model.
        model: String,
    },
    /// An environment variable that is to hold a key holds something else.
    #[error("the environment variable {variable} holds no key")]
    Key {
        /// Its name.
        variable: String,
    },
    /// An address that cannot be read.
    #[error(transparent)]
    Address(#[from] groma_lm::AddressError),
    /// A stage would be computed with other instructions than what it builds on.
    #[error("`{earlier}` was computed with `{found}`; this is `{here}`: the run would be no machine's arithmetic")]
    OtherKernels {
        /// The stage that was done before.
        earlier: String,
        /// What it was computed with.
        found: String,
        /// What is there.
        here: String,
    },
    /// Of an attack or a defence.
    #[error(transparent)]
    Attack(#[from] groma_attack::Error),
    /// Of looking inside.
    #[error(transparent)]
    Interp(#[from] groma_interp::Error),
    /// Of a protocol of oversight.
    #[error(transparent)]
    Oversight(#[from] groma_oversight::Error),
    /// Of an experiment on what is learned.
    #[error(transparent)]
    Inner(#[from] groma_inner::Error),
    /// Of finding what a name stands for.
    #[error("{0}")]
    Resolve(Box<dyn Classify + Send + Sync>),
    /// Of run directories.
    #[error(transparent)]
    Run(#[from] groma_run::Error),
    /// Of data.
    #[error(transparent)]
    Data(#[from] groma_data::Error),
    /// Of models.
    #[error(transparent)]
    Model(#[from] groma_model::Error),
    /// Of training.
    #[error(transparent)]
    Align(#[from] groma_align::Error),
    /// Of measuring.
    #[error(transparent)]
    Eval(#[from] groma_eval::Error),
    /// Of the organism.
    #[error(transparent)]
    Organism(#[from] groma_organism::Error),
    /// Of the report.
    #[error(transparent)]
    Report(#[from] groma_report::Error),
}

impl Error {
    fn inner(&self) -> Option<&dyn Classify> {
        Some(match self {
            Error::Stage { source, .. } => &**source,
            Error::Resolve(source) => &**source,
            Error::Run(source) => source,
            Error::Data(source) => source,
            Error::Model(source) => source,
            Error::Align(source) => source,
            Error::Eval(source) => source,
            Error::Interp(source) => source,
            Error::Attack(source) => source,
            Error::Oversight(source) => source,
            Error::Inner(source) => source,
            Error::Organism(source) => source,
            Error::Report(source) => source,
            Error::Recipe { .. }
            | Error::Override { .. }
            | Error::OnServer { .. }
            | Error::Unfit { .. }
            | Error::Decoding { .. }
            | Error::Worth { .. }
            | Error::Key { .. }
            | Error::OtherKernels { .. }
            | Error::Address(_) => return None,
        })
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        self.inner().map_or(Class::Usage, Classify::class)
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Recipe { .. } => Some("`groma run --print-recipe` shows a complete recipe".into()),
            Error::OnServer { .. } => {
                Some("name a directory or a hub id; a server's model can be measured only".into())
            }
            Error::OtherKernels { found, .. } => Some(groma_align::other_kernels(found)),
            Error::Unfit { .. } => Some(
                "a reward model is measured by `groma eval --task preference` and asked by `groma score`; to talk, name a \
                 language model"
                    .into(),
            ),
            Error::Key { .. } => Some("set it anew".into()),
            Error::Address(_) => Some("a server's model is named like http://localhost:8000/v1#my-model".into()),
            _ => self.inner().and_then(Classify::hint),
        }
    }
}
