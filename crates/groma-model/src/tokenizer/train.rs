//! A small tokenizer learned from texts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, TokenizerBuilder};

use super::Tokenizer;
use super::error::{Result, TokenizerError};

/// Which of the special tokens has which role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens<'a> {
    /// All of them; they get the ids from 0, in this order.
    pub all: Vec<&'a str>,
    /// Begins a sequence, in the sense of `bos_token`.
    pub bos: Option<&'a str>,
    /// Ends a sequence and an answer.
    pub eos: Option<&'a str>,
    /// Fills up.
    pub pad: Option<&'a str>,
}

/// Longest token that is learned, in bytes.
const MAX_TOKEN_BYTES: usize = 32;

/// Learns byte-level BPE: any text can be encoded, and every token decodes to what it came from.
///
/// The vocabulary has the special tokens, the 256 bytes, and merges up to `vocab_size` (fewer where the texts give no more
/// pairs that occur twice). The result depends on nothing but the arguments: neither on threads nor on hash seeds.
///
/// # Errors
/// Where the size leaves no room for the bytes, or a role names a token that is not listed.
pub fn train_bpe<S: AsRef<str> + Sync>(
    texts: &[S],
    vocab_size: usize,
    special: &SpecialTokens<'_>,
) -> Result<Tokenizer> {
    check(vocab_size, special)?;
    let failed = |error: tokenizers::Error| TokenizerError::Training { problem: error.to_string() };
    let tokens: Vec<AddedToken> = special.all.iter().map(|token| AddedToken::from(*token, true)).collect();
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(tokens)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .max_token_length(Some(MAX_TOKEN_BYTES))
        .build();
    let bytes = ByteLevel::new(false, false, true);
    let mut tokenizer = TokenizerBuilder::<BPE, NormalizerWrapper, ByteLevel, ByteLevel, ByteLevel>::new()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(bytes))
        .with_post_processor(Some(bytes))
        .with_decoder(Some(bytes))
        .build()
        .map_err(failed)?;
    tokenizer.train(&mut trainer, texts.iter().map(AsRef::as_ref)).map_err(failed)?;
    let json = tokenizer.to_string(true).map_err(failed)?;
    Tokenizer::from_files(files(json, special)?)
}

fn check(vocab_size: usize, special: &SpecialTokens<'_>) -> Result<()> {
    let bad = |problem: String| Err(TokenizerError::Training { problem });
    let distinct: BTreeSet<&str> = special.all.iter().copied().collect();
    if distinct.len() != special.all.len() || distinct.contains("") {
        return bad("the special tokens must differ and must not be empty".into());
    }
    for role in [special.bos, special.eos, special.pad].into_iter().flatten() {
        if !distinct.contains(role) {
            return bad(format!("{role:?} has a role and is not among the special tokens"));
        }
    }
    let least = 256 + special.all.len();
    if vocab_size < least {
        return bad(format!(
            "a vocabulary of {} is too small; the bytes and special tokens alone are {least}",
            groma_run::counted(vocab_size, "entry")
        ));
    }
    Ok(())
}

/// The files of a checkpoint's tokenizer.
fn files(json: String, special: &SpecialTokens<'_>) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": false,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 1_000_000_000,
    });
    for (name, token) in [("bos_token", special.bos), ("eos_token", special.eos), ("pad_token", special.pad)] {
        if let Some(token) = token {
            config[name] = token.into();
        }
    }
    let config =
        serde_json::to_vec_pretty(&config).map_err(|error| TokenizerError::Training { problem: error.to_string() })?;
    Ok(BTreeMap::from([("tokenizer.json".into(), json.into_bytes()), ("tokenizer_config.json".into(), config)]))
}
