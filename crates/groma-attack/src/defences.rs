//! The registry of defences, one file each.

mod perplexity_filter;
mod self_reminder;
mod smoothllm;
mod spotlighting;

use crate::settings::nearest;
use crate::{Defence, Error};

/// All defences.
pub static DEFENCES: [Defence; 4] =
    [self_reminder::RECORD, spotlighting::RECORD, perplexity_filter::RECORD, smoothllm::RECORD];

impl Defence {
    /// The defence of this name.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn find(name: &str) -> Result<&'static Defence, Error> {
        let unknown = || Error::Unknown {
            kind: "defence",
            name: name.to_owned(),
            hint: nearest(DEFENCES.iter().map(|defence| defence.id), name),
            known: DEFENCES.map(|defence| defence.id).join(", "),
        };
        DEFENCES.iter().find(|defence| defence.id == name).ok_or_else(unknown)
    }
}
