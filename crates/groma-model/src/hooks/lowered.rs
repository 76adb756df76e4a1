//! Hooks made ready for one pass: addresses have become rows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use groma_kernels::{Edit, Tape, Var};
use groma_run::{counted, is_or_are};

use super::acts::Act;
use super::address::Rows;
use super::{Address, Cell, HookPoint, Hooks, Site};
use crate::{Error, Result, Spec};

/// The hooks of a pass.
#[derive(Debug)]
pub(crate) struct Lowered<'a> {
    hooks: &'a Hooks,
    cells: Arc<[Cell]>,
    /// The layer that goes on with fewer rows, and the tokens of these.
    narrowed: Option<(usize, Arc<[Cell]>)>,
    edits: BTreeMap<(HookPoint, usize), LoweredEdit>,
}

#[derive(Debug)]
struct LoweredEdit {
    rows: Arc<[u32]>,
    columns: Range<usize>,
    edit: Arc<Edit>,
}

/// Whether a place of a pass lies where layer `narrowed` has gone on with some rows only.
pub(crate) fn is_narrow(point: HookPoint, narrowed: usize) -> bool {
    point.site == Site::NormFinal || (point.layer == narrowed && point.site >= Site::Pattern)
}

impl<'a> Lowered<'a> {
    /// For a pass whose rows are `cells`, of which a last layer, where it is narrowed, goes on with some.
    pub(crate) fn new(
        hooks: &'a Hooks,
        spec: &Spec,
        cells: Arc<[Cell]>,
        narrowed: Option<(usize, &[u32])>,
    ) -> Result<Self> {
        let narrowed = narrowed.map(|(layer, rows)| (layer, of_rows(&cells, rows)));
        let mut lowered = Lowered { hooks, cells, narrowed, edits: BTreeMap::new() };
        for (&point, acts) in &hooks.acts {
            for (index, act) in acts.iter().enumerate() {
                let Act::Edit { address, edit } = act else { continue };
                let failed = |problem| Error::Hook { name: point.to_string(), problem };
                let edit = lowered.edit(point, index, spec, (address, edit)).map_err(failed)?;
                lowered.edits.insert((point, index), edit);
            }
        }
        Ok(lowered)
    }

    fn edit(
        &self,
        point: HookPoint,
        index: usize,
        spec: &Spec,
        (address, edit): (&Address, &Arc<Edit>),
    ) -> Result<LoweredEdit, String> {
        let shared = |cell: Cell| {
            let Cell { sequence, position, .. } = cell;
            format!(
                "position {position} is computed once for sequence {sequence} too, which {address:?} does not mean: give \
                 each a tree of its own"
            )
        };
        let meant = address.rows(&self.cells).map_err(shared)?;
        if !meant.rows.is_empty() {
            self.hooks.fired(point, index);
        }
        let Rows { rows, indices } = address.rows(self.cells(point)).map_err(shared)?;
        let columns = address.columns.clone().unwrap_or(0..point.width(spec).unwrap_or(0));
        let edit = match &**edit {
            Edit::Replace { values } if values.len() > columns.len() => {
                Arc::new(Edit::Replace { values: rows_of(values, columns.len(), &indices)? })
            }
            _ => edit.clone(),
        };
        Ok(LoweredEdit { rows: rows.into(), columns, edit })
    }

    /// The tokens of the rows at a place.
    fn cells(&self, point: HookPoint) -> &Arc<[Cell]> {
        match &self.narrowed {
            Some((layer, cells)) if is_narrow(point, *layer) => cells,
            _ => &self.cells,
        }
    }

    /// Whether anything happens at `point`.
    pub(crate) fn wants(&self, point: HookPoint) -> bool {
        self.hooks.wants(point)
    }

    /// Whether anything at `point` changes what goes on.
    pub(crate) fn acts(&self, point: HookPoint) -> bool {
        self.hooks.acts.contains_key(&point)
    }

    /// Passes `x` through `point`.
    pub(crate) fn at(&self, tape: &mut Tape, point: HookPoint, mut x: Var) -> Var {
        for (index, act) in self.hooks.acts.get(&point).into_iter().flatten().enumerate() {
            x = match act {
                Act::Code(code) => {
                    let shape = (x.rows(), x.width());
                    let y = code(tape, x, self.cells(point));
                    assert_eq!((y.rows(), y.width()), shape, "{point}: what code returns has the shape of what it got");
                    y
                }
                Act::Edit { .. } => match self.edits.get(&(point, index)) {
                    Some(one) if !one.rows.is_empty() => tape.edit(x, &one.rows, one.columns.clone(), &one.edit),
                    _ => x,
                },
            };
        }
        if self.hooks.watches(point) {
            x = tape.watch(x);
        }
        if self.hooks.keeps(point) {
            self.hooks.keep(point, x.clone(), self.cells(point).clone());
        }
        x
    }
}

/// The cells of the listed rows (ascending), which are numbered anew.
fn of_rows(cells: &[Cell], rows: &[u32]) -> Arc<[Cell]> {
    let place = |cell: &Cell| Some(Cell { row: rows.binary_search(&(cell.row as u32)).ok()?, ..*cell });
    cells.iter().filter_map(place).collect()
}

/// The rows of `values` with these indices.
fn rows_of(values: &[f32], width: usize, indices: &[usize]) -> Result<Vec<f32>, String> {
    let (mut found, given) = (Vec::with_capacity(indices.len() * width), values.len() / width);
    for &index in indices {
        let row = values.get(index * width..(index + 1) * width);
        found.extend(row.ok_or_else(|| {
            format!("{} of values {} given, and none for place {index}", counted(given, "row"), is_or_are(given))
        })?);
    }
    Ok(found)
}
