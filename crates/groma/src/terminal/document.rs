//! Results as JSON documents.

use super::output::print;
use crate::failure::{Failure, Result};

/// Writes a JSON document to standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Failure::usage(format!("the result cannot be written as JSON: {error}"), "leave out --json")
    })?;
    print(&format!("{text}\n"));
    Ok(())
}
