//! Values as JSON files.

use crate::Error;
use serde::Serialize;

/// A value as indented JSON with a newline at the end.
pub(crate) fn json_bytes(what: &str, value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|source| Error::Encode { what: what.to_owned(), source })?;
    bytes.push(b'\n');
    Ok(bytes)
}
