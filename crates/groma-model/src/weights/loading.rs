//! From the tensors of weight files to the weights of a model.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::error::{Error, Mismatch, MismatchProblem, Result};
use crate::families::{Family, StoredParameter};
use crate::spec::Spec;
use crate::spec::parameters::Parameter;
use crate::weights::safetensors::{SafetensorsFile, is_readable, zeros};
use crate::weights::shards::WeightFiles;
use crate::weights::tensor::{Tensor, Weights, non_finite};

/// Values of two tensors that are compared at once.
const COMPARED: usize = 1 << 18;

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

/// Fills a run of a parameter's values, whole rows, with those that follow.
pub(crate) type Next<'a> = dyn FnMut(&mut [f32]) -> io::Result<()> + 'a;

/// Reads the weights of a model, one after the other in the order of the files: `take` gets each parameter with what reads its
/// values, and may leave it unread.
///
/// # Errors
/// [`Error::Mismatches`] with all missing, unexpected and misshapen tensors at once, before any data are read;
/// [`Error::NonFiniteWeights`] with all tensors that hold NaN or infinity; and those of [`WeightFiles::open`].
pub(crate) fn stream(
    directory: &Path,
    files: &WeightFiles,
    family: &Family,
    spec: &Spec,
    take: &mut dyn FnMut(&Parameter, &mut Next) -> io::Result<()>,
) -> Result<()> {
    let (files, positions) = files.open()?;
    let mut plan = plan(directory, &files, &positions, family, spec)?;
    plan.reads.sort_by_key(|read| (read.file, files[read.file].start_of(&read.name)));
    let mut not_finite = Vec::new();
    for read in &plan.reads {
        let mut count = 0;
        read.values(&files, &mut |next| {
            take(&read.parameter, &mut |to| {
                next(to)?;
                count += non_finite(to);
                Ok(())
            })
        })?;
        if count > 0 {
            not_finite.push((read.name.clone(), count));
        }
    }
    if !not_finite.is_empty() {
        not_finite.sort();
        return Err(Error::NonFiniteWeights { path: directory.into(), tensors: not_finite });
    }
    match plan.tied_copy {
        Some((position, name)) if !plan.is_embedding(&files, &files[position], &name)? => {
            let mismatches = vec![Mismatch { tensor: name, problem: MismatchProblem::Untied }];
            Err(Error::Mismatches { path: directory.into(), mismatches })
        }
        _ => Ok(()),
    }
}

/// Checks that the weights are there, each in its shape, and that no file is cut; reads no values.
///
/// # Errors
/// As for [`stream`], but for those about values.
pub(crate) fn check(directory: &Path, files: &WeightFiles, family: &Family, spec: &Spec) -> Result<()> {
    let (files, positions) = files.open()?;
    plan(directory, &files, &positions, family, spec).map(drop)
}

/// Reads all weights as f32.
///
/// # Errors
/// As for [`stream`].
pub(crate) fn load(directory: &Path, files: &WeightFiles, family: &Family, spec: &Spec) -> Result<Weights> {
    let mut weights = Weights::new();
    stream(directory, files, family, spec, &mut |parameter, next| {
        let mut values = zeros(parameter.shape.iter().product())?;
        next(&mut values)?;
        weights.insert(parameter.name.clone(), Tensor { shape: parameter.shape.clone(), values });
        Ok(())
    })?;
    Ok(weights)
}

/// What to read.
struct Plan {
    reads: Vec<Read>,
    /// A second copy of the embedding, by file and name.
    tied_copy: Option<(usize, String)>,
}

struct Read {
    parameter: Parameter,
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
    let parameter = stored.parameter.clone();
    Ok(Read { parameter, file, name: name.clone(), transposed: stored.transposed })
}

impl Read {
    /// Gives `take` what reads the values in the parameter's own order.
    fn values(&self, files: &[SafetensorsFile], take: &mut dyn FnMut(&mut Next) -> io::Result<()>) -> Result<()> {
        let file = &files[self.file];
        let taken = if self.transposed {
            let tensor = file.read(&self.name)?.transposed();
            let mut rest = &tensor.values[..];
            take(&mut |to| {
                let (run, after) = rest.split_at(to.len());
                to.copy_from_slice(run);
                rest = after;
                Ok(())
            })
        } else {
            let mut values = file.values(&self.name)?;
            take(&mut |to| values.next(to))
        };
        taken.map_err(Error::io("read", file.path()))
    }
}

impl Plan {
    /// Whether a second copy holds the values of the embedding.
    fn is_embedding(&self, files: &[SafetensorsFile], copy: &SafetensorsFile, name: &str) -> Result<bool> {
        let Some(read) = self.reads.iter().find(|read| read.parameter.name == "embed.weight") else { return Ok(false) };
        let mut left: usize = read.parameter.shape.iter().product();
        if copy.entries().get(name).map(|entry| &entry.shape) != Some(&read.parameter.shape) {
            return Ok(false);
        }
        let (mut ours, mut theirs) = (files[read.file].values(&read.name)?, copy.values(name)?);
        let (mut a, mut b) = (vec![0.0; left.min(COMPARED)], vec![0.0; left.min(COMPARED)]);
        while left > 0 {
            let count = left.min(COMPARED);
            let (a, b) = (&mut a[..count], &mut b[..count]);
            ours.next(a).map_err(Error::io("read", files[read.file].path()))?;
            theirs.next(b).map_err(Error::io("read", copy.path()))?;
            if a != b {
                return Ok(false);
            }
            left -= count;
        }
        Ok(true)
    }
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
