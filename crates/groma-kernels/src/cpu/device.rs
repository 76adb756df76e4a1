//! The backend itself: which kernels it runs, and its memory.
use super::arithmetic::Arithmetic;
use super::level::Level;
use super::precision::Precision;
use crate::Error;
use crate::pool::{MemoryUse, Pool};
use std::sync::Arc;

/// Kernels for the host processor, on the threads of the current rayon pool.
///
/// Cheap to clone; clones share one memory pool.
#[derive(Clone, Debug)]
pub struct Cpu {
    /// Of all kernels but products.
    pub(super) level: Level,
    /// Of products.
    pub(super) arithmetic: Arithmetic,
    pub(super) pool: Arc<Pool>,
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

impl Cpu {
    /// The most able kernels that this processor runs, limited by the environment variable `GROMA_CPU` where it holds a
    /// known name (see [`Level::requested`], which programs call at start to refuse unknown ones).
    pub fn new() -> Self {
        let limit = Level::requested().ok().flatten().unwrap_or(Level::AmxBf16);
        Self::of(limit.min(Level::detected()))
    }

    /// Kernels of one level.
    ///
    /// # Errors
    /// [`Error::UnsupportedLevel`] if this processor lacks its instructions.
    pub fn with_level(level: Level) -> Result<Self, Error> {
        if !level.is_supported() {
            return Err(Error::UnsupportedLevel { wanted: level.name(), available: Level::detected().name() });
        }
        Ok(Self::of(level))
    }

    fn of(level: Level) -> Self {
        Self { level, arithmetic: Arithmetic::new(level, Precision::F32), pool: Arc::default() }
    }

    /// The same with products in this precision; in f32 where the level has no bf16 (see [`crate::Backend::precision`]).
    ///
    /// Bounds: a product in bf16 differs from the exact one by at most `2^-7` of the sum of its terms' sizes, and half of
    /// that where one operand is exact in bf16, up to the rounding of f32 sums. As in f32, a row's bits depend neither on
    /// the other rows nor on the number of threads; they do depend on the unit (AVX-512 or AMX).
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.arithmetic = Arithmetic::new(self.level, precision);
        self
    }

    /// The most able instructions used.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Memory held by buffers of this backend, packed copies and temporary ones included.
    pub fn memory(&self) -> MemoryUse {
        self.pool.memory()
    }

    /// Starts the peak of [`Cpu::memory`] anew.
    pub fn reset_memory_peak(&self) {
        self.pool.reset_peak();
    }

    /// Gives idle memory back to the operating system.
    pub fn trim_memory(&self) {
        self.pool.trim();
    }
}
