//! Tokenizer, chat template, families, weights in and out, token tree, transformer, adapters, sampling.

pub mod spec;
