//! The registry of protocols, one file each.

mod constitution;
mod debate;
mod weak_to_strong;

use groma_align::nearest;

use crate::{Error, Protocol};

/// All protocols.
pub static PROTOCOLS: &[&Protocol] = &[&constitution::RECORD, &debate::RECORD, &weak_to_strong::RECORD];

impl Protocol {
    /// The protocol of this name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest.
    pub fn find(name: &str) -> Result<&'static Protocol, Error> {
        let known: Vec<&str> = PROTOCOLS.iter().map(|protocol| protocol.id).collect();
        let unknown = || Error::Unknown { name: name.to_owned(), hint: nearest(name, &known), known: known.join(", ") };
        PROTOCOLS.iter().copied().find(|protocol| protocol.id == name).ok_or_else(unknown)
    }
}
