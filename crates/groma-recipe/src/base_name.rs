//! The name that a model has for others.

use std::path::Path;

use groma_model::base_checkpoint;

/// Where transformers keeps the name under which a model was opened.
const ORIGIN: &str = "_name_or_path";

/// What a model card calls the model that training began with: its hub id; of a directory the hub id that its configuration
/// tells, or else the directory's own name, as the way to it means nothing elsewhere.
pub fn base_name(named: &str, directory: &Path) -> String {
    if !Path::new(named).exists() {
        return named.to_owned();
    }
    let checkpoint = base_checkpoint(directory).ok();
    let config = checkpoint.as_ref().map(|checkpoint| checkpoint.config().map());
    let origin = config.and_then(|config| config.get(ORIGIN)?.as_str().map(str::to_owned));
    let own = || {
        let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        directory.file_name().map(|name| name.to_string_lossy().into_owned())
    };
    origin.filter(|origin| is_hub_id(origin)).or_else(own).unwrap_or_else(|| named.to_owned())
}

/// Whether it is written as `owner/name`.
fn is_hub_id(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_called_by_its_own_name() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("my-model");
        std::fs::create_dir(&path).unwrap();
        assert_eq!(base_name(path.to_str().unwrap(), &path), "my-model");
        assert_eq!(base_name("owner/name@main", &path), "owner/name@main");
        let found = ["owner/name", "/home/me/x", "./x/y", "a/b/c", "gpt2", "../x"].map(is_hub_id);
        assert_eq!(found, [true, false, false, false, false, false]);
    }
}
