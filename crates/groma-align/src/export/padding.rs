//! The token that fills batches of a reward model.
//!
//! transformers takes the score at the last token that is not the pad token. Without one it refuses batches; with the EOS as
//! one, which is the usual repair, it reads the token before the EOS. So a reward model names one that ends no sequence.

use crate::Error;
use groma_model::{Tokenizer, Weights};
use serde_json::{Map, Value, json};

/// The text of a pad token that is made.
const MADE: &str = "<|pad|>";

/// A pad token for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Padding {
    text: String,
    /// Its id.
    pub(super) id: u32,
    /// Whether the tokenizer does not have it yet.
    pub(super) is_made: bool,
}

impl Padding {
    /// The tokenizer's own, its unknown token or its BOS, whichever first is there and ends nothing; else one that is made.
    pub(super) fn of(tokenizer: &Tokenizer, stop_ids: &[u32]) -> Padding {
        let ends = |id: &u32| stop_ids.contains(id) || tokenizer.eos() == Some(*id);
        let roles = [tokenizer.pad(), tokenizer.unk(), tokenizer.bos()].into_iter().flatten();
        let found = roles.filter(|id| !ends(id)).find_map(|id| Some((id, tokenizer.token(id)?)));
        match found {
            Some((id, text)) => Padding { text, id, is_made: false },
            None => Padding { text: MADE.to_owned(), id: tokenizer.vocab_size() as u32, is_made: true },
        }
    }

    /// Gives a made token its row in the embedding, where there is none to spare.
    pub(super) fn grow(&self, weights: &mut Weights, vocab_size: usize) -> usize {
        let wanted = vocab_size.max(self.id as usize + 1);
        if let Some(embedding) = weights.get_mut("embed.weight").filter(|_| wanted > vocab_size) {
            let width = embedding.shape.get(1).copied().unwrap_or(0);
            embedding.values.resize(wanted * width, 0.0);
            embedding.shape = vec![wanted, width];
        }
        wanted
    }

    /// Names the token in the tokenizer's files.
    pub(super) fn name_in(&self, files: &mut [(String, Vec<u8>)]) -> Result<(), Error> {
        for (name, bytes) in files {
            match name.as_str() {
                "tokenizer.json" if self.is_made => change(bytes, |fields| {
                    let token = json!({
                        "id": self.id, "content": self.text, "special": true, "normalized": false,
                        "single_word": false, "lstrip": false, "rstrip": false,
                    });
                    match fields.get_mut("added_tokens").and_then(Value::as_array_mut) {
                        Some(tokens) => tokens.push(token),
                        None => drop(fields.insert("added_tokens".into(), json!([token]))),
                    }
                })?,
                "tokenizer_config.json" | "special_tokens_map.json" => {
                    change(bytes, |fields| drop(fields.insert("pad_token".into(), json!(self.text))))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Changes the object in a file; one that names the token already stays as it is to the byte.
fn change(bytes: &mut Vec<u8>, change: impl Fn(&mut Map<String, Value>)) -> Result<(), Error> {
    let wrong =
        |error: serde_json::Error| groma_model::Error::Weights { problem: format!("a tokenizer's file: {error}") };
    let before: Map<String, Value> = serde_json::from_slice(bytes).map_err(wrong)?;
    let mut after = before.clone();
    change(&mut after);
    if after != before {
        *bytes = serde_json::to_vec_pretty(&after).map_err(wrong)?;
    }
    Ok(())
}
