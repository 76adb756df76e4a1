//! Rotary tables: the sines and cosines of every position.

use std::sync::{Arc, PoisonError};

use groma_kernels::{Backend, RotaryTable};

use super::Transformer;
use crate::spec::Rotary;

/// The table of `rotary` for positions `0..positions`.
///
/// Angles are products in `f32`, as transformers computes them, so that long texts agree with it.
fn table(backend: &dyn Backend, rotary: &Rotary, positions: usize) -> RotaryTable {
    let amplitude = f64::from(rotary.amplitude);
    let mut values = Vec::with_capacity(positions * rotary.rotated);
    for position in 0..positions {
        let angles = rotary.inverse_frequencies.iter().map(|&f| f64::from(f as f32 * position as f32));
        values.extend(angles.clone().map(|angle| (angle.cos() * amplitude) as f32));
        values.extend(angles.map(|angle| (angle.sin() * amplitude) as f32));
    }
    RotaryTable { table: Arc::new(backend.upload(&values)), rotated: rotary.rotated, style: rotary.style }
}

impl Transformer {
    /// Tables for positions below `depth`, made longer when needed.
    pub(super) fn rotary_tables(&self, depth: usize) -> Vec<RotaryTable> {
        let long_enough = |tables: &Vec<RotaryTable>| {
            tables.len() == self.spec.rotaries.len() && tables.iter().all(|t| t.table.len() / t.rotated.max(1) >= depth)
        };
        {
            let tables = self.rotaries.read().unwrap_or_else(PoisonError::into_inner);
            if long_enough(&tables) {
                return tables.clone();
            }
        }
        let positions = depth.next_power_of_two().max(64).min(self.spec.max_positions.max(depth));
        let made: Vec<_> = self.spec.rotaries.iter().map(|r| table(&*self.backend, r, positions)).collect();
        let mut tables = self.rotaries.write().unwrap_or_else(PoisonError::into_inner);
        if !long_enough(&tables) {
            *tables = made.clone();
        }
        made
    }
}
