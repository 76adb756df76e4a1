//! Weights on disk and in memory: configurations, safetensors files and their shards, checkpoints, adapters, exports.

mod adapter;
mod checkpoint;
pub(crate) mod config;
mod export;
mod loading;
mod safetensors;
mod shards;
pub(crate) mod tensor;

pub use adapter::{AdapterFile, BaseModel, LoraConfig};
pub use checkpoint::{Checkpoint, SpecialIds};
pub use config::{CONFIG_BYTES_LIMIT, Config};
pub use export::{Export, SHARD_BYTES};
pub use safetensors::{Dtype, ElementType, Entry, SafetensorsFile};
pub use shards::WeightFiles;
pub use tensor::{Tensor, Weights};
