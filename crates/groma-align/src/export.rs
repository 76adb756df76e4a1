//! What training leaves: a model in Hugging Face layout, or an adapter in PEFT layout, with its card; read back before
//! success is declared.

mod card;
mod padding;

pub use card::Card;

use crate::setup::{has_adapter, peft_config};
use crate::{Error, Settings};
use groma_model::{AdapterFile, BaseModel, Export, Tokenizer, Transformer};
use padding::Padding;
use serde_json::{Map, Value, json};
use std::path::Path;

/// What training began with, and what goes beside its result.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// The configuration of the model before training.
    pub config: &'a Map<String, Value>,
    /// Its `generation_config.json`.
    pub generation_config: Option<&'a Map<String, Value>>,
    /// What an adapter calls it.
    pub base: BaseModel,
    /// Its tokenizer, where it has one.
    pub tokenizer: Option<&'a Tokenizer>,
    /// Ids that end an answer, as it was trained.
    pub stop_ids: &'a [u32],
    /// Files of the tokenizer, and others to be written beside.
    pub files: &'a [(String, Vec<u8>)],
}

/// Writes a trained model, whole or not at all, and reads it back.
///
/// A model with an adapter is written as the adapter alone, in PEFT layout (with its heads other than the unembedding); any
/// other one in Hugging Face layout: a language model with all tokens that end its answers, a reward model with a pad token.
///
/// # Errors
/// Where weights are not finite, writing fails, or what was written reads back differently.
pub fn export(
    model: &Transformer,
    settings: &Settings,
    origin: &Origin<'_>,
    card: &Card,
    directory: &Path,
) -> Result<(), Error> {
    let predicts = model.spec().predicts();
    let padding = origin.tokenizer.filter(|_| !predicts).map(|tokenizer| Padding::of(tokenizer, origin.stop_ids));
    let opening = padding.as_ref().filter(|_| has_adapter(model)).map(|padding| padding.opening(model.spec()));
    let text = card.markdown(settings, has_adapter(model), opening.as_deref());
    let mut files = origin.files.to_vec();
    if let (Some(lora), Some(adapter)) = (&settings.training.lora, model.adapter()) {
        let config = peft_config(lora, origin.base.clone());
        let (heads, head_weights) = (model.spec().outputs.clone(), model.head_weights());
        let file = AdapterFile { config, pairs: adapter.pairs, heads, head_weights };
        if let Some((padding, tokenizer)) = padding.as_ref().zip(origin.tokenizer) {
            padding.name_in(tokenizer, &mut files)?;
        }
        file.write(directory, model.spec(), Some(&text), &files)?;
        return verify_adapter(&file, model, directory);
    }
    let (mut spec, mut weights, mut config) = (model.spec().clone(), model.weights(), origin.config.clone());
    if let Some((padding, tokenizer)) = padding.as_ref().zip(origin.tokenizer) {
        spec.vocab_size = padding.grow(&mut weights, spec.vocab_size);
        padding.name_in(tokenizer, &mut files)?;
        config.insert("pad_token_id".into(), json!(padding.id));
    }
    let generation = generation_config(origin);
    let export = Export {
        generation_config: generation.as_ref().filter(|_| predicts),
        files: &files,
        card: Some(&text),
        ..Export::new(&config, &spec, &weights)
    };
    export.write(directory)?;
    Ok(export.verify(directory)?)
}

/// The model's own, with all ids that end an answer where it does not know them.
fn generation_config(origin: &Origin<'_>) -> Option<Map<String, Value>> {
    let known = |fields: &Map<String, Value>| match fields.get("eos_token_id") {
        Some(Value::Array(ids)) => Some(ids.iter().filter_map(Value::as_u64).collect::<Vec<_>>()),
        Some(id) => id.as_u64().map(|id| vec![id]),
        None => None,
    };
    let own = origin.generation_config;
    let listed = own.and_then(known).or_else(|| known(origin.config)).unwrap_or_default();
    let more: Vec<u64> = origin.stop_ids.iter().map(|&id| u64::from(id)).filter(|id| !listed.contains(id)).collect();
    if more.is_empty() {
        return own.cloned();
    }
    let mut config = own.cloned().unwrap_or_default();
    let all: Vec<u64> = listed.into_iter().chain(more).collect();
    config.insert("eos_token_id".into(), if let [only] = all[..] { json!(only) } else { json!(all) });
    Some(config)
}

fn verify_adapter(written: &AdapterFile, model: &Transformer, directory: &Path) -> Result<(), Error> {
    let read = AdapterFile::read(directory, model.spec())?;
    let heads = read.heads == written.heads && read.head_weights == written.head_weights;
    if !heads || read.pairs != written.pairs || read.lora().scale != written.lora().scale {
        let problem = "factors, scale or heads differ".to_owned();
        return Err(groma_model::Error::Verification { path: directory.to_owned(), problem }.into());
    }
    Ok(())
}
