//! Tokenizer, chat template, families, weights in and out, token tree, transformer, adapters, sampling.

pub mod families;
pub mod spec;

mod config;
mod error;
mod parameters;

pub use config::{CONFIG_BYTES_LIMIT, Config};
pub use error::{Error, Mismatch, MismatchProblem, Result, SafetensorsProblem};
pub use parameters::{LinearModule, Parameter, linear_modules, parameters};
