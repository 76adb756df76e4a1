//! What became of an attack.

use groma_attack::{Attack as Record, Attempt};

/// An attack that was done.
pub(crate) struct Done {
    pub(crate) record: &'static Record,
    pub(crate) attempts: Vec<Attempt>,
}
