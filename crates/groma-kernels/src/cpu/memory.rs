//! What a buffer of this backend holds.
use super::weight::Weight;
use crate::Buffer;
use crate::buffer::Storage;
use crate::pool::Lease;

/// Values in host memory, or a packed weight.
#[derive(Debug)]
pub(crate) enum Memory {
    Values(Lease),
    Weight(Box<Weight>),
}

impl Memory {
    pub(crate) fn len(&self) -> usize {
        match self {
            Memory::Values(values) => values.len(),
            Memory::Weight(weight) => weight.len(),
        }
    }

    pub(crate) fn weight(&self) -> Option<&Weight> {
        match self {
            Memory::Values(_) => None,
            Memory::Weight(weight) => Some(weight),
        }
    }

    pub(crate) fn bytes_in_training(&self) -> usize {
        self.weight().map_or(self.len() * size_of::<f32>(), Weight::bytes_in_training)
    }

    /// The values for writing. A weight is packed no longer.
    fn values_mut(&mut self) -> &mut [f32] {
        if let Memory::Weight(weight) = self {
            *self = Memory::Values(weight.unpacked());
        }
        match self {
            Memory::Values(values) => values,
            Memory::Weight(_) => unreachable!("it was unpacked"),
        }
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Memory::Values(match self {
            Memory::Values(values) => values.copied(),
            Memory::Weight(weight) => weight.unpacked(),
        })
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
        match self.memory() {
            Memory::Values(values) => values,
            Memory::Weight(weight) => weight.plain(),
        }
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
}
