//! Tokenizer, chat template, families, weights in and out, token tree, transformer, adapters, sampling.

pub mod spec;

mod error;

pub use error::{Error, Mismatch, MismatchProblem, Result, SafetensorsProblem};
