//! What training leaves: a model in Hugging Face layout, or an adapter in PEFT layout, with its card; read back before
//! success is declared.

mod card;

pub use card::Card;

use crate::setup::{has_adapter, peft_config};
use crate::{Error, Settings};
use groma_model::{AdapterFile, Export, Tensor, Transformer};
use serde_json::{Map, Value};
use std::path::Path;

/// Writes a trained model, whole or not at all, and reads it back.
///
/// A model with an adapter is written as the adapter alone, in PEFT layout (with the score head of a reward model); any
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
            let config = peft_config(lora, model.spec().score_head, card.base_model.clone());
            let file = AdapterFile { config, pairs: adapter.pairs, score: score(model) };
            file.write(directory, model.spec(), Some(&text), files)?;
            verify_adapter(&file, model, directory)
        }
        _ => {
            let weights = model.weights();
            let export = Export {
                generation_config: generation_config.filter(|_| !model.spec().score_head),
                files,
                card: Some(&text),
                ..Export::new(config, model.spec(), &weights)
            };
            export.write(directory)?;
            Ok(export.verify(directory)?)
        }
    }
}

fn score(model: &Transformer) -> Option<Tensor> {
    let parameters = model.parameters();
    let parameter = parameters.get(parameters.id("score.weight")?);
    let values = model.backend().download(parameter.buffer());
    Some(Tensor { shape: vec![parameter.rows, parameter.width], values })
}

fn verify_adapter(written: &AdapterFile, model: &Transformer, directory: &Path) -> Result<(), Error> {
    let read = AdapterFile::read(directory, model.spec())?;
    if read.pairs != written.pairs || read.score != written.score || read.lora().scale != written.lora().scale {
        let problem = "factors, scale or score head differ".to_owned();
        return Err(groma_model::Error::Verification { path: directory.to_owned(), problem }.into());
    }
    Ok(())
}
