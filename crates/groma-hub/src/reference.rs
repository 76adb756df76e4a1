//! A text that means a local path or a hub id.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::id::{HubId, parse, shortened};

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A file or directory here.
    Local(PathBuf),
    /// A repository on the hub.
    Hub(HubId),
}

impl Reference {
    /// An existing path is that path; anything else must be a hub id. What is written as a path (`./x`, `/x`, `../x`,
    /// `~/x`), or ends as files of data do, is never taken for an id.
    ///
    /// # Errors
    /// [`Error::Unresolved`], which explains both readings.
    pub fn resolve(text: &str) -> Result<Self> {
        let path = PathBuf::from(text);
        if !text.is_empty() && path.exists() {
            return Ok(Reference::Local(path));
        }
        let unresolved = |why| Error::Unresolved { text: shortened(text), why };
        if text.starts_with(['.', '/', '~', '\\']) || text.contains('\\') {
            return Err(unresolved("it is written as a path".to_owned()));
        }
        if !text.contains(':') && FILES.iter().any(|ending| text.ends_with(ending)) {
            return Err(unresolved("it is written as the name of a file".to_owned()));
        }
        parse(text).map(Reference::Hub).map_err(unresolved)
    }
}

/// Endings of files of data and recipes, which no repository has: `data/pairs.jsonl` that is missing is a missing file.
const FILES: [&str; 10] =
    [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt", ".toml", ".safetensors", ".gz", ".zst"];

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Classify;

    #[test]
    fn an_existing_path_wins() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("a");
        std::fs::create_dir(&path).unwrap();
        let text = path.to_str().unwrap();
        assert_eq!(Reference::resolve(text).unwrap(), Reference::Local(path.clone()));
        assert_eq!(Reference::resolve("src/lib.rs").unwrap(), Reference::Local("src/lib.rs".into()));
        assert_eq!(Reference::resolve("no/such").unwrap(), Reference::Hub("no/such".parse().unwrap()));
    }

    #[test]
    fn both_readings_are_explained() {
        for (text, why) in [
            ("gpt2", "lacks the owner"),
            ("", "lacks the owner"),
            ("./no/such", "written as a path"),
            ("/no/such", "written as a path"),
            ("~/models/x", "written as a path"),
            ("models\\x", "written as a path"),
            ("weights/a/b", "'/'"),
            ("data/pairs.jsonl", "name of a file"),
        ] {
            let error = Reference::resolve(text).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("no such file or directory") && message.contains(why), "{message}");
            assert!(error.hint().unwrap().contains("owner/name@revision"));
        }
    }
}
