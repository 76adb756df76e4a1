//! What can go wrong in training.

use crate::alarm::Alarm;
use groma_run::{Class, Classify, Finding};
use std::path::PathBuf;

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No method of that name.
    #[error("unknown method `{name}`{}", did_you_mean(suggestion))]
    UnknownMethod {
        /// What was asked for.
        name: String,
        /// The nearest that there is.
        suggestion: Option<String>,
    },
    /// No way of rewriting rows of that name.
    #[error("there is no rewrite `{name}`{} (there are: {known})", did_you_mean(suggestion))]
    UnknownRewrite {
        /// What was asked for.
        name: String,
        /// The nearest that there is.
        suggestion: Option<String>,
        /// All that there are.
        known: String,
    },
    /// A setting of a rewrite that it does not have, or cannot have.
    #[error("rewrite `{rewrite}`: {problem}")]
    Rewrite {
        /// The rewrite.
        rewrite: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// No hyperparameter of that name.
    #[error("`{method}` has no setting `{name}`{}", did_you_mean(suggestion))]
    UnknownSetting {
        /// The method.
        method: &'static str,
        /// The key.
        name: String,
        /// The nearest that there is.
        suggestion: Option<String>,
    },
    /// A hyperparameter cannot have that value.
    #[error("setting `{name}` of `{method}` is {value}, but {problem}")]
    Setting {
        /// The method.
        method: &'static str,
        /// The key.
        name: String,
        /// The value as JSON.
        value: String,
        /// What it must be.
        problem: String,
    },
    /// Rows that a method cannot use.
    #[error("`{method}` cannot train on {found} rows; it reads {expected}")]
    DataShape {
        /// The method.
        method: &'static str,
        /// The rows' shape.
        found: &'static str,
        /// What it reads.
        expected: String,
    },
    /// A role that a method needs is not filled, or cannot do its part.
    #[error("the {role} is missing or cannot be used: {problem}")]
    Role {
        /// The role.
        role: &'static str,
        /// Why.
        problem: String,
    },
    /// No row is left to train on.
    #[error("no row of {total} can be trained on{}", first_reason(findings))]
    NoRows {
        /// Rows that there were.
        total: usize,
        /// Why they were left out.
        findings: Vec<Finding>,
    },
    /// The pre-flight check stops the run.
    #[error("the pre-flight check stops the run: {}", list(findings))]
    Preflight {
        /// The serious findings.
        findings: Vec<Finding>,
    },
    /// Too many rows could not be read, tokenised, or rendered by the template.
    #[error("{source}")]
    BadRows {
        /// Which, and why.
        source: Box<groma_data::Error>,
        /// What to do about the first that the tokenizer or the template refused.
        hint: Option<String>,
    },
    /// The model refuses an operation.
    #[error(transparent)]
    Model(#[from] groma_model::Error),
    /// Something around the run's files.
    #[error(transparent)]
    Run(#[from] groma_run::Error),
    /// Something could not be written as JSON.
    #[error("cannot encode {what}: {source}")]
    Encode {
        /// What it was.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The run needs more memory than there is.
    #[error("training needs about {needed_bytes} bytes of memory, but {available_bytes} are available")]
    Memory {
        /// The estimate.
        needed_bytes: u64,
        /// What is free.
        available_bytes: u64,
    },
    /// The loss before training is not what mathematics says it must be.
    #[error(
        "the loss before the first step is {found}, but must be {expected}: the reference is not the model that starts to train, or labels or masks are wrong"
    )]
    Step0 {
        /// The closed form.
        expected: f64,
        /// What came out.
        found: f64,
    },
    /// Labels do not reach the loss.
    #[error(
        "exchanging chosen and rejected does not turn round the gradient of the loss (along their margin {labelled} as labelled, {exchanged} exchanged): labels have no effect, or the wrong one"
    )]
    Polarity {
        /// Derivative of the loss along the margin of chosen over rejected.
        labelled: f64,
        /// The same with the sides exchanged.
        exchanged: f64,
    },
    /// A loss, gradient or weight became NaN or infinite.
    #[error("step {step}: the {what} is not finite, on rows {}{}", rows.join(", "), kept_at(kept))]
    NonFinite {
        /// The step that was not taken.
        step: u64,
        /// What it was: `loss`, `gradient`.
        what: &'static str,
        /// The rows of that step, as `file:line`.
        rows: Vec<String>,
        /// The checkpoint with the last good state.
        kept: Option<PathBuf>,
    },
    /// A checkpoint belongs to another run.
    #[error("{} cannot be resumed: other {field} ({found} there, {expected} here)", path.display())]
    Resume {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        field: &'static str,
        /// What the checkpoint has.
        found: String,
        /// What this run has.
        expected: String,
    },
    /// A checkpoint's steps were computed with other instructions.
    #[error("{} was computed with `{found}`; this is `{here}`, and the bits would be those of neither", path.display())]
    OtherKernels {
        /// The checkpoint.
        path: PathBuf,
        /// What its steps were computed with.
        found: String,
        /// What is there.
        here: String,
    },
    /// A checkpoint contradicts itself or this model.
    #[error("{} is damaged: {problem}", path.display())]
    Checkpoint {
        /// The checkpoint or the file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The user asked to stop; a checkpoint holds all that was done.
    #[error("interrupted after step {step}{}", resumable(checkpoint))]
    Interrupted {
        /// Steps done.
        step: u64,
        /// What to resume from; `None` for a run without a directory.
        checkpoint: Option<PathBuf>,
    },
    /// A watch raised its alarm, and the settings stop a run for that.
    #[error("an alarm stops the training: {alarm}{}", kept_at(kept))]
    Alarm {
        /// Which.
        alarm: Box<Alarm>,
        /// The checkpoint of that step.
        kept: Option<PathBuf>,
    },
    /// An observer of the run stopped it.
    #[error("stopped at step {step} by an observer: {reason}")]
    Observer {
        /// Steps done.
        step: u64,
        /// Its words.
        reason: String,
    },
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

fn first_reason(findings: &[Finding]) -> String {
    findings.first().map_or(String::new(), |finding| format!(": {}", describe(finding)))
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(describe).collect::<Vec<_>>().join("; ")
}

fn describe(finding: &Finding) -> String {
    let places = if finding.places.is_empty() { String::new() } else { format!(" ({})", finding.places.join(", ")) };
    format!("{}: {}{places}", finding.check, finding.message)
}

fn kept_at(kept: &Option<PathBuf>) -> String {
    kept.as_ref().map_or(String::new(), |path| format!("; the last good state is in {}", path.display()))
}

fn resumable(checkpoint: &Option<PathBuf>) -> String {
    checkpoint.as_ref().map_or(String::new(), |path| format!("; {} can be resumed", path.display()))
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Model(error) => error.class(),
            Error::Run(error) => error.class(),
            Error::Memory { .. } => Class::Resources,
            Error::NonFinite { .. } => Class::NonFinite,
            Error::Alarm { .. } => Class::Gate,
            Error::Interrupted { .. } => Class::Interrupted,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::UnknownSetting { method, .. } => Some(format!("`groma methods {method}` lists its settings")),
            Error::Preflight { findings } => findings.iter().find_map(|finding| finding.remedy.clone()),
            Error::Memory { .. } => Some(
                "lower per_device_train_batch_size (raise gradient_accumulation_steps as much, the result is the same), \
                 lower max_length, or train an adapter with `lora`"
                    .into(),
            ),
            Error::NonFinite { .. } => Some("lower learning_rate, or look at the rows named".into()),
            Error::Alarm { .. } => Some(
                "look at the samples and at the metrics `watch/...`; with stop_on_alarm = false training goes on from there".into(),
            ),
            Error::Resume { .. } => Some("use the settings, data and model of the first run, or another directory".into()),
            Error::OtherKernels { found, .. } => Some(other_kernels(found)),
            Error::BadRows { hint, .. } => hint.clone(),
            Error::Model(error) => error.hint(),
            Error::Run(error) => error.hint(),
            _ => None,
        }
    }
}

/// What to do about work that other instructions began.
pub fn other_kernels(found: &str) -> String {
    let level = found.split_whitespace().nth(1).unwrap_or(found);
    format!(
        "GROMA_CPU={level} goes on with the same arithmetic where the processor has it; --across-machines goes on with this \
         one, which manifest and report then say"
    )
}
