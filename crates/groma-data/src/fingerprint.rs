//! What a row says, as a digest: for duplicates, overlap between splits, and the digest of a data set.

use std::collections::BTreeMap;

use groma_run::Hasher;
use serde_json::{Map, Value};

use crate::message::Content;

pub use groma_run::Digest;

/// Examples that a count of duplicates or overlaps names.
const MAX_EXAMPLES: usize = 10;

/// Rows that can be compared by content, whatever file and line they come from.
pub trait Fingerprint {
    /// The digest of all that the row says.
    fn fingerprint(&self) -> Digest;

    /// The digest of its prompt: rows that share it must not be split apart. By default, of the whole row.
    fn prompt_fingerprint(&self) -> Digest {
        self.fingerprint()
    }
}

impl<T: Fingerprint> Fingerprint for &T {
    fn fingerprint(&self) -> Digest {
        (*self).fingerprint()
    }

    fn prompt_fingerprint(&self) -> Digest {
        (*self).prompt_fingerprint()
    }
}

/// The digest of named values in their order.
pub(crate) fn fields_digest(kind: &str, fields: &Map<String, Value>) -> Digest {
    let mut hasher = Hasher::default();
    hasher.part(kind.as_bytes());
    for (name, value) in fields {
        hasher.part(name.as_bytes());
        hasher.part(value.to_string().as_bytes());
    }
    hasher.finish()
}

/// The digest of a prompt alone, the same for every kind of row.
pub(crate) fn prompt_digest(prompt: &Content) -> Digest {
    let mut hasher = Hasher::default();
    hasher.part(b"prompt");
    hasher.part(prompt.to_value().to_string().as_bytes());
    hasher.finish()
}

/// The digest of rows in their order; file names and lines do not count.
pub fn digest<T: Fingerprint>(rows: &[T]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.part(b"rows");
    for row in rows {
        hasher.part(row.fingerprint().as_bytes());
    }
    hasher.finish()
}

/// Rows that repeat an earlier one word for word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// How many rows repeat an earlier one.
    pub count: u64,
    /// The first ten of them: (index of the row, index of the first row that says the same).
    pub examples: Vec<(usize, usize)>,
}

/// Counts exact duplicates.
pub fn duplicates<T: Fingerprint>(rows: &[T]) -> Duplicates {
    let mut seen = BTreeMap::new();
    let mut found = Duplicates::default();
    for (index, row) in rows.iter().enumerate() {
        let first = *seen.entry(*row.fingerprint().as_bytes()).or_insert(index);
        if first != index {
            found.count += 1;
            if found.examples.len() < MAX_EXAMPLES {
                found.examples.push((index, first));
            }
        }
    }
    found
}

/// Rows of an evaluation set that also occur in a training set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Evaluation rows that occur in training word for word.
    pub rows: u64,
    /// Evaluation rows whose prompt occurs in training.
    pub prompts: u64,
    /// The first ten rows with a shared prompt: (index in evaluation, index of the first such row in training).
    pub examples: Vec<(usize, usize)>,
}

/// Counts what two sets share.
pub fn overlap<A: Fingerprint, B: Fingerprint>(train: &[A], eval: &[B]) -> Overlap {
    let (mut rows, mut prompts) = (BTreeMap::new(), BTreeMap::new());
    for (index, row) in train.iter().enumerate() {
        rows.entry(*row.fingerprint().as_bytes()).or_insert(index);
        prompts.entry(*row.prompt_fingerprint().as_bytes()).or_insert(index);
    }
    let mut found = Overlap::default();
    for (index, row) in eval.iter().enumerate() {
        found.rows += u64::from(rows.contains_key(row.fingerprint().as_bytes()));
        if let Some(first) = prompts.get(row.prompt_fingerprint().as_bytes()) {
            found.prompts += 1;
            if found.examples.len() < MAX_EXAMPLES {
                found.examples.push((index, *first));
            }
        }
    }
    found
}
