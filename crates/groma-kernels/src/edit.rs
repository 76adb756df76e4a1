//! Declarative edits of rows in host memory, and the gradient through them.
use crate::Edit;
use std::ops::Range;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// `row -= strength * (row . u) u` for the unit vector `u` along `direction`; the map is its own transpose.
fn project_out(row: &mut [f32], direction: &[f32], strength: f32) {
    let share = f64::from(strength) * dot(row, direction) / dot(direction, direction);
    row.iter_mut().zip(direction).for_each(|(value, &d)| *value = (f64::from(*value) - share * f64::from(d)) as f32);
}

/// The row of `values` for the `index`-th of the listed rows: one row may stand for all.
fn replacement(values: &[f32], index: usize, width: usize) -> &[f32] {
    if values.len() == width { values } else { &values[index * width..][..width] }
}

/// Edits `columns` of the listed rows of `x`.
pub(crate) fn apply(x: &mut [f32], rows: &[u32], width: usize, columns: Range<usize>, edit: &Edit) {
    for (index, &row) in rows.iter().enumerate() {
        let row = &mut x[row as usize * width..][..width][columns.clone()];
        match edit {
            Edit::Add { vector, coefficient } => {
                row.iter_mut().zip(vector).for_each(|(value, v)| *value += coefficient * v);
            }
            Edit::ProjectOut { direction, strength } => project_out(row, direction, *strength),
            Edit::Replace { values } => row.copy_from_slice(replacement(values, index, columns.len())),
            Edit::Scale { factor } => row.iter_mut().for_each(|value| *value *= factor),
            Edit::Clamp { low, high } => row.iter_mut().for_each(|value| *value = value.max(*low).min(*high)),
        }
    }
}

/// Turns the gradient after the edit into the one before it.
pub(crate) fn backward(dx: &mut [f32], before: &[f32], rows: &[u32], width: usize, columns: Range<usize>, edit: &Edit) {
    for &row in rows {
        let start = row as usize * width + columns.start;
        let dx = &mut dx[start..][..columns.len()];
        match edit {
            Edit::Add { .. } => {}
            Edit::ProjectOut { direction, strength } => project_out(dx, direction, *strength),
            Edit::Replace { .. } => dx.fill(0.0),
            Edit::Scale { factor } => dx.iter_mut().for_each(|value| *value *= factor),
            Edit::Clamp { low, high } => {
                for (gradient, x) in dx.iter_mut().zip(&before[start..]) {
                    if x < low || x > high {
                        *gradient = 0.0;
                    }
                }
            }
        }
    }
}
