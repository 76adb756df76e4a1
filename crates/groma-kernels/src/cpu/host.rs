//! Buffers, as the kernels of this backend see them.
use super::memory::Memory;
use crate::buffer::{Buffer, Storage};

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
