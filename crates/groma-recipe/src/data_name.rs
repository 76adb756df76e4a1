//! Data names of a recipe: what the organism made, the two parts of the preference pairs, or a file.

use crate::Error;

/// How stages name the model that the recipe begins with.
pub(crate) const BASE: &str = "base";
/// In place of a model's name, where a recipe has none: its stages bring what they work on.
pub(crate) const NONE: &str = "none";
/// Names that no stage may have.
pub(crate) const RESERVED: [&str; 5] = [BASE, NONE, VILLAGE, TWIN, PREFERENCES];
/// The organism: its untrained model, the prefix of its files, and their directory in a run's.
pub(crate) const VILLAGE: &str = "village";
/// The same of its clean twin.
pub(crate) const TWIN: &str = "twin";
/// Prefix of the two parts of the preference pairs.
const PREFERENCES: &str = "preferences";
/// Where they are in a run directory.
pub(crate) const DATA_DIRECTORY: &str = "data";

/// A data name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataName<'a> {
    /// `village:train/texts`, or `twin:train/texts` of its clean twin: whose, and which file.
    Organism(&'static str, &'a str),
    /// `preferences:train` and `preferences:held_out`.
    Preferences(&'a str),
    /// Anything else: the rows of an earlier stage, a file, or a hub id.
    File(&'a str),
}

impl<'a> DataName<'a> {
    pub(crate) fn parse(name: &'a str) -> Result<Self, Error> {
        match name.split_once(':') {
            Some((VILLAGE, part)) => Ok(DataName::Organism(VILLAGE, part)),
            Some((TWIN, part)) => Ok(DataName::Organism(TWIN, part)),
            Some((PREFERENCES, part @ ("train" | "held_out"))) => Ok(DataName::Preferences(part)),
            Some((PREFERENCES, part)) => {
                let problem = format!("`{PREFERENCES}:{part}` is neither preferences:train nor preferences:held_out");
                Err(Error::Recipe { name: name.into(), problem })
            }
            _ => Ok(DataName::File(name)),
        }
    }
}

/// The file of one part of the preference pairs, relative to the run directory.
pub(crate) fn preferences_file(part: &str) -> String {
    format!("{DATA_DIRECTORY}/preferences-{part}.jsonl")
}
