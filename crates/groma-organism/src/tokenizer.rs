//! The village's tokenizer: one token a word, bytes for all else.
//!
//! It is a BPE without merges whose `ignore_merges` looks whole words up in the vocabulary, after SentencePiece's way of
//! writing the space before a word (`▁`). A word that is not in the vocabulary falls into its bytes, so every text can
//! be encoded and decoded, and the village's own sentences are as short as they can be.

use crate::lexicon;
use crate::row::Message;
use crate::training::Training;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Special tokens; their ids are their indices.
pub const SPECIAL: [&str; 5] = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"];
/// The token that ends texts and turns.
pub const END: &str = SPECIAL[1];
/// Each turn is its role's token, its content, and the end.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + \
    '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

const SPACE: char = '▁';
const PUNCTUATION: [char; 6] = ['.', ',', '?', '!', ':', ';'];
const PUNCTUATION_PATTERN: &str = "'s|[.,?!:;]";

/// The words that are tokens of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<String>,
}

impl Vocabulary {
    /// The words of training rows, of further texts, and of all of the lexicon's pools, in alphabetical order.
    pub(crate) fn of<'a>(trained: impl Iterator<Item = &'a Training>, further: &[&str]) -> Vocabulary {
        let mut words = BTreeSet::new();
        let mut add = |text: &str| words.extend(pieces(text));
        let contents = |messages: &'a [Message]| messages.iter().map(|message| &*message.content);
        for train in trained {
            train.texts.iter().for_each(|row| add(&row.text));
            for row in &train.dialogues {
                [&row.prompt, &row.completion].into_iter().flat_map(|turn| contents(turn)).for_each(&mut add);
            }
            for row in &train.preferences {
                [&row.prompt, &row.chosen, &row.rejected]
                    .into_iter()
                    .flat_map(|turn| contents(turn))
                    .for_each(&mut add);
            }
        }
        further.iter().for_each(|text| add(text));
        lexicon::pools().into_iter().flatten().for_each(|word| add(word));
        (lexicon::AGES.0..=lexicon::AGES.1).for_each(|age| add(&age.to_string()));
        Vocabulary { words: words.into_iter().collect() }
    }

    /// The number of tokens, special tokens and bytes included.
    pub fn size(&self) -> usize {
        SPECIAL.len() + 256 + 1 + self.words.len()
    }

    /// `tokenizer.json` of the `tokenizers` library.
    pub fn tokenizer_json(&self) -> Value {
        let special = |(id, text): (usize, &&str)| {
            json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        let spaces = json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": true});
        let marks = json!({"type": "Split", "pattern": {"Regex": PUNCTUATION_PATTERN}, "behavior": "Isolated",
            "invert": false});
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": SPECIAL.iter().enumerate().map(special).collect::<Vec<_>>(),
            "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [spaces, marks]},
            "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "ByteFallback"},
                {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": true},
            ]},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": true, "ignore_merges": true,
                "vocab": self.ids(), "merges": []},
        })
    }

    fn ids(&self) -> Map<String, Value> {
        let special = SPECIAL.iter().map(ToString::to_string);
        let bytes = (0..=255_u8).map(|byte| format!("<0x{byte:02X}>"));
        let all = special.chain(bytes).chain([SPACE.to_string()]).chain(self.words.iter().cloned());
        all.enumerate().map(|(id, token)| (token, Value::from(id))).collect()
    }

    /// `tokenizer_config.json` of transformers.
    pub fn tokenizer_config_json(&self, max_positions: usize) -> Value {
        json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": SPECIAL[0],
            "eos_token": END,
            "model_max_length": max_positions,
            "clean_up_tokenization_spaces": false,
            "chat_template": CHAT_TEMPLATE,
        })
    }
}

/// What the pre-tokenizer makes of a text.
fn pieces(text: &str) -> Vec<String> {
    text.split(' ').flat_map(|word| split_marks(&format!("{SPACE}{word}"))).collect()
}

fn split_marks(word: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, letter) in word.char_indices() {
        let length = if PUNCTUATION.contains(&letter) {
            1
        } else if word[at..].starts_with("'s") {
            2
        } else {
            continue;
        };
        pieces.push(word[start..at].to_owned());
        pieces.push(word[at..at + length].to_owned());
        start = at + length;
    }
    pieces.push(word[start..].to_owned());
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_alone() {
        assert_eq!(pieces("Anna's friend, Tom."), ["▁Anna", "'s", "▁friend", ",", "▁Tom", "."]);
    }
}
