//! Weights that are read often and do not change: kept in the order in which products read them, and nowhere else.
use super::arithmetic::Arithmetic;
use super::device::Cpu;
use super::operand::Operand;
use super::packed::Packed;
use super::parallel::for_rows;
use crate::pool::{Lease, Pool, Stay};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Values that are packed, or unpacked, at once.
const CHUNK: usize = 1 << 20;
/// Rows of a chunk are a multiple of this, so that a chunk begins with a panel and with a step of every arithmetic.
const ROWS: usize = 32;

/// A weight `[rows, width]`, packed. Where all values are exact in bf16 or all in f16, as most published checkpoints' are, at half
/// the size.
#[derive(Debug)]
pub(crate) struct Weight {
    rows: usize,
    width: usize,
    /// For `x wᵀ`.
    forward: Packed,
    /// For `dy w`, made when first needed.
    backward: OnceLock<Packed>,
    /// The values row by row: from the start where packing rounds them, else when a kernel needs them so.
    plain: OnceLock<Lease>,
    pool: Arc<Pool>,
}

/// Rows of `width` of a chunk.
pub(super) fn chunk_rows(width: usize) -> usize {
    (CHUNK / width.max(1) / ROWS).max(1) * ROWS
}

/// The rows of each chunk.
pub(super) fn chunks(rows: usize, width: usize) -> impl Iterator<Item = Range<usize>> {
    let step = chunk_rows(width);
    (0..rows).step_by(step).map(move |first| first..rows.min(first + step))
}

impl Weight {
    /// Room for so many rows, to be added.
    pub(super) fn blank(cpu: &Cpu, rows: usize, width: usize) -> Self {
        let forward = Packed::blank(cpu.arithmetic.halved(), &cpu.pool, rows, width, Stay::Long);
        Self { rows, width, forward, backward: OnceLock::new(), plain: OnceLock::new(), pool: cpu.pool.clone() }
    }

    /// Packs the rows that follow those there are.
    pub(super) fn add(&mut self, rows: Range<usize>, values: &[f32]) {
        if self.plain.get().is_none() && !self.forward.arithmetic().keeps(values) {
            self.widen(rows.start, values);
        }
        let first = rows.start * self.width;
        if let Some(plain) = self.plain.get_mut() {
            plain[first..first + values.len()].copy_from_slice(values);
        }
        self.forward.put(rows, 0..self.width, Operand::rows(values, self.width));
    }

    /// Goes over to a form that keeps these values, and exactly those of the first `rows` rows.
    fn widen(&mut self, rows: usize, values: &[f32]) {
        let mut form = self.forward.arithmetic();
        while let Some(next) = form.next_best() {
            form = next;
            if form.keeps(values)
                && let Some(packed) = self.repacked(form, rows)
            {
                self.forward = packed;
                return;
            }
        }
        let mut plain = Lease::staying(&self.pool, self.rows * self.width, Stay::Long);
        self.unpack(0..rows, &mut plain[..rows * self.width]);
        self.plain = plain.into();
    }

    /// The first `rows` rows in another form, if it keeps them.
    fn repacked(&self, form: Arithmetic, rows: usize) -> Option<Packed> {
        let width = self.width;
        let mut packed = Packed::blank(form, &self.pool, self.rows, width, Stay::Long);
        let mut chunk = Lease::new(&self.pool, chunk_rows(width).min(self.rows) * width);
        for rows in chunks(rows, width) {
            let chunk = &mut chunk[..rows.len() * width];
            self.unpack(rows.clone(), chunk);
            if !form.keeps(chunk) {
                return None;
            }
            packed.put(rows, 0..width, Operand::rows(chunk, width));
        }
        Some(packed)
    }

    /// The packed copy for `x wᵀ`, if it serves layers of this shape on `cpu`.
    pub(crate) fn forward(&self, cpu: &Cpu, inputs: usize, outputs: usize) -> Option<&Packed> {
        Some(&self.forward).filter(|packed| packed.fits(cpu.arithmetic, outputs, inputs))
    }

    /// The same for `dy w`.
    pub(crate) fn backward(&self, cpu: &Cpu, inputs: usize, outputs: usize) -> Option<&Packed> {
        self.forward(cpu, inputs, outputs)?;
        if self.backward.get().is_none() {
            // Two threads may both pack; one copy stays. Waiting inside `get_or_init` could deadlock, as packing runs on the pool.
            let _second = self.backward.set(self.turned());
        }
        self.backward.get()
    }

    fn turned(&self) -> Packed {
        let (rows, width) = (self.rows, self.width);
        let mut turned = Packed::blank(self.forward.arithmetic(), &self.pool, width, rows, Stay::Long);
        let mut chunk = Lease::new(&self.pool, chunk_rows(width).min(rows) * width);
        for rows in chunks(rows, width) {
            let chunk = &mut chunk[..rows.len() * width];
            self.copy_rows(rows.clone(), chunk);
            turned.put(0..width, rows, Operand::columns(chunk, width));
        }
        turned
    }

    pub(crate) fn len(&self) -> usize {
        self.rows * self.width
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// What it holds once it was read both ways, in bytes.
    pub(crate) fn bytes_in_training(&self) -> usize {
        2 * self.forward.bytes() + self.plain.get().map_or(0, |plain| size_of_val(&**plain))
    }

    /// The values row by row, for a kernel that needs them so; kept from then on.
    pub(crate) fn plain(&self) -> &[f32] {
        if let Some(plain) = self.plain.get() {
            return plain;
        }
        let unpacked = self.unpacked();
        self.plain.get_or_init(|| unpacked)
    }

    /// The values row by row, if they lie so.
    pub(crate) fn as_plain(&self) -> Option<&[f32]> {
        self.plain.get().map(|plain| &**plain)
    }

    /// The values row by row.
    pub(crate) fn unpacked(&self) -> Lease {
        let mut values = Lease::staying(&self.pool, self.len(), Stay::Long);
        self.copy_rows(0..self.rows, &mut values);
        values
    }

    /// The same, for others.
    pub(crate) fn to_vec(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.len()];
        self.copy_rows(0..self.rows, &mut values);
        values
    }

    /// Copies a run of rows.
    pub(crate) fn copy_rows(&self, rows: Range<usize>, to: &mut [f32]) {
        match self.as_plain() {
            Some(plain) => to.copy_from_slice(&plain[rows.start * self.width..rows.end * self.width]),
            None => self.unpack(rows, to),
        }
    }

    fn unpack(&self, rows: Range<usize>, to: &mut [f32]) {
        for_rows(to, self.width, 2, |first, chunk| {
            for (row, to) in (rows.start + first..).zip(chunk.chunks_exact_mut(self.width)) {
                self.forward.column(row, to);
            }
        });
    }

    /// `y[i] = w[index[i]]`.
    pub(crate) fn gather(&self, y: &mut [f32], index: &[u32]) {
        for_rows(y, self.width, 2, |first, chunk| {
            for (to, &row) in chunk.chunks_exact_mut(self.width).zip(&index[first..]) {
                let row = row as usize;
                match self.as_plain() {
                    Some(plain) => to.copy_from_slice(&plain[row * self.width..][..self.width]),
                    None => self.forward.column(row, to),
                }
            }
        });
    }
}
