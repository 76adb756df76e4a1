//! What a buffer of this backend holds: values in host memory out of a pool, and packed copies of weights that do not change.
use super::pack::Packed;
use crate::Buffer;
use crate::buffer::Storage;
use crate::pool::{Lease, Pool, Stay};
use std::sync::{Arc, OnceLock};

/// Aligned values, and whether they are frozen.
#[derive(Debug)]
pub(crate) struct Memory {
    values: Lease,
    frozen: Option<Box<FrozenCopies>>,
}

/// Packed copies of a frozen weight, made when first needed: inference holds the weight twice, training through it three
/// times. A copy is as large as the values (each row count rounded up to a multiple of 32), and half as large in bf16, and in
/// f32 where all values are exact in bf16, as most published checkpoints' are. Only products of the first precision use it.
#[derive(Debug, Default)]
pub(crate) struct FrozenCopies {
    /// For `x wᵀ`.
    pub(crate) forward: OnceLock<Packed>,
    /// For `dy w`.
    pub(crate) backward: OnceLock<Packed>,
}

impl Memory {
    /// `len` unspecified values from `pool`.
    pub(crate) fn new(pool: &Arc<Pool>, len: usize, stay: Stay) -> Self {
        Self { values: Lease::staying(pool, len, stay), frozen: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values for writing. Drops the packed copies of a frozen weight; the next product makes new ones.
    fn values_mut(&mut self) -> &mut [f32] {
        if let Some(frozen) = &mut self.frozen {
            **frozen = FrozenCopies::default();
        }
        &mut self.values
    }

    pub(crate) fn freeze(&mut self) {
        if self.frozen.is_none() {
            self.frozen = Some(Box::default());
        }
    }

    pub(crate) fn thaw(&mut self) {
        self.frozen = None;
    }

    pub(crate) fn frozen(&self) -> Option<&FrozenCopies> {
        self.frozen.as_deref()
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        let frozen = self.frozen.is_some().then(Box::default);
        Self { values: self.values.copied(), frozen }
    }
}

/// What the kernels of this backend see of their buffers.
impl Buffer {
    pub(crate) fn memory(&self) -> &Memory {
        match &self.storage {
            Storage::Cpu(memory) => memory,
            _ => unreachable!("a kernel of the CPU was given a buffer of another backend"),
        }
    }

    pub(crate) fn host(&self) -> &[f32] {
        self.memory().values()
    }

    pub(crate) fn host_mut(&mut self) -> &mut [f32] {
        match &mut self.storage {
            Storage::Cpu(memory) => memory.values_mut(),
            _ => unreachable!("a kernel of the CPU was given a buffer of another backend"),
        }
    }
}

impl From<Memory> for Buffer {
    fn from(memory: Memory) -> Self {
        Buffer { storage: Storage::Cpu(memory) }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Backend, Cpu};

    #[test]
    fn a_clone_is_deep_and_memory_is_used_again() {
        let cpu = Cpu::new();
        let mut first = cpu.zeros(1000);
        first.host_mut()[7] = 3.0;
        let second = first.clone();
        first.host_mut()[7] = 4.0;
        assert_eq!(second.host()[7], 3.0);
        let address = first.host().as_ptr();
        assert_eq!(address.align_offset(64), 0);
        drop(first);
        let third = cpu.zeros(990);
        assert_eq!(third.host().as_ptr(), address);
        assert!(third.host().iter().all(|&value| value == 0.0));
    }

    #[test]
    fn an_empty_buffer_works() {
        let buffer = Cpu::new().zeros(0);
        assert!(buffer.is_empty() && buffer.clone().host().is_empty());
    }

    #[test]
    fn freezing_survives_clone_and_ends_with_thaw() {
        let mut buffer = Cpu::new().zeros(8);
        buffer.freeze();
        assert!(buffer.clone().is_frozen());
        buffer.thaw();
        assert!(!buffer.is_frozen());
    }
}
