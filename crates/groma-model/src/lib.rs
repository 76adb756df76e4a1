//! Tokenizer, chat template, families, weights, token tree, transformer, adapters and sampling.
