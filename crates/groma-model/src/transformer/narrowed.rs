//! Passes of which only some rows are asked for.

use std::sync::Arc;

use groma_kernels::{AttentionLayout, Tape, Var};

use super::{Input, Narrowed, Transformer};
use crate::cache::{Cache, Trunk};
use crate::hooks::{Cell, is_narrow};
use crate::prefixes::PrefixCache;
use crate::{Pass, Result, TokenTree, View};

/// Where more of the rows are asked for, leaving out the others would not pay: numerator and denominator.
const MOST: (usize, usize) = (7, 8);

impl Transformer {
    /// Hidden states behind the final norm of the listed rows of `tree` (ascending, each once), `[rows.len(), hidden_size]`:
    /// the same bits as those rows of [`Transformer::hidden`] (without dropout, whose masks go by place). Past the keys and values of the last layer, nothing is
    /// computed for other rows (unless a hook looks at all of them there, or there are hardly any other rows).
    pub fn hidden_at<'m>(
        &'m self,
        tape: &mut Tape<'m>,
        tree: &TokenTree,
        rows: &Arc<[u32]>,
        pass: &Pass,
    ) -> Result<Var> {
        if self.looks_at_all(pass.view) || rows.len() > tree.len() / MOST.1 * MOST.0 {
            let hidden = self.hidden(tape, tree, pass)?;
            return Ok(tape.gather_rows(&hidden, rows));
        }
        self.check_tokens(tree.tokens())?;
        let narrowed = Some(self.narrowed(rows.clone(), tree.layout_of(rows)));
        self.run_hooked(tape, Input { narrowed, ..Input::of(tree, pass.view) }, pass)
    }

    /// Whether a hook looks where a narrowed pass has some rows only.
    pub(crate) fn looks_at_all(&self, view: &View) -> bool {
        view.hooks.looks(|point| is_narrow(point, self.last_layer()))
    }

    fn last_layer(&self) -> usize {
        self.spec.layers.len().saturating_sub(1)
    }

    /// [`Transformer::hidden_at`] of a tree whose first rows are those of `trunk`; none of these may be asked for. Leaves
    /// the trunk that was asked for by [`Trunk::keep`]. `cells` are those of the whole tree.
    pub(crate) fn hidden_below<'m>(
        &'m self,
        tape: &mut Tape<'m>,
        tree: &TokenTree,
        trunk: &mut Trunk,
        rows: &Arc<[u32]>,
        cells: &[Cell],
        pass: &Pass,
    ) -> Result<Var> {
        let above = trunk.rows();
        self.check_tokens(tree.tokens())?;
        let new: Vec<u32> = (above as u32..tree.len() as u32).collect();
        let below = |cell: &Cell| Some(Cell { row: cell.row.checked_sub(above)?, ..*cell });
        let rows_below: Arc<[u32]> = rows.iter().map(|row| row - above as u32).collect();
        let all = self.looks_at_all(pass.view);
        let input = Input {
            cells: cells.iter().filter_map(below).collect(),
            ids: tree.tokens()[above..].into(),
            positions: tree.positions()[above..].into(),
            layout: Arc::new(tree.layout_of(&new)),
            cache: Some(Cache::Below(trunk)),
            narrowed: (!all).then(|| self.narrowed(rows_below.clone(), tree.layout_of(rows))),
        };
        let hidden = self.run(tape, input, pass)?;
        trunk.passed();
        Ok(if all { tape.gather_rows(&hidden, &rows_below) } else { hidden })
    }

    /// [`Transformer::hidden_at`] of a tree of which some rows are known already.
    pub(crate) fn hidden_among<'m>(
        &'m self,
        tape: &mut Tape<'m>,
        tree: &TokenTree,
        prefixes: &mut PrefixCache,
        rows: &Arc<[u32]>,
        pass: &Pass,
    ) -> Result<Var> {
        self.check_tokens(tree.tokens())?;
        let known = prefixes.find(tree, rows, &self.spec);
        let (tokens, positions) = (tree.tokens(), tree.positions());
        let places = rows.iter().map(|row| known.new.partition_point(|other| other < row) as u32);
        let input = Input {
            cells: Arc::default(),
            ids: known.new.iter().map(|&row| tokens[row as usize]).collect(),
            positions: known.new.iter().map(|&row| positions[row as usize]).collect(),
            layout: Arc::new(tree.layout_of(&known.new)),
            narrowed: Some(self.narrowed(places.collect(), tree.layout_of(rows))),
            cache: Some(Cache::Among(prefixes, &known)),
        };
        self.run(tape, input, pass)
    }

    /// The last layer goes on with `rows` of the pass alone, which see the keys of `layout`.
    pub(crate) fn narrowed(&self, rows: Arc<[u32]>, layout: AttentionLayout) -> Narrowed {
        Narrowed { layer: self.last_layer(), rows, layout: Arc::new(layout) }
    }
}
