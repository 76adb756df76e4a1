//! JSON objects that carry the digest of all else that they say, so that a change by a bit is noticed.

use crate::storage::Files;
use crate::{Digest, Error, atomic};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// The field that holds the digest.
const SEAL: &str = "seal";

/// Whether an object is what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    Whole,
    Broken,
    /// It has none: it was written by hand, or by a program that does not know of seals.
    Absent,
}

/// Writes an object with its seal, whole or not at all.
pub(crate) fn write(files: &Files, path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let encode = |source| Error::Encode { path: path.to_owned(), source };
    let mut value = serde_json::to_value(value).map_err(encode)?;
    let digest = Digest::of_json(&value).map_err(encode)?;
    if let Value::Object(fields) = &mut value {
        fields.insert(SEAL.to_owned(), Value::String(digest.to_string()));
    }
    atomic::write_json(files, path, &value)
}

/// An object without its seal, and whether that fits.
pub(crate) fn open(text: &[u8]) -> Result<(Value, Seal), serde_json::Error> {
    let mut value: Value = serde_json::from_slice(text)?;
    let Some(seal) = value.as_object_mut().and_then(|fields| fields.shift_remove(SEAL)) else {
        return Ok((value, Seal::Absent));
    };
    let digest = Digest::of_json(&value)?;
    let fits = seal.as_str() == Some(digest.to_string().as_str());
    Ok((value, if fits { Seal::Whole } else { Seal::Broken }))
}
