//! Names from files, kept inside the directory that they belong to.

use crate::{Digest, Error, limits};
use std::path::{Component, Path, PathBuf};

/// The path of the relative `name` below `root`.
///
/// Refused are absolute names, `..` (also in percent encoding), drive letters, backslashes, control characters, parts
/// longer than a file system takes, and existing links that lead out of `root`.
///
/// # Errors
/// [`Error::Outside`] with the name.
pub fn inside(root: &Path, name: &str) -> Result<PathBuf, Error> {
    let outside = || Error::Outside { name: name.to_owned(), root: root.to_owned() };
    if !is_plain(name) {
        return Err(outside());
    }
    let path = root.join(name);
    if link_leads_out(root, &path) { Err(outside()) } else { Ok(path) }
}

fn is_plain(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let suspicious = name.contains(['\\', ':']) || name.chars().any(char::is_control) || lower.contains("%2e%2e");
    let parts_are_plain = Path::new(name).components().all(|part| match part {
        Component::Normal(part) => part.len() <= limits::NAME_BYTES,
        _ => false,
    });
    !name.is_empty() && !suspicious && parts_are_plain && !name.ends_with('/')
}

/// Whether the deepest existing part of `path` really lies outside of `root`.
fn link_leads_out(root: &Path, path: &Path) -> bool {
    let Ok(real_root) = root.canonicalize() else { return false };
    let existing = path.ancestors().find(|part| part.symlink_metadata().is_ok());
    existing.is_some_and(|part| part.canonicalize().map_or(true, |real| !real.starts_with(&real_root)))
}

/// A file name made of any text: letters, digits, `-`, `_` and `.` stay, all else becomes `_`; where that or the length
/// lost something, a piece of the text's digest keeps different texts apart.
pub fn file_name(text: &str) -> String {
    const LONGEST: usize = 80;
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut name: String = text.chars().map(|c| if kept(c) { c } else { '_' }).take(LONGEST).collect();
    if name.starts_with(['.', '-']) || name.is_empty() {
        name.insert(0, '_');
    }
    if name != text {
        name.push('-');
        name.push_str(&Digest::of_bytes(text.as_bytes()).to_string()[..8]);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_are_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("sub")).unwrap();
        for name in [
            "",
            "..",
            "../x",
            "a/../../x",
            "/etc/passwd",
            "C:\\x",
            "\\\\host\\x",
            "%2e%2e/x",
            "a/%2E%2E/x",
            "a\0b",
            ".",
            "./x",
            "a\n",
            "sub/",
        ] {
            assert!(matches!(inside(root.path(), name), Err(Error::Outside { .. })), "{name:?}");
        }
        assert!(inside(root.path(), &"x".repeat(300)).is_err());
        for name in ["a", "sub/b.json", "sub/new/deep", "..a", "é 1"] {
            assert_eq!(inside(root.path(), name).unwrap(), root.path().join(name));
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(other.path(), root.path().join("out")).unwrap();
        std::os::unix::fs::symlink("/nowhere", root.path().join("dangling")).unwrap();
        std::fs::write(root.path().join("real"), "").unwrap();
        std::os::unix::fs::symlink("real", root.path().join("in")).unwrap();
        assert!(inside(root.path(), "out/x").is_err());
        assert!(inside(root.path(), "dangling").is_err());
        assert!(inside(root.path(), "in").is_ok());
    }

    #[test]
    fn file_names_are_tame_and_distinct() {
        assert_eq!(file_name("mmlu"), "mmlu");
        assert_ne!(file_name("mmlu/a"), file_name("mmlu:a"));
        let names = ["a/b", "..", "", "-x", "é", &"y".repeat(500), "a\u{202e}b"].map(file_name);
        assert!(names.iter().all(|n| n.len() < 100 && is_plain(n) && !n.starts_with(['.', '-'])), "{names:?}");
    }
}
