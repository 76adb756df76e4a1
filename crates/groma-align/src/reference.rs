//! The reference's log-probabilities: computed once before training and kept, or from the model without its adapter.

use crate::forest::{Forest, Sequence};
use crate::methods::dpo::{DpoSettings, pair_logps};
use crate::objective::plain;
use crate::{Error, Example};
use groma_kernels::{Tape, together};
use groma_model::Transformer;
use groma_run::{Cancel, Digest, Files, atomic, read_json};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Largest cache that is read, in bytes.
const CACHE_BYTES_LIMIT: u64 = 1 << 32;

/// Tokens in one pass over the pairs.
const PASS_TOKENS: usize = 8192;

/// Summed log-probabilities of a pair's completions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PairLogps {
    pub(crate) chosen: f64,
    pub(crate) rejected: f64,
}

/// Where the reference's log-probabilities come from.
#[derive(Clone, Debug)]
pub(crate) enum References {
    /// Computed before training; by example. Those that no step visits are 0.
    Known(Vec<PairLogps>),
    /// The model without its adapter, at each step.
    WithoutAdapter,
}

/// What is on disk: log-probabilities of the examples that were asked for, and of what.
#[derive(Debug, Serialize, Deserialize)]
struct Cache {
    key: Digest,
    pairs: Vec<Option<PairLogps>>,
}

/// Computes the reference's log-probabilities of some examples.
pub(crate) struct Reference<'a> {
    pub(crate) model: &'a Transformer,
    /// Whether the adapter belongs to the reference: where training goes on with an adapter that is not new.
    pub(crate) adapter: bool,
    pub(crate) settings: &'a DpoSettings,
    /// Token rows of a pass, at most: those of training's largest micro-batch, so that memory is foretold for both.
    pub(crate) pass_rows: usize,
    /// Digest of the model's weights.
    pub(crate) identity: Digest,
    /// Directory of cache files.
    pub(crate) cache: Option<&'a Path>,
    pub(crate) files: &'a Files,
    pub(crate) cancel: &'a Cancel,
}

impl Reference<'_> {
    /// Of the `wanted` examples, from the cache where they are there.
    pub(crate) fn of(&self, examples: &[Example], wanted: &[usize]) -> Result<References, Error> {
        let key = self.key(examples)?;
        let path = self.cache.map(|directory| directory.join(format!("reference-{}.json", key.short())));
        let mut pairs = path.as_deref().and_then(|path| read(path, key, examples.len())).unwrap_or_default();
        pairs.resize(examples.len(), None);
        let mut missing: Vec<usize> = wanted.iter().copied().filter(|&index| pairs[index].is_none()).collect();
        missing.sort_unstable();
        missing.dedup();
        self.compute(examples, &missing, &mut pairs)?;
        if let (Some(path), false) = (path, missing.is_empty()) {
            self.write(&path, Cache { key, pairs: pairs.clone() })?;
        }
        Ok(References::Known(pairs.into_iter().map(Option::unwrap_or_default).collect()))
    }

    fn key(&self, examples: &[Example]) -> Result<Digest, Error> {
        let precision = self.model.backend().precision().name();
        let parts = (self.identity, crate::example::digest(examples), self.adapter, self.settings.ld_alpha, precision);
        Digest::of_json(&parts).map_err(|source| Error::Encode { what: "the reference's key", source })
    }

    fn compute(&self, examples: &[Example], missing: &[usize], pairs: &mut [Option<PairLogps>]) -> Result<(), Error> {
        let sizes: Vec<usize> = missing.iter().map(|&index| examples[index].tree_rows()).collect();
        for range in groma_model::tree::pack(&sizes, self.pass_rows.min(PASS_TOKENS)) {
            self.cancel.check()?;
            let batch = &missing[range];
            let sequences: Vec<&Sequence> = batch.iter().flat_map(|&index| examples[index].pair()).collect();
            let forest = Forest::new(&sequences);
            let tape = Tape::inference(self.model.backend().clone());
            let scored = together(|| forest.forward(self.model, tape, plain(self.adapter)))?;
            let found = pair_logps(&forest, &scored.output().logp, batch.len(), self.settings.ld_alpha);
            for (&index, logps) in batch.iter().zip(found) {
                pairs[index] = Some(logps);
            }
        }
        Ok(())
    }

    fn write(&self, path: &Path, cache: Cache) -> Result<(), Error> {
        if cache.pairs.iter().flatten().all(|pair| pair.chosen.is_finite() && pair.rejected.is_finite()) {
            atomic::write_json(self.files, path, &cache)?;
        }
        Ok(())
    }
}

/// A cache that cannot be read or is of something else counts as absent: it can be computed again.
fn read(path: &Path, key: Digest, count: usize) -> Option<Vec<Option<PairLogps>>> {
    let cache: Cache = read_json(path, CACHE_BYTES_LIMIT).ok()?;
    (cache.key == key && cache.pairs.len() == count).then_some(cache.pairs)
}

/// A directory that is there, made where it is missing.
pub(crate) fn ensure_directory(path: &Path) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(path).map_err(groma_run::Error::io("create", path))?;
    Ok(path.to_owned())
}
