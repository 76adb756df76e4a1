//! What answers to a row are worth by its truth.

use std::collections::BTreeMap;

use groma_data::{Row, Truth};

use crate::Error;

/// What an answer can be found to do, and what each of that is worth.
pub(crate) struct Worth {
    truth: Truth,
    worth: BTreeMap<String, f64>,
}

impl Worth {
    /// Of a row.
    ///
    /// # Errors
    /// [`Error::Worth`] for one without truth or worth.
    pub(crate) fn of(row: &Row) -> Result<Self, Error> {
        let column = |name: &str| row.other.get(name).cloned().unwrap_or_default();
        let wrong = |name: &str, why: String| {
            let problem = format!("{}: `{name}`: {why}; rows as in village:held_out/prompts are wanted", row.location);
            Error::Worth { problem }
        };
        Ok(Worth {
            truth: serde_json::from_value(column("truth")).map_err(|error| wrong("truth", error.to_string()))?,
            worth: serde_json::from_value(column("worth")).map_err(|error| wrong("worth", error.to_string()))?,
        })
    }

    /// Of an answer.
    pub(crate) fn of_answer(&self, text: &str) -> f64 {
        self.truth.worth(&self.worth, text)
    }
}
