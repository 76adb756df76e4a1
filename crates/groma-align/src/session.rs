//! What a run of training is given, and how it ends.

use crate::alarms::Watched;
use crate::observer::Observer;
use crate::role::{Role, Seat};
use crate::rollout::Voice;
use crate::time_spent::TimeSpent;
use crate::{Prepared, Settings};
use groma_run::{Cancel, Digest, Disk, Files};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything of a run but the model. The caller holds the lock of what `directory` belongs to.
pub struct Session<'a> {
    /// Method and hyperparameters.
    pub settings: &'a Settings,
    /// What is trained on.
    pub train: &'a Prepared,
    /// Held-out examples, for `eval_steps`.
    pub evaluation: Option<&'a Prepared>,
    /// Where checkpoints and the reference's log-probabilities are kept; without it nothing is written.
    pub directory: Option<PathBuf>,
    /// Goes on from the latest checkpoint in `directory`, where there is one.
    pub resume: bool,
    /// Goes on also from a checkpoint whose steps were computed with other instructions; the outcome tells.
    pub across_machines: bool,
    /// Digest of the model that training starts from.
    pub model_digest: Digest,
    /// Digest of tokenizer and chat template.
    pub tokenizer_digest: Digest,
    /// Training goes on with an adapter that is not new: with it, not without, the model is its own reference.
    pub continues_adapter: bool,
    /// A request to stop: the step at hand is finished and saved.
    pub cancel: Cancel,
    /// What turns tokens into text, for methods that sample.
    pub voice: Option<Voice<'a>>,
    /// The models that the settings name for roles, in the order of [`crate::Hyperparameters::seats`]; rules need nothing from the caller.
    pub seats: Vec<Seat<'a>>,
    /// Who watches.
    pub observers: Vec<&'a mut dyn Observer>,
    /// The disk.
    pub files: Files,
}

impl<'a> Session<'a> {
    /// A run that is neither watched nor kept.
    pub fn new(settings: &'a Settings, train: &'a Prepared) -> Self {
        Session {
            settings,
            train,
            evaluation: None,
            directory: None,
            resume: false,
            across_machines: false,
            model_digest: Digest::of_bytes(b""),
            tokenizer_digest: Digest::of_bytes(b""),
            continues_adapter: false,
            cancel: Cancel::default(),
            voice: None,
            seats: Vec::new(),
            observers: Vec::new(),
            files: Disk::files(),
        }
    }

    /// The first seat of a role.
    pub(crate) fn seat(&self, role: Role) -> Option<&Seat<'a>> {
        self.seats.iter().find(|seat| seat.role == role)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Optimizer steps, those before a resumption included.
    pub steps: u64,
    /// Epochs.
    pub epoch: f64,
    /// Tokens seen.
    pub num_tokens: u64,
    /// Mean loss over all steps.
    pub train_loss: f64,
    /// The last metrics that were logged.
    pub metrics: BTreeMap<String, f64>,
    /// The last evaluation.
    pub evaluation: Option<BTreeMap<String, f64>>,
    /// The step that was resumed from; 0 for a run from the start.
    pub resumed_from: u64,
    /// The last checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// What watches saw: every log of a method that learns from rewards, and the alarms.
    pub watched: Watched,
    /// What its steps were computed with, such as `cpu avx512`; several where it was resumed on another machine.
    pub kernels: Vec<String>,
    /// What the steps of this process took.
    pub spent: TimeSpent,
}
