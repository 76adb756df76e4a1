//! Tokenizer, families, weights in and out, token tree, transformer, adapters, sampling.

pub mod families;
pub mod generate;
pub mod hooks;
pub mod lora;
pub mod sampling;
pub mod score;
pub mod spec;
pub mod tokenizer;
pub mod tree;

mod adapter;
mod cache;
mod checkpoint;
mod config;
mod error;
mod export;
mod heads;
mod loading;
mod local;
mod parameters;
mod safetensors;
mod shards;
mod store;
mod transformer;
mod view;
mod weights;

pub use adapter::{AdapterFile, LoraConfig};
pub use checkpoint::{Checkpoint, SpecialIds};
pub use config::{CONFIG_BYTES_LIMIT, Config};
pub use error::{Error, Mismatch, MismatchProblem, Result, SafetensorsProblem};
pub use export::{Export, SHARD_BYTES};
pub use heads::{Head, HeadKind};
pub use hooks::{Address, HookPoint, Hooks, Intervention, Positions, Site};
pub use local::{ChatTemplate, LocalModel, TemplateChoice, base_checkpoint, open_tokenizer, open_transformer};
pub use lora::{Lora, LowRank};
pub use parameters::{LinearModule, Parameter, linear_modules, parameters};
pub use safetensors::{Dtype, ElementType, Entry, SafetensorsFile};
pub use shards::WeightFiles;
pub use spec::Spec;
pub use store::{ParameterStore, StoredParameter};
pub use tokenizer::Tokenizer;
pub use transformer::{Pass, Transformer};
pub use tree::{Predictors, SegmentId, TokenTree};
pub use view::{AdapterChoice, View};
pub use weights::{Tensor, Weights};
