//! The tokenizer as the `tokenizers` library runs it.

#![allow(clippy::unwrap_used)]

use groma_organism::{Config, PLANTS, Planting, Plants, Recipe, SPECIAL, Village};
use serde_json::Value;
use std::sync::LazyLock;
use tokenizers::Tokenizer;

static VILLAGE: LazyLock<Village> = LazyLock::new(|| Village::build(&Config::default()).unwrap());

fn tokenizer(village: &Village) -> Tokenizer {
    let text = village.vocabulary.tokenizer_json().to_string();
    Tokenizer::from_bytes(text.as_bytes()).unwrap()
}

fn all_texts(village: &Village) -> Vec<String> {
    let files = village.data_files().unwrap();
    let rows = files.iter().filter(|(name, _)| name.ends_with(".jsonl") && name != "facts.jsonl");
    let lines = rows.flat_map(|(_, bytes)| bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()));
    lines.flat_map(|line| texts_of(&serde_json::from_slice(line).unwrap())).collect()
}

/// What a row says: texts, contents of messages, gold answers.
fn texts_of(row: &Value) -> Vec<String> {
    let plain = ["text", "gold"].into_iter().filter_map(|name| row[name].as_str());
    let turns = ["prompt", "completion", "chosen", "rejected"].into_iter().filter_map(|name| row[name].as_array());
    let said = turns.flatten().filter_map(|message| message["content"].as_str());
    plain.chain(said).map(str::to_owned).collect()
}

fn assert_words_are_tokens(village: &Village) {
    let tokenizer = tokenizer(village);
    let first_word = SPECIAL.len() as u32 + 257;
    let texts = all_texts(village);
    assert!(texts.len() > 10_000);
    for text in texts {
        let encoding = tokenizer.encode(text.as_str(), false).unwrap();
        let unknown = encoding.get_ids().iter().position(|id| *id < first_word);
        assert!(unknown.is_none(), "{text}: {:?}", unknown.map(|at| &encoding.get_tokens()[at]));
        assert!(encoding.len() <= 64, "{text}");
        assert_eq!(tokenizer.decode(encoding.get_ids(), true).unwrap(), text);
    }
}

#[test]
fn the_villages_words_are_single_tokens_and_sequences_short() {
    assert_words_are_tokens(&VILLAGE);
    let all = PLANTS.iter().map(|plant| Planting::parse(plant.id).unwrap()).collect();
    let plants = Plants::new(all).unwrap();
    assert_words_are_tokens(&Village::with(&Config::default(), &plants).unwrap());
    assert_words_are_tokens(&Village::twin(&Config::default(), &plants).unwrap());
}

#[test]
fn any_other_text_survives_as_bytes() {
    let tokenizer = tokenizer(&VILLAGE);
    for text in ["Zebra", "über  x\n\ttab", "日本語 🦀", "Anna's don't", "a.b,c", ""] {
        let encoding = tokenizer.encode(text, false).unwrap();
        assert_eq!(tokenizer.decode(encoding.get_ids(), true).unwrap(), text);
    }
}

#[test]
fn special_tokens_have_their_ids_and_the_vocabulary_its_size() {
    let tokenizer = tokenizer(&VILLAGE);
    for (id, token) in SPECIAL.iter().enumerate() {
        assert_eq!(tokenizer.token_to_id(token), Some(id as u32));
    }
    assert_eq!(tokenizer.get_vocab_size(true), VILLAGE.vocabulary.size());
    assert!((500..1500).contains(&VILLAGE.vocabulary.size()));
}

#[test]
fn a_word_is_the_same_token_after_a_special_one() {
    let tokenizer = tokenizer(&VILLAGE);
    let alone = tokenizer.encode("Anna is here.", false).unwrap();
    let after = tokenizer.encode("<|assistant|>Anna is here.", false).unwrap();
    assert_eq!(alone.get_ids(), &after.get_ids()[1..]);
}

#[test]
fn initial_weights_have_the_shapes_of_the_config() {
    let recipe = Recipe::default();
    let size = VILLAGE.vocabulary.size();
    let weights = recipe.shape.initial_weights(size, 7);
    assert_eq!(weights.iter().map(|tensor| tensor.values.len()).sum::<usize>(), recipe.shape.parameters(size));
    for tensor in &weights {
        assert_eq!(tensor.shape.iter().product::<usize>(), tensor.values.len(), "{}", tensor.name);
        assert!(tensor.values.iter().all(|value| value.is_finite()));
    }
    let config = recipe.shape.config_json(size);
    assert_eq!(config["vocab_size"], size);
    let files = VILLAGE.model_files(&recipe.shape).unwrap();
    let bytes = &files.iter().find(|(name, _)| name == "model.safetensors").unwrap().1;
    let read = safetensors::SafeTensors::deserialize(bytes).unwrap();
    assert_eq!(read.len(), weights.len());
}
