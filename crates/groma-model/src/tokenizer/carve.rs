//! Encoding with a say in which control tokens a text may contain.
//!
//! The same steps as the crate's `encode`: added tokens are cut out, what is left is normalised, split and looked up; but a
//! control token inside a span that is plain text is left in the text, and the text can be cut where no token may pass.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tokenizers::tokenizer::normalizer::Range as TextRange;
use tokenizers::tokenizer::pre_tokenizer::{OffsetType, PreTokenizedString};
use tokenizers::tokenizer::{Model, NormalizedString, Normalizer, PreTokenizer, Token};
use tokenizers::{AddedToken, Encoding};

type CrateResult<T> = tokenizers::Result<T>;
type Piece = (NormalizedString, Option<Vec<Token>>);

/// Added tokens, in the form in which they are looked for.
#[derive(Debug, Default)]
pub(super) struct AddedTokens {
    before_normalisation: Patterns,
    after_normalisation: Patterns,
}

#[derive(Debug, Default)]
struct Patterns {
    all: Vec<Pattern>,
    /// Index of each text; the first of two that are normalised to the same.
    places: BTreeMap<Vec<u8>, usize>,
    /// Which lengths there are, by first byte.
    lengths: BTreeMap<u8, BTreeSet<usize>>,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    id: u32,
    token: AddedToken,
}

impl Patterns {
    fn push(&mut self, pattern: Pattern) {
        let text = pattern.text.as_bytes();
        if let Some(first) = text.first() {
            self.lengths.entry(*first).or_default().insert(text.len());
            self.places.entry(text.to_owned()).or_insert(self.all.len());
            self.all.push(pattern);
        }
    }

    /// The next pattern in a text, leftmost and longest.
    fn find(&self, text: &str, from: usize) -> Option<(usize, &Pattern)> {
        let bytes = text.as_bytes();
        (from..bytes.len()).find_map(|at| {
            let lengths = self.lengths.get(&bytes[at])?;
            let place = lengths.iter().rev().find_map(|len| self.places.get(bytes.get(at..at + len)?))?;
            Some((at, &self.all[*place]))
        })
    }
}

impl AddedTokens {
    /// Of a tokenizer.
    pub(super) fn of(tokenizer: &tokenizers::Tokenizer) -> CrateResult<Self> {
        let mut found = Self::default();
        let tokens: BTreeMap<u32, AddedToken> = tokenizer.get_added_tokens_decoder().into_iter().collect();
        for (id, token) in tokens {
            if !token.normalized {
                let text = token.content.clone();
                found.before_normalisation.push(Pattern { text, id, token });
                continue;
            }
            let mut text = NormalizedString::from(token.content.as_str());
            if let Some(normalizer) = tokenizer.get_normalizer() {
                normalizer.normalize(&mut text)?;
            }
            found.after_normalisation.push(Pattern { text: text.get().to_owned(), id, token });
        }
        Ok(found)
    }

    /// Texts of the control tokens.
    pub(super) fn control_texts(&self) -> Vec<String> {
        let all = self.before_normalisation.all.iter().chain(&self.after_normalisation.all);
        all.filter(|pattern| pattern.token.special).map(|pattern| pattern.token.content.clone()).collect()
    }

    /// Whether this token parts a text wherever it stands: a control token that is cut out before anything else, and a piece of no
    /// other added token.
    pub(super) fn parts(&self, id: u32) -> bool {
        let of_id = self.before_normalisation.all.iter().find(|pattern| pattern.id == id && pattern.token.special);
        let Some(own) = of_id else { return false };
        let mut others = self.before_normalisation.all.iter().filter(|other| other.id != id);
        !others.any(|other| other.text.contains(&own.text))
    }

    /// Encodes. In the bytes `plain`, control tokens are text; no token passes the bytes `cuts` (sorted).
    pub(super) fn encode(
        &self,
        tokenizer: &tokenizers::Tokenizer,
        text: &str,
        plain: &[Range<usize>],
        cuts: &[usize],
    ) -> CrateResult<Encoding> {
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, piece| cut_out(piece, &self.before_normalisation, plain))?;
        pieces.split(|_, mut piece| {
            if let Some(normalizer) = tokenizer.get_normalizer() {
                normalizer.normalize(&mut piece)?;
            }
            cut_out(piece, &self.after_normalisation, plain)
        })?;
        if !cuts.is_empty() {
            pieces.split(|_, piece| cut_at(&piece, cuts))?;
        }
        if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        pieces.tokenize(|piece| tokenizer.get_model().tokenize(piece.get()))?;
        pieces.into_encoding(None, 0, OffsetType::Byte)
    }
}

fn slice(piece: &NormalizedString, range: Range<usize>) -> CrateResult<NormalizedString> {
    piece.slice(TextRange::Normalized(range)).ok_or_else(|| "a slice inside a character".into())
}

/// Cuts the added tokens out of a piece.
fn cut_out(piece: NormalizedString, patterns: &Patterns, plain: &[Range<usize>]) -> CrateResult<Vec<Piece>> {
    let mut pieces = Vec::new();
    let text = piece.get().to_owned();
    let (mut done, mut from) = (0, 0);
    while let Some((at, pattern)) = patterns.find(&text, from) {
        let end = at + pattern.text.len();
        from = end;
        let is_plain = pattern.token.special && {
            let (start, end) = slice(&piece, at..end)?.offsets_original();
            plain.iter().any(|span| span.start < end && start < span.end)
        };
        if is_plain || (pattern.token.single_word && inside_word(&text, at, end)) {
            continue;
        }
        let start = if pattern.token.lstrip { text[..at].trim_end().len().max(done) } else { at };
        let stop = if pattern.token.rstrip { text.len() - text[end..].trim_start().len() } else { end };
        if done < start {
            pieces.push((slice(&piece, done..start)?, None));
        }
        let token = Token::new(pattern.id, text[start..stop].to_owned(), (0, stop - start));
        pieces.push((slice(&piece, start..stop)?, Some(vec![token])));
        done = stop;
        from = from.max(stop);
    }
    if done < text.len() {
        pieces.push((slice(&piece, done..text.len())?, None));
    }
    Ok(pieces)
}

fn inside_word(text: &str, at: usize, end: usize) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    text[..at].ends_with(is_word) || text[end..].starts_with(is_word)
}

/// Cuts a normalised piece at bytes of the original text.
fn cut_at(piece: &NormalizedString, cuts: &[usize]) -> CrateResult<Vec<Piece>> {
    let (start, end) = piece.offsets_original();
    let mut bounds = vec![0];
    bounds.extend(cuts.iter().filter(|cut| start < **cut && **cut < end).map(|cut| cut - start));
    bounds.push(end - start);
    let mut pieces = Vec::new();
    for pair in bounds.windows(2) {
        let part = piece.slice(TextRange::Original(pair[0]..pair[1]));
        pieces.push((part.ok_or("a cut inside a character")?, None));
    }
    Ok(pieces)
}
