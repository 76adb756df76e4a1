//! The registry of defences, one file each.

mod perplexity_filter;
mod self_reminder;
mod smoothllm;

use crate::{Defence, Error};

/// All defences.
pub static DEFENCES: [Defence; 3] = [self_reminder::RECORD, perplexity_filter::RECORD, smoothllm::RECORD];

impl Defence {
    /// The defence of this name.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn find(name: &str) -> Result<&'static Defence, Error> {
        let by_likeness = |defence: &&Defence| (1000.0 * strsim::jaro_winkler(defence.id, name)) as u32;
        let near = DEFENCES.iter().max_by_key(by_likeness).filter(|defence| by_likeness(defence) > 800);
        let unknown = || Error::Unknown {
            name: name.to_owned(),
            hint: near.map(|defence| defence.id),
            known: DEFENCES.map(|defence| defence.id).join(", "),
        };
        DEFENCES.iter().find(|defence| defence.id == name).ok_or_else(unknown)
    }
}
