//! Low-rank adapters on disk, as PEFT 0.21 reads and writes them: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use groma_run::atomic::AtomicDirectory;
use groma_run::{Disk, Files};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::families::{self, Family, VALUE_PATH};
use crate::spec::Head;
use crate::spec::Spec;
use crate::spec::heads::{self, Class};
use crate::spec::parameters::{LinearModule, Parameter, linear_modules};
use crate::transformer::lora::{self, Lora, LowRank};
use crate::weights::config::{Config, Fields};
use crate::weights::export::{check_shape, write_json};
use crate::weights::loading::check_finite;
use crate::weights::safetensors::{ElementType, Pending, SafetensorsFile, write_file};
use crate::weights::tensor::{Tensor, Weights};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// What PEFT puts before the path of each module.
const WRAPPER: &str = "base_model.model.";
/// Largest rank that is read.
const RANK_LIMIT: usize = 1 << 16;

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
    /// The model that it adapts.
    pub base: BaseModel,
}

/// What an adapter says of the model that it adapts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseModel {
    /// Its hub id or path.
    pub name: Option<String>,
    /// Its revision, of a hub id.
    pub revision: Option<String>,
    /// Where it lay when the adapter was trained, of a hub id.
    pub directory: Option<String>,
}

impl BaseModel {
    /// The model in a directory, so that it is found again from anywhere: a snapshot in the hub's cache by id and commit, any
    /// other by its absolute path.
    pub fn at(directory: &Path) -> BaseModel {
        let path = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        let path = path.canonicalize().unwrap_or(path);
        let text = path.to_string_lossy().into_owned();
        let parts: Vec<String> = path.iter().rev().map(|part| part.to_string_lossy().into_owned()).take(3).collect();
        let id = match &parts[..] {
            [commit, snapshots, folder] if snapshots == "snapshots" => {
                folder.strip_prefix("models--").map(|id| (id.replace("--", "/"), commit.clone()))
            }
            _ => None,
        };
        match id {
            Some((id, commit)) => BaseModel { name: Some(id), revision: Some(commit), directory: Some(text) },
            None => BaseModel { name: Some(text), ..BaseModel::default() },
        }
    }
}

/// The field that says where a base model of a hub id lay.
const BASE_DIRECTORY: &str = "groma_base_directory";

/// Where bases are, by the directories of adapters, as callers have found them.
static FOUND: Mutex<BTreeMap<PathBuf, PathBuf>> = Mutex::new(BTreeMap::new());

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// An adapter read from or to be written to disk.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterFile {
    /// Settings.
    pub config: LoraConfig,
    /// Factors by module, e.g. `blocks.0.attention.q`.
    pub pairs: BTreeMap<String, LowRank>,
    /// The heads of the adapted model.
    pub heads: Vec<Head>,
    /// Weights of heads that were trained whole, by the names of [`crate::parameters`].
    pub head_weights: Weights,
}

/// PEFT's names of tasks.
const TASKS: [(Class, &str); 3] = [
    (Class::CausalLm, "CAUSAL_LM"),
    (Class::SequenceClassification, "SEQ_CLS"),
    (Class::TokenClassification, "TOKEN_CLS"),
];

/// Fields that do not change what an adapter computes.
const IRRELEVANT: &[&str] = &[
    "auto_mapping",
    "eva_config",
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
const PLAIN_STARTS: &[&str] = &["eva", "gaussian", "orthogonal", "true"];

impl AdapterFile {
    /// Reads an adapter of a model, `spec` as its own checkpoint describes it.
    ///
    /// # Errors
    /// Where a file is missing or malformed, where the adapter uses what is not supported (DoRA, ranks or scales that
    /// differ between modules, biases, replicated layers, other methods than LoRA), and where it does not fit the model.
    pub fn read(directory: &Path, spec: &Spec) -> Result<AdapterFile> {
        let family = family_of(spec)?;
        let config = Config::read(&directory.join(CONFIG))?;
        let (lora, class) = read_config(&config)?;
        let path = tensors_path(directory)?;
        let mut file = SafetensorsFile::open(&path)?;
        let modules: BTreeMap<String, LinearModule> =
            linear_modules(spec).into_iter().map(|module| (module.name.clone(), module)).collect();
        let mut reader = Reader { path: &path, family, modules: &modules, rank: lora.rank, file: &mut file };
        let heads = reader.heads(class, &config.fields(), spec)?;
        let head_weights = reader.head_weights(&heads, spec)?;
        let pairs = reader.pairs(&heads, spec)?;
        let transposed = pairs.keys().any(|module| family.is_transposed(module));
        check_orientation(&config, transposed)?;
        Ok(AdapterFile { config: lora, pairs, heads, head_weights })
    }

    /// Whether a directory holds an adapter.
    pub fn is_in(directory: &Path) -> bool {
        !directory.join("config.json").exists() && directory.join(CONFIG).exists()
    }

    /// What the adapter in a directory says of its base.
    ///
    /// # Errors
    /// Where its configuration cannot be read.
    pub fn base_model(directory: &Path) -> Result<BaseModel> {
        Ok(read_config(&Config::read(&directory.join(CONFIG))?)?.0.base)
    }

    /// Says where the base of the adapter in a directory is, whatever the adapter says: for the rest of this process.
    pub fn set_base(directory: &Path, base: &Path) {
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        found.insert(absolute(directory), base.to_owned());
    }

    /// The directory of the model that an adapter adapts: where [`AdapterFile::set_base`] says; else where its
    /// `base_model_name_or_path` says, as it is, beside the adapter, or, of a hub id, where it lay when the adapter was trained.
    ///
    /// # Errors
    /// Where the adapter names none, or there is none on this disk.
    pub fn base_directory(directory: &Path) -> Result<PathBuf> {
        if let Some(found) = FOUND.lock().unwrap_or_else(PoisonError::into_inner).get(&absolute(directory)) {
            return Ok(found.clone());
        }
        let path = directory.join(CONFIG);
        let base = AdapterFile::base_model(directory)?;
        let fail = |problem: String| Err(Error::NoBase { path: path.clone(), problem });
        let Some(named) = base.name else { return fail("`base_model_name_or_path` names no base model".into()) };
        let candidates = [Some(PathBuf::from(&named)), Some(directory.join(&named)), base.directory.map(PathBuf::from)];
        let found = candidates.into_iter().flatten().find(|candidate| candidate.join("config.json").exists());
        found.map_or_else(|| fail(format!("the base model `{named}` is not a model directory on this disk")), Ok)
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
        write_json(&mut target, CONFIG, &self.config_map(family, spec)?)?;
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
        let mut unwritten: BTreeSet<&String> = self.head_weights.keys().collect();
        for (name, parameter) in head_names(family, &self.heads, spec) {
            if let Some(tensor) = self.head_weights.get(&parameter.name) {
                check_shape(&parameter.name, tensor, &parameter.shape)?;
                unwritten.remove(&parameter.name);
                tensors.insert(name, tensor);
            }
        }
        if let Some(name) = unwritten.first() {
            return Err(Error::Weights { problem: format!("{name} belongs to none of the adapted model's heads") });
        }
        let pending = tensors.into_iter().map(|(name, tensor)| {
            let shape = tensor.shape.clone();
            Pending { name, shape, tensor, transposed: false }
        });
        Ok(pending.collect())
    }

    fn config_map(&self, family: &Family, spec: &Spec) -> Result<Map<String, Value>> {
        let LoraConfig { rank, alpha, dropout, rank_stabilised, base } = &self.config;
        let (class, _) = Class::of(&self.heads)?;
        let task = TASKS.iter().find(|(of, _)| *of == class).map(|(_, task)| *task);
        let saved: BTreeSet<String> = (head_names(family, &self.heads, spec).into_iter())
            .filter(|(_, parameter)| self.head_weights.contains_key(&parameter.name))
            .filter_map(|(name, _)| Some(name.strip_prefix(WRAPPER)?.rsplit_once('.')?.0.to_owned()))
            .collect();
        // PEFT's own type for alpha is a whole number; it computes with either.
        let alpha = if alpha.fract() == 0.0 && alpha.abs() < 1e15 { json!(*alpha as i64) } else { json!(alpha) };
        let transposed = self.pairs.keys().any(|module| family.is_transposed(module));
        let value = json!({
            "base_model_name_or_path": base.name,
            "bias": "none",
            "fan_in_fan_out": transposed,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": alpha,
            "lora_dropout": f64::from(*dropout),
            "modules_to_save": if saved.is_empty() { Value::Null } else { json!(saved) },
            "peft_type": "LORA",
            "r": rank,
            "revision": base.revision,
            "target_modules": self.target_modules(family, spec),
            "task_type": task,
            "use_dora": false,
            "use_rslora": rank_stabilised,
        });
        let Value::Object(mut map) = value else { return Ok(Map::new()) };
        if let Some(directory) = &base.directory {
            map.insert(BASE_DIRECTORY.into(), json!(directory));
        }
        let (_, first) = Class::of(&self.heads)?;
        heads::describe(&mut map, first);
        heads::list_attributes(&mut map, first);
        heads::write_beside(&mut map, &self.heads)?;
        Ok(map)
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

/// The parameters of heads that an adapter may bring, with PEFT's names of them.
fn head_names(family: &Family, heads: &[Head], spec: &Spec) -> Vec<(String, Parameter)> {
    let of_head = |head: &Head| {
        let path = family.head_path(heads, head)?;
        let name = |parameter: &Parameter| {
            format!("{WRAPPER}{path}.{}", parameter.name.rsplit('.').next().unwrap_or_default())
        };
        Some(head.parameters(spec).into_iter().map(move |parameter| (name(&parameter), parameter)).collect::<Vec<_>>())
    };
    heads.iter().filter_map(of_head).flatten().collect()
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

fn read_config(config: &Config) -> Result<(LoraConfig, Class)> {
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
        base: BaseModel {
            name: fields.text("base_model_name_or_path")?.map(str::to_owned),
            revision: fields.text("revision")?.map(str::to_owned),
            directory: fields.text(BASE_DIRECTORY)?.map(str::to_owned),
        },
    };
    if lora.rank > RANK_LIMIT {
        return Err(fields.error("r", format!("is {}; the limit is {RANK_LIMIT}", lora.rank)));
    }
    let class = class(&fields)?;
    refuse_unsupported(&fields)?;
    heads::read_beside(&fields)?;
    heads::described(Head::STEP, &fields)?;
    // The tensors themselves say which modules are adapted.
    fields.accept(&["target_modules", "modules_to_save", "fan_in_fan_out"]);
    fields.finish(&[IRRELEVANT])?;
    Ok((lora, class))
}

fn dropout(fields: &Fields<'_>) -> Result<f32> {
    let dropout = fields.value("lora_dropout").map_or(Some(0.0), Value::as_f64);
    match dropout {
        Some(dropout) if (0.0..1.0).contains(&dropout) => Ok(dropout as f32),
        _ => Err(fields.error("lora_dropout", "must be a number from 0 to below 1")),
    }
}

fn class(fields: &Fields<'_>) -> Result<Class> {
    let Some(task) = fields.text("task_type")? else { return Ok(Class::CausalLm) };
    let found = TASKS.iter().find(|(_, name)| *name == task).map(|(class, _)| *class);
    found.ok_or_else(|| fields.error("task_type", format!("is {task}; supported are CAUSAL_LM, SEQ_CLS and TOKEN_CLS")))
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
    file: &'a mut SafetensorsFile,
}

enum Role {
    A,
    B,
}

impl<'a> Reader<'a> {
    fn error(&self, problem: String) -> Error {
        Error::Adapter { path: self.path.into(), problem }
    }

    /// The heads of the adapted model: the first by the adapter's task, as wide as its weights or as that of the base
    /// model; those beside it as the adapter lists them, or as the base model has them, with a value head of TRL's.
    fn heads(&self, class: Class, fields: &Fields<'_>, spec: &Spec) -> Result<Vec<Head>> {
        let rows = |name: &str| self.file.entries().get(name).and_then(|entry| entry.shape.first().copied());
        let of_class = class.head(1);
        let saved = head_names(self.family, std::slice::from_ref(&of_class), spec).into_iter().next();
        let first = match (saved.and_then(|(name, _)| rows(&name)), spec.head(&of_class.name)) {
            (Some(rows), _) => class.head(rows),
            (None, Some(own)) => own.clone(),
            (None, None) if class == Class::CausalLm => {
                return Err(self.error("is one of a language model, but the model has no unembedding".into()));
            }
            (None, None) => return Err(self.error("has no head, and neither has the model".into())),
        };
        let mut heads = vec![heads::described(first, fields)?];
        let (own_class, _) = Class::of(&spec.outputs)?;
        match heads::read_beside(fields)? {
            Some(beside) => heads.extend(beside),
            None if own_class == class => {
                heads.extend(spec.outputs.iter().filter(|head| head.name != of_class.name).cloned())
            }
            None => {}
        }
        let value = rows(&format!("{WRAPPER}{VALUE_PATH}.weight")).is_some();
        if value && !heads.contains(&Head::VALUE) {
            heads.push(Head::VALUE);
        }
        heads::check(&heads, |problem| self.error(problem))?;
        Ok(heads)
    }

    /// Weights of heads that lie beside the factors.
    fn head_weights(&mut self, heads: &[Head], spec: &Spec) -> Result<Weights> {
        let mut weights = Weights::new();
        for (name, parameter) in head_names(self.family, heads, spec) {
            if self.file.entries().contains_key(&name) {
                self.check(&name, &parameter.shape)?;
                weights.insert(parameter.name, self.finite(&name)?);
            }
        }
        Ok(weights)
    }

    /// Factors by module; every tensor must be one of them, or a head's.
    fn pairs(&mut self, heads: &[Head], spec: &Spec) -> Result<BTreeMap<String, LowRank>> {
        let of_heads: BTreeSet<String> =
            head_names(self.family, heads, spec).into_iter().map(|(name, _)| name).collect();
        let names: Vec<String> = self.file.entries().keys().filter(|name| !of_heads.contains(*name)).cloned().collect();
        let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
        for name in names {
            let (module, role) = self.module_of(&name)?;
            let (factors, shape) = match role {
                Role::A => (&mut a, [self.rank, module.inputs]),
                Role::B => (&mut b, [module.outputs, self.rank]),
            };
            let module = module.name.clone();
            self.check(&name, &shape)?;
            factors.insert(module, self.finite(&name)?);
        }
        self.pair(a, b)
    }

    /// The module and the factor that a name means.
    fn module_of(&self, name: &str) -> Result<(&'a LinearModule, Role)> {
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

    fn check(&self, name: &str, expected: &[usize]) -> Result<()> {
        match self.file.entries().get(name) {
            Some(entry) if entry.shape != expected => Err(self.error(format!(
                "`{name}` has shape {:?}; by the rank and the model it should be {expected:?}",
                entry.shape
            ))),
            _ => Ok(()),
        }
    }

    fn finite(&mut self, name: &str) -> Result<Tensor> {
        let tensor = self.file.read(name)?;
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
