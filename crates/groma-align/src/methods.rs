//! The records of the methods, one a file, with what each does to a batch.

pub(crate) mod dpo;
pub(crate) mod reward;
pub(crate) mod sft;
