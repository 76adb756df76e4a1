//! What the names in a recipe stand for.

use std::path::PathBuf;

use crate::Error;

/// From a name in a recipe (a path or a hub id) to a local path, and the revision of a hub id.
pub type Find<'a> = &'a dyn Fn(&str) -> Result<(PathBuf, Option<String>), Error>;

/// Finds what a recipe names.
#[derive(Clone, Copy)]
pub struct Resolve<'a> {
    /// Models and tokenizers: directories.
    pub model: Find<'a>,
    /// Data: files and directories.
    pub data: Find<'a>,
}
