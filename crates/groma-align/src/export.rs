//! What training leaves: a model in Hugging Face layout, or an adapter in PEFT layout, with its card; read back before
//! success is declared.

mod card;

pub use card::Card;

use crate::setup::{has_adapter, peft_config};
use crate::{Error, Settings};
use groma_model::{AdapterFile, Export, Transformer};
use serde_json::{Map, Value};
use std::path::Path;

/// Writes a trained model, whole or not at all, and reads it back.
///
/// A model with an adapter is written as the adapter alone, in PEFT layout (with its heads other than the unembedding); any
/// other one in Hugging Face layout. `config` is that of the model before training, `files` are those of the tokenizer.
///
/// # Errors
/// Where weights are not finite, writing fails, or what was written reads back differently.
pub fn export(
    model: &Transformer,
    settings: &Settings,
    config: &Map<String, Value>,
    generation_config: Option<&Map<String, Value>>,
    files: &[(String, Vec<u8>)],
    card: &Card,
    directory: &Path,
) -> Result<(), Error> {
    let text = card.markdown(settings, has_adapter(model));
    match (&settings.training.lora, model.adapter()) {
        (Some(lora), Some(adapter)) => {
            let config = peft_config(lora, card.base_model.clone());
            let (heads, head_weights) = (model.spec().outputs.clone(), model.head_weights());
            let file = AdapterFile { config, pairs: adapter.pairs, heads, head_weights };
            file.write(directory, model.spec(), Some(&text), files)?;
            verify_adapter(&file, model, directory)
        }
        _ => {
            let weights = model.weights();
            let export = Export {
                generation_config: generation_config.filter(|_| model.spec().predicts()),
                files,
                card: Some(&text),
                ..Export::new(config, model.spec(), &weights)
            };
            export.write(directory)?;
            Ok(export.verify(directory)?)
        }
    }
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
