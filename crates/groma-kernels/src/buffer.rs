//! Device memory, as everything outside of its backend sees it: a number of values.
use crate::cpu::Memory;

/// `len` values of `f32` on a device.
///
/// Buffers come from a [`crate::Backend`], which alone knows where the values lie and in which form; everybody else reads
/// them through [`crate::Backend::read`]. A kernel takes the buffers of its own backend and panics at those of another. A
/// clone is a deep copy.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub(crate) storage: Storage,
}

/// Who owns the values. A variant for each backend, which no other backend looks into.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Cpu(Memory),
    Naive(Vec<f32>),
}

impl Buffer {
    /// Number of values.
    pub fn len(&self) -> usize {
        match &self.storage {
            Storage::Cpu(memory) => memory.len(),
            Storage::Naive(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Declares that this weight is going to be read often and changed hardly ever (inference, the base under LoRA): matrix
    /// products may then keep it in the order in which they read it, instead of reordering it at each call. Results are the
    /// same to the bit, frozen or not.
    pub fn freeze(&mut self) {
        if let Storage::Cpu(memory) = &mut self.storage {
            memory.freeze();
        }
    }

    /// Undoes [`Buffer::freeze`] and drops the packed copies.
    pub fn thaw(&mut self) {
        if let Storage::Cpu(memory) = &mut self.storage {
            memory.thaw();
        }
    }

    /// Whether [`Buffer::freeze`] is in force.
    pub fn is_frozen(&self) -> bool {
        matches!(&self.storage, Storage::Cpu(memory) if memory.frozen().is_some())
    }

    /// Whether all values are exact in bf16, so that packed copies in f32 are half as large.
    pub fn is_bf16(&self) -> bool {
        matches!(&self.storage, Storage::Cpu(memory) if crate::cpu::pack::are_bf16(memory.values()))
    }
}
