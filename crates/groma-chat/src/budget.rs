//! How much a rendering may produce.
//!
//! Everything that a guarded function or the formatter makes is charged here by its size, before it is made. Nothing is
//! given back, so the sum bounds the memory held at any time as well as the time spent copying, and the outcome does not
//! depend on the speed of the machine, as it would with a clock.

use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::{Error, ErrorKind};

use crate::error::TemplateError;

/// Bytes that any rendering may produce, whatever its input.
const BASE_BYTES: usize = 16 << 20;
/// Further bytes for each byte of input.
const BYTES_FOR_EACH_INPUT_BYTE: usize = 24;
/// Charged for every guarded call.
const CALL_BYTES: usize = 8;

/// The allowance of one rendering.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    spent: AtomicUsize,
}

impl Budget {
    /// For input of so many bytes.
    pub(crate) fn new(input_bytes: usize) -> Self {
        let limit = input_bytes.saturating_mul(BYTES_FOR_EACH_INPUT_BYTE).saturating_add(BASE_BYTES);
        Self { limit, spent: AtomicUsize::new(0) }
    }

    /// Takes the cost of something of so many bytes that is about to be made or walked.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), Error> {
        let cost = bytes.saturating_add(CALL_BYTES);
        let before = self.spent.fetch_add(cost.min(self.limit + 1), Ordering::Relaxed);
        if before.saturating_add(cost) <= self.limit {
            return Ok(());
        }
        Err(self.exceeded())
    }

    /// Whether something of so many bytes could be walked once at all; costs nothing.
    pub(crate) fn allow(&self, bytes: usize) -> Result<(), Error> {
        if bytes <= self.limit { Ok(()) } else { Err(self.exceeded()) }
    }

    fn exceeded(&self) -> Error {
        refusal(TemplateError::Limit { what: "bytes of text and values", limit: self.limit })
    }
}

/// A typed error as minijinja carries it.
pub(crate) fn refusal(error: TemplateError) -> Error {
    Error::new(ErrorKind::InvalidOperation, error.to_string()).with_source(error)
}

/// An operation that cannot be done.
pub(crate) fn failure(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.into())
}
