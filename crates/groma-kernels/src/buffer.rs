//! Device memory, as everything outside of its backend sees it: a number of values.
use crate::cpu::Memory;

/// `len` values of `f32` on a device.
///
/// Buffers come from a [`crate::Backend`], which alone knows where the values lie and in which form; everybody else reads
/// them through [`crate::Backend::read`]. A kernel takes the buffers of its own backend and panics at those of another. A
/// clone is a deep copy, ready to be changed.
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

    /// Whether it is kept for reading alone (see [`crate::Backend::weight`]); its clone is not.
    pub fn is_packed(&self) -> bool {
        matches!(&self.storage, Storage::Cpu(Memory::Weight(_)))
    }

    /// What it holds once products have read it forwards and backwards, in bytes.
    pub fn bytes_in_training(&self) -> usize {
        match &self.storage {
            Storage::Cpu(memory) => memory.bytes_in_training(),
            Storage::Naive(values) => size_of_val(&**values),
        }
    }
}
