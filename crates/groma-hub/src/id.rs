//! Hub ids: `owner/name[@revision][:file]`, and what may stand in them.
//!
//! Every part ends up in a path and in an address, so what could lead elsewhere is refused here, once, whether it comes
//! from a user or from a server.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Characters of an owner or a name (the hub's limit).
const PART_CHARACTERS: usize = 96;
/// Characters of a revision.
const REVISION_CHARACTERS: usize = 255;
/// Characters of a file's path, and of one folder in it.
const FILE_CHARACTERS: usize = 1024;
const FOLDER_CHARACTERS: usize = 255;

/// The revision that is meant if none is named.
const DEFAULT_REVISION: &str = "main";

/// A repository on the hub, a revision of it, and perhaps a file or folder in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubId {
    owner: String,
    name: String,
    revision: Option<String>,
    file: Option<String>,
}

impl HubId {
    /// `owner/name`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The branch, tag or commit; `main` if none is named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_REVISION)
    }

    /// Whether the revision is a full commit hash, so that the id always means the same files.
    pub fn is_pinned(&self) -> bool {
        self.revision.as_deref().is_some_and(is_commit)
    }

    /// The file or folder in the repository, if one is named; at most one `*` in it stands for any characters.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The same id at a commit.
    #[must_use]
    pub fn pinned(&self, commit: &str) -> Self {
        HubId { revision: Some(commit.to_owned()), ..self.clone() }
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        if let Some(file) = &self.file {
            write!(f, ":{file}")?;
        }
        Ok(())
    }
}

impl FromStr for HubId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|why| Error::Id { text: shortened(text), why })
    }
}

/// Reads an id, or says why it is none.
pub(crate) fn parse(text: &str) -> Result<HubId, String> {
    let (repository, file) = match text.split_once(':') {
        Some((repository, file)) => (repository, Some(file)),
        None => (text, None),
    };
    let (repository, revision) = match repository.split_once('@') {
        Some((repository, revision)) => (repository, Some(revision)),
        None => (repository, None),
    };
    let Some((owner, name)) = repository.split_once('/') else {
        return Err("it lacks the owner (owner/name)".to_owned());
    };
    check_part("owner", owner)?;
    check_part("name", name)?;
    if let Some(revision) = revision {
        check_revision(revision)?;
    }
    if let Some(file) = file {
        check_file(&file.replacen('*', "x", 1))?;
    }
    let owned = |part: Option<&str>| part.map(str::to_owned);
    Ok(HubId { owner: owner.to_owned(), name: name.to_owned(), revision: owned(revision), file: owned(file) })
}

/// A text short enough for a message.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 100;
    if text.chars().count() <= SHOWN { text.to_owned() } else { text.chars().take(SHOWN).chain(['…']).collect() }
}

/// Whether a text is a full commit hash.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn check_part(what: &str, part: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if part.is_empty() || part.len() > PART_CHARACTERS {
        return Err(format!("its {what} must have 1 to {PART_CHARACTERS} characters"));
    }
    if let Some(odd) = part.chars().find(|c| !plain(*c)) {
        return Err(format!("its {what} holds {odd:?}; letters, digits, '-', '_' and '.' are allowed"));
    }
    if part.contains("..") || part.contains("--") || part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
        return Err(format!("its {what} must not begin or end with '-' or '.', nor hold '--' or '..'"));
    }
    if is_device(part) {
        return Err(format!("its {what} is the name of a device on some systems"));
    }
    Ok(())
}

fn check_revision(revision: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if revision.is_empty() || revision.len() > REVISION_CHARACTERS {
        return Err(format!("its revision must have 1 to {REVISION_CHARACTERS} characters"));
    }
    if let Some(odd) = revision.chars().find(|c| !plain(*c)) {
        return Err(format!("its revision holds {odd:?}"));
    }
    if revision.starts_with('-') || revision.split('/').any(|part| part.is_empty() || is_dots(part) || is_device(part))
    {
        return Err("its revision has an empty part, begins with '-', or leads elsewhere".to_owned());
    }
    Ok(())
}

/// Checks the path of a file inside a repository: relative, below the root, and a plain name on every system.
pub(crate) fn check_file(file: &str) -> Result<(), String> {
    if file.is_empty() || file.len() > FILE_CHARACTERS {
        return Err(format!("its file must have 1 to {FILE_CHARACTERS} bytes"));
    }
    if let Some(odd) = file.chars().find(|c| is_odd(*c)) {
        return Err(format!("its file holds {odd:?}"));
    }
    if file.to_ascii_lowercase().contains("%2e") || file.to_ascii_lowercase().contains("%2f") {
        return Err("its file hides dots or slashes in percent signs".to_owned());
    }
    for part in file.split('/') {
        if part.is_empty() || part.len() > FOLDER_CHARACTERS || is_dots(part) || part.ends_with(['.', ' ']) {
            return Err("its file is no relative path below the repository".to_owned());
        }
        if is_device(part) || part.starts_with('-') {
            return Err("its file has a part that some systems or programs take for something else".to_owned());
        }
    }
    Ok(())
}

fn is_dots(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte == b'.') || part.contains("..")
}

/// Characters that a path on some system, a shell or a terminal takes for something else.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Names that Windows reserves, with any extension.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_read_and_written() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (text, repository, revision, file) in [
            ("a/b", "a/b", "main", None),
            ("Org-1/My_Model.v2@v1.0", "Org-1/My_Model.v2", "v1.0", None),
            ("a/b@refs/pr/5", "a/b", "refs/pr/5", None),
            ("a/b:data/train-*.parquet", "a/b", "main", Some("data/train-*.parquet")),
            (&format!("a/b@{commit}:x.jsonl.gz"), "a/b", commit, Some("x.jsonl.gz")),
            ("a/b:dossier/été 1.txt", "a/b", "main", Some("dossier/été 1.txt")),
        ] {
            let id: HubId = text.parse().unwrap();
            assert_eq!((&*id.repository(), id.revision(), id.file()), (repository, revision, file));
            assert_eq!(id.to_string(), text);
            assert_eq!(id.is_pinned(), text.contains(commit));
            assert!(id.pinned(commit).is_pinned());
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = format!("a/{}", "x".repeat(5000));
        let hostile = [
            "",
            "/",
            "a",
            "a/",
            "/b",
            "a/b/c",
            "a//b",
            "../b",
            "a/..",
            "./b",
            "a/.",
            "a/b..c",
            "a/b--c",
            "-a/b",
            "a/-b",
            "a/b-",
            "a/b.",
            ".a/b",
            "a/b\\c",
            "a\\b",
            "a/b\0",
            "a/b c",
            "a/b\n",
            "a/b%2e%2e",
            "a/\u{202e}b",
            "a/bé",
            "a/CON",
            "nul/b",
            "a/com1.x",
            "file:///etc/passwd",
            "http://169.254.169.254/x",
            "~/b",
            "$HOME/b",
            "a/b@",
            "a/b@..",
            "a/b@a/../b",
            "a/b@/x",
            "a/b@x//y",
            "a/b@-x",
            "a/b@x y",
            "a/b@x\\y",
            "a/b@x@y",
            "a/b@x%2f",
            "a/b@lpt1",
            "a/b:",
            "a/b:/etc/passwd",
            "a/b:../x",
            "a/b:x/../../y",
            "a/b:x/./y",
            "a/b:x//y",
            "a/b:x/",
            "a/b:C:\\x",
            "a/b:x\\..\\y",
            "a/b:x\0y",
            "a/b:%2e%2e/x",
            "a/b:x%2Fy",
            "a/b:\u{202e}x",
            "a/b:x.",
            "a/b:x ",
            "a/b:aux.json",
            "a/b:-rf",
            "a/b:x\ny",
            "a/b:**",
            "a/b:x?y",
            "a/b:\u{feff}x",
            &long,
        ];
        for text in hostile {
            let error = text.parse::<HubId>().unwrap_err().to_string();
            assert!(error.len() < 800 && !error.contains('\n') && !error.contains('\u{202e}'), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_inside(text in "[a./:@*\\\\%-]{0,12}|a/b:[a-z./*%-]{1,12}") {
            if let Ok(id) = text.parse::<HubId>() {
                for part in [id.repository(), id.revision().to_owned(), id.file().unwrap_or("x").to_owned()] {
                    prop_assert!(!part.split('/').any(|p| p.is_empty() || p == "." || p == ".."));
                    prop_assert!(!part.contains('\\') && !part.starts_with('/'));
                }
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
