//! Tokenizers: text to token ids and back.
//!
//! A layer over the `tokenizers` crate that reads a checkpoint's files as transformers does, checks them first, turns the
//! crate's panics into errors, and adds what training and generation need: encoding of text that must not produce control
//! tokens, offsets, decoding as tokens arrive, the ids at which generation ends, and the files unchanged for export.
//!
//! Whether a sequence gets a BOS or EOS is decided by the post-processor in `tokenizer.json` alone: transformers 5 ignores
//! `add_bos_token` and `add_eos_token` where there is a `tokenizer.json`, and so does this.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use groma_run::catch_panic;
use serde_json::{Map, Value};

mod carve;
mod chat;
mod check;
mod config;
mod error;
mod patterns;
mod reading;
mod stream;
mod train;
mod variants;

pub use chat::{Boundary, ContentTokens, PromptCompletion, TokenOptions, TokenizedChat};
pub use error::TokenizerError;
pub use reading::{Reading, TwoReadings};
pub use stream::TextStream;
pub use train::{SpecialTokens, train_bpe};
pub use variants::Variants;

use carve::AddedTokens;
use config::Config;
use error::Result;
use patterns::Patterns;

/// Files that make up a tokenizer, kept for export.
const FILES: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "added_tokens.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
];
/// Those that decide the ids.
const DECISIVE_FILES: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];
const MAX_SMALL_FILE_BYTES: u64 = 64 << 20;
/// Longest text that is encoded at once, after normalisation.
const MAX_NORMALISED_BYTES: usize = 256 << 20;

/// Whether an encoded text begins and ends as the tokenizer is configured, e.g. with a BOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// The text alone.
    None,
    /// With what the tokenizer adds.
    AsConfigured,
}

/// Ids with the bytes they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// For each token, its bytes in the text; empty for one that was added.
    pub offsets: Vec<Range<usize>>,
}

/// A tokenizer of a checkpoint, or a trained one.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    added: AddedTokens,
    files: BTreeMap<String, Vec<u8>>,
    roles: BTreeMap<String, String>,
    stop_ids: Vec<u32>,
    max_length: Option<usize>,
    /// The largest id of each source of ids.
    largest: Vec<(&'static str, u32)>,
    vocab_size: usize,
    growth: usize,
    readings: Option<TwoReadings>,
    patterns: Patterns,
    digest: String,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size).field("digest", &self.digest).finish()
    }
}

/// Where ids that end generation are named.
const STOPS: &str = "`eos_token_id` of generation_config.json";

/// Runs the crate's code; a panic in it is an error.
fn guarded<T>(action: &'static str, run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match catch_panic(run) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(TokenizerError::Use { action, problem: error.to_string() }),
        Err(panic) => Err(TokenizerError::Use { action, problem: format!("its files are inconsistent ({panic})") }),
    }
}

impl Tokenizer {
    /// Loads the tokenizer of a checkpoint's directory.
    ///
    /// # Errors
    /// Where `tokenizer.json` is missing, or a file is too large, malformed or inconsistent.
    pub fn from_directory(directory: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in FILES {
            if let Some(bytes) = read(directory, name)? {
                files.insert(name.to_owned(), bytes);
            }
        }
        if !files.contains_key("tokenizer.json") {
            return Err(TokenizerError::Missing { path: directory.into() });
        }
        Self::from_files(files)
    }

    /// From the bytes of a `tokenizer.json` alone.
    ///
    /// # Errors
    /// As [`Tokenizer::from_directory`].
    pub fn from_bytes(tokenizer_json: impl Into<Vec<u8>>) -> Result<Self> {
        Self::from_files(BTreeMap::from([("tokenizer.json".to_owned(), tokenizer_json.into())]))
    }

    /// From files by name, of which `tokenizer.json` must be one.
    ///
    /// # Errors
    /// As [`Tokenizer::from_directory`].
    pub fn from_files(mut files: BTreeMap<String, Vec<u8>>) -> Result<Self> {
        let missing = || TokenizerError::Missing { path: "the given files".into() };
        let checked = check::check(files.get("tokenizer.json").ok_or_else(missing)?)?;
        let (readings, built) =
            reading::settle(&mut files)?.map_or((None, None), |(readings, built)| (Some(readings), built));
        let json = built.as_ref().or_else(|| files.get("tokenizer.json")).ok_or_else(missing)?;
        let config = Config::read(&files)?;
        let patterns =
            Patterns::of(json).map_err(|problem| TokenizerError::File { file: "tokenizer.json".into(), problem })?;
        let (inner, added) = guarded("be loaded", || {
            let mut inner = tokenizers::Tokenizer::from_bytes(json)?;
            // Both are part of how a text is used, not of what its tokens are.
            inner.with_truncation(None)?;
            inner.with_padding(None);
            let known: BTreeSet<String> =
                inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
            let is_new = |token: &&tokenizers::AddedToken| !known.contains(&token.content);
            let new: Vec<_> = config.added.iter().filter(is_new).cloned().collect();
            inner.add_tokens(&new);
            let added = AddedTokens::of(&inner)?;
            inner.encode("The quick 12 é\n", true)?;
            Ok((inner, added))
        })?;
        let vocabulary = inner.get_vocab(true).into_values().max();
        let read = inner.get_vocab(true).into_iter().filter(|(token, _)| !config.only_fills(token));
        let largest: Vec<(&str, u32)> = [
            ("the vocabulary or the added tokens", read.map(|(_, id)| id).max()),
            ("`post_processor`", checked.post_processor),
            (STOPS, config.stop_ids.iter().max().copied()),
        ]
        .into_iter()
        .filter_map(|(source, id)| Some((source, id?)))
        .collect();
        // What ends generation is compared, and never written.
        let vocab_size = vocabulary.max(checked.post_processor).map_or(0, |id| id as usize + 1);
        let mut tokenizer = Self {
            digest: digest(&files),
            inner,
            added,
            roles: config.roles,
            stop_ids: config.stop_ids,
            max_length: config.max_length,
            largest,
            vocab_size,
            growth: checked.growth,
            readings,
            patterns,
            files,
        };
        if tokenizer.stop_ids.is_empty() {
            tokenizer.stop_ids = tokenizer.eos().into_iter().collect();
        }
        Ok(tokenizer)
    }

    /// The largest id plus one.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The largest id plus one of those that a model reads: not the token that fills batches, and does nothing else.
    pub fn read_size(&self) -> usize {
        let read = self.largest.iter().filter(|(source, _)| *source != STOPS);
        read.map(|(_, id)| *id as usize + 1).max().unwrap_or(0)
    }

    /// Checks that every id that the tokenizer's files name has a row in an embedding. A pad token need have none: it is never
    /// read, and a text that spells it is refused where ids are.
    ///
    /// # Errors
    /// Where the embedding is too small.
    pub fn check_embedding(&self, rows: usize) -> Result<()> {
        match self.largest.iter().find(|&&(_, id)| id as usize >= rows) {
            Some(&(origin, largest)) => Err(TokenizerError::LargerThanEmbedding { origin, largest, rows }),
            None => Ok(()),
        }
    }

    fn role(&self, role: &str) -> Option<u32> {
        self.id(self.roles.get(role)?)
    }

    /// The token that begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.role("bos_token")
    }

    /// The token that ends a sequence.
    pub fn eos(&self) -> Option<u32> {
        self.role("eos_token")
    }

    /// The token that fills up.
    pub fn pad(&self) -> Option<u32> {
        self.role("pad_token")
    }

    /// The token for what the vocabulary does not have.
    pub fn unk(&self) -> Option<u32> {
        self.role("unk_token")
    }

    /// Ids at which generation ends: those of `generation_config.json`, else the EOS.
    pub fn stop_ids(&self) -> &[u32] {
        &self.stop_ids
    }

    /// `model_max_length`, where it is a length (transformers writes a huge number for none).
    pub fn max_length(&self) -> Option<usize> {
        self.max_length.filter(|length| *length < 1_000_000_000)
    }

    /// `bos_token`, `eos_token` and so on, as chat templates see them.
    pub fn template_variables(&self) -> Map<String, Value> {
        self.roles.iter().map(|(role, text)| (role.clone(), Value::from(text.as_str()))).collect()
    }

    /// Texts of the control tokens.
    pub fn control_texts(&self) -> Vec<String> {
        self.added.control_texts()
    }

    /// Whether an id is a control token.
    pub fn is_control(&self, id: u32) -> bool {
        let text = self.inner.get_added_vocabulary().simple_id_to_token(id);
        text.is_some_and(|text| self.inner.get_added_vocabulary().is_special_token(&text))
    }

    /// The id of a token, by its spelling in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token's spelling in the vocabulary, e.g. `Ġthe` or `▁the`.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// A token's text, as it is in the middle of a text.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.token(id)?;
        let one = self.decode(&[id], false).ok()?;
        let two = self.decode(&[id, id], false).ok()?;
        Some(two.strip_prefix(one.as_str()).filter(|rest| rest.len() >= one.len()).map_or(one.clone(), str::to_owned))
    }

    /// Encodes a text; control tokens spelled in it become control tokens.
    ///
    /// # Errors
    /// Where the text is too long, or the tokenizer fails on it.
    pub fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>> {
        self.check_length(text)?;
        let encoding = guarded("encode a text", || self.inner.encode_fast(text, specials == Specials::AsConfigured))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Encodes a text, with each token's place.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_offsets(&self, text: &str, specials: Specials) -> Result<Encoded> {
        self.check_length(text)?;
        let encoding = guarded("encode a text", || self.inner.encode(text, specials == Specials::AsConfigured))?;
        Ok(encoded(&encoding))
    }

    /// Encodes a text that may come from anybody: control tokens spelled in it stay text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        let whole = 0..text.len();
        Ok(self.encode_parts(text, std::slice::from_ref(&whole), &[])?.ids)
    }

    /// Encodes a text of which some bytes are plain text, where no control token can come from, and which has borders that no
    /// token passes. Nothing is added.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_parts(&self, text: &str, plain: &[Range<usize>], borders: &[usize]) -> Result<Encoded> {
        self.check_length(text)?;
        let encoding = guarded("encode a text", || self.added.encode(&self.inner, text, plain, borders))?;
        Ok(encoded(&encoding))
    }

    /// Decodes ids; with `skip_special`, control tokens are left out. An id without a token gives nothing, as in transformers.
    ///
    /// # Errors
    /// Where the tokenizer fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        guarded("decode ids", || self.inner.decode(ids, skip_special))
    }

    /// Which reading was taken, where there are two.
    pub fn readings(&self) -> Option<&TwoReadings> {
        self.readings.as_ref()
    }

    /// The files it was read from, by name, to be written beside a model: unchanged, but for a `tokenizer_class` by which
    /// transformers 5 would read others than were read here.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// BLAKE3 of the files that decide the ids, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    fn check_length(&self, text: &str) -> Result<()> {
        let limit = MAX_NORMALISED_BYTES / self.growth;
        if text.len() > limit {
            return Err(TokenizerError::TextTooLong { bytes: text.len(), limit });
        }
        let bounded = self.patterns.check(text);
        bounded.map_err(|problem| TokenizerError::Use { action: "encode a text", problem })
    }
}

fn encoded(encoding: &tokenizers::Encoding) -> Encoded {
    let offsets = encoding.get_offsets().iter().map(|(start, end)| *start..*end).collect();
    Encoded { ids: encoding.get_ids().to_vec(), offsets }
}

fn digest(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hasher = blake3::Hasher::new();
    for name in DECISIVE_FILES {
        if let Some(bytes) = files.get(name) {
            hasher.update(name.as_bytes()).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        }
    }
    hasher.finalize().to_hex().to_string()
}

fn read(directory: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = directory.join(name);
    let size = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(TokenizerError::Io { path, source }),
    };
    let limit = if name == "tokenizer.json" { check::MAX_TOKENIZER_BYTES } else { MAX_SMALL_FILE_BYTES };
    if size > limit {
        return Err(TokenizerError::TooLarge { file: path.display().to_string(), bytes: size, limit });
    }
    // The size is what the file says of itself, so that it is held to while it is read.
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(|source| TokenizerError::Io { path: path.clone(), source })?;
    let found = bytes.len() as u64;
    if found > limit {
        return Err(TokenizerError::TooLarge { file: path.display().to_string(), bytes: found, limit });
    }
    Ok(Some(bytes))
}
