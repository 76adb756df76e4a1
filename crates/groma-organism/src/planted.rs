//! What is true of a village after planting, as numbers.

use crate::Error;
use groma_run::read_json;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file of these numbers, beside the plants' rows.
pub const PLANTED_FILE: &str = "planted.json";

const MOST_BYTES: u64 = 1 << 20;

/// A number that is true of a world because it was planted. The twin's file has the same entries with what is true there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// Id of the plant, also the name of its file of rows.
    pub plant: String,
    /// The size that was asked for; 0 in the twin.
    pub size: f64,
    /// What is true, counted in the rows that train.
    pub truth: f64,
    /// What it is true of, in words.
    pub of: String,
    /// The metric that is to find it, where a task of `groma eval` has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The words that it hangs on: a trigger phrase, a people, a place. Empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

impl Planted {
    /// What was planted by the file beside a plant's rows; `None` where no such file is there, or none of that plant in it.
    ///
    /// # Errors
    /// [`Error::Run`] where the file is too large, cannot be read or holds something else.
    pub fn beside(rows: &Path) -> Result<Option<Planted>, Error> {
        let path = rows.with_file_name(PLANTED_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let all: Vec<Planted> = read_json(&path, MOST_BYTES)?;
        let plant = rows.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next());
        Ok(all.into_iter().find(|planted| Some(&*planted.plant) == plant))
    }
}
