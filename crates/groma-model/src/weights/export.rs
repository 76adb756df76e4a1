//! Writing a model in Hugging Face layout, whole or not at all, so that transformers loads it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use groma_run::atomic::AtomicDirectory;
use groma_run::{Disk, Files};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::families::{self, Family};
use crate::spec::Head;
use crate::spec::Spec;
use crate::spec::heads::{self, Class};
use crate::spec::parameters::parameters;
use crate::weights::checkpoint::Checkpoint;
use crate::weights::config::Config;
use crate::weights::loading::check_finite;
use crate::weights::safetensors::{ElementType, Pending, write_file};
use crate::weights::shards::{INDEX, SINGLE};
use crate::weights::tensor::{Tensor, Weights};

/// Largest file of weights that is written by default, as in transformers.
pub const SHARD_BYTES: u64 = 5_000_000_000;

/// All that goes into a model directory.
#[derive(Clone, Debug)]
pub struct Export<'a> {
    /// The configuration that the model had when it was read ([`Checkpoint::config`]), or one made from nothing
    /// ([`families::llama_config`]). What training changed is changed in what is written.
    pub config: &'a Map<String, Value>,
    /// The function.
    pub spec: &'a Spec,
    /// Its weights.
    pub weights: &'a Weights,
    /// How they are stored.
    pub element_type: ElementType,
    /// Weights of more bytes are split into files of at most so many each (or of one larger tensor).
    pub shard_bytes: u64,
    /// `generation_config.json`.
    pub generation_config: Option<&'a Map<String, Value>>,
    /// Further files, by name: those of the tokenizer.
    pub files: &'a [(String, Vec<u8>)],
    /// The text of the model card, `README.md`.
    pub card: Option<&'a str>,
}

impl<'a> Export<'a> {
    /// Weights in f32, in files of at most [`SHARD_BYTES`], nothing else.
    pub fn new(config: &'a Map<String, Value>, spec: &'a Spec, weights: &'a Weights) -> Export<'a> {
        Export {
            config,
            spec,
            weights,
            element_type: ElementType::F32,
            shard_bytes: SHARD_BYTES,
            generation_config: None,
            files: &[],
            card: None,
        }
    }

    /// Writes the directory; one that is there stays until the new one is whole.
    ///
    /// # Errors
    /// Where weights are missing, misshapen or not finite, where the configuration does not describe them, and where
    /// writing fails. Nothing of the old directory is lost then, and nothing half-written is left.
    pub fn write(&self, directory: &Path) -> Result<()> {
        self.write_on(&Disk::files(), directory)
    }

    /// As [`Export::write`], on a given storage.
    ///
    /// # Errors
    /// As [`Export::write`].
    pub fn write_on(&self, files: &Files, directory: &Path) -> Result<()> {
        let family = family_of(self.spec)?;
        let config = self.changed_config(directory, family)?;
        let tensors = self.tensors(family)?;
        self.check_storable(directory)?;
        let mut target = AtomicDirectory::create_on(files, directory).map_err(Error::Run)?;
        write_json(&mut target, "config.json", &config)?;
        if let Some(generation) = self.generation_config {
            write_json(&mut target, "generation_config.json", generation)?;
        }
        if let Some(card) = self.card {
            target.write("README.md", card.as_bytes()).map_err(Error::Run)?;
        }
        self.write_extra_files(&mut target)?;
        self.write_weights(&mut target, directory, tensors)?;
        target.commit().map_err(Error::Run)
    }

    /// Reads the directory back and compares everything with what was to be written.
    ///
    /// # Errors
    /// [`Error::Verification`] names the first difference; others where reading fails.
    pub fn verify(&self, directory: &Path) -> Result<()> {
        let differs = |problem: String| Error::Verification { path: directory.into(), problem };
        let checkpoint = Checkpoint::open(directory)?;
        if !describes(checkpoint.spec(), self.spec) {
            return Err(differs("config.json describes another function".into()));
        }
        let read = checkpoint.weights()?;
        let same = |written: f32, read: f32| self.element_type.round(written).to_bits() == read.to_bits();
        for (name, tensor) in &read {
            let written = self.weights.get(name).ok_or_else(|| differs(format!("{name} was not given")))?;
            if !written.values.iter().zip(&tensor.values).all(|(written, read)| same(*written, *read)) {
                return Err(differs(format!("{name} has other values")));
            }
        }
        Ok(())
    }

    /// The configuration with what may have changed since it was read: head, size of the vocabulary, element type. Code
    /// of the original repository is not written, so nothing refers to it.
    fn changed_config(&self, directory: &Path, family: &Family) -> Result<Map<String, Value>> {
        let mut config = self.config.clone();
        config.remove("auto_map");
        config.insert("vocab_size".into(), json!(self.spec.vocab_size));
        let modern = config.contains_key("dtype") && !config.contains_key("torch_dtype");
        config.insert(if modern { "dtype" } else { "torch_dtype" }.into(), json!(self.element_type.name()));
        if !modern {
            config.remove("dtype");
        }
        set_heads(&mut config, family, &self.spec.outputs)?;
        let read_back = families::read(&Config::new(&directory.join("config.json"), config.clone()))?;
        if !describes(&read_back, self.spec) {
            let problem = "its configuration describes another function".into();
            return Err(Error::Weights { problem });
        }
        Ok(config)
    }

    fn tensors(&self, family: &Family) -> Result<Vec<Pending<'a>>> {
        let wrong = |problem: String| Error::Weights { problem };
        let known: BTreeSet<String> = parameters(self.spec).into_iter().map(|parameter| parameter.name).collect();
        if let Some(name) = self.weights.keys().find(|name| !known.contains(*name)) {
            return Err(wrong(format!("{name} is not a parameter of it")));
        }
        let pending = |stored: families::StoredParameter| {
            let name = &stored.parameter.name;
            let tensor = self.weights.get(name).ok_or_else(|| wrong(format!("{name} is missing")))?;
            check_shape(name, tensor, &stored.parameter.shape)?;
            let (shape, transposed) = (stored.stored_shape(), stored.transposed);
            Ok(Pending { name: stored.names[0].clone(), shape, tensor, transposed })
        };
        family.stored_parameters(self.spec).into_iter().map(pending).collect()
    }

    /// Values must be finite, also after rounding to a narrower type.
    fn check_storable(&self, directory: &Path) -> Result<()> {
        check_finite(directory, self.weights)?;
        let overflows = |value: &&f32| !self.element_type.round(**value).is_finite();
        let count = |tensor: &Tensor| tensor.values.iter().filter(overflows).count();
        let tensors: Vec<_> =
            self.weights.iter().map(|(name, tensor)| (name.clone(), count(tensor))).filter(|(_, n)| *n > 0).collect();
        if tensors.is_empty() { Ok(()) } else { Err(Error::NonFiniteWeights { path: directory.into(), tensors }) }
    }

    fn write_extra_files(&self, target: &mut AtomicDirectory) -> Result<()> {
        let reserved = ["config.json", "generation_config.json", "README.md", INDEX];
        for (name, bytes) in self.files {
            if reserved.contains(&name.as_str()) || name.ends_with(".safetensors") {
                return Err(Error::Weights { problem: format!("{name} is written by the model itself") });
            }
            target.write(name, bytes).map_err(Error::Run)?;
        }
        Ok(())
    }

    fn write_weights(&self, target: &mut AtomicDirectory, directory: &Path, tensors: Vec<Pending<'_>>) -> Result<()> {
        let total: u64 = tensors.iter().map(|tensor| tensor.bytes(self.element_type)).sum();
        let shards = split(tensors, self.element_type, self.shard_bytes);
        if let [only] = &shards[..] {
            return self.write_shard(target, directory, SINGLE, only);
        }
        let mut map = BTreeMap::new();
        for (index, shard) in shards.iter().enumerate() {
            let name = format!("model-{:05}-of-{:05}.safetensors", index + 1, shards.len());
            self.write_shard(target, directory, &name, shard)?;
            map.extend(shard.iter().map(|tensor| (tensor.name.clone(), name.clone())));
        }
        let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
        write_json(target, INDEX, &index)
    }

    fn write_shard(
        &self,
        target: &mut AtomicDirectory,
        directory: &Path,
        name: &str,
        tensors: &[Pending<'_>],
    ) -> Result<()> {
        let path = directory.join(name);
        let mut file = target.file(name).map_err(Error::Run)?;
        write_file(&mut file, tensors, self.element_type).map_err(Error::io("write", &path))?;
        file.flush().map_err(Error::io("write", &path))?;
        file.finish().map_err(Error::Run)
    }
}

fn family_of(spec: &Spec) -> Result<&'static Family> {
    let unknown = || Error::Weights { problem: format!("there is no family `{}`", spec.family) };
    families::by_id(spec.family).ok_or_else(unknown)
}

/// Whether a description read from a file is that of the model, which may have been prepared for long texts.
fn describes(read: &Spec, model: &Spec) -> bool {
    read == model || read.for_length(model.max_positions) == *model
}

pub(crate) fn check_shape(name: &str, tensor: &Tensor, expected: &[usize]) -> Result<()> {
    if tensor.shape == expected && tensor.values.len() == expected.iter().product::<usize>() {
        return Ok(());
    }
    let found = format!("shape {:?} and {}", tensor.shape, groma_run::counted(tensor.values.len(), "value"));
    Err(Error::Weights { problem: format!("{name} has {found} instead of shape {expected:?}") })
}

/// Names the class with the right head, its labels, and the heads beside it.
fn set_heads(config: &mut Map<String, Value>, family: &Family, heads: &[Head]) -> Result<()> {
    let (class, first) = Class::of(heads)?;
    let named = config.get("architectures").and_then(|names| names.get(0)).and_then(Value::as_str);
    let kept = named.filter(|name| family.class_of(name) == Some(class));
    let architecture = kept.or(family.architecture_of(class)).ok_or_else(|| {
        let problem = format!("transformers has no class of {} models with scores of tokens", family.id);
        Error::Weights { problem }
    })?;
    config.insert("architectures".into(), json!([architecture]));
    if class != Class::CausalLm {
        set_labels(config, first);
    }
    heads::describe(config, first);
    heads::write_beside(config, heads)
}

/// Names labels as transformers does: two of them need no word. Names that are there stay, but for those of attributes.
fn set_labels(config: &mut Map<String, Value>, head: &Head) {
    let count = head.width;
    config.remove("num_labels");
    if head.attributes.is_empty() {
        let named = config.get("id2label").and_then(Value::as_object).map(Map::len);
        if count > 1 && named.unwrap_or(2) == count {
            return;
        }
    } else {
        config.insert("problem_type".into(), json!("regression"));
    }
    let name = |label: usize| head.attributes.get(label).cloned().unwrap_or_else(|| format!("LABEL_{label}"));
    config.insert("id2label".into(), (0..count).map(|label| (label.to_string(), json!(name(label)))).collect());
    config.insert("label2id".into(), (0..count).map(|label| (name(label), json!(label))).collect());
}

/// Consecutive groups of at most `limit` bytes each, or of one larger tensor.
fn split(tensors: Vec<Pending<'_>>, element: ElementType, limit: u64) -> Vec<Vec<Pending<'_>>> {
    let mut shards = vec![Vec::new()];
    let mut bytes = 0;
    for tensor in tensors {
        let added = tensor.bytes(element);
        if bytes > 0 && bytes + added > limit {
            shards.push(Vec::new());
            bytes = 0;
        }
        bytes += added;
        if let Some(shard) = shards.last_mut() {
            shard.push(tensor);
        }
    }
    shards
}

pub(crate) fn write_json(target: &mut AtomicDirectory, name: &str, value: &impl serde::Serialize) -> Result<()> {
    let encode = |source| Error::Json { path: target.path().join(name), source };
    let mut text = serde_json::to_vec_pretty(value).map_err(encode)?;
    text.push(b'\n');
    target.write(name, &text).map_err(Error::Run)
}
