//! The transformer: one forward pass, described by a [`Spec`], for training, scoring, sampling and looking inside.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use groma_kernels::{
    AttentionLayout, AttentionShape, Backend, Buffer, Columns, KeyOrder, NormParameters, ParameterId, RotaryTable,
    Tape, Var,
};
use groma_run::Seed;

use crate::cache::Cache;
use crate::hooks::{Cell, HookPoint, Lowered, Site};
use crate::spec::{Head, Qkv};
use crate::store::StoredParameter;
use crate::{
    AdapterChoice, Checkpoint, Error, Lora, LowRank, Parameter, ParameterStore, Result, Spec, Tensor, TokenTree, View,
    Weights, linear_modules,
};

mod layers;
mod narrowed;
mod rotary;

use layers::{Block, Linear, MlpLayers, Model, Norm, QkvLayers};

/// What a forward pass does besides computing.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// The adapter that takes part, reads and edits.
    pub view: &'a View,
    /// Draws the adapter's dropout; `None` for none.
    pub dropout: Option<Seed>,
    /// Keeps only what flows between blocks for the backward pass, which runs each block again: less memory, the same
    /// gradients to the bit, a third more time. Without effect where hooks look inside.
    pub recompute: bool,
}

impl Default for Pass<'_> {
    fn default() -> Self {
        Pass { view: View::plain(), dropout: None, recompute: false }
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
struct Ongoing<'a> {
    /// Which of the adapters takes part.
    adapter: Option<usize>,
    hooks: Option<Lowered<'a>>,
    dropout: Option<Seed>,
}

impl Ongoing<'_> {
    fn at(&self, tape: &mut Tape, layer: usize, site: Site, x: Var) -> Var {
        let point = HookPoint { layer, site };
        match &self.hooks {
            Some(hooks) if hooks.wants(point) => hooks.at(tape, point, x),
            _ => x,
        }
    }

    fn wants(&self, layer: usize, site: Site) -> bool {
        self.hooks.as_ref().is_some_and(|hooks| hooks.wants(HookPoint { layer, site }))
    }

    fn acts(&self, layer: usize, site: Site) -> bool {
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
    fn of(tree: &TokenTree, view: &View) -> Self {
        let leaves = || tree.cells(tree.leaves().into_iter().enumerate()).into();
        Input {
            cells: if view.hooks.is_empty() { Arc::default() } else { leaves() },
            ids: tree.tokens().into(),
            positions: tree.positions(),
            layout: Arc::new(tree.layout()),
            cache: None,
            narrowed: None,
        }
    }

    fn narrowed(&self, layer: usize) -> Option<&Narrowed> {
        self.narrowed.as_ref().filter(|narrowed| narrowed.layer == layer)
    }
}

/// The name of an adapter that was given none.
const DEFAULT_ADAPTER: &str = "default";

/// A model ready to run: its function, its parameters and its adapters.
#[derive(Debug)]
pub struct Transformer {
    spec: Spec,
    backend: Arc<dyn Backend>,
    parameters: ParameterStore,
    model: Model,
    rotaries: RwLock<Vec<RotaryTable>>,
    adapters: Vec<Adapter>,
    /// A number of its own for each state that the parameters may be in.
    state: u64,
}

#[derive(Clone, Debug)]
struct Adapter {
    name: String,
    scale: f32,
    dropout: f32,
    /// Factors `a` and `b` by canonical module name.
    pairs: BTreeMap<String, (ParameterId, ParameterId)>,
}

impl Transformer {
    /// Loads `weights` onto `backend`; all parameters are trainable.
    pub fn new(spec: Spec, weights: &Weights, backend: Arc<dyn Backend>) -> Result<Self> {
        let buffers = upload(&spec, weights, &*backend)?;
        Self::of(spec, buffers, backend)
    }

    /// Loads the weights of a checkpoint onto `backend`, and `added` ones that it lacks or has others for. Each goes from its
    /// file to the one place where it is used, packed; all parameters are trainable, and packed until they train (see
    /// [`Transformer::freeze`]).
    pub(crate) fn open(
        spec: Spec,
        checkpoint: &Checkpoint,
        added: &Weights,
        backend: Arc<dyn Backend>,
    ) -> Result<Self> {
        let mut buffers = upload(&spec, added, &*backend)?;
        let wanted: BTreeSet<String> = crate::parameters(&spec).into_iter().map(|parameter| parameter.name).collect();
        checkpoint.stream(&mut |parameter, next| {
            if wanted.contains(&parameter.name) && !buffers.contains_key(&parameter.name) {
                let (rows, width) = matrix(&parameter.shape);
                buffers.insert(parameter.name.clone(), backend.weight(rows, width, next)?);
            }
            Ok(())
        })?;
        Self::of(spec, buffers, backend)
    }

    fn of(spec: Spec, mut buffers: BTreeMap<String, Buffer>, backend: Arc<dyn Backend>) -> Result<Self> {
        let mut parameters = ParameterStore::default();
        for parameter in crate::parameters(&spec) {
            let buffer = buffers
                .remove(&parameter.name)
                .ok_or_else(|| Error::Weights { problem: format!("{} is missing", parameter.name) })?;
            let (rows, width) = matrix(&parameter.shape);
            parameters.insert(parameter.name, rows, width, true, buffer);
        }
        let model = Model::find(&spec, &parameters)?;
        Ok(Transformer {
            spec,
            backend,
            parameters,
            model,
            rotaries: RwLock::default(),
            adapters: Vec::new(),
            state: new_state(),
        })
    }

    /// The function.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Where it runs.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// All parameters, those of the adapter last.
    pub fn parameters(&self) -> &ParameterStore {
        &self.parameters
    }

    /// All parameters, to be changed.
    pub fn parameters_mut(&mut self) -> &mut ParameterStore {
        self.state = new_state();
        &mut self.parameters
    }

    /// Another number than before where parameters could have changed since, or of another model.
    pub(crate) fn state(&self) -> u64 {
        self.state
    }

    /// Copies the base parameters (without the adapter) to the host.
    pub fn weights(&self) -> Weights {
        self.download(crate::parameters(&self.spec))
    }

    /// Copies the parameters of all heads but the unembedding to the host.
    pub fn head_weights(&self) -> Weights {
        let all = crate::parameters(&self.spec).into_iter();
        self.download(all.filter(|parameter| self.spec.is_head_parameter(&parameter.name)).collect())
    }

    fn download(&self, parameters: Vec<Parameter>) -> Weights {
        let tensors = parameters.into_iter().filter_map(|parameter| {
            let id = self.parameters.id(&parameter.name)?;
            let values = self.backend.download(self.parameters.get(id).buffer());
            Some((parameter.name, Tensor { shape: parameter.shape, values }))
        });
        tensors.collect()
    }

    /// Packs all parameters that do not train, for repeated use (see [`Backend::weight`]), and unpacks those that do.
    pub fn freeze(&mut self) {
        let backend = self.backend.clone();
        let ids: Vec<_> = self.parameters.iter().map(|(id, _)| id).collect();
        for id in ids {
            let parameter = self.parameters.get_mut(id);
            let (rows, width, packed) = (parameter.rows, parameter.width, parameter.buffer().is_packed());
            if packed != parameter.trainable {
                continue;
            }
            let Some(buffer) = parameter.buffer_mut() else { continue };
            if packed {
                *buffer = buffer.clone();
            } else if let Ok(made) = packed_weight(&*backend, buffer, rows, width) {
                *buffer = made;
            }
        }
    }

    /// Attaches an adapter under the name `default`, as PEFT calls it: see [`Transformer::attach_as`].
    pub fn attach(&mut self, lora: &Lora) -> Result<()> {
        self.attach_as(DEFAULT_ADAPTER, lora)
    }

    /// Attaches an adapter beside those that are there already. It becomes the active one: its factors train, everything
    /// else stops training.
    ///
    /// # Errors
    /// If the name is taken, or the adapter does not fit the model.
    pub fn attach_as(&mut self, adapter: &str, lora: &Lora) -> Result<()> {
        if self.adapters.iter().any(|other| other.name == adapter) {
            let problem =
                format!("an adapter named `{adapter}` is already attached; merge it first or take another name");
            return Err(Error::Weights { problem });
        }
        let modules = linear_modules(&self.spec);
        let mut pairs = BTreeMap::new();
        for (name, pair) in &lora.pairs {
            let module = modules.iter().find(|module| module.name == *name).ok_or_else(|| Error::Weights {
                problem: format!("the adapter has factors for {name}, which this model does not have"),
            })?;
            let rank = pair.a.shape.first().copied().unwrap_or(0);
            if pair.a.shape != [rank, module.inputs] || pair.b.shape != [module.outputs, rank] {
                let problem = format!(
                    "the adapter's factors for {name} have shapes {:?} and {:?}; the layer is {} x {}",
                    pair.a.shape, pair.b.shape, module.outputs, module.inputs
                );
                return Err(Error::Weights { problem });
            }
            pairs.insert(name.clone(), (pair, rank, module.inputs, module.outputs));
        }
        self.parameters.set_trainable(|_| false);
        let mut ids = BTreeMap::new();
        for (name, (pair, rank, inputs, outputs)) in pairs {
            let (a, b) = (self.backend.upload(&pair.a.values), self.backend.upload(&pair.b.values));
            let own = if adapter == DEFAULT_ADAPTER { String::new() } else { format!(".{adapter}") };
            let a = self.parameters.insert(format!("{name}.lora_a{own}"), rank, inputs, true, a);
            let b = self.parameters.insert(format!("{name}.lora_b{own}"), outputs, rank, true, b);
            ids.insert(name, (a, b));
        }
        self.state = new_state();
        self.model.attach(self.adapters.len(), &ids);
        let (scale, dropout) = (lora.scale, lora.dropout);
        self.adapters.push(Adapter { name: adapter.into(), scale, dropout, pairs: ids });
        Ok(())
    }

    /// Names of the attached adapters; the last one is the active one.
    pub fn adapters(&self) -> impl Iterator<Item = &str> {
        self.adapters.iter().map(|adapter| &*adapter.name)
    }

    /// The active adapter as it is now.
    pub fn adapter(&self) -> Option<Lora> {
        self.lora(self.adapters.last()?)
    }

    /// The adapter of that name as it is now.
    pub fn adapter_named(&self, name: &str) -> Option<Lora> {
        self.lora(self.adapters.iter().find(|adapter| adapter.name == name)?)
    }

    fn lora(&self, adapter: &Adapter) -> Option<Lora> {
        let tensor = |id| {
            let p = self.parameters.get(id);
            Tensor { shape: vec![p.rows, p.width], values: self.backend.download(p.buffer()) }
        };
        let pairs = adapter.pairs.iter().map(|(name, &(a, b))| (name.clone(), LowRank { a: tensor(a), b: tensor(b) }));
        Some(Lora { scale: adapter.scale, dropout: adapter.dropout, pairs: pairs.collect() })
    }

    /// Which adapter a choice means.
    fn chosen(&self, choice: &AdapterChoice) -> Result<Option<usize>> {
        match choice {
            AdapterChoice::Off => Ok(None),
            AdapterChoice::Active => Ok(self.adapters.len().checked_sub(1)),
            AdapterChoice::Named(name) => match self.adapters.iter().position(|adapter| adapter.name == *name) {
                Some(index) => Ok(Some(index)),
                None => {
                    Err(Error::UnknownAdapter { name: name.clone(), known: self.adapters().map(Into::into).collect() })
                }
            },
        }
    }

    /// The base weights with the active adapter added in: `W + scale * B A`.
    pub fn merged_weights(&self) -> Weights {
        let mut weights = self.weights();
        for (name, pair) in self.adapter().into_iter().flat_map(|lora| {
            let scale = lora.scale;
            lora.pairs.into_iter().map(move |(name, pair)| (name, (scale, pair)))
        }) {
            if let Some(tensor) = weights.get_mut(&format!("{name}.weight")) {
                add_product(tensor, &pair.1, pair.0);
            }
        }
        weights
    }

    /// Hidden states of all rows of `tree` behind the final norm, `[rows, hidden_size]`.
    pub fn hidden<'m>(&'m self, tape: &mut Tape<'m>, tree: &TokenTree, pass: &Pass) -> Result<Var> {
        self.check_tokens(tree.tokens())?;
        self.run_hooked(tape, Input::of(tree, pass.view), pass)
    }

    /// A call that is one pass.
    fn run_hooked<'m>(&'m self, tape: &mut Tape<'m>, input: Input, pass: &Pass) -> Result<Var> {
        let hooks = &pass.view.hooks;
        if hooks.is_empty() {
            return self.run(tape, input, pass);
        }
        hooks.begin(&self.spec)?;
        let hidden = self.run(tape, input, pass)?;
        hooks.finish()?;
        Ok(hidden)
    }

    /// The unembedding matrix `[vocab, hidden_size]`: the embedding where they are tied.
    ///
    /// # Errors
    /// If the model has other heads alone.
    pub fn unembed(&self) -> Result<Var> {
        let head = self.model.heads.get(&*Head::UNEMBEDDING.name).ok_or_else(|| {
            let problem = format!("the model has no unembedding, only {}", self.head_names());
            Error::Weights { problem }
        })?;
        Ok(self.parameters.var(head.weight))
    }

    /// What the head of this name makes of hidden states `[rows, hidden_size]`: `[rows, width]`.
    ///
    /// # Errors
    /// If the model has no such head.
    pub fn head(&self, tape: &mut Tape, name: &str, hidden: &Var) -> Result<Var> {
        let head = self.model.heads.get(name).ok_or_else(|| {
            let problem = format!("the model has no head `{name}`, only {}", self.head_names());
            Error::Weights { problem }
        })?;
        let bias = head.bias.map(|bias| self.parameters.var(bias));
        Ok(tape.linear(hidden, &self.parameters.var(head.weight), bias.as_ref()))
    }

    fn head_names(&self) -> String {
        self.model.heads.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Gives the trunk these heads: those that it has stay as they are, others start at zero, or at random where there is
    /// a seed, and the rest go. Before an adapter is attached.
    ///
    /// # Errors
    /// If a head of the same name is another one, if the unembedding is not there any more, or if an adapter is attached
    /// and the heads would change.
    pub fn set_heads(&mut self, heads: &[Head], seed: Option<Seed>) -> Result<()> {
        if heads == self.spec.outputs {
            return Ok(());
        }
        self.check_heads(heads)?;
        let spec = self.spec.with_heads(heads);
        let trunk = crate::parameters(&self.spec.with_heads(&[])).len();
        let mut kept: BTreeMap<String, StoredParameter> =
            self.parameters.truncate(trunk).into_iter().map(|parameter| (parameter.name.clone(), parameter)).collect();
        for parameter in heads.iter().flat_map(|head| head.parameters(&spec)) {
            let stored = kept.remove(&parameter.name).unwrap_or_else(|| {
                let values = self.backend.upload(&crate::heads::fresh(&parameter, seed).values);
                let (rows, width) = matrix(&parameter.shape);
                StoredParameter::new(parameter.name, rows, width, true, values)
            });
            self.parameters.push(stored);
        }
        self.model.find_heads(&spec, &self.parameters)?;
        self.spec = spec;
        Ok(())
    }

    fn check_heads(&self, heads: &[Head]) -> Result<()> {
        let refuse = |problem: String| Err(Error::Weights { problem });
        if !self.adapters.is_empty() {
            return refuse("heads change before an adapter is attached: merge it first".into());
        }
        if heads.contains(&Head::UNEMBEDDING) && !self.spec.predicts() {
            return refuse(format!("the model has no unembedding any more, only {}", self.head_names()));
        }
        for head in heads {
            match self.spec.head(&head.name) {
                Some(own) if own != head => {
                    return refuse(format!(
                        "its head {} has {} outputs of each {:?}, not {} of each {:?}",
                        head.name, own.width, own.kind, head.width, head.kind
                    ));
                }
                _ => {}
            }
        }
        crate::heads::check(heads, |problem| Error::Weights { problem })
    }

    /// Logits `[rows, vocab]` for hidden states, the final cap applied; for short inputs and for looking inside.
    pub fn logits(&self, hidden: &Var) -> Result<Vec<f32>> {
        Ok(self.backend.download(&self.distributions(hidden, 1.0)?.0))
    }

    /// Logits `[rows, vocab]` for hidden states, the final cap applied, and the log-sum-exp of each row at a temperature, see
    /// [`Backend::distributions`].
    pub(crate) fn distributions(&self, hidden: &Var, temperature: f32) -> Result<(Buffer, Vec<f64>)> {
        let (vocab, unembed) = (self.spec.vocab_size, self.unembed()?);
        let mut logits = self.backend.scratch(hidden.rows() * vocab);
        let (rows, width) = (hidden.rows(), hidden.width());
        self.backend.linear(&mut logits, hidden.buffer(), unembed.buffer(), None, rows, width, vocab);
        let sums = self.backend.distributions(&mut logits, vocab, self.spec.final_softcap, temperature);
        Ok((logits, sums))
    }

    /// Checks ids against the vocabulary, so that no kernel reads beyond the embedding.
    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
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
        let mut x = tape.embed(&self.parameters.var(self.model.embed), &input.ids);
        if self.spec.embedding_scale != 1.0 {
            x = tape.scale(&x, self.spec.embedding_scale);
        }
        x = pass.at(tape, 0, Site::Embed, x);
        if let Some(positions) = self.model.positions {
            let p = tape.embed(&self.parameters.var(positions), &input.positions);
            let p = pass.at(tape, 0, Site::PosEmbed, p);
            x = tape.add(&x, &p);
        }
        for (layer, block) in self.model.blocks.iter().enumerate() {
            x = match recompute && (x.is_tracked() || self.trains(layer)) {
                true => self.recomputed_block(tape, layer, &x, &input, &rotaries, pass),
                false => self.block(tape, layer, block, x, &mut input, &rotaries, pass),
            };
        }
        let x = self.final_norm(tape, &x);
        Ok(pass.at(tape, 0, Site::NormFinal, x))
    }

    /// What a pass is to do, in terms of its rows.
    fn ongoing<'a>(&self, input: &Input, pass: &Pass<'a>) -> Result<Ongoing<'a>> {
        let hooks = &pass.view.hooks;
        let narrowed = input.narrowed.as_ref().map(|narrowed| (narrowed.layer, &*narrowed.rows));
        let lowered = || Lowered::new(hooks, &self.spec, input.cells.clone(), narrowed);
        let hooks = if hooks.is_empty() { None } else { Some(lowered()?) };
        Ok(Ongoing { adapter: self.chosen(&pass.view.adapter)?, hooks, dropout: pass.dropout })
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
            let mut input = Input { ids, positions, layout, cache: None, narrowed, cells };
            let pass = Ongoing { adapter, hooks: None, dropout };
            self.block(tape, layer, &self.model.blocks[layer], x.clone(), &mut input, &rotaries, &pass)
        })
    }

    #[allow(clippy::too_many_arguments, reason = "the state of one forward pass")]
    fn block(
        &self,
        tape: &mut Tape,
        layer: usize,
        block: &Block,
        x: Var,
        input: &mut Input,
        rotaries: &[RotaryTable],
        pass: &Ongoing,
    ) -> Var {
        let x = pass.at(tape, layer, Site::ResidPre, x);
        let normed = self.norm(tape, &x, block.norm_attention.as_ref());
        let normed = pass.at(tape, layer, Site::NormAttention, normed);
        let attention = self.attention(tape, layer, block, &normed, input, rotaries, pass);
        let attention = self.norm(tape, &attention, block.norm_attention_out.as_ref());
        let attention = pass.at(tape, layer, Site::AttentionOut, attention);
        let x = input.narrowed(layer).map_or(x.clone(), |narrowed| tape.gather_rows(&x, &narrowed.rows));
        if self.spec.parallel_residual {
            let mlp = self.mlp_branch(tape, layer, block, &x, pass);
            let both = tape.add(&mlp, &attention);
            let out = tape.add(&both, &x);
            return pass.at(tape, layer, Site::ResidPost, out);
        }
        let mid = tape.add(&x, &attention);
        let mid = pass.at(tape, layer, Site::ResidMid, mid);
        let mlp = self.mlp_branch(tape, layer, block, &mid, pass);
        let out = tape.add(&mid, &mlp);
        pass.at(tape, layer, Site::ResidPost, out)
    }

    fn mlp_branch(&self, tape: &mut Tape, layer: usize, block: &Block, x: &Var, pass: &Ongoing) -> Var {
        let normed = self.norm(tape, x, block.norm_mlp.as_ref());
        let normed = pass.at(tape, layer, Site::NormMlp, normed);
        let out = self.mlp(tape, layer, &block.mlp, &normed, pass);
        let out = self.norm(tape, &out, block.norm_mlp_out.as_ref());
        pass.at(tape, layer, Site::MlpOut, out)
    }

    #[allow(clippy::too_many_arguments, reason = "the state of one forward pass")]
    fn attention(
        &self,
        tape: &mut Tape,
        layer: usize,
        block: &Block,
        x: &Var,
        input: &mut Input,
        rotaries: &[RotaryTable],
        pass: &Ongoing,
    ) -> Var {
        let (q, k, v) = self.project(tape, block, x, pass);
        let q = pass.at(tape, layer, Site::Query, q);
        let k = pass.at(tape, layer, Site::Key, k);
        let v = pass.at(tape, layer, Site::Value, v);
        let (mut q, mut k) = (self.qk_norm(tape, &q, block.q_norm), self.qk_norm(tape, &k, block.k_norm));
        if let Some(rotary) = self.spec.layers[layer].rotary {
            q = tape.rotary(&q, &rotaries[rotary], &input.positions, self.spec.head_dim);
            k = tape.rotary(&k, &rotaries[rotary], &input.positions, self.spec.head_dim);
            q = pass.at(tape, layer, Site::RotaryQuery, q);
            k = pass.at(tape, layer, Site::RotaryKey, k);
        }
        let (k, v) = match &mut input.cache {
            None => (k, v),
            Some(cache) => cache.write(layer, &k, &v),
        };
        let (q, layout) = match input.narrowed(layer) {
            None => (q, &input.layout),
            Some(narrowed) => (tape.gather_rows(&q, &narrowed.rows), &narrowed.layout),
        };
        let key_order = input.cache.as_ref().map_or(KeyOrder::Rows, Cache::key_order);
        let shape = AttentionShape { key_order, ..self.attention_shape(layer) };
        let pattern = pass.wants(layer, Site::Pattern).then(|| {
            let pattern = tape.attention_pattern(&q, &k, layout, shape);
            pass.at(tape, layer, Site::Pattern, pattern)
        });
        let z = match pattern.filter(|_| pass.acts(layer, Site::Pattern)) {
            Some(pattern) => tape.apply_pattern(&pattern, &v, shape),
            None => tape.attention(&q, &k, &v, layout, shape),
        };
        let z = pass.at(tape, layer, Site::Z, z);
        self.linear(tape, &block.attention_out, &z, pass)
    }

    fn attention_shape(&self, layer: usize) -> AttentionShape {
        AttentionShape {
            heads: self.spec.heads,
            kv_heads: self.spec.kv_heads,
            head_dim: self.spec.head_dim,
            scale: self.spec.attention_scale,
            softcap: self.spec.attention_softcap,
            window: self.spec.layers[layer].window,
            key_order: KeyOrder::Rows,
        }
    }

    fn project(&self, tape: &mut Tape, block: &Block, x: &Var, pass: &Ongoing) -> (Var, Var, Var) {
        let fused = match &block.qkv {
            QkvLayers::Separate { q, k, v } => {
                return self.linears(tape, [q, k, v], x, pass).into();
            }
            QkvLayers::Fused(qkv) => self.linear(tape, qkv, x, pass),
        };
        let Spec { heads, kv_heads, head_dim, .. } = self.spec;
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        let mut cut = |start, run| {
            let columns = match self.spec.qkv {
                Qkv::PerHead => Columns { start: start * head_dim, stride: 3 * head_dim, groups: heads, run: head_dim },
                _ => Columns { start: [0, queries, queries + keys][start], stride: 0, groups: 1, run },
            };
            tape.columns(&fused, columns)
        };
        (cut(0, queries), cut(1, keys), cut(2, keys))
    }

    fn qk_norm(&self, tape: &mut Tape, x: &Var, weight: Option<ParameterId>) -> Var {
        let Some(id) = weight else { return x.clone() };
        let weight = self.parameters.var(id);
        let width = weight.width();
        tape.norm(x, width, self.norm_parameters(Some(&weight), None))
    }

    fn mlp(&self, tape: &mut Tape, layer: usize, mlp: &MlpLayers, x: &Var, pass: &Ongoing) -> Var {
        let activation = self.spec.activation;
        let hidden = match mlp {
            MlpLayers::Plain { up, .. } => {
                let pre = self.linear(tape, up, x, pass);
                let pre = pass.at(tape, layer, Site::MlpPre, pre);
                tape.activation(&pre, activation)
            }
            MlpLayers::Gated { gate, up, .. } => {
                let [gate, up] = self.linears(tape, [gate, up], x, pass);
                let gate = pass.at(tape, layer, Site::MlpPre, gate);
                let up = pass.at(tape, layer, Site::MlpPreLinear, up);
                tape.gated(&gate, &up, activation)
            }
            MlpLayers::GatedConcatenated { gate_up, .. } => {
                let both = self.linear(tape, gate_up, x, pass);
                let run = self.spec.intermediate_size;
                let gate = tape.columns(&both, Columns { start: 0, stride: 0, groups: 1, run });
                let up = tape.columns(&both, Columns { start: run, stride: 0, groups: 1, run });
                let gate = pass.at(tape, layer, Site::MlpPre, gate);
                let up = pass.at(tape, layer, Site::MlpPreLinear, up);
                tape.gated(&gate, &up, activation)
            }
        };
        let hidden = pass.at(tape, layer, Site::MlpPost, hidden);
        self.linear(tape, mlp.down(), &hidden, pass)
    }

    /// Normalises with the model's norm; without one, `x` passes.
    fn norm(&self, tape: &mut Tape, x: &Var, norm: Option<&Norm>) -> Var {
        let Some(norm) = norm else { return x.clone() };
        let weight = self.parameters.var(norm.weight);
        let bias = norm.bias.map(|id| self.parameters.var(id));
        tape.norm(x, x.width(), self.norm_parameters(Some(&weight), bias.as_ref()))
    }

    fn norm_parameters<'a>(&self, weight: Option<&'a Var>, bias: Option<&'a Var>) -> NormParameters<'a> {
        let norm = self.spec.norm;
        NormParameters { weight, bias, kind: norm.kind, eps: norm.eps, weight_offset: norm.weight_offset }
    }

    fn linear(&self, tape: &mut Tape, layer: &Linear, x: &Var, pass: &Ongoing) -> Var {
        let [y] = self.linears(tape, [layer], x, pass);
        y
    }

    /// Layers that read the same input.
    fn linears<const N: usize>(&self, tape: &mut Tape, layers: [&Linear; N], x: &Var, pass: &Ongoing) -> [Var; N] {
        let parameters =
            layers.map(|layer| (self.parameters.var(layer.weight), layer.bias.map(|bias| self.parameters.var(bias))));
        let outputs = tape.linears(x, parameters.each_ref().map(|(weight, bias)| (weight, bias.as_ref())));
        let mut layers = layers.into_iter();
        outputs.map(|y| match layers.next() {
            Some(layer) => self.adapted(tape, layer, x, y, pass),
            None => y,
        })
    }

    /// Adds what the adapter makes of a layer's input to the layer's output.
    fn adapted(&self, tape: &mut Tape, layer: &Linear, x: &Var, y: Var, pass: &Ongoing) -> Var {
        let Some(index) = pass.adapter else { return y };
        let Some(&(_, a, b)) = layer.low_rank.iter().find(|(of, ..)| *of == index) else { return y };
        let adapter = &self.adapters[index];
        let dropped = match pass.dropout {
            Some(seed) if adapter.dropout > 0.0 => {
                tape.dropout(x, 1.0 - adapter.dropout, seed.index(u64::from(layer.weight.0)).bits())
            }
            _ => x.clone(),
        };
        let low = tape.linear(&dropped, &self.parameters.var(a), None);
        let low = tape.linear(&low, &self.parameters.var(b), None);
        tape.add_scaled(&y, &low, adapter.scale)
    }

    /// Tables for positions below `depth`, made longer when needed.
    fn rotary_tables(&self, depth: usize) -> Vec<RotaryTable> {
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
        let made: Vec<_> = self.spec.rotaries.iter().map(|r| rotary::table(&*self.backend, r, positions)).collect();
        let mut tables = self.rotaries.write().unwrap_or_else(PoisonError::into_inner);
        if !long_enough(&tables) {
            *tables = made.clone();
        }
        made
    }
}

fn new_state() -> u64 {
    static STATES: AtomicU64 = AtomicU64::new(0);
    STATES.fetch_add(1, Ordering::Relaxed)
}

/// Buffers of all parameters of `spec` that there are weights for.
fn upload(spec: &Spec, weights: &Weights, backend: &dyn Backend) -> Result<BTreeMap<String, Buffer>> {
    let mut buffers = BTreeMap::new();
    for parameter in crate::parameters(spec) {
        let Some(tensor) = weights.get(&parameter.name) else { continue };
        if tensor.shape != parameter.shape {
            let problem = format!("{} has shape {:?} instead of {:?}", parameter.name, tensor.shape, parameter.shape);
            return Err(Error::Weights { problem });
        }
        buffers.insert(parameter.name, backend.upload(&tensor.values));
    }
    Ok(buffers)
}

/// The same weight, packed.
fn packed_weight(backend: &dyn Backend, buffer: &Buffer, rows: usize, width: usize) -> io::Result<Buffer> {
    let values = backend.read(buffer);
    let mut rest = &*values;
    backend.weight(rows, width, &mut |to| {
        let (run, after) = rest.split_at(to.len());
        to.copy_from_slice(run);
        rest = after;
        Ok(())
    })
}

/// Rows and width of a parameter's shape; vectors have one row.
fn matrix(shape: &[usize]) -> (usize, usize) {
    match shape {
        [rows, width] => (*rows, *width),
        _ => (1, shape.iter().product()),
    }
}

/// `w += scale * b a`, in f64.
fn add_product(w: &mut Tensor, pair: &LowRank, scale: f32) {
    let (rank, inputs) = (pair.a.shape[0], pair.a.shape[1]);
    for (row, values) in w.values.chunks_exact_mut(inputs).enumerate() {
        for (column, value) in values.iter_mut().enumerate() {
            let sum: f64 = (0..rank)
                .map(|r| f64::from(pair.b.values[row * rank + r]) * f64::from(pair.a.values[r * inputs + column]))
                .sum();
            *value = (f64::from(*value) + f64::from(scale) * sum) as f32;
        }
    }
}
