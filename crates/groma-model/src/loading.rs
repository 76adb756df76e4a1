//! From the tensors of weight files to the weights of a model.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Mismatch, MismatchProblem, Result};
use crate::families::{Family, StoredParameter};
use crate::parameters::Parameter;
use crate::safetensors::{SafetensorsFile, is_readable};
use crate::shards::WeightFiles;
use crate::spec::Spec;
use crate::weights::{Tensor, Weights};

/// Ends of the names of buffers that old versions of transformers saved: masks and rotary tables.
const BUFFERS: &[&str] = &[
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
    "rotary_emb.inv_freq",
    "rotary_emb.cos_cached",
    "rotary_emb.sin_cached",
];

/// Reads all weights of a model.
///
/// # Errors
/// [`Error::Mismatches`] with all missing, unexpected and misshapen tensors at once, before any data are read;
/// [`Error::NonFiniteWeights`] with all tensors that hold NaN or infinity; and those of [`WeightFiles::open`].
pub(crate) fn load(directory: &Path, files: &WeightFiles, family: &Family, spec: &Spec) -> Result<Weights> {
    let (mut files, positions) = files.open()?;
    let plan = plan(directory, &files, &positions, family, spec)?;
    let mut weights = read_all(&mut files, &plan.reads)?;
    let stored: BTreeMap<&String, &String> = plan.reads.iter().map(|read| (&read.parameter, &read.name)).collect();
    let named = weights.iter().map(|(name, tensor)| (stored.get(name).copied().unwrap_or(name), tensor));
    check_finite(directory, named)?;
    if let Some((position, name)) = plan.tied_copy {
        let copy = files[position].read(&name)?;
        if weights.get("embed.weight") != Some(&copy) {
            let mismatches = vec![Mismatch { tensor: name, problem: MismatchProblem::Untied }];
            return Err(Error::Mismatches { path: directory.into(), mismatches });
        }
    }
    weights.values_mut().for_each(|tensor| tensor.values.shrink_to_fit());
    Ok(weights)
}

/// What to read.
struct Plan {
    reads: Vec<Read>,
    /// A second copy of the embedding, by file and name.
    tied_copy: Option<(usize, String)>,
}

struct Read {
    parameter: String,
    file: usize,
    name: String,
    transposed: bool,
}

fn plan(
    directory: &Path,
    files: &[SafetensorsFile],
    positions: &BTreeMap<String, usize>,
    family: &Family,
    spec: &Spec,
) -> Result<Plan> {
    let mut unread = positions.clone();
    let mut mismatches = Vec::new();
    let mut reads = Vec::new();
    let unembed = unembed_names(family, spec);
    for mut stored in family.stored_parameters(spec) {
        if spec.tied && stored.parameter.name == "embed.weight" {
            // Some writers keep only one of two tied tensors, not always this one.
            stored.names.extend(unembed.iter().cloned());
        }
        match locate(&stored, files, &mut unread) {
            Ok(read) => reads.push(read),
            Err(mismatch) => mismatches.push(mismatch),
        }
    }
    let second = unembed.iter().find_map(|name| Some((unread.remove(name)?, name.clone())));
    let tied_copy = second.filter(|_| spec.tied && spec.predicts());
    let unexpected = unread.into_keys().filter(|name| !BUFFERS.iter().any(|end| name.ends_with(end)));
    mismatches.extend(unexpected.map(|tensor| Mismatch { tensor, problem: MismatchProblem::Unexpected }));
    if mismatches.is_empty() {
        return Ok(Plan { reads, tied_copy });
    }
    Err(Error::Mismatches { path: directory.into(), mismatches })
}

/// Names of an unembedding that the model does not have of its own: tied, or replaced by other heads.
fn unembed_names(family: &Family, spec: &Spec) -> Vec<String> {
    if !spec.tied && spec.predicts() {
        return Vec::new();
    }
    let shape = vec![spec.vocab_size, spec.hidden_size];
    family.stored(Parameter { name: "unembed.weight".into(), shape }).map(|stored| stored.names).unwrap_or_default()
}

fn locate(
    stored: &StoredParameter,
    files: &[SafetensorsFile],
    unread: &mut BTreeMap<String, usize>,
) -> Result<Read, Mismatch> {
    let mismatch = |tensor: &String, problem| Mismatch { tensor: tensor.clone(), problem };
    let found = stored.names.iter().find_map(|name| Some((unread.remove(name)?, name)));
    let Some((file, name)) = found else { return Err(mismatch(&stored.names[0], MismatchProblem::Missing)) };
    let entry = files.get(file).and_then(|file| file.entries().get(name));
    let Some(entry) = entry else { return Err(mismatch(name, MismatchProblem::Missing)) };
    let expected = stored.stored_shape();
    if entry.shape != expected {
        return Err(mismatch(name, MismatchProblem::Shape { expected, found: entry.shape.clone() }));
    }
    if !is_readable(entry.dtype) {
        return Err(mismatch(name, MismatchProblem::ElementType { found: entry.dtype.to_string() }));
    }
    let parameter = stored.parameter.name.clone();
    Ok(Read { parameter, file, name: name.clone(), transposed: stored.transposed })
}

/// Reads in the order of the files, whatever the order of the parameters.
fn read_all(files: &mut [SafetensorsFile], reads: &[Read]) -> Result<Weights> {
    let mut order: Vec<&Read> = reads.iter().collect();
    order.sort_by_key(|read| (read.file, files[read.file].start_of(&read.name)));
    order
        .into_iter()
        .map(|read| {
            let tensor = files[read.file].read(&read.name)?;
            let tensor = if read.transposed { tensor.transposed() } else { tensor };
            Ok((read.parameter.clone(), tensor))
        })
        .collect()
}

/// An error that names all tensors with NaN or infinity in them.
pub(crate) fn check_finite<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a String, &'a Tensor)>) -> Result<()> {
    let bad = |(name, tensor): (&String, &Tensor)| match tensor.non_finite() {
        0 => None,
        count => Some((name.clone(), count)),
    };
    let tensors: Vec<_> = tensors.into_iter().filter_map(bad).collect();
    if tensors.is_empty() { Ok(()) } else { Err(Error::NonFiniteWeights { path: path.into(), tensors }) }
}
