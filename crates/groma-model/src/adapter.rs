//! Low-rank adapters on disk, as PEFT 0.21 reads and writes them: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use groma_run::atomic::AtomicDirectory;
use groma_run::{Disk, Files};
use serde_json::{Map, Value, json};

use crate::config::{Config, Fields};
use crate::error::{Error, Result};
use crate::export::{check_shape, write_json};
use crate::families::{self, Family};
use crate::loading::check_finite;
use crate::lora::{self, Lora, LowRank};
use crate::parameters::{LinearModule, linear_modules};
use crate::safetensors::{ElementType, Pending, SafetensorsFile, write_file};
use crate::spec::Spec;
use crate::weights::Tensor;

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// What PEFT puts before the path of each module.
const WRAPPER: &str = "base_model.model.";
/// Largest rank that is read.
const RANK_LIMIT: usize = 1 << 16;

/// What an adapter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterTask {
    /// Language modelling.
    CausalLm,
    /// A reward model; the score head is trained whole and saved with the adapter.
    SequenceClassification,
}

/// The settings of an adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank of all factors.
    pub rank: usize,
    /// The product of the factors is multiplied by `alpha / rank` (or `alpha / sqrt(rank)`).
    pub alpha: f64,
    /// Dropout of the adapter's input in training.
    pub dropout: f32,
    /// Scale by the root of the rank (Kalajdzievski 2023).
    pub rank_stabilised: bool,
    /// What it is for.
    pub task: AdapterTask,
    /// Path or hub id of the model that it adapts.
    pub base_model: Option<String>,
    /// Revision of the base model.
    pub revision: Option<String>,
}

/// An adapter read from or to be written to disk.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterFile {
    /// Settings.
    pub config: LoraConfig,
    /// Factors by module, e.g. `blocks.0.attention.q`.
    pub pairs: BTreeMap<String, LowRank>,
    /// The score head `[1, hidden_size]` of a reward model.
    pub score: Option<Tensor>,
}

/// Fields that do not change what an adapter computes.
const IRRELEVANT: &[&str] = &[
    "auto_mapping",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "runtime_config",
];

/// Values of `init_lora_weights` with which the base weights stay what they are.
const PLAIN_STARTS: &[&str] = &["gaussian", "orthogonal", "true"];

impl AdapterFile {
    /// Reads an adapter of a model.
    ///
    /// # Errors
    /// Where a file is missing or malformed, where the adapter uses what is not supported (DoRA, ranks or scales that
    /// differ between modules, biases, replicated layers, other methods than LoRA), and where it does not fit the model.
    pub fn read(directory: &Path, spec: &Spec) -> Result<AdapterFile> {
        let family = family_of(spec)?;
        let config = Config::read(&directory.join(CONFIG))?;
        let lora = read_config(&config)?;
        let path = tensors_path(directory)?;
        let mut file = SafetensorsFile::open(&path)?;
        let modules: BTreeMap<String, LinearModule> =
            linear_modules(spec).into_iter().map(|module| (module.name.clone(), module)).collect();
        let reader = Reader { path: &path, family, modules: &modules, rank: lora.rank };
        let (pairs, score) = reader.read(&mut file, spec)?;
        let transposed = pairs.keys().any(|module| family.is_transposed(module));
        check_orientation(&config, transposed)?;
        Ok(AdapterFile { config: lora, pairs, score })
    }

    /// The directory of the model that an adapter's `base_model_name_or_path` names: as it is, or beside the adapter.
    ///
    /// # Errors
    /// Where the adapter names none, or there is none on this disk.
    pub fn base_directory(directory: &Path) -> Result<PathBuf> {
        let path = directory.join(CONFIG);
        let named = read_config(&Config::read(&path)?)?.base_model;
        let fail = |problem: String| Err(Error::Adapter { path, problem });
        let Some(named) = named else { return fail("`base_model_name_or_path` names no base model".into()) };
        let candidates = [PathBuf::from(&named), directory.join(&named)];
        match candidates.into_iter().find(|candidate| candidate.join("config.json").exists()) {
            Some(found) => Ok(found),
            None => fail(format!("the base model `{named}` is not a model directory on this disk")),
        }
    }

    /// What a transformer attaches.
    pub fn lora(&self) -> Lora {
        let LoraConfig { rank, alpha, dropout, rank_stabilised, .. } = self.config;
        Lora { scale: lora::scale(alpha, rank, rank_stabilised), dropout, pairs: self.pairs.clone() }
    }

    /// Writes the adapter's directory, whole or not at all; `card` is the text of `README.md`, `files` are further files
    /// by name (those of the tokenizer).
    ///
    /// # Errors
    /// Where the factors do not fit the model or are not finite, and where writing fails.
    pub fn write(&self, directory: &Path, spec: &Spec, card: Option<&str>, files: &[(String, Vec<u8>)]) -> Result<()> {
        self.write_on(&Disk::files(), directory, spec, card, files)
    }

    /// As [`AdapterFile::write`], on a given storage.
    ///
    /// # Errors
    /// As [`AdapterFile::write`].
    pub fn write_on(
        &self,
        storage: &Files,
        directory: &Path,
        spec: &Spec,
        card: Option<&str>,
        files: &[(String, Vec<u8>)],
    ) -> Result<()> {
        let family = family_of(spec)?;
        let tensors = self.tensors(family, spec)?;
        check_finite(directory, tensors.iter().map(|tensor| (&tensor.name, tensor.tensor)))?;
        let mut target = AtomicDirectory::create_on(storage, directory).map_err(Error::Run)?;
        write_json(&mut target, CONFIG, &self.config_map(family, spec))?;
        if let Some(card) = card {
            target.write("README.md", card.as_bytes()).map_err(Error::Run)?;
        }
        for (name, bytes) in files {
            if name == CONFIG || name.ends_with(".safetensors") || (name == "README.md" && card.is_some()) {
                return Err(Error::Weights { problem: format!("{name} is written by the adapter itself") });
            }
            target.write(name, bytes).map_err(Error::Run)?;
        }
        let path = directory.join(TENSORS);
        let mut file = target.file(TENSORS).map_err(Error::Run)?;
        write_file(&mut file, &tensors, ElementType::F32).map_err(Error::io("write", &path))?;
        file.finish().map_err(Error::Run)?;
        target.commit().map_err(Error::Run)
    }

    /// All tensors under PEFT's names, in order of their names.
    fn tensors(&self, family: &Family, spec: &Spec) -> Result<Vec<Pending<'_>>> {
        let modules = linear_modules(spec);
        let rank = self.config.rank;
        let mut tensors = BTreeMap::new();
        for (name, LowRank { a, b }) in &self.pairs {
            let module = modules.iter().find(|module| module.name == *name);
            let path = family.module_path(name).filter(|_| module.is_some());
            let (Some(module), Some(path)) = (module, path) else {
                return Err(Error::Weights { problem: format!("the model has no module {name}") });
            };
            check_shape(&format!("factor A of {name}"), a, &[rank, module.inputs])?;
            check_shape(&format!("factor B of {name}"), b, &[module.outputs, rank])?;
            tensors.insert(format!("{WRAPPER}{path}.lora_A.weight"), a);
            tensors.insert(format!("{WRAPPER}{path}.lora_B.weight"), b);
        }
        if tensors.is_empty() {
            return Err(Error::Weights { problem: "the adapter adapts no module".into() });
        }
        if let Some(score) = &self.score {
            check_shape("score.weight", score, &[1, spec.hidden_size])?;
            tensors.insert(format!("{WRAPPER}score.weight"), score);
        }
        let pending = tensors.into_iter().map(|(name, tensor)| {
            let shape = tensor.shape.clone();
            Pending { name, shape, tensor, transposed: false }
        });
        Ok(pending.collect())
    }

    fn config_map(&self, family: &Family, spec: &Spec) -> Map<String, Value> {
        let LoraConfig { rank, alpha, dropout, rank_stabilised, task, base_model, revision } = &self.config;
        let task = match task {
            AdapterTask::CausalLm => "CAUSAL_LM",
            AdapterTask::SequenceClassification => "SEQ_CLS",
        };
        // PEFT's own type for alpha is a whole number; it computes with either.
        let alpha = if alpha.fract() == 0.0 && alpha.abs() < 1e15 { json!(*alpha as i64) } else { json!(alpha) };
        let transposed = self.pairs.keys().any(|module| family.is_transposed(module));
        let value = json!({
            "base_model_name_or_path": base_model,
            "bias": "none",
            "fan_in_fan_out": transposed,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": alpha,
            "lora_dropout": f64::from(*dropout),
            "modules_to_save": self.score.as_ref().map(|_| ["score"]),
            "peft_type": "LORA",
            "r": rank,
            "revision": revision,
            "target_modules": self.target_modules(family, spec),
            "task_type": task,
            "use_dora": false,
            "use_rslora": rank_stabilised,
        });
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// Last parts of the modules' paths, as people write them, where those name no other module; else whole paths.
    fn target_modules(&self, family: &Family, spec: &Spec) -> BTreeSet<String> {
        let paths: BTreeSet<String> = self.pairs.keys().filter_map(|module| family.module_path(module)).collect();
        let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
        let short: BTreeSet<String> = paths.iter().map(|path| last(path)).collect();
        let all = linear_modules(spec).into_iter().filter_map(|module| family.module_path(&module.name));
        let named: BTreeSet<String> = all.filter(|path| short.contains(&last(path))).collect();
        if named == paths { short } else { paths }
    }
}

fn family_of(spec: &Spec) -> Result<&'static Family> {
    let unknown = || Error::Weights { problem: format!("there is no family `{}`", spec.family) };
    families::by_id(spec.family).ok_or_else(unknown)
}

fn tensors_path(directory: &Path) -> Result<PathBuf> {
    let pickle = directory.join("adapter_model.bin");
    let path = directory.join(TENSORS);
    if !path.exists() && pickle.exists() {
        return Err(Error::Pickle { path: pickle });
    }
    Ok(path)
}

fn read_config(config: &Config) -> Result<LoraConfig> {
    let fields = config.fields();
    match fields.text("peft_type")? {
        Some("LORA") => {}
        Some(other) => return Err(fields.error("peft_type", format!("is {other}; only LORA is supported"))),
        None => return Err(fields.missing("peft_type")),
    }
    let lora = LoraConfig {
        rank: fields.size_or("r", 8)?,
        alpha: fields.positive_or("lora_alpha", 8.0)?,
        dropout: dropout(&fields)?,
        rank_stabilised: fields.flag_or("use_rslora", false)?,
        task: task(&fields)?,
        base_model: fields.text("base_model_name_or_path")?.map(str::to_owned),
        revision: fields.text("revision")?.map(str::to_owned),
    };
    if lora.rank > RANK_LIMIT {
        return Err(fields.error("r", format!("is {}; the limit is {RANK_LIMIT}", lora.rank)));
    }
    refuse_unsupported(&fields)?;
    // The tensors themselves say which modules are adapted.
    fields.accept(&["target_modules", "modules_to_save", "fan_in_fan_out"]);
    fields.finish(IRRELEVANT)?;
    Ok(lora)
}

fn dropout(fields: &Fields<'_>) -> Result<f32> {
    let dropout = fields.value("lora_dropout").map_or(Some(0.0), Value::as_f64);
    match dropout {
        Some(dropout) if (0.0..1.0).contains(&dropout) => Ok(dropout as f32),
        _ => Err(fields.error("lora_dropout", "must be a number from 0 to below 1")),
    }
}

fn task(fields: &Fields<'_>) -> Result<AdapterTask> {
    match fields.text("task_type")? {
        None | Some("CAUSAL_LM") => Ok(AdapterTask::CausalLm),
        Some("SEQ_CLS") => Ok(AdapterTask::SequenceClassification),
        Some(other) => Err(fields.error("task_type", format!("is {other}; supported are CAUSAL_LM and SEQ_CLS"))),
    }
}

/// Features by which the same tensors would mean another function. Others that PEFT has, or will have, are unknown
/// fields, and refused unless null, false or empty.
fn refuse_unsupported(fields: &Fields<'_>) -> Result<()> {
    let refusals: [(&str, Value, &str); 6] = [
        ("bias", json!("none"), "trained biases"),
        ("use_dora", json!(false), "DoRA"),
        ("rank_pattern", json!({}), "ranks that differ between modules"),
        ("alpha_pattern", json!({}), "scales that differ between modules"),
        ("layer_replication", Value::Null, "layers used several times"),
        ("trainable_token_indices", Value::Null, "embeddings of single tokens"),
    ];
    refusals.iter().try_for_each(|(name, neutral, why)| fields.require_neutral(name, neutral, why))?;
    let start = fields.value("init_lora_weights");
    let plain = match start {
        None | Some(Value::Bool(_)) => true,
        Some(Value::String(name)) => PLAIN_STARTS.contains(&name.as_str()),
        Some(_) => false,
    };
    if plain {
        return Ok(());
    }
    let shown = start.map(Value::to_string).unwrap_or_default();
    Err(fields.error("init_lora_weights", format!("is {shown}: such a start changes the base weights too")))
}

/// `fan_in_fan_out` must say how the family stores its matrices; PEFT corrects a wrong value, we compute the same.
fn check_orientation(config: &Config, transposed: bool) -> Result<()> {
    let fields = config.fields();
    if fields.flag_or("fan_in_fan_out", false)? && !transposed {
        return Err(fields.error("fan_in_fan_out", "is true, but the modules are stored as [outputs, inputs]"));
    }
    Ok(())
}

struct Reader<'a> {
    path: &'a Path,
    family: &'a Family,
    modules: &'a BTreeMap<String, LinearModule>,
    rank: usize,
}

enum Role {
    A,
    B,
}

impl Reader<'_> {
    fn error(&self, problem: String) -> Error {
        Error::Adapter { path: self.path.into(), problem }
    }

    fn read(&self, file: &mut SafetensorsFile, spec: &Spec) -> Result<(BTreeMap<String, LowRank>, Option<Tensor>)> {
        let names: Vec<String> = file.entries().keys().cloned().collect();
        let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
        let mut score = None;
        for name in names {
            if name.strip_prefix(WRAPPER) == Some("score.weight") {
                self.check(file, &name, &[1, spec.hidden_size])?;
                score = Some(self.finite(file, &name)?);
                continue;
            }
            let (module, role) = self.module_of(&name)?;
            let (factors, shape) = match role {
                Role::A => (&mut a, [self.rank, module.inputs]),
                Role::B => (&mut b, [module.outputs, self.rank]),
            };
            self.check(file, &name, &shape)?;
            factors.insert(module.name.clone(), self.finite(file, &name)?);
        }
        if score.is_some() && !spec.score_head {
            return Err(self.error("has a score head, but the model has none".into()));
        }
        Ok((self.pair(a, b)?, score))
    }

    /// The module and the factor that a name means.
    fn module_of(&self, name: &str) -> Result<(&LinearModule, Role)> {
        let bare = name.strip_prefix(WRAPPER).unwrap_or(name);
        let (path, role) = if let Some(path) = bare.strip_suffix(".lora_A.weight") {
            (path, Role::A)
        } else if let Some(path) = bare.strip_suffix(".lora_B.weight") {
            (path, Role::B)
        } else {
            return Err(self.error(format!("`{name}` is no factor of a linear module")));
        };
        let module = self.family.module_at(path).and_then(|module| self.modules.get(&module));
        let module = module.ok_or_else(|| self.error(format!("`{name}` adapts what this model does not have")))?;
        Ok((module, role))
    }

    fn check(&self, file: &SafetensorsFile, name: &str, expected: &[usize]) -> Result<()> {
        match file.entries().get(name) {
            Some(entry) if entry.shape != expected => Err(self.error(format!(
                "`{name}` has shape {:?}; by the rank and the model it should be {expected:?}",
                entry.shape
            ))),
            _ => Ok(()),
        }
    }

    fn finite(&self, file: &mut SafetensorsFile, name: &str) -> Result<Tensor> {
        let tensor = file.read(name)?;
        check_finite(self.path, [(&name.to_owned(), &tensor)])?;
        Ok(tensor)
    }

    fn pair(&self, a: BTreeMap<String, Tensor>, mut b: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, LowRank>> {
        let mut pairs = BTreeMap::new();
        for (module, a) in a {
            let b = b.remove(&module).ok_or_else(|| self.error(format!("factor B of {module} is missing")))?;
            pairs.insert(module, LowRank { a, b });
        }
        match b.keys().next() {
            Some(module) => Err(self.error(format!("factor A of {module} is missing"))),
            None if pairs.is_empty() => Err(self.error("adapts no module".into())),
            None => Ok(pairs),
        }
    }
}
