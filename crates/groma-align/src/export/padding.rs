//! The token that fills batches of a reward model.
//!
//! transformers takes the score at the last token that is not the pad token. Without one it refuses batches; with the EOS as
//! one, which is the usual repair, it reads the token before the EOS. So a reward model names one that ends no sequence.
//!
//! An adapter names it in its tokenizer alone: the configuration is its base's, and so is the embedding. peft makes room for a
//! token that the base has no row for; the configuration is told by whoever opens it, which the card says.

use crate::Error;
use groma_model::{Spec, Tokenizer, Weights};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What pad tokens are called that no file gives the role; the first is the text of one that is made.
const NAMES: [&str; 4] = ["<|pad|>", "<pad>", "[PAD]", "<|padding|>"];

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
    /// The tokenizer's own, a control token of that name, its unknown token or its BOS, whichever first is there and ends
    /// nothing; else one that is made.
    pub(super) fn of(tokenizer: &Tokenizer, stop_ids: &[u32]) -> Padding {
        let ends = |id: &u32| stop_ids.contains(id) || tokenizer.eos() == Some(*id);
        let named = NAMES.iter().filter_map(|name| tokenizer.id(name)).filter(|id| tokenizer.is_control(*id));
        let roles = tokenizer.pad().into_iter().chain(named).chain(tokenizer.unk()).chain(tokenizer.bos());
        let mut fitting = roles.filter(|id| !ends(id));
        match fitting.find_map(|id| Some((id, tokenizer.token(id)?))) {
            Some((id, text)) => Padding { text, id, is_made: false },
            None => Padding { text: unused(tokenizer), id: tokenizer.vocab_size() as u32, is_made: true },
        }
    }

    /// How transformers opens an adapter of such a model so that batches are read rightly, in Markdown.
    pub(super) fn opening(&self, spec: &Spec) -> String {
        let labels = spec.attributes().len().max(1);
        let room = match self.id as usize >= spec.vocab_size {
            true => " Its row in the embedding, which the base lacks, is made by peft, and never read.",
            false => "",
        };
        format!(
            "transformers reads a score at the last token that is not the pad token, and takes that token from the base's \
             configuration. The one of this adapter is `{text}` ({id}), which ends no text.{room}\n\n\
             ```python\n\
             from peft import AutoPeftModelForSequenceClassification\n\
             from transformers import AutoTokenizer\n\n\
             tokenizer = AutoTokenizer.from_pretrained(ADAPTER)\n\
             model = AutoPeftModelForSequenceClassification.from_pretrained(ADAPTER, num_labels={labels})\n\
             model.config.pad_token_id = tokenizer.pad_token_id  # {id}\n\
             ```\n",
            text = self.text.replace('`', "'"),
            id = self.id,
        )
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
    pub(super) fn name_in(&self, tokenizer: &Tokenizer, files: &mut Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        if !files.iter().any(|(name, _)| name == "tokenizer_config.json") {
            files.push(("tokenizer_config.json".to_owned(), b"{}".to_vec()));
        }
        for (name, bytes) in files {
            match name.as_str() {
                "tokenizer.json" if self.is_made => change(bytes, |fields| self.add_to(fields, tokenizer))?,
                "tokenizer_config.json" | "special_tokens_map.json" => {
                    change(bytes, |fields| drop(fields.insert("pad_token".into(), json!(self.text))))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds a made token to a `tokenizer.json`, behind those that only other files add to it: ids go by the order.
    fn add_to(&self, fields: &mut Map<String, Value>, tokenizer: &Tokenizer) {
        let added = fields.get("added_tokens").and_then(Value::as_array).into_iter().flatten();
        let mut known: BTreeSet<String> = added.filter_map(|token| text(token.get("content")?)).collect();
        match fields.get("model").and_then(|model| model.get("vocab")) {
            Some(Value::Object(vocab)) => known.extend(vocab.keys().cloned()),
            Some(Value::Array(vocab)) => known.extend(vocab.iter().filter_map(|token| text(token.get(0)?))),
            _ => {}
        }
        let others = (0..self.id).filter_map(|id| Some((id, tokenizer.token(id)?)));
        let others = others.filter(|(_, text)| !known.contains(text));
        let entry = |(id, text): (u32, String)| {
            json!({
                "id": id, "content": text, "special": id == self.id || tokenizer.is_control(id), "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false,
            })
        };
        let new = others.chain([(self.id, self.text.clone())]).map(entry);
        match fields.get_mut("added_tokens").and_then(Value::as_array_mut) {
            Some(tokens) => tokens.extend(new),
            None => drop(fields.insert("added_tokens".into(), new.collect())),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A text that is no token yet.
fn unused(tokenizer: &Tokenizer) -> String {
    let numbered = (1..).map(|number| format!("<|pad_{number}|>"));
    let mut texts = std::iter::once(NAMES[0].to_owned()).chain(numbered);
    texts.find(|text| tokenizer.id(text).is_none()).unwrap_or_default()
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
