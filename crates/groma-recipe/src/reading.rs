//! How the columns of files are read.

use serde::{Deserialize, Serialize};

/// How the columns of a file are read, where its own names do not say it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// The name of its layout (see [`groma_data::LAYOUTS`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// Columns to call by another name, as `NEW=OLD`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<String>,
    /// Columns to do without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
}

impl Reading {
    /// Whether nothing is asked for.
    pub fn is_plain(&self) -> bool {
        *self == Reading::default()
    }
}
