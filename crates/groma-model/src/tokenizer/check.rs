//! What `tokenizer.json` must satisfy before the tokenizer crate sees it.
//!
//! The crate trusts its files: some make it panic, some make every text grow a thousandfold, some map two tokens to one id,
//! and then what is decoded depends on the order of a hash table.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::error::{Result, TokenizerError};

/// Largest `tokenizer.json`.
pub(super) const MAX_TOKENIZER_BYTES: u64 = 128 << 20;
const MAX_ENTRIES: usize = 4 << 20;
const MAX_ID: u64 = (1 << 24) - 1;
/// Far more than any published tokenizer has.
const MAX_ADDED_TOKENS: usize = 1 << 15;
/// Longest added token: the automaton that looks for them takes a state a byte, and time for each.
const MAX_ADDED_BYTES: usize = 1 << 10;
const MAX_TOKEN_BYTES: usize = 64 << 10;
const MAX_PATTERN_BYTES: usize = 16 << 10;
const MAX_STEPS: usize = 256;
/// Most by which normalisation may lengthen a text.
const MAX_GROWTH: usize = 64;

/// What the check found out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// Normalisation makes a text at most so many times longer.
    pub(super) growth: usize,
    /// The largest id that is put around a text.
    pub(super) post_processor: Option<u32>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    post_processor: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u64,
    content: String,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    vocab: Vocabulary,
    #[serde(default)]
    dropout: Option<f64>,
}

/// Ids of a vocabulary, in the file's order.
#[derive(Default)]
struct Vocabulary {
    ids: Vec<u64>,
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VocabularyVisitor)
    }
}

struct VocabularyVisitor;

impl<'de> Visitor<'de> for VocabularyVisitor {
    type Value = Vocabulary;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping from tokens to ids or a list of tokens")
    }

    fn visit_unit<E>(self) -> Result<Vocabulary, E> {
        Ok(Vocabulary::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
        let mut ids = Vec::new();
        while let Some((token, id)) = map.next_entry::<String, u64>()? {
            check_entry::<A::Error>(&token, id, ids.len())?;
            ids.push(id);
        }
        Ok(Vocabulary { ids })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vocabulary, A::Error> {
        let mut count = 0_u64;
        while let Some((token, _score)) = sequence.next_element::<(String, IgnoredAny)>()? {
            check_entry::<A::Error>(&token, count, 0)?;
            count += 1;
        }
        Ok(Vocabulary { ids: (0..count).collect() })
    }
}

fn check_entry<E: serde::de::Error>(token: &str, id: u64, before: usize) -> Result<(), E> {
    if id > MAX_ID || before >= MAX_ENTRIES {
        return Err(E::custom(format!("the id {id} is beyond the limit of {MAX_ID}")));
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(E::custom(format!("a token of {} bytes; the limit is {MAX_TOKEN_BYTES}", token.len())));
    }
    Ok(())
}

fn bad(problem: impl Into<String>) -> TokenizerError {
    TokenizerError::File { file: "tokenizer.json".into(), problem: problem.into() }
}

/// Checks the bytes of a `tokenizer.json`.
pub(super) fn check(bytes: &[u8]) -> Result<Checked> {
    let size = bytes.len() as u64;
    if size > MAX_TOKENIZER_BYTES {
        return Err(TokenizerError::TooLarge {
            file: "tokenizer.json".into(),
            bytes: size,
            limit: MAX_TOKENIZER_BYTES,
        });
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    check_ids(&head)?;
    if head.model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err(bad("`model.dropout` makes the ids of a text random; set it to null"));
    }
    let mut walk = Walk { growth: 1, steps: 0 };
    walk.steps_of(&head.normalizer)?;
    let growth = walk.growth;
    walk.steps_of(&head.pre_tokenizer)?;
    Walk { growth: 1, steps: 0 }.steps_of(&head.decoder)?;
    let mut ids = Vec::new();
    Walk { growth: 1, steps: 0 }.steps_of(&head.post_processor)?;
    post_processor_ids(&head.post_processor, &mut ids)?;
    Ok(Checked { growth, post_processor: ids.into_iter().max() })
}

/// The ids that a post-processor puts around a text: those of a template's special tokens, `["[CLS]", 101]` of other kinds.
fn post_processor_ids(step: &Value, ids: &mut Vec<u32>) -> Result<()> {
    for inner in step.get("processors").and_then(Value::as_array).into_iter().flatten() {
        post_processor_ids(inner, ids)?;
    }
    let tokens = step.get("special_tokens").and_then(Value::as_object).into_iter().flatten();
    let listed = tokens.filter_map(|(_, token)| token.get("ids")?.as_array()).flatten();
    let paired = ["sep", "cls"].into_iter().filter_map(|name| step.get(name)?.get(1));
    for value in listed.chain(paired) {
        match value.as_u64().filter(|id| *id <= MAX_ID) {
            Some(id) => ids.push(id as u32),
            None => return Err(bad(format!("`post_processor` has the id {value}; ids go from 0 to {MAX_ID}"))),
        }
    }
    Ok(())
}

fn check_ids(head: &Head) -> Result<()> {
    let mut ids = head.model.vocab.ids.clone();
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(bad(format!("two tokens of the vocabulary have the id {}", pair[0])));
    }
    check_added("tokenizer.json", head.added_tokens.iter().map(|token| &*token.content))?;
    if let Some(token) = head.added_tokens.iter().find(|token| token.id > MAX_ID) {
        return Err(bad(format!("the added token {} has an id beyond the limit of {MAX_ID}", token.id)));
    }
    if let Some(token) = head.added_tokens.iter().find(|token| token.content.is_empty()) {
        return Err(bad(format!("the added token {} is empty", token.id)));
    }
    let mut added: Vec<(u64, &str)> =
        head.added_tokens.iter().map(|token| (token.id, token.content.as_str())).collect();
    added.sort_unstable();
    match added.windows(2).find(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1) {
        Some(pair) => Err(bad(format!("the added tokens {:?} and {:?} have the same id", pair[0].1, pair[1].1))),
        None => Ok(()),
    }
}

/// Checks number and lengths of the added tokens that a file lists.
pub(super) fn check_added<'a>(file: &str, tokens: impl ExactSizeIterator<Item = &'a str>) -> Result<()> {
    let bad = |problem: String| Err(TokenizerError::File { file: file.into(), problem });
    let count = tokens.len();
    if count > MAX_ADDED_TOKENS {
        return bad(format!("{count} added tokens; the limit is {MAX_ADDED_TOKENS}"));
    }
    match tokens.map(str::len).find(|len| *len > MAX_ADDED_BYTES) {
        Some(len) => bad(format!("an added token of {len} bytes; the limit is {MAX_ADDED_BYTES}")),
        None => Ok(()),
    }
}

/// Walks the steps of a normaliser, pre-tokenizer or decoder.
struct Walk {
    growth: usize,
    steps: usize,
}

impl Walk {
    fn steps_of(&mut self, step: &Value) -> Result<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(bad(format!("more than {MAX_STEPS} steps of processing")));
        }
        for list in ["normalizers", "pretokenizers", "decoders", "processors"] {
            for inner in step.get(list).and_then(Value::as_array).into_iter().flatten() {
                self.steps_of(inner)?;
            }
        }
        let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default();
        if step.get("type").and_then(Value::as_str) == Some("Replace") {
            self.replace(step.get("pattern").unwrap_or(&Value::Null), text("content"))?;
        } else if let Some(pattern) = step.get("pattern") {
            pattern_text(pattern)?;
        }
        if let Some(map) = step.get("precompiled_charsmap").and_then(Value::as_str) {
            check_charsmap(map)?;
        }
        if text("prepend").len() > MAX_TOKEN_BYTES {
            return Err(bad("a `prepend` that is too long"));
        }
        Ok(())
    }

    fn replace(&mut self, pattern: &Value, content: &str) -> Result<()> {
        let (text, is_plain) = pattern_text(pattern)?;
        if text.is_empty() {
            return Err(bad("a `Replace` of the empty text"));
        }
        // A regular expression may match between any two characters.
        let grown = if is_plain { content.len().div_ceil(text.len()) } else { content.len() + 1 };
        // One that can only shorten or keep the length does not count.
        self.growth = self.growth.saturating_mul(grown.max(1));
        if self.growth > MAX_GROWTH {
            return Err(bad(format!("replacements that make a text more than {MAX_GROWTH} times longer")));
        }
        Ok(())
    }
}

/// A map of characters in base64 begins with the size of its first part, for which the crate takes memory before it looks.
fn check_charsmap(map: &str) -> Result<()> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = map.trim_end_matches('=');
    let bytes = text.len() as u64 * 6 / 8;
    let start = text.bytes().take(6).try_fold(0_u64, |bits, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        Some(bits << 6 | digit as u64)
    });
    let size = start.filter(|_| bytes >= 4).map(|bits| u64::from(((bits >> 4) as u32).swap_bytes()));
    match size {
        Some(size) if size <= bytes - 4 => Ok(()),
        Some(size) => Err(bad(format!(
            "a `precompiled_charsmap` of {} that says it has {size}",
            groma_run::counted(bytes, "byte")
        ))),
        None => Err(bad("a `precompiled_charsmap` that is no map of characters in base64")),
    }
}

/// The text of a pattern, and whether it is matched as it is.
fn pattern_text(pattern: &Value) -> Result<(&str, bool)> {
    let plain = pattern.get("String").and_then(Value::as_str);
    let found = plain.or_else(|| pattern.get("Regex").and_then(Value::as_str)).or_else(|| pattern.as_str());
    let text = found.unwrap_or("?");
    if text.len() > MAX_PATTERN_BYTES {
        return Err(bad(format!("a pattern of {} bytes; the limit is {MAX_PATTERN_BYTES}", text.len())));
    }
    Ok((text, plain.is_some()))
}
