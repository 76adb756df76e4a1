//! The reference's log-probabilities, token by token, for any method; sums and weights belong to the loss.
//!
//! They come from a table, computed once before training and kept on disk by (model digest, adapter, sequence); from the
//! policy without its adapter; from a copy of the model that training starts from; from another model; or from one that follows the
//! policy (`moving.rs`).

use crate::forest::{Beside, Run, in_passes};
use crate::group::Group;
use crate::moving::Moves;
use crate::parameter::{Kind, Parameter};
use crate::sequence::Sequence;
use crate::{Error, Hyperparameters, watches};
use groma_kernels::{Tape, together};
use groma_model::Transformer;
use groma_run::{Cancel, Digest, Files, Hasher, atomic, read_bytes};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest cache that is read, in bytes.
const CACHE_BYTES_LIMIT: u64 = 1 << 32;
/// What a cache begins with, and the length of a digest.
const MAGIC: &[u8; 8] = b"gromaref";
const DIGEST: usize = 32;

/// Hyperparameters of methods that compare with a reference.
pub(crate) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: PRECOMPUTE,
        kind: Kind::Boolean,
        default: "null",
        range: None,
        doc: "Reference log-probabilities once before training (true), or from the model without its adapter at each step (false); where null, whichever computes less.",
    },
    REF_MODEL,
];

/// Who is compared with.
pub(crate) const REF_MODEL: Parameter = Parameter {
    name: "ref_model",
    kind: Kind::Text,
    default: "null",
    range: None,
    doc: "The reference, where it is another model than the one that training starts from: a directory, or hub id; of the same tokenizer.",
};
const PRECOMPUTE: &str = "precompute_ref_log_probs";

/// What `precompute_ref_log_probs` says.
///
/// # Errors
/// Where the reference would be gone once training starts.
pub(crate) fn precompute(settings: &Hyperparameters) -> Result<Option<bool>, Error> {
    let wanted = settings.values.get(PRECOMPUTE).and_then(serde_json::Value::as_bool);
    let moves = Moves::of(settings)?.is_some();
    if wanted == Some(false) && settings.training.lora.is_none() && !moves {
        let problem = "without `lora` the reference is gone once training starts: leave it out, or set it to true";
        return Err(settings.invalid(PRECOMPUTE, problem));
    }
    if wanted == Some(false) && !moves && !settings.values.get(REF_MODEL.name).is_none_or(serde_json::Value::is_null) {
        let problem =
            "with ref_model the reference is not the model without its adapter: leave it out, or set it to true";
        return Err(settings.invalid(PRECOMPUTE, problem));
    }
    if wanted == Some(true) && moves {
        let problem = "with sync_ref_model the reference moves, and is asked anew at each step: leave one of them out";
        return Err(settings.invalid(PRECOMPUTE, problem));
    }
    Ok(wanted)
}

/// # Errors
/// Where a reference is named and nobody would ask it, as its weight is 0 and no watch wants it.
pub(crate) fn unasked(settings: &Hyperparameters, weight: &str) -> Result<(), Error> {
    unasked_unless(settings, &format!("{weight} is above 0"))
}

/// # Errors
/// Where a reference is named and nobody would ask it, as that is not so.
pub(crate) fn unasked_unless(settings: &Hyperparameters, condition: &str) -> Result<(), Error> {
    match settings.values.get(REF_MODEL.name) {
        None | Some(serde_json::Value::Null) => Ok(()),
        Some(_) if watches::need_reference(&settings.values) => Ok(()),
        Some(_) => {
            let problem =
                format!("is asked where {condition} alone, or its distance is watched: leave it out, or see to that");
            Err(settings.invalid(REF_MODEL.name, problem))
        }
    }
}

/// Log-probabilities of scored tokens, by sequence.
pub(crate) type Table = BTreeMap<Digest, Vec<f32>>;

/// Where the reference's log-probabilities come from.
#[derive(Debug)]
pub(crate) enum Reference<'a> {
    /// Computed before training.
    Known(Table),
    /// The policy without its adapter, at each step.
    WithoutAdapter,
    /// A copy of the model that training starts from.
    Copy(Box<Transformer>),
    /// Another model.
    Model(&'a Transformer),
    /// A model that follows the policy.
    Moving(Box<Transformer>),
}

impl Reference<'_> {
    /// The model that moves, where it does.
    pub(crate) fn moving(&mut self) -> Option<&mut Transformer> {
        match self {
            Reference::Moving(model) => Some(model),
            _ => None,
        }
    }

    /// Of how many copies of the policy there must be room for it: of one that moves, for another while it does.
    pub(crate) fn copies(&self) -> u64 {
        match self {
            Reference::Known(_) | Reference::WithoutAdapter | Reference::Model(_) => 0,
            Reference::Copy(_) => 1,
            Reference::Moving(_) => 2,
        }
    }

    /// The model that speaks for it, and whether its adapter takes part, beside the policy as it is now.
    ///
    /// # Errors
    /// [`Error::Role`] where there is a table alone, which says nothing of what is not in it.
    pub(crate) fn speaker<'m>(&'m self, policy: &'m Transformer) -> Result<(&'m Transformer, bool), Error> {
        match self {
            Reference::Known(_) => {
                Err(Error::Role { role: "reference", problem: "a table of it cannot be sampled".into() })
            }
            Reference::WithoutAdapter => Ok((policy, false)),
            Reference::Copy(model) | Reference::Moving(model) => Ok((model, true)),
            Reference::Model(model) => Ok((model, true)),
        }
    }

    /// Groups with what the reference says of their members at a temperature (1 for a table, whose methods have no other); at
    /// most `pass_rows` token rows (or one group) at once.
    pub(crate) fn attach<'a>(
        &self,
        policy: &Transformer,
        groups: Vec<Cow<'a, Group>>,
        temperature: f32,
        pass_rows: usize,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        if let Reference::Known(table) = self {
            return Ok(looked_up(table, groups));
        }
        let (model, adapter) = self.speaker(policy)?;
        let sequences: Vec<Vec<&Sequence>> = groups.iter().map(|group| group.sequences().collect()).collect();
        let run = Run { temperature, ..Run::plain(adapter) };
        let mut said = passes(model, run, &sequences, pass_rows, &mut || Ok(()))?.into_iter();
        let with = |group: Cow<'a, Group>| {
            let mut group = group.into_owned();
            group.members.iter_mut().zip(&mut said).for_each(|(member, logps)| member.reference = logps);
            Cow::Owned(group)
        };
        Ok(groups.into_iter().map(with).collect())
    }
}

fn looked_up<'a>(table: &Table, groups: Vec<Cow<'a, Group>>) -> Vec<Cow<'a, Group>> {
    let with = |group: Cow<'a, Group>| {
        let mut group = group.into_owned();
        for member in &mut group.members {
            member.reference = table.get(&key(&member.sequence)).cloned().unwrap_or_default();
        }
        Cow::Owned(group)
    };
    groups.into_iter().map(with).collect()
}

/// What a model says of the sequences of some groups, in their order; groups are not torn apart.
fn passes(
    model: &Transformer,
    run: Run,
    groups: &[Vec<&Sequence>],
    pass_rows: usize,
    before: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<Vec<Vec<f32>>, Error> {
    in_passes(groups, pass_rows, &mut |forest| {
        before()?;
        let tape = Tape::inference(model.backend().clone());
        let scored = together(|| forest.forward(model, tape, run, &Beside::default()))?;
        Ok(scored.output().logp.clone())
    })
}

/// Digest of a sequence's tokens and mask.
fn key(sequence: &Sequence) -> Digest {
    let mut hasher = Hasher::default();
    let ids: Vec<u8> = sequence.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let mask: Vec<u8> = sequence.supervised.iter().map(|&counts| u8::from(counts)).collect();
    hasher.part(&ids);
    hasher.part(&mask);
    hasher.finish()
}

/// Computes tables.
pub(crate) struct Tables<'a> {
    pub(crate) model: &'a Transformer,
    /// Whether the adapter belongs to the reference: where training goes on with an adapter that is not new.
    pub(crate) adapter: bool,
    /// Token rows of a pass, at most: those of training's largest micro-batch, so that memory is foretold for both.
    pub(crate) pass_rows: usize,
    /// Digest of the model's weights.
    pub(crate) identity: Digest,
    /// Directory of cache files.
    pub(crate) cache: Option<&'a Path>,
    pub(crate) files: &'a Files,
    pub(crate) cancel: &'a Cancel,
}

impl Tables<'_> {
    /// Of all members of some groups, from the cache where they are there.
    pub(crate) fn of(&self, groups: &[&Group]) -> Result<Table, Error> {
        let identity = self.identity()?;
        let path = self.cache.map(|directory| directory.join(format!("reference-{}.bin", identity.short())));
        let mut table = path.as_deref().and_then(|path| read(path, identity)).unwrap_or_default();
        let known = |member: &Sequence| table.contains_key(&key(member));
        let missing: Vec<Vec<&Sequence>> = groups
            .iter()
            .filter(|group| !group.sequences().all(known))
            .map(|group| group.sequences().collect())
            .collect();
        let run = Run::plain(self.adapter);
        let said = passes(self.model, run, &missing, self.pass_rows, &mut || Ok(self.cancel.check()?))?;
        table.extend(missing.iter().flatten().map(|sequence| key(sequence)).zip(said));
        if let (Some(path), false) = (path, missing.is_empty())
            && table.values().flatten().all(|logp| logp.is_finite())
        {
            atomic::write_file(self.files, &path, &bytes(identity, &table))?;
        }
        Ok(table)
    }

    fn identity(&self) -> Result<Digest, Error> {
        // With the instructions: what is computed by others has other bits.
        let kernels = self.model.backend().name();
        let parts = (self.identity, self.adapter, kernels);
        Digest::of_json(&parts).map_err(|source| Error::Encode { what: "the reference's key", source })
    }
}

/// A cache file: magic, digest of what follows, identity of the reference; then per sequence its digest, the number of its
/// values, and the values (little-endian).
fn bytes(identity: Digest, table: &Table) -> Vec<u8> {
    let mut body = identity.as_bytes().to_vec();
    for (sequence, logps) in table {
        body.extend(sequence.as_bytes());
        body.extend((logps.len() as u32).to_le_bytes());
        body.extend(logps.iter().flat_map(|logp| logp.to_le_bytes()));
    }
    [MAGIC.as_slice(), Digest::of_bytes(&body).as_bytes(), &body].concat()
}

/// A cache that cannot be read, is damaged, or is of something else counts as absent: it can be computed again.
fn read(path: &Path, identity: Digest) -> Option<Table> {
    let bytes = read_bytes(path, CACHE_BYTES_LIMIT).ok()?;
    let (digest, body) = bytes.strip_prefix(MAGIC.as_slice())?.split_at_checked(DIGEST)?;
    let (of, mut rest) = body.split_at_checked(DIGEST)?;
    if Digest::of_bytes(body).as_bytes() != digest || of != identity.as_bytes() {
        return None;
    }
    let mut table = Table::new();
    while !rest.is_empty() {
        let (sequence, after) = rest.split_first_chunk::<DIGEST>()?;
        let (count, after) = after.split_first_chunk::<4>()?;
        let (values, after) = after.split_at_checked(4 * u32::from_le_bytes(*count) as usize)?;
        let value = |bytes: &[u8]| Some(f32::from_le_bytes(bytes.try_into().ok()?));
        table.insert(Digest::from(*sequence), values.chunks_exact(4).map(value).collect::<Option<_>>()?);
        rest = after;
    }
    Some(table)
}

/// A directory that is there, made where it is missing.
pub(crate) fn ensure_directory(path: &Path) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(path).map_err(groma_run::Error::io("create", path))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_comes_back_and_a_damaged_or_foreign_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let (mine, other) = (Digest::of_bytes(b"mine"), Digest::of_bytes(b"other"));
        let table: Table = [(Digest::of_bytes(b"a"), vec![-1.5, -0.25]), (Digest::of_bytes(b"b"), vec![])].into();
        let whole = bytes(mine, &table);
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(read(&path, mine), Some(table));
        assert_eq!(read(&path, other), None);
        for cut in [0, 7, 39, 60, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read(&path, mine), None, "cut at {cut}");
        }
        let mut flipped = whole.clone();
        flipped[100] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        assert_eq!(read(&path, mine), None);
    }
}
