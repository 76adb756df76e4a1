//! Tiles of products on AMX, or on its model: in the result itself where that is a whole tile, else beside it.
#[cfg(test)]
use super::amx::Model;
use super::amx::{Amx, Chain, SIDE, TILE, Unit};
use super::tile::{Start, Tile};

/// A tile, on the processor's unit.
pub(crate) unsafe fn run(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { with_edges::<Amx>(tile) }
}

/// A tile, on the model.
#[cfg(test)]
pub(crate) unsafe fn run_model(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { with_edges::<Model>(tile) }
}

/// Computes in the result itself where that is a whole tile, else beside it.
unsafe fn with_edges<U: Unit>(tile: &Tile) {
    let &Tile { a, b, c, c_stride, rows, columns, steps, .. } = tile;
    let is_tall = rows > TILE;
    // SAFETY: the caller promises what `Tile` says; beside the result there is room for a whole tile.
    unsafe {
        if matches!(tile.start, Start::Result) && columns == SIDE && (rows == SIDE || rows == TILE) {
            return U::chain(&Chain { a, b, c, c_stride, steps }, is_tall);
        }
        let mut beside = Beside([[0.0; SIDE]; SIDE]);
        for (i, row) in beside.0.iter_mut().enumerate().take(rows) {
            match tile.start {
                Start::Zero => {}
                Start::Result => {
                    row[..columns].copy_from_slice(std::slice::from_raw_parts(c.add(i * c_stride), columns))
                }
                Start::Columns(values) => row[..columns].copy_from_slice(std::slice::from_raw_parts(values, columns)),
            }
        }
        U::chain(&Chain { a, b, c: beside.0.as_mut_ptr().cast(), c_stride: SIDE, steps }, is_tall);
        for (i, row) in beside.0.iter().enumerate().take(rows) {
            std::slice::from_raw_parts_mut(c.add(i * c_stride), columns).copy_from_slice(&row[..columns]);
        }
    }
}

/// A whole tile, on lines of the cache.
#[repr(align(64))]
struct Beside([[f32; SIDE]; SIDE]);
