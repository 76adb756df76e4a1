//! Tokenizer, families, weights in and out, token tree, transformer, adapters, sampling.

pub mod families;
pub mod hooks;
pub mod spec;
pub mod tokenizer;
pub mod training;
pub mod tree;

mod error;
mod inference;
mod local;
mod transformer;
mod uniform;
mod weights;

pub use error::{Error, Mismatch, MismatchProblem, Result, SafetensorsProblem};
pub use hooks::{AdapterChoice, Address, HookPoint, Hooks, Intervention, Positions, Site, View};
pub use inference::divergence::divergence;
pub use inference::foreseen::{Foreseen, foreseen};
pub use inference::prefixes::PrefixCache;
pub use inference::room::Room;
pub use inference::{generate, guidance, rewards, sampling, score};
pub use local::{
    ChatTemplate, LocalModel, TemplateChoice, base_checkpoint, open_tokenizer, open_transformer, spec_in, tokens_in,
};
pub use spec::Spec;
pub use spec::parameters::{LinearModule, Parameter, linear_modules, parameters};
pub use spec::{Head, HeadKind};
pub use tokenizer::Tokenizer;
pub use transformer::lora::{self, Lora, LowRank};
pub use transformer::store::{ParameterStore, StoredParameter};
pub use transformer::{Pass, Transformer};
pub use tree::{Predictors, SegmentId, TokenTree};
pub use weights::{
    AdapterFile, BaseModel, CONFIG_BYTES_LIMIT, Checkpoint, Config, Dtype, ElementType, Entry, Export, LoraConfig,
    SHARD_BYTES, SafetensorsFile, SpecialIds, Tensor, WeightFiles, Weights,
};
