//! The registry of instruments, one file each.

mod direction;
mod lens;
mod patch;
mod probe;
mod sae;

use crate::error::{Error, Result};
use crate::instrument::Instrument;

/// All instruments.
pub static INSTRUMENTS: [Instrument; 5] = [lens::RECORD, patch::RECORD, probe::RECORD, direction::RECORD, sae::RECORD];

impl Instrument {
    /// The instrument of this name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name.
    pub fn find(name: &str) -> Result<&'static Instrument> {
        let by_likeness = |one: &&Instrument| (1000.0 * strsim::jaro_winkler(one.id, name)) as u32;
        let near = INSTRUMENTS.iter().max_by_key(by_likeness).filter(|one| by_likeness(one) > 700);
        let unknown = || Error::Unknown {
            name: name.to_owned(),
            hint: near.map(|one| one.id),
            known: INSTRUMENTS.map(|one| one.id).join(", "),
        };
        INSTRUMENTS.iter().find(|one| one.id == name).ok_or_else(unknown)
    }
}
