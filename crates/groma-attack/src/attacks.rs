//! The registry of attacks, one file each.

mod exposure;
mod extraction;
mod gcg;
mod injection;
mod membership;
mod none;
mod prefilling;
mod random_suffix;
mod templates;

pub use self::gcg::{Loss, OneHot, one_hot};
use crate::settings::nearest;
use crate::{Attack, Error};

/// All attacks, the controls first.
pub static ATTACKS: [Attack; 9] = [
    none::RECORD,
    random_suffix::RECORD,
    templates::RECORD,
    injection::RECORD,
    prefilling::RECORD,
    gcg::RECORD,
    extraction::RECORD,
    exposure::RECORD,
    membership::RECORD,
];

impl Attack {
    /// The attack of this name.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn find(name: &str) -> Result<&'static Attack, Error> {
        let unknown = || Error::Unknown {
            kind: "attack",
            name: name.to_owned(),
            hint: nearest(ATTACKS.iter().map(|attack| attack.id), name),
            known: ATTACKS.map(|attack| attack.id).join(", "),
        };
        ATTACKS.iter().find(|attack| attack.id == name).ok_or_else(unknown)
    }
}
