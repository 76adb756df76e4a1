//! A forward pass: what it does besides computing, which tokens it is of, and its way through the model.

use std::sync::Arc;

use groma_kernels::{AttentionLayout, RotaryTable, Tape, Var};
use groma_run::Seed;

use super::Transformer;
use crate::hooks::{Cell, HookPoint, Lowered, Site};
use crate::inference::cache::Cache;
use crate::{Error, Result, TokenTree, View};

/// What a forward pass does besides computing.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// The adapter that takes part, reads and edits.
    pub view: &'a View,
    /// Draws the adapter's dropout; `None` for none.
    pub dropout: Option<Seed>,
    /// Added to the rows of the embedding, `[rows, hidden_size]`, before a family scales them; for passes that begin there.
    pub added: Option<&'a [f32]>,
    /// Keeps only what flows between blocks for the backward pass, which runs each block again: less memory, the same
    /// gradients to the bit, a third more time. Without effect where hooks look inside.
    pub recompute: bool,
}

impl Default for Pass<'_> {
    fn default() -> Self {
        Pass { view: View::plain(), dropout: None, added: None, recompute: false }
    }
}

impl<'a> Pass<'a> {
    /// A plain pass under a view.
    pub fn of(view: &'a View) -> Self {
        Pass { view, ..Pass::default() }
    }
}

/// A pass at work.
#[derive(Debug)]
pub(super) struct Ongoing<'a> {
    /// Which of the adapters takes part.
    pub(super) adapter: Option<usize>,
    pub(super) hooks: Option<Lowered<'a>>,
    pub(super) dropout: Option<Seed>,
    added: Option<&'a [f32]>,
}

impl Ongoing<'_> {
    pub(super) fn at(&self, tape: &mut Tape, layer: usize, site: Site, x: Var) -> Var {
        let point = HookPoint { layer, site };
        match &self.hooks {
            Some(hooks) if hooks.wants(point) => hooks.at(tape, point, x),
            _ => x,
        }
    }

    pub(super) fn wants(&self, layer: usize, site: Site) -> bool {
        self.hooks.as_ref().is_some_and(|hooks| hooks.wants(HookPoint { layer, site }))
    }

    pub(super) fn acts(&self, layer: usize, site: Site) -> bool {
        self.hooks.as_ref().is_some_and(|hooks| hooks.acts(HookPoint { layer, site }))
    }
}

/// The tokens of one pass and where they stand; keys are the tokens themselves, or rows of a cache.
pub(crate) struct Input<'a> {
    pub(crate) ids: Arc<[u32]>,
    pub(crate) positions: Arc<[u32]>,
    pub(crate) layout: Arc<AttentionLayout>,
    /// What receives the keys and values of `ids`, where there is one.
    pub(crate) cache: Option<Cache<'a>>,
    /// The rows that are asked for, where that is not all of them.
    pub(crate) narrowed: Option<Narrowed>,
    /// What the rows are of each sequence; read by hooks alone.
    pub(crate) cells: Arc<[Cell]>,
    /// The layer before which the pass begins with these rows of the residual stream, where that is not the embedding.
    pub(crate) stream: Option<(usize, Var)>,
}

/// The rows that the last layer goes on with once it has their keys: nobody reads the others.
#[derive(Clone)]
pub(crate) struct Narrowed {
    pub(crate) layer: usize,
    pub(crate) rows: Arc<[u32]>,
    pub(crate) layout: Arc<AttentionLayout>,
}

impl Input<'_> {
    /// All of a tree, whose leaves' paths are the sequences that hooks know.
    pub(super) fn of(tree: &TokenTree, view: &View) -> Self {
        let leaves = || tree.cells(tree.leaves().into_iter().enumerate()).into();
        Input {
            cells: if view.hooks.is_empty() { Arc::default() } else { leaves() },
            ids: tree.tokens().into(),
            positions: tree.positions(),
            layout: Arc::new(tree.layout()),
            cache: None,
            narrowed: None,
            stream: None,
        }
    }

    pub(super) fn narrowed(&self, layer: usize) -> Option<&Narrowed> {
        self.narrowed.as_ref().filter(|narrowed| narrowed.layer == layer)
    }
}

impl Transformer {
    /// Hidden states of all rows of `tree` behind the final norm, `[rows, hidden_size]`.
    pub fn hidden<'m>(&'m self, tape: &mut Tape<'m>, tree: &TokenTree, pass: &Pass) -> Result<Var> {
        self.check_tokens(tree.tokens())?;
        self.run_hooked(tape, Input::of(tree, pass.view), pass)
    }

    /// A call that is one pass.
    pub(super) fn run_hooked<'m>(&'m self, tape: &mut Tape<'m>, input: Input, pass: &Pass) -> Result<Var> {
        let hooks = &pass.view.hooks;
        if hooks.is_empty() {
            return self.run(tape, input, pass);
        }
        hooks.begin(&self.spec)?;
        let hidden = self.run(tape, input, pass)?;
        hooks.finish()?;
        Ok(hidden)
    }

    /// Checks ids against the vocabulary, so that no kernel reads beyond the embedding.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`] with the first that is beyond.
    pub fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        match tokens.iter().find(|&&id| id as usize >= self.spec.vocab_size) {
            Some(&id) => Err(Error::TokenOutOfRange { id, vocab_size: self.spec.vocab_size }),
            None => Ok(()),
        }
    }

    /// The forward pass.
    pub(crate) fn run<'m>(&'m self, tape: &mut Tape<'m>, mut input: Input, pass: &Pass) -> Result<Var> {
        let depth = input.positions.iter().max().map_or(0, |&p| p as usize + 1);
        if depth > self.spec.max_positions {
            return Err(Error::TooLong { tokens: depth, limit: self.spec.max_positions });
        }
        let recompute = pass.recompute && pass.view.hooks.is_empty() && input.cache.is_none();
        let pass = &self.ongoing(&input, pass)?;
        let rotaries = self.rotary_tables(depth);
        let (first, mut x) = match input.stream.take() {
            Some(stream) => stream,
            None => (0, self.embedded(tape, &input, pass)),
        };
        for (layer, block) in self.model.blocks.iter().enumerate().skip(first) {
            x = match recompute && (x.is_tracked() || self.trains(layer)) {
                true => self.recomputed_block(tape, layer, &x, &input, &rotaries, pass),
                false => self.block(tape, layer, block, x, &mut input, &rotaries, pass),
            };
        }
        let x = self.final_norm(tape, &x);
        Ok(pass.at(tape, 0, Site::NormFinal, x))
    }

    /// The residual stream before the first block.
    fn embedded<'m>(&'m self, tape: &mut Tape<'m>, input: &Input, pass: &Ongoing) -> Var {
        let mut x = tape.embed(&self.parameters.var(self.model.embed), &input.ids);
        if let Some(added) = pass.added {
            let added = Var::constant(tape.backend().upload(added), input.ids.len(), self.spec.hidden_size);
            x = tape.add(&x, &added);
        }
        if self.spec.embedding_scale != 1.0 {
            x = tape.scale(&x, self.spec.embedding_scale);
        }
        x = pass.at(tape, 0, Site::Embed, x);
        if let Some(positions) = self.model.positions {
            let p = tape.embed(&self.parameters.var(positions), &input.positions);
            let p = pass.at(tape, 0, Site::PosEmbed, p);
            x = tape.add(&x, &p);
        }
        x
    }

    /// What a pass is to do, in terms of its rows.
    fn ongoing<'a>(&self, input: &Input, pass: &Pass<'a>) -> Result<Ongoing<'a>> {
        let hooks = &pass.view.hooks;
        let narrowed = input.narrowed.as_ref().map(|narrowed| (narrowed.layer, &*narrowed.rows));
        let lowered = || Lowered::new(hooks, &self.spec, input.cells.clone(), narrowed);
        let hooks = if hooks.is_empty() { None } else { Some(lowered()?) };
        Ok(Ongoing { adapter: self.chosen(&pass.view.adapter)?, hooks, dropout: pass.dropout, added: pass.added })
    }

    /// The norm before the unembedding, of any residual stream `[rows, hidden_size]`: what a lens puts behind a layer.
    pub fn final_norm(&self, tape: &mut Tape, x: &Var) -> Var {
        self.norm(tape, x, Some(&self.model.norm_final))
    }

    /// Whether any parameter of a block does.
    fn trains(&self, layer: usize) -> bool {
        let prefix = format!("blocks.{layer}.");
        self.parameters.iter().any(|(_, parameter)| parameter.trainable && parameter.name.starts_with(&prefix))
    }

    fn recomputed_block<'m>(
        &'m self,
        tape: &mut Tape<'m>,
        layer: usize,
        x: &Var,
        input: &Input,
        rotaries: &[RotaryTable],
        pass: &Ongoing,
    ) -> Var {
        let (ids, positions, layout) = (input.ids.clone(), input.positions.clone(), input.layout.clone());
        let (narrowed, rotaries) = (input.narrowed.clone(), rotaries.to_vec());
        let (adapter, dropout) = (pass.adapter, pass.dropout);
        tape.recomputed(x, move |tape, x| {
            let (ids, positions, layout) = (ids.clone(), positions.clone(), layout.clone());
            let (narrowed, cells) = (narrowed.clone(), Arc::default());
            let mut input = Input { ids, positions, layout, cache: None, narrowed, cells, stream: None };
            let pass = Ongoing { adapter, hooks: None, dropout, added: None };
            self.block(tape, layer, &self.model.blocks[layer], x.clone(), &mut input, &rotaries, &pass)
        })
    }
}
