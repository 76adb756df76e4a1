//! Which files of a repository are needed.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::id::check_file;

/// Files beside the weights that a model may have.
const MODEL_FILES: [&str; 12] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "adapter_config.json",
];

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const ADAPTER: &str = "adapter_model.safetensors";

/// Shards that one index may name.
const MAX_SHARDS: usize = 10_000;

/// What a model needs, of the names in its folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// These files.
    Files(Vec<String>),
    /// This index, and the files that it names.
    Index(String),
    /// Only pickles, such as this one.
    Pickle(String),
    /// None at all.
    Missing,
}

/// The configuration, tokenizer and template among the names.
pub(crate) fn model_files(names: &[String]) -> Vec<String> {
    MODEL_FILES
        .iter()
        .filter(|wanted| names.iter().any(|name| name == *wanted))
        .map(|name| (*name).to_owned())
        .collect()
}

/// The weights among the names: one file, an index, an adapter, or else whatever safetensors there are.
pub(crate) fn weights(names: &[String]) -> Weights {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    for single in [SINGLE, ADAPTER] {
        if has(single) {
            return Weights::Files(vec![single.to_owned()]);
        }
    }
    if has(INDEX) {
        return Weights::Index(INDEX.to_owned());
    }
    let top = |name: &&String| !name.contains('/');
    let loose: Vec<String> = names
        .iter()
        .filter(top)
        .filter(|name| name.ends_with(".safetensors") && !name.starts_with("consolidated"))
        .cloned()
        .collect();
    if !loose.is_empty() {
        return Weights::Files(loose);
    }
    let pickled = |name: &&String| [".bin", ".pt", ".pth", ".ckpt", ".pkl"].iter().any(|end| name.ends_with(end));
    names.iter().filter(top).find(pickled).map_or(Weights::Missing, |name| Weights::Pickle(name.clone()))
}

/// The files that an index names, each checked.
pub(crate) fn shards(index: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
        #[serde(rename = "metadata")]
        _metadata: Option<IgnoredAny>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| format!("the index is no index: {error}"))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if shards.is_empty() || shards.len() > MAX_SHARDS {
        return Err(format!("the index names {}", groma_run::counted(shards.len(), "file")));
    }
    for shard in &shards {
        check_file(shard).map_err(|why| format!("the index names {shard:?}: {why}"))?;
        if !shard.ends_with(".safetensors") {
            return Err(format!("the index names {shard:?}, which is no safetensors file"));
        }
    }
    Ok(shards.into_iter().collect())
}

/// The data files among the names: those that a pattern (a name with at most one `*`, or a folder) selects; without a
/// pattern the only one, or the numbered pieces of the only one. Otherwise the names to choose from.
pub(crate) fn data_files(names: &[String], pattern: Option<&str>) -> Result<Vec<String>, Vec<String>> {
    if let Some(pattern) = pattern {
        let folder = format!("{pattern}/");
        let found: Vec<String> = names
            .iter()
            .filter(|name| matches(name, pattern) || (name.starts_with(&folder) && is_data(name)))
            .cloned()
            .collect();
        return if found.is_empty() {
            Err(names.iter().filter(|name| is_data(name)).cloned().collect())
        } else {
            Ok(found)
        };
    }
    let data: Vec<String> = names.iter().filter(|name| is_data(name)).cloned().collect();
    let pieces: BTreeSet<&str> = data.iter().map(|name| without_number(name)).collect();
    if pieces.len() == 1 { Ok(data) } else { Err(data) }
}

fn matches(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((head, tail)) => name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail),
    }
}

fn is_data(name: &str) -> bool {
    const KNOWN: [&str; 7] = ["jsonl", "ndjson", "json", "csv", "tsv", "parquet", "txt"];
    const METADATA: [&str; 4] = ["dataset_infos.json", "dataset_info.json", "requirements.txt", "LICENSE.txt"];
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.strip_suffix(".gz").or_else(|| file.strip_suffix(".zst")).unwrap_or(file);
    let extension = stem.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| KNOWN.contains(&extension)) && !METADATA.contains(&file) && !file.starts_with('.')
}

/// `train` for `train-00001-of-00004.parquet`; the whole name for a file that is no numbered piece.
fn without_number(name: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = name.split_once(".parquet").or_else(|| name.split_once(".json")).map_or(name, |(stem, _)| stem);
    let Some((rest, count)) = stem.rsplit_once("-of-") else { return name };
    match rest.rsplit_once('-') {
        Some((base, number)) if digits(number) && digits(count) => base,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn weights_are_safetensors_or_nothing() {
        let of = |all: &[&str]| weights(&names(all));
        let files = |all: &[&str]| Weights::Files(names(all));
        assert_eq!(of(&[SINGLE, INDEX, "pytorch_model.bin"]), files(&[SINGLE]));
        assert_eq!(
            of(&[INDEX, "model-00001-of-00002.safetensors", "consolidated.safetensors"]),
            Weights::Index(INDEX.to_owned())
        );
        assert_eq!(of(&["x.safetensors", "consolidated.safetensors", "onnx/y.safetensors"]), files(&["x.safetensors"]));
        assert_eq!(of(&[ADAPTER]), files(&[ADAPTER]));
        assert_eq!(of(&["pytorch_model.bin", "README.md"]), Weights::Pickle("pytorch_model.bin".to_owned()));
        assert_eq!(of(&["README.md"]), Weights::Missing);
        assert_eq!(
            model_files(&names(&["tokenizer.json", "evil.py", "config.json"])),
            ["config.json", "tokenizer.json"]
        );
    }

    #[test]
    fn indices_name_plain_files_only() {
        let index =
            |file: &str| format!(r#"{{"metadata":{{"total_size":1}},"weight_map":{{"a":{file:?},"b":{file:?}}}}}"#);
        assert_eq!(shards(index("m-1.safetensors").as_bytes()).unwrap(), ["m-1.safetensors"]);
        for file in ["../x.safetensors", "/x.safetensors", "a\\..\\x.safetensors", "%2e%2e/x.safetensors", "x.bin", ""]
        {
            assert!(shards(index(file).as_bytes()).is_err(), "{file}");
        }
        for text in ["", "[]", "{}", r#"{"weight_map":{}}"#, r#"{"weight_map":{"a":1}}"#] {
            assert!(shards(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn data_files_are_chosen_only_where_there_is_no_choice() {
        let one = names(&["README.md", "data.jsonl.gz", ".gitattributes", "dataset_infos.json"]);
        assert_eq!(data_files(&one, None).unwrap(), ["data.jsonl.gz"]);
        let pieces = names(&["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]);
        assert_eq!(data_files(&pieces, None).unwrap().len(), 2);
        let several = names(&["train.jsonl", "test.jsonl", "sub/x.csv", "sub/y.py"]);
        assert_eq!(data_files(&several, None).unwrap_err(), ["train.jsonl", "test.jsonl", "sub/x.csv"]);
        assert_eq!(data_files(&several, Some("test.jsonl")).unwrap(), ["test.jsonl"]);
        assert_eq!(data_files(&several, Some("t*.jsonl")).unwrap(), ["train.jsonl", "test.jsonl"]);
        assert_eq!(data_files(&several, Some("sub")).unwrap(), ["sub/x.csv"]);
        assert_eq!(data_files(&several, Some("none.csv")).unwrap_err().len(), 3);
        assert!(data_files(&names(&["README.md"]), None).unwrap_err().is_empty());
    }
}
