//! Settings of a defence or an attack, as a user gives them.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Settings as they are declared, unknown ones refused.
pub(crate) fn settings<S: DeserializeOwned>(given: Value) -> Result<S, String> {
    serde_json::from_value(given).map_err(|error| error.to_string())
}

/// Of the ids of a registry, the one that a name may have meant.
pub(crate) fn nearest<'a>(ids: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    let by_likeness = |id: &&str| (1000.0 * strsim::jaro_winkler(id, name)) as u32;
    ids.max_by_key(by_likeness).filter(|id| by_likeness(id) > 800)
}
