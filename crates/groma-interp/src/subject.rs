//! What an instrument is given: a model, rows in its tokens, and who is told.

use std::path::Path;

use groma_data::Truth;
use groma_lm::{Control, Local};
use groma_run::{Advance, Files, Seed};

/// A prompt with its answer, in tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// Its id in its file.
    pub id: String,
    /// The prompt up to where the answer begins.
    pub prompt: Vec<u32>,
    /// The right answer; empty where none is known.
    pub answer: Vec<u32>,
    /// What an answer can be found to do.
    pub truth: Truth,
    /// The last word of the prompt, by which control tasks label.
    pub word: String,
    /// The rows that it is not independent of: those of the same name here.
    pub cluster: String,
}

/// Rows, as the instruments read them.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// Those that are looked at; of two classes the first.
    pub data: Vec<Case>,
    /// The second class.
    pub against: Vec<Case>,
    /// Held-out rows of the first class, where those are other rows than `data`.
    pub test: Vec<Case>,
    /// Held-out rows of the second class.
    pub test_against: Vec<Case>,
    /// Plain texts: what a change costs is measured on them, and dictionaries are learned from them.
    pub texts: Vec<Vec<u32>>,
}

/// A model that is looked at.
pub struct Subject<'a> {
    /// Its name in measurements.
    pub name: &'a str,
    /// The model.
    pub local: Local<'a>,
    /// Draws everything that is drawn.
    pub seed: Seed,
    /// Where something that takes long keeps checkpoints.
    pub kept: &'a Path,
    /// How files are written.
    pub files: Files,
    /// Who is told, and who may stop the work.
    pub control: Control<'a>,
}

impl Subject<'_> {
    /// Begins a part of the work.
    pub(crate) fn begin(&self, part: &str, total: usize, unit: &str) {
        self.control.progress.begin(part, Some(total as u64), unit);
    }

    /// Tells how far it is.
    ///
    /// # Errors
    /// Where the work is to stop.
    pub(crate) fn goes_on(&self, done: usize) -> groma_model::Result<()> {
        self.control.progress.advance(&Advance { done: done as u64, ..Advance::default() });
        if self.control.cancel.is_requested() { Err(groma_model::Error::Cancelled) } else { Ok(()) }
    }

    /// Ends a part of the work.
    pub(crate) fn done(&self, count: usize, unit: &str) {
        self.control.progress.finish(&groma_run::counted(count as u64, unit));
    }
}
