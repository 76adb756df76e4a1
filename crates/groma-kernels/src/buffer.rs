//! Device memory: aligned, pooled arrays of `f32`, and packed copies of weights that do not change.
use crate::cpu::pack::Packed;
use crate::pool::{Lease, Pool, Stay};
use std::sync::{Arc, OnceLock};

/// Device memory: `len` values of `f32`, aligned to 64 bytes.
///
/// Buffers come from a [`crate::Backend`]. A clone is a deep copy. On drop the memory goes back to the backend's pool.
///
/// A weight that is read many times without changing may be [frozen](Buffer::freeze): matrix products then keep it in
/// the order in which they read it, instead of reordering it at each call.
#[derive(Debug)]
pub struct Buffer {
    values: Lease,
    pool: Arc<Pool>,
    frozen: Option<Box<FrozenCopies>>,
}

/// Packed copies of a frozen weight, made when first needed.
#[derive(Debug, Default)]
pub(crate) struct FrozenCopies {
    /// For `x wᵀ`.
    pub(crate) forward: OnceLock<Packed>,
    /// For `dy w`.
    pub(crate) backward: OnceLock<Packed>,
}

impl Buffer {
    /// A buffer of `len` unspecified values from `pool`.
    pub(crate) fn new(pool: &Arc<Pool>, len: usize, stay: Stay) -> Self {
        Self { values: Lease::staying(pool, len, stay), pool: Arc::clone(pool), frozen: None }
    }

    /// A buffer of `len` zeros.
    pub(crate) fn zeros(pool: &Arc<Pool>, len: usize) -> Self {
        let mut buffer = Self::new(pool, len, Stay::Short);
        buffer.host_mut().fill(0.0);
        buffer
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values, as host memory.
    pub fn host(&self) -> &[f32] {
        &self.values
    }

    /// The values for writing. Drops the packed copies of a frozen buffer; the next product makes new ones.
    pub fn host_mut(&mut self) -> &mut [f32] {
        if let Some(frozen) = &mut self.frozen {
            **frozen = FrozenCopies::default();
        }
        &mut self.values
    }

    /// Declares that this weight is going to be read often and changed hardly ever (inference, the base under LoRA).
    ///
    /// The first [`linear`](crate::Backend::linear) then leaves a packed copy of the size of the buffer (each row count
    /// rounded up to a multiple of 32), and the first
    /// [`linear_backward_input`](crate::Backend::linear_backward_input) another: inference holds the weight twice,
    /// training through it three times (a copy is half as large in bf16, and in f32 where all values are exact in bf16, as
    /// most published checkpoints' are; only products of the first precision use it).
    /// Writing through [`Buffer::host_mut`] drops the copies. Results are the same to the bit, frozen or not.
    pub fn freeze(&mut self) {
        if self.frozen.is_none() {
            self.frozen = Some(Box::default());
        }
    }

    /// Undoes [`Buffer::freeze`] and drops the packed copies.
    pub fn thaw(&mut self) {
        self.frozen = None;
    }

    /// Whether [`Buffer::freeze`] is in force.
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Whether all values are exact in bf16, so that packed copies in f32 are half as large.
    pub fn is_bf16(&self) -> bool {
        crate::cpu::pack::are_bf16(self.host())
    }

    pub(crate) fn frozen(&self) -> Option<&FrozenCopies> {
        self.frozen.as_deref()
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::new(&self.pool, self.len(), Stay::Long);
        copy.host_mut().copy_from_slice(self.host());
        if self.is_frozen() {
            copy.freeze();
        }
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_deep_and_memory_is_used_again() {
        let pool = Arc::new(Pool::default());
        let mut first = Buffer::zeros(&pool, 1000);
        first.host_mut()[7] = 3.0;
        let second = first.clone();
        first.host_mut()[7] = 4.0;
        assert_eq!(second.host()[7], 3.0);
        let address = first.host().as_ptr();
        assert_eq!(address.align_offset(64), 0);
        drop(first);
        let third = Buffer::zeros(&pool, 990);
        assert_eq!(third.host().as_ptr(), address);
        assert!(third.host().iter().all(|&value| value == 0.0));
    }

    #[test]
    fn an_empty_buffer_works() {
        let pool = Arc::new(Pool::default());
        let buffer = Buffer::zeros(&pool, 0);
        assert!(buffer.is_empty() && buffer.clone().host().is_empty());
    }

    #[test]
    fn freezing_survives_clone_and_ends_with_thaw() {
        let pool = Arc::new(Pool::default());
        let mut buffer = Buffer::zeros(&pool, 8);
        buffer.freeze();
        assert!(buffer.clone().is_frozen());
        buffer.thaw();
        assert!(!buffer.is_frozen());
    }
}
