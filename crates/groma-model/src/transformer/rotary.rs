//! Rotary tables: the sines and cosines of every position.

use std::sync::Arc;

use groma_kernels::{Backend, RotaryTable};

use crate::spec::Rotary;

/// The table of `rotary` for positions `0..positions`.
///
/// Angles are products in `f32`, as transformers computes them, so that long texts agree with it.
pub(super) fn table(backend: &dyn Backend, rotary: &Rotary, positions: usize) -> RotaryTable {
    let amplitude = f64::from(rotary.amplitude);
    let mut values = Vec::with_capacity(positions * rotary.rotated);
    for position in 0..positions {
        let angles = rotary.inverse_frequencies.iter().map(|&f| f64::from(f as f32 * position as f32));
        values.extend(angles.clone().map(|angle| (angle.cos() * amplitude) as f32));
        values.extend(angles.map(|angle| (angle.sin() * amplitude) as f32));
    }
    RotaryTable { table: Arc::new(backend.upload(&values)), rotated: rotary.rotated, style: rotary.style }
}
