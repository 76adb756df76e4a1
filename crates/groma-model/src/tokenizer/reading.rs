//! The two readings of a Llama tokenizer.
//!
//! `tokenizer.json` says how a text becomes tokens, and models were trained with what it says: it agrees with SentencePiece,
//! where the `▁` before a text is one more even if the text begins with a space. Where `tokenizer_class` in
//! `tokenizer_config.json` is `LlamaTokenizer` or `LlamaTokenizerFast`, transformers 5 takes pieces and merges from
//! `tokenizer.json` and builds the rest anew, by `legacy` and `add_prefix_space`: a text that begins with a space gets no `▁`,
//! nor does one behind a control token unless `legacy` is true. Other classes read the file.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::config::{bad, object};
use super::error::Result;

/// The field of `tokenizer_config.json` that chooses.
const FIELD: &str = "groma_tokenizer";
const CONFIG: &str = "tokenizer_config.json";
const JSON: &str = "tokenizer.json";

/// From what a tokenizer is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// `tokenizer.json` as it is.
    #[default]
    File,
    /// Its pieces and merges, with the rest as `tokenizer_class` has it in transformers 5.
    Class,
}

/// A tokenizer of which there are two readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoReadings {
    /// The one that was taken: [`Reading::File`], unless `groma_tokenizer` in `tokenizer_config.json` is `class`.
    pub taken: Reading,
    /// The class by which transformers 5 builds it.
    pub class: String,
}

impl TwoReadings {
    /// What was done, and how the other reading is had.
    pub fn note(&self) -> String {
        let class = &self.class;
        match self.taken {
            Reading::File => format!(
                "{JSON} is read as it is, as models were trained with it; transformers 5 builds {class} anew, with other ids for \
                 some texts: \"{FIELD}\": \"class\" in {CONFIG} does so here too"
            ),
            Reading::Class => format!(
                "the tokenizer is built as transformers 5 builds {class}, with other ids than {JSON} has for some texts; \
                 \"{FIELD}\": \"file\" in {CONFIG} reads that file as it is"
            ),
        }
    }
}

/// Applies the reading that the files choose to them, so that any reader of the result, transformers 5 included, gets the same
/// ids; `None` for a tokenizer of one reading. With it what is to be read in place of `tokenizer.json`, where it is not that.
///
/// # Errors
/// Where `groma_tokenizer` is no reading.
pub(super) fn settle(files: &mut BTreeMap<String, Vec<u8>>) -> Result<Option<(TwoReadings, Option<Vec<u8>>)>> {
    let mut config = object(files, CONFIG)?;
    let Some(class) = config.get("tokenizer_class").and_then(Value::as_str).map(str::to_owned) else { return Ok(None) };
    if class.trim_end_matches("Fast") != "LlamaTokenizer" || config.contains_key("auto_map") {
        return Ok(None);
    }
    let taken = match config.get(FIELD) {
        None | Some(Value::Null) => Reading::File,
        Some(Value::String(name)) if name == "file" => Reading::File,
        Some(Value::String(name)) if name == "class" => Reading::Class,
        Some(other) => return Err(bad(CONFIG, format!("`{FIELD}` is {other}; it is \"file\" or \"class\""))),
    };
    let mut parts = object(files, JSON)?;
    let is_pieces = parts.get("model").and_then(|model| model.get("type")).and_then(Value::as_str) == Some("BPE");
    if !is_pieces || ["pre_tokenizer", "decoder"].iter().any(|part| has_byte_level(parts.get(*part))) {
        return Ok(None);
    }
    let built = match taken {
        Reading::File => {
            config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
            files.insert(CONFIG.into(), written(&config)?);
            None
        }
        Reading::Class => {
            build_anew(&mut parts, &config);
            Some(written(&parts)?)
        }
    };
    Ok(Some((TwoReadings { taken, class }, built)))
}

fn written(fields: &Map<String, Value>) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(fields).map_err(|error| bad(CONFIG, error.to_string()))
}

fn has_byte_level(step: Option<&Value>) -> bool {
    let Some(step) = step else { return false };
    let inner = ["pretokenizers", "decoders"].into_iter().filter_map(|list| step.get(list)?.as_array()).flatten();
    step.get("type").and_then(Value::as_str) == Some("ByteLevel")
        || inner.into_iter().any(|one| has_byte_level(Some(one)))
}

/// Everything but pieces, merges and post-processor as `LlamaTokenizer` of transformers 5.24 makes it.
fn build_anew(parts: &mut Map<String, Value>, config: &Map<String, Value>) {
    let flag = |name: &str, default: bool| config.get(name).and_then(Value::as_bool).unwrap_or(default);
    let prefix = flag("add_prefix_space", true);
    let scheme = match (prefix, flag("legacy", false)) {
        (false, _) => "never",
        (true, true) => "always",
        (true, false) => "first",
    };
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let pre_tokenizer = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false });
    parts.insert("normalizer".into(), Value::Null);
    parts.insert("pre_tokenizer".into(), pre_tokenizer);
    parts.insert("decoder".into(), json!({ "type": "Sequence", "decoders": decoders }));
    if let Some(model) = parts.get_mut("model").and_then(Value::as_object_mut) {
        for part in ["unk_token", "continuing_subword_prefix", "end_of_word_suffix"] {
            model.insert(part.into(), Value::Null);
        }
        model.extend([("fuse_unk".into(), json!(true)), ("byte_fallback".into(), json!(true))]);
        model.insert("ignore_merges".into(), json!(false));
    }
}
