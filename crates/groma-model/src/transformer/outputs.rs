//! From hidden states to what the heads make of them; and which heads there are.

use std::collections::{BTreeMap, BTreeSet};

use groma_kernels::{Buffer, ParameterId, Tape, Var};
use groma_run::Seed;

use super::store::StoredParameter;
use super::{Transformer, matrix};
use crate::spec::Head;
use crate::{Error, Result};

impl Transformer {
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

    /// The embedding matrix `[vocab, hidden_size]`, before any scale that the family puts on what is looked up.
    pub fn embedding(&self) -> Var {
        self.parameters.var(self.model.embed)
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
    /// a seed, or as what they are copies of, and the rest go. Before an adapter is attached.
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
        let mut fresh = BTreeSet::new();
        let of_heads = heads.iter().flat_map(|head| head.parameters(&spec).into_iter().map(move |one| (head, one)));
        for (head, parameter) in of_heads {
            let stored = kept.remove(&parameter.name).unwrap_or_else(|| {
                let values = self.backend.upload(&crate::spec::heads::fresh(head, &parameter, seed).values);
                let (rows, width) = matrix(&parameter.shape);
                fresh.insert(parameter.name.clone());
                StoredParameter::new(parameter.name, rows, width, true, values)
            });
            self.parameters.push(stored);
        }
        self.model.find_heads(&spec, &self.parameters)?;
        self.spec = spec;
        for (copy, followed) in self.copied_parameters() {
            if fresh.contains(&self.parameters.get(copy).name) {
                let values = self.backend.download(self.parameters.get(followed).buffer());
                self.parameters.get_mut(copy).set_buffer(self.backend.upload(&values));
            }
        }
        Ok(())
    }

    /// Parameters of heads that follow others, each with the one that it follows.
    pub fn copied_parameters(&self) -> Vec<(ParameterId, ParameterId)> {
        let ids = |head: &Head| head.parameters(&self.spec).into_iter().filter_map(|one| self.parameters.id(&one.name));
        self.spec.copies().flat_map(|(copy, followed)| ids(copy).zip(ids(followed)).collect::<Vec<_>>()).collect()
    }

    /// By how much each next token is worth more than was to be expected, `[rows, vocab]` for hidden states `[rows, hidden_size]`:
    /// the least that copies of action values say of it, less the value (`min_i Q_i - V`).
    ///
    /// # Errors
    /// If the model has no such heads.
    pub fn advantages(&self, hidden: &Var) -> Result<Vec<f32>> {
        let mut tape = Tape::inference(self.backend.clone());
        let read = |tape: &mut Tape, name: &str| {
            Ok::<_, Error>(self.backend.download(self.head(tape, name, hidden)?.buffer()))
        };
        let values = read(&mut tape, &Head::VALUE.name)?;
        let mut least = vec![f32::INFINITY; hidden.rows() * self.spec.vocab_size];
        for (copy, _) in self.spec.copies() {
            let said = read(&mut tape, &copy.name)?;
            least.iter_mut().zip(said).for_each(|(least, worth)| *least = least.min(worth));
        }
        for (row, value) in least.chunks_exact_mut(self.spec.vocab_size).zip(values) {
            row.iter_mut().for_each(|worth| *worth -= value);
        }
        Ok(least)
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
                Some(own)
                    if [own, head].iter().all(|head| !head.attributes.is_empty())
                        && own.attributes != head.attributes =>
                {
                    return refuse(format!(
                        "its head {} is of the attributes {}, not {}",
                        head.name,
                        own.attributes.join(", "),
                        head.attributes.join(", ")
                    ));
                }
                Some(own) if !own.is_like(head) => {
                    return refuse(format!(
                        "its head {} has {} outputs of each {:?}, not {} of each {:?}",
                        head.name, own.width, own.kind, head.width, head.kind
                    ));
                }
                _ => {}
            }
        }
        crate::spec::heads::check(heads, |problem| Error::Weights { problem })
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
}
