//! A model on disk in Hugging Face layout.

use std::io;
use std::path::{Path, PathBuf};

use groma_run::{Digest, Hasher};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::families::{self, Family};
use crate::spec::Head;
use crate::spec::Spec;
use crate::spec::heads;
use crate::spec::parameters::Parameter;
use crate::weights::config::{Config, Fields};
use crate::weights::loading;
use crate::weights::shards::WeightFiles;
use crate::weights::tensor::Weights;

/// A model directory whose configuration was read and understood.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    directory: PathBuf,
    spec: Spec,
    family: &'static Family,
    config: Config,
    generation: Option<Config>,
    special: SpecialIds,
}

/// Ids of special tokens, from `generation_config.json` or else `config.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Each of them ends a text.
    pub eos: Vec<u32>,
    /// Fills batches.
    pub pad: Option<u32>,
}

impl Checkpoint {
    /// Reads the configuration of a model directory. Weights are read by [`Checkpoint::weights`].
    ///
    /// # Errors
    /// Where `config.json` is missing, malformed, or describes a model that is not supported.
    pub fn open(directory: &Path) -> Result<Checkpoint> {
        let config = Config::read(&directory.join("config.json"))?;
        let mut spec = families::read(&config)?;
        if has_foreign_value_head(directory, &config, &spec) {
            spec.outputs.push(Head::VALUE);
        }
        let Some(family) = families::by_id(spec.family) else {
            return Err(Error::Weights { problem: format!("there is no family `{}`", spec.family) });
        };
        let generation = directory.join("generation_config.json");
        let generation = if generation.exists() { Some(Config::read(&generation)?) } else { None };
        let special = SpecialIds::read(generation.as_ref(), &config)?;
        Ok(Checkpoint { directory: directory.into(), spec, family, config, generation, special })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What a user should know of how it is read, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let has_code = self.config.map().contains_key("auto_map");
        has_code
            .then(|| "auto_map of config.json is ignored: no code of a model is run".to_owned())
            .into_iter()
            .collect()
    }

    /// The function that the weights parametrise.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Its family.
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// `config.json`.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// `generation_config.json`, where there is one.
    pub fn generation_config(&self) -> Option<&Map<String, Value>> {
        self.generation.as_ref().map(Config::map)
    }

    /// Ids of special tokens.
    pub fn special_ids(&self) -> &SpecialIds {
        &self.special
    }

    /// Reads the weights, by the names of [`crate::parameters`], as f32.
    ///
    /// # Errors
    /// Where there are none, where they are pickles, where a file contradicts itself, where tensors are missing,
    /// unexpected, misshapen or of another element type (all in one error), and where values are not finite.
    pub fn weights(&self) -> Result<Weights> {
        let files = WeightFiles::find(&self.directory)?;
        loading::load(&self.directory, &files, self.family, &self.spec)
    }

    /// Checks that the weights are there, each in its shape, and that no file is cut; reads no values.
    ///
    /// # Errors
    /// As for [`Checkpoint::weights`], but for those about values.
    pub fn check_weights(&self) -> Result<()> {
        let files = WeightFiles::find(&self.directory)?;
        loading::check(&self.directory, &files, self.family, &self.spec)
    }

    /// Reads the weights one after the other: `take` gets each parameter with what reads its values, run by run of whole rows.
    ///
    /// # Errors
    /// As for [`Checkpoint::weights`].
    pub(crate) fn stream(&self, take: &mut dyn FnMut(&Parameter, &mut loading::Next) -> io::Result<()>) -> Result<()> {
        let files = WeightFiles::find(&self.directory)?;
        loading::stream(&self.directory, &files, self.family, &self.spec, take)
    }

    /// Digest of the names and contents of `config.json` and all weight files: the identity of the model.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn digest(&self) -> Result<Digest> {
        let weights = WeightFiles::find(&self.directory)?;
        let mut hasher = Hasher::default();
        for path in std::iter::once(self.config.path()).chain(weights.files.iter().map(PathBuf::as_path)) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            hasher.part(name.as_bytes());
            hasher.part(Digest::of_file(path).map_err(Error::Run)?.as_bytes());
        }
        Ok(hasher.finish())
    }
}

/// Whether a language model whose configuration lists no heads has a value head among its weights: TRL's
/// `AutoModelForCausalLMWithValueHead` leaves no other trace. Weights that cannot be read are reported when they are.
fn has_foreign_value_head(directory: &Path, config: &Config, spec: &Spec) -> bool {
    let silent = spec.outputs == [Head::UNEMBEDDING] && !config.map().contains_key(heads::FIELD);
    let name = format!("{}.weight", families::VALUE_PATH);
    silent && WeightFiles::find(directory).is_ok_and(|files| files.has(&name))
}

impl SpecialIds {
    fn read(generation: Option<&Config>, config: &Config) -> Result<SpecialIds> {
        let sources: Vec<Fields<'_>> = generation.into_iter().chain([config]).map(Config::fields).collect();
        let first = |name: &str| -> Result<Vec<u32>> {
            for fields in &sources {
                if let Some(value) = fields.value(name) {
                    return ids(fields, name, value);
                }
            }
            Ok(Vec::new())
        };
        let one = |name: &str| -> Result<Option<u32>> { Ok(first(name)?.first().copied()) };
        Ok(SpecialIds { bos: one("bos_token_id")?, eos: first("eos_token_id")?, pad: one("pad_token_id")? })
    }
}

/// One id or a list of them; a negative one means none.
fn ids(fields: &Fields<'_>, name: &str, value: &Value) -> Result<Vec<u32>> {
    let wrong = || fields.error(name, format!("must be a token id or a list of them, found {value}"));
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let mut ids = Vec::new();
    for item in items {
        match item.as_i64() {
            Some(id @ 0..) => ids.push(u32::try_from(id).map_err(|_| wrong())?),
            Some(_) => {}
            None => return Err(wrong()),
        }
    }
    ids.dedup();
    Ok(ids)
}
