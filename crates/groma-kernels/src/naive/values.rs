//! Buffers, as naive kernels see them.
use crate::buffer::{Buffer, Storage};

pub(super) fn values(buffer: &Buffer) -> &[f32] {
    match &buffer.storage {
        Storage::Naive(values) => values,
        _ => unreachable!("a naive kernel was given a buffer of another backend"),
    }
}

pub(super) fn values_mut(buffer: &mut Buffer) -> &mut [f32] {
    match &mut buffer.storage {
        Storage::Naive(values) => values,
        _ => unreachable!("a naive kernel was given a buffer of another backend"),
    }
}
