//! Passes of which only some rows are asked for.

use std::sync::Arc;

use groma_kernels::{AttentionLayout, Tape, Var};

use super::{Input, Narrowed, Transformer};
use crate::cache::{Cache, Trunk};
use crate::{Pass, Result, TokenTree};

/// Where more of the rows are asked for, leaving out the others would not pay: numerator and denominator.
const MOST: (usize, usize) = (7, 8);

impl Transformer {
    /// Hidden states behind the final norm of the listed rows of `tree` (ascending, each once), `[rows.len(), hidden_size]`:
    /// the same bits as those rows of [`Transformer::hidden`] (without dropout, whose masks go by place). Past the keys and values of the last layer, nothing is
    /// computed for other rows (unless there are hooks, which may ask for any, or hardly any other rows).
    pub fn hidden_at<'m>(
        &'m self,
        tape: &mut Tape<'m>,
        tree: &TokenTree,
        rows: &Arc<[u32]>,
        pass: &mut Pass,
    ) -> Result<Var> {
        if pass.hooks.is_some() || rows.len() > tree.len() / MOST.1 * MOST.0 {
            let hidden = self.hidden(tape, tree, pass)?;
            return Ok(tape.gather_rows(&hidden, rows));
        }
        self.check_tokens(tree.tokens())?;
        let narrowed = Some(self.narrowed(rows.clone(), tree.layout_of(rows)));
        self.run(tape, Input { narrowed, ..Input::of(tree) }, pass)
    }

    /// [`Transformer::hidden_at`] of a tree whose first rows are those of `trunk`; none of these may be asked for. Leaves
    /// the trunk that was asked for by [`Trunk::keep`].
    pub(crate) fn hidden_below<'m>(
        &'m self,
        tape: &mut Tape<'m>,
        tree: &TokenTree,
        trunk: &mut Trunk,
        rows: &Arc<[u32]>,
        pass: &mut Pass,
    ) -> Result<Var> {
        let above = trunk.rows();
        self.check_tokens(tree.tokens())?;
        let new: Vec<u32> = (above as u32..tree.len() as u32).collect();
        let input = Input {
            ids: tree.tokens()[above..].into(),
            positions: tree.positions()[above..].into(),
            layout: Arc::new(tree.layout_of(&new)),
            cache: Some(Cache::Below(trunk)),
            narrowed: Some(self.narrowed(rows.iter().map(|row| row - above as u32).collect(), tree.layout_of(rows))),
        };
        let hidden = self.run(tape, input, pass)?;
        trunk.passed();
        Ok(hidden)
    }

    /// The last layer goes on with `rows` of the pass alone, which see the keys of `layout`.
    pub(crate) fn narrowed(&self, rows: Arc<[u32]>, layout: AttentionLayout) -> Narrowed {
        Narrowed { layer: self.spec.layers.len().saturating_sub(1), rows, layout: Arc::new(layout) }
    }
}
