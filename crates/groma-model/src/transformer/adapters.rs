//! Adapters over one base: attached, chosen, read back, merged.

use std::collections::BTreeMap;

use groma_kernels::ParameterId;

use super::adapter::Adapter;
use super::{Transformer, new_state};
use crate::{AdapterChoice, Error, Lora, LowRank, Result, Tensor, Weights, linear_modules};

/// The name of an adapter that was given none.
const DEFAULT_ADAPTER: &str = "default";

impl Transformer {
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
        let pairs = adapter.pairs.iter().map(|(name, pair)| (name.clone(), self.low_rank(pair)));
        Some(Lora { scale: adapter.scale, dropout: adapter.dropout, pairs: pairs.collect() })
    }

    fn low_rank(&self, &(a, b): &(ParameterId, ParameterId)) -> LowRank {
        let tensor = |id| {
            let p = self.parameters.get(id);
            Tensor { shape: vec![p.rows, p.width], values: self.backend.download(p.buffer()) }
        };
        LowRank { a: tensor(a), b: tensor(b) }
    }

    /// Which adapter a choice means.
    pub(super) fn chosen(&self, choice: &AdapterChoice) -> Result<Option<usize>> {
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

    /// The weight of one layer (`blocks.3.attention.out`) with the active adapter added in, `W + scale * B A`; `None` where the
    /// model has no such layer.
    pub fn merged_weight(&self, module: &str) -> Option<Tensor> {
        let stored = self.parameters.get(self.parameters.id(&format!("{module}.weight"))?);
        let values = self.backend.download(stored.buffer());
        let mut tensor = Tensor { shape: vec![stored.rows, stored.width], values };
        if let Some(adapter) = self.adapters.last()
            && let Some(pair) = adapter.pairs.get(module)
        {
            add_product(&mut tensor, &self.low_rank(pair), adapter.scale);
        }
        Some(tensor)
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
