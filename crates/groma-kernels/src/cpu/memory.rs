//! What a buffer of this backend holds.
use super::device::Cpu;
use super::weight::{Weight, chunk_rows, chunks};
use crate::pool::{Lease, Stay};
use std::io;

/// Values in host memory, or a packed weight.
#[derive(Debug)]
pub(crate) enum Memory {
    Values(Lease),
    Weight(Box<Weight>),
}

impl Memory {
    /// A weight from its file; see [`crate::Backend::weight`].
    pub(crate) fn read(
        cpu: &Cpu,
        rows: usize,
        width: usize,
        next: &mut dyn FnMut(&mut [f32]) -> io::Result<()>,
    ) -> io::Result<Memory> {
        if rows < 2 || width == 0 {
            let mut values = Lease::staying(&cpu.pool, rows * width, Stay::Long);
            next(&mut values)?;
            return Ok(Memory::Values(values));
        }
        let mut weight = Weight::blank(cpu, rows, width);
        let mut chunk = Lease::new(&cpu.pool, chunk_rows(width).min(rows) * width);
        for rows in chunks(rows, width) {
            let chunk = &mut chunk[..rows.len() * width];
            next(chunk)?;
            weight.add(rows, chunk);
        }
        Ok(Memory::Weight(Box::new(weight)))
    }

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
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
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
