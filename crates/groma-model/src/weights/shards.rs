//! The weight files of a model directory: one file, or shards and their index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::weights::config::read_limited;
use crate::weights::safetensors::SafetensorsFile;

/// Name of the weights in one file.
pub(crate) const SINGLE: &str = "model.safetensors";
/// Name of the index of shards.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

const INDEX_BYTES_LIMIT: u64 = 64 << 20;
const SHARD_LIMIT: usize = 4096;

/// Where the weights of a model lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightFiles {
    /// The safetensors files, in order of their names.
    pub files: Vec<PathBuf>,
    /// The index, where the weights are sharded.
    pub index: Option<PathBuf>,
    /// Tensor to position in `files`, as the index has it.
    map: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl WeightFiles {
    /// Looks for the weights of a model directory; like transformers, prefers the single file.
    ///
    /// # Errors
    /// [`Error::Pickle`] where there are only files of pickles, [`Error::NoWeights`] where there is nothing, and
    /// [`Error::Index`] where the index leads out of the directory, to missing files, or is malformed.
    pub fn find(directory: &Path) -> Result<WeightFiles> {
        let single = directory.join(SINGLE);
        if single.exists() {
            return Ok(WeightFiles { files: vec![single], index: None, map: BTreeMap::new() });
        }
        let index = directory.join(INDEX);
        if index.exists() {
            return WeightFiles::follow(directory, &index);
        }
        Err(match pickle_in(directory)? {
            Some(path) => Error::Pickle { path },
            None => Error::NoWeights { path: directory.into() },
        })
    }

    fn follow(directory: &Path, path: &Path) -> Result<WeightFiles> {
        let bytes = read_limited(path, "an index of weights", INDEX_BYTES_LIMIT)?;
        let index: Index =
            serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.into(), source })?;
        let wrong = |problem: String| Error::Index { path: path.into(), problem };
        let names: BTreeSet<&String> = index.weight_map.values().collect();
        if names.is_empty() || names.len() > SHARD_LIMIT {
            return Err(wrong(format!(
                "names {}; 1 to {SHARD_LIMIT} are allowed",
                groma_run::counted(names.len(), "file")
            )));
        }
        let names: Vec<&String> = names.into_iter().collect();
        let files = names.iter().map(|name| shard_path(directory, name).map_err(wrong)).collect::<Result<Vec<_>>>()?;
        let position = |name: &String| names.binary_search(&name).unwrap_or(0);
        let map = index.weight_map.iter().map(|(tensor, name)| (tensor.clone(), position(name))).collect();
        Ok(WeightFiles { files, index: Some(path.into()), map })
    }

    /// Whether there is a tensor of this name; files that cannot be read have none.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.index {
            Some(_) => self.map.contains_key(name),
            None => self.files.iter().any(|p| SafetensorsFile::open(p).is_ok_and(|f| f.entries().contains_key(name))),
        }
    }

    /// Opens all files; returns them with the position of each tensor's file.
    ///
    /// # Errors
    /// Where a header lies, or the index and the shards disagree.
    pub fn open(&self) -> Result<(Vec<SafetensorsFile>, BTreeMap<String, usize>)> {
        let files = self.files.iter().map(|path| SafetensorsFile::open(path)).collect::<Result<Vec<_>>>()?;
        let mut found = BTreeMap::new();
        for (position, file) in files.iter().enumerate() {
            for name in file.entries().keys() {
                if let Some(other) = found.insert(name.clone(), position) {
                    let shown = [other, position].map(|position| file_name(&self.files[position]));
                    return Err(self.wrong(format!("`{name}` is in both {} and {}", shown[0], shown[1])));
                }
            }
        }
        self.compare(&found)?;
        Ok((files, found))
    }

    fn compare(&self, found: &BTreeMap<String, usize>) -> Result<()> {
        if self.index.is_none() {
            return Ok(());
        }
        if let Some((name, position)) = self.map.iter().find(|(name, position)| found.get(*name) != Some(position)) {
            return Err(self.wrong(format!("`{name}` is not in {}", file_name(&self.files[*position]))));
        }
        match found.iter().find(|(name, _)| !self.map.contains_key(*name)) {
            Some((name, position)) => {
                Err(self.wrong(format!("does not list `{name}` of {}", file_name(&self.files[*position]))))
            }
            None => Ok(()),
        }
    }

    fn wrong(&self, problem: String) -> Error {
        let path = self.index.clone().or_else(|| self.files.first().cloned()).unwrap_or_default();
        Error::Index { path, problem }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A shard's path, which must be a safetensors file in the directory itself.
///
/// In a snapshot of the hub's cache files are links into `blobs` beside `snapshots`; a link to anywhere else is refused.
fn shard_path(directory: &Path, name: &str) -> Result<PathBuf, String> {
    let mut components = Path::new(name).components();
    let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    let suspicious = |character: char| matches!(character, '/' | '\\' | ':' | '%') || character.is_control();
    if !plain || name.contains(suspicious) || !name.ends_with(".safetensors") {
        return Err(format!("names {name:?}, which is not the plain name of a safetensors file"));
    }
    let path = directory.join(name);
    let real = path.canonicalize().map_err(|error| format!("names {name}, which cannot be opened: {error}"))?;
    let home = directory.canonicalize().map_err(|error| error.to_string())?;
    let blobs = home.parent().filter(|parent| parent.ends_with("snapshots")).and_then(Path::parent);
    let in_blobs = blobs.is_some_and(|repository| real.starts_with(repository.join("blobs")));
    if real.starts_with(&home) || in_blobs {
        return Ok(path);
    }
    Err(format!("names {name}, which is a link out of the directory, to {}", real.display()))
}

fn pickle_in(directory: &Path) -> Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(directory).map_err(Error::io("list", directory))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let is_pickle = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("bin" | "pt" | "pth" | "ckpt" | "pkl"))
    };
    Ok(paths.into_iter().find(is_pickle))
}
