//! What the program shows: data on standard output, everything else on standard error.

mod context;
mod document;
mod interrupts;
mod output;
mod progress;

pub(crate) use context::Context;
pub(crate) use document::print_json;
pub(crate) use output::{colours, columns, folded, lost, print, say, speak_json, tell};
