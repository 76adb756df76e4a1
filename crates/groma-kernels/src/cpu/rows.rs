//! Kernels that move rows and columns: embedding, gathering, splitting of fused projections, sums over rows.
use super::parallel::{SharedMut, for_each, for_rows};
use crate::KEY_PANEL;

/// `y[i] = x[index[i]]`, rows of `width`.
pub(crate) fn gather(y: &mut [f32], x: &[f32], index: &[u32], width: usize) {
    for_rows(y, width, 1, |first, chunk| {
        for (row, &source) in chunk.chunks_exact_mut(width).zip(&index[first..]) {
            row.copy_from_slice(&x[source as usize * width..][..width]);
        }
    });
}

/// `dx[index[i]] += dy[i]`, in the order of `i` for every element: tasks split the columns.
pub(crate) fn scatter_add(dx: &mut [f32], dy: &[f32], index: &[u32], width: usize) {
    const COLUMNS: usize = 64;
    let dx = SharedMut::new(dx);
    for_each(width.div_ceil(COLUMNS), dy.len(), |task| {
        let start = task * COLUMNS;
        let len = COLUMNS.min(width - start);
        for (row, &target) in dy.chunks_exact(width).zip(index) {
            // SAFETY: this task alone uses the columns `start..start + len`, and one row of them at a time.
            let sums = unsafe { dx.slice(target as usize * width + start, len) };
            sums.iter_mut().zip(&row[start..]).for_each(|(sum, value)| *sum += value);
        }
    });
}

/// Which columns [`columns`] takes: `groups` runs of `run`, `stride` apart, from `start` on, out of rows of `width`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    pub(crate) width: usize,
    pub(crate) start: usize,
    pub(crate) stride: usize,
    pub(crate) groups: usize,
    pub(crate) run: usize,
}

/// `y[t, g * run + j] = x[t, start + g * stride + j]`.
pub(crate) fn columns(y: &mut [f32], x: &[f32], shape: Columns) {
    let width = shape.groups * shape.run;
    for_rows(y, width, 1, |first, chunk| {
        for (row, source) in chunk.chunks_exact_mut(width).zip(x[first * shape.width..].chunks_exact(shape.width)) {
            for (group, part) in row.chunks_exact_mut(shape.run).enumerate() {
                part.copy_from_slice(&source[shape.start + group * shape.stride..][..shape.run]);
            }
        }
    });
}

/// `dx[t, start + g * stride + j] += dy[t, g * run + j]`.
pub(crate) fn columns_backward(dx: &mut [f32], dy: &[f32], shape: Columns) {
    let width = shape.groups * shape.run;
    for_rows(dx, shape.width, 1, |first, chunk| {
        for (row, source) in chunk.chunks_exact_mut(shape.width).zip(dy[first * width..].chunks_exact(width)) {
            for (group, part) in source.chunks_exact(shape.run).enumerate() {
                let sums = &mut row[shape.start + group * shape.stride..][..shape.run];
                sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
        }
    });
}

/// `db += sum over rows of dy`, row by row.
pub(crate) fn sum_rows(db: &mut [f32], dy: &[f32]) {
    const COLUMNS: usize = 64;
    let width = db.len();
    let db = SharedMut::new(db);
    for_each(width.div_ceil(COLUMNS), dy.len(), |task| {
        let start = task * COLUMNS;
        let len = COLUMNS.min(width - start);
        // SAFETY: this task alone uses these elements.
        let sums = unsafe { db.slice(start, len) };
        for row in dy.chunks_exact(width) {
            sums.iter_mut().zip(&row[start..]).for_each(|(sum, value)| *sum += value);
        }
    });
}
/// `dst[index[i]] = src[i]`.
pub(crate) fn scatter(dst: &mut [f32], src: &[f32], index: &[u32], width: usize) {
    for (row, &at) in src.chunks_exact(width).zip(index) {
        dst[at as usize * width..][..width].copy_from_slice(row);
    }
}

/// Elementary operations that a value takes which is written apart from its neighbours.
const APART: usize = 4;

/// Writes rows of keys into turned panels; see [`crate::KeyOrder::Cached`].
pub(crate) fn cache_keys(keys: &mut [f32], rows: &[f32], index: &[u32]) {
    const COLUMNS: usize = 16;
    let width = rows.len() / index.len().max(1);
    let keys = SharedMut::new(keys);
    for_each(width.div_ceil(COLUMNS), rows.len() * APART, |task| {
        let columns = task * COLUMNS..width.min((task + 1) * COLUMNS);
        for (row, &at) in rows.chunks_exact(width).zip(index) {
            let (panel, lane) = (at as usize / KEY_PANEL, at as usize % KEY_PANEL);
            for column in columns.clone() {
                // SAFETY: what this column of a panel holds, this task alone uses.
                let to = unsafe { keys.slice((panel * width + column) * KEY_PANEL + lane, 1) };
                to[0] = row[column];
            }
        }
    });
}

/// Writes rows of values head by head.
pub(crate) fn cache_values(values: &mut [f32], rows: &[f32], index: &[u32], kv_heads: usize) {
    let width = rows.len() / index.len().max(1);
    let (dim, capacity) = (width / kv_heads, values.len() / width.max(1));
    for (row, &at) in rows.chunks_exact(width.max(1)).zip(index) {
        for (head, value) in row.chunks_exact(dim.max(1)).enumerate() {
            values[(head * capacity + at as usize) * dim..][..dim].copy_from_slice(value);
        }
    }
}
