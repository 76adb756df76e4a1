//! Passes of which only some rows are asked for.

use std::sync::Arc;

use groma_kernels::{AttentionLayout, Tape, Var};

use super::{Input, Narrowed, Transformer};
use crate::hooks::{Cell, HookPoint, Site, is_narrow};
use crate::inference::cache::Cache;
use crate::inference::prefixes::PrefixCache;
use crate::{Error, Pass, Result, TokenTree, View};

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
        self.check_tokens(tree.tokens())?;
        self.at_rows(tape, tree, Input::of(tree, pass.view), rows, pass)
    }

    /// The same, where `stream` is what comes to block `layer` at all rows of `tree`: blocks before it are not computed, so that
    /// hooks can be at that block and behind it only.
    ///
    /// # Errors
    /// As for [`Transformer::hidden_at`], and where a hook lies before that block, there is no such block, or the stream has not
    /// the tree's rows.
    pub fn hidden_from<'m>(
        &'m self,
        tape: &mut Tape<'m>,
        (layer, stream): (usize, Var),
        tree: &TokenTree,
        rows: &Arc<[u32]>,
        pass: &Pass,
    ) -> Result<Var> {
        self.check_tokens(tree.tokens())?;
        let hook = |problem: String| Error::Hook { name: HookPoint::block(layer, Site::ResidPre).to_string(), problem };
        if layer > self.last_layer() {
            return Err(hook(format!("the model has {} blocks", self.spec.layers.len())));
        }
        if (stream.rows(), stream.width()) != (tree.len(), self.spec.hidden_size) {
            let (rows, width) = (stream.rows(), stream.width());
            let wanted = (tree.len(), self.spec.hidden_size);
            return Err(hook(format!("the stream has {rows} rows of {width}, not {} of {}", wanted.0, wanted.1)));
        }
        if let Some(point) = pass.view.hooks.points().find(|point| point.is_before(layer)) {
            return Err(hook(format!("the pass begins there, and never comes to {point}")));
        }
        let input = Input { stream: Some((layer, stream)), ..Input::of(tree, pass.view) };
        self.at_rows(tape, tree, input, rows, pass)
    }

    /// Runs a pass over a tree of which some rows are asked for.
    fn at_rows<'m>(
        &'m self,
        tape: &mut Tape<'m>,
        tree: &TokenTree,
        input: Input,
        rows: &Arc<[u32]>,
        pass: &Pass,
    ) -> Result<Var> {
        if self.looks_at_all(pass.view) || rows.len() > tree.len() / MOST.1 * MOST.0 {
            let hidden = self.run_hooked(tape, input, pass)?;
            return Ok(tape.gather_rows(&hidden, rows));
        }
        let narrowed = Some(self.narrowed(rows.clone(), tree.layout_of(rows)));
        self.run_hooked(tape, Input { narrowed, ..input }, pass)
    }

    /// Whether a hook looks where a narrowed pass has some rows only.
    pub(crate) fn looks_at_all(&self, view: &View) -> bool {
        view.hooks.looks(|point| is_narrow(point, self.last_layer()))
    }

    fn last_layer(&self) -> usize {
        self.spec.layers.len().saturating_sub(1)
    }

    /// [`Transformer::hidden_at`] of a tree of which some rows may be known already, for a view without hooks or of which none
    /// of these is asked for again. `kept` are the rows of a path that alone are held; all are where there is none. `cells` are
    /// those of the whole tree.
    pub(crate) fn hidden_among<'m>(
        &'m self,
        tape: &mut Tape<'m>,
        tree: &TokenTree,
        (prefixes, kept): (&mut PrefixCache, Option<&[u32]>),
        rows: &Arc<[u32]>,
        cells: &[Cell],
        pass: &Pass,
    ) -> Result<Var> {
        self.check_tokens(tree.tokens())?;
        let known = prefixes.find(tree, rows, kept, &self.spec);
        let (tokens, positions) = (tree.tokens(), tree.positions());
        let place = |row: u32| known.new.binary_search(&row).ok();
        let places: Arc<[u32]> = rows.iter().filter_map(|&row| Some(place(row)? as u32)).collect();
        let all = self.looks_at_all(pass.view);
        let input = Input {
            cells: cells.iter().filter_map(|cell| Some(Cell { row: place(cell.row as u32)?, ..*cell })).collect(),
            ids: known.new.iter().map(|&row| tokens[row as usize]).collect(),
            positions: known.new.iter().map(|&row| positions[row as usize]).collect(),
            layout: Arc::new(tree.layout_of(&known.new)),
            narrowed: (!all).then(|| self.narrowed(places.clone(), tree.layout_of(rows))),
            cache: Some(Cache::Among(prefixes, &known)),
            stream: None,
        };
        let hidden = self.run(tape, input, pass)?;
        Ok(if all { tape.gather_rows(&hidden, &places) } else { hidden })
    }

    /// The last layer goes on with `rows` of the pass alone, which see the keys of `layout`.
    pub(crate) fn narrowed(&self, rows: Arc<[u32]>, layout: AttentionLayout) -> Narrowed {
        Narrowed { layer: self.last_layer(), rows, layout: Arc::new(layout) }
    }
}
