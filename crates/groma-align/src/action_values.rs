//! What heads of action values say of the tokens that were chosen: what each is worth, and how likely it would be if worths were logits.

use crate::Error;
use groma_kernels::{Cotangent, HeadVar, HeadWants, Tape, Var};
use groma_model::Transformer;
use std::sync::Arc;

/// What one head says, by slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ActionSaid {
    /// Of the token that was chosen.
    pub(crate) worth: Vec<f32>,
    /// Its log-probability under the softmax of what all tokens are worth.
    pub(crate) logps: Vec<f32>,
    /// What the copy of the head finds it worth; no gradient goes through it.
    pub(crate) copy: Vec<f32>,
}

/// Slopes by slot of what one head says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ActionSlopes {
    pub(crate) worth: Vec<f32>,
    pub(crate) logps: Vec<f32>,
}

/// What all heads of action values say, with what their gradients need.
#[derive(Debug)]
pub(crate) struct ActionValues {
    heads: Vec<Opinion>,
}

#[derive(Debug)]
struct Opinion {
    /// `[slots, 1]`.
    worth: Var,
    distribution: HeadVar,
    copy: Var,
}

impl ActionValues {
    /// Of the heads of a model that have copies, at hidden states `[slots, hidden_size]` and the tokens chosen there.
    ///
    /// # Errors
    /// [`Error::Role`] where the model has no such heads.
    pub(crate) fn of(
        tape: &mut Tape<'_>,
        model: &Transformer,
        hidden: &Var,
        chosen: &Arc<[u32]>,
    ) -> Result<Self, Error> {
        let heads = model.copied_parameters().into_iter();
        let weights: Vec<(Var, Var)> =
            heads.map(|(copy, head)| (model.parameters().var(head), model.parameters().var(copy))).collect();
        if weights.is_empty() {
            let problem = "the model does not say what next tokens are worth: set it up for the method".into();
            return Err(Error::Role { role: "policy", problem });
        }
        Ok(ActionValues::by(tape, &weights, hidden, chosen))
    }

    /// Of heads and their copies, given by their weights `[vocab, hidden_size]`.
    fn by(tape: &mut Tape<'_>, weights: &[(Var, Var)], hidden: &Var, chosen: &Arc<[u32]>) -> Self {
        let opinion = |(head, copy): &(Var, Var)| Opinion {
            worth: worth(tape, head, hidden, chosen),
            distribution: tape.head(hidden, head, chosen, None, 1.0, HeadWants::default()),
            copy: worth(tape, copy, &hidden.detached(), chosen),
        };
        ActionValues { heads: weights.iter().map(opinion).collect() }
    }

    /// By head.
    pub(crate) fn said(&self, tape: &Tape<'_>) -> Vec<ActionSaid> {
        let read = |var: &Var| tape.backend().download(var.buffer());
        let said = |opinion: &Opinion| ActionSaid {
            worth: read(&opinion.worth),
            logps: opinion.distribution.output().logp.clone(),
            copy: read(&opinion.copy),
        };
        self.heads.iter().map(said).collect()
    }

    /// The cotangents of slopes by head and slot.
    pub(crate) fn cotangents<'c>(&'c self, tape: &Tape<'_>, slopes: &'c [ActionSlopes]) -> Vec<Cotangent<'c>> {
        let of = |(opinion, slopes): (&'c Opinion, &'c ActionSlopes)| {
            let worth = Cotangent::Value(&opinion.worth, tape.backend().upload(&slopes.worth));
            [worth, Cotangent::Head { head: &opinion.distribution, d_logp: &slopes.logps, d_entropy: &[] }]
        };
        self.heads.iter().zip(slopes).flat_map(of).collect()
    }
}

/// The products of hidden states with the rows of a head that belong to the tokens chosen, `[slots, 1]`.
fn worth(tape: &mut Tape<'_>, head: &Var, hidden: &Var, chosen: &Arc<[u32]>) -> Var {
    let rows = tape.embed(head, chosen);
    let products = tape.multiply(hidden, &rows);
    let ones = Var::constant(tape.backend().upload(&vec![1.0; hidden.width()]), 1, hidden.width());
    tape.linear(&products, &ones, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_kernels::{Backend, Cpu, Gradients};
    use groma_model::ParameterStore;

    const VOCAB: usize = 5;
    const WIDTH: usize = 3;
    const CHOSEN: [u32; 4] = [1, 4, 1, 0];

    fn drawn(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 101) % 64) as f32 / 32.0 - 1.0).collect()
    }

    /// Head, copy and hidden states as parameters, so that each has a gradient.
    fn store(backend: &dyn Backend, moved: Option<(usize, usize, f32)>) -> ParameterStore {
        let mut store = ParameterStore::numbered(1);
        for (index, (name, rows)) in
            [("head", VOCAB), ("copy", VOCAB), ("hidden", CHOSEN.len())].into_iter().enumerate()
        {
            let mut values = drawn(rows * WIDTH, index);
            if let Some((_, at, by)) = moved.filter(|(of, ..)| *of == index) {
                values[at] += by;
            }
            store.insert(name.into(), rows, WIDTH, name != "copy", backend.upload(&values));
        }
        store
    }

    /// The sum of what the head says, weighed by slopes that differ; what it says, and the gradients.
    fn run(moved: Option<(usize, usize, f32)>) -> (f64, ActionSaid, ParameterStore, Gradients) {
        let backend: Arc<dyn Backend> = Arc::new(Cpu::new());
        let store = store(&*backend, moved);
        let var = |name: &str| store.var(store.id(name).unwrap());
        let (mut tape, mut gradients) = (Tape::recording(backend), Gradients::new());
        let values = ActionValues::by(&mut tape, &[(var("head"), var("copy"))], &var("hidden"), &CHOSEN.into());
        let said = values.said(&tape).remove(0);
        let slopes = ActionSlopes { worth: drawn(4, 7), logps: drawn(4, 9) };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let sum = dot(&said.worth, &slopes.worth) + dot(&said.logps, &slopes.logps);
        let all = [slopes];
        let cotangents = values.cotangents(&tape, &all);
        tape.backward(cotangents, &mut gradients);
        (sum, said, store, gradients)
    }

    #[test]
    fn worths_and_log_probabilities_are_those_of_the_head() {
        let (_, said, ..) = run(None);
        let (head, copy, hidden) = (drawn(VOCAB * WIDTH, 0), drawn(VOCAB * WIDTH, 1), drawn(4 * WIDTH, 2));
        let of = |weights: &[f32], slot: usize, token: usize| -> f64 {
            let row = &weights[token * WIDTH..][..WIDTH];
            row.iter().zip(&hidden[slot * WIDTH..]).map(|(w, h)| f64::from(*w) * f64::from(*h)).sum()
        };
        for (slot, &token) in CHOSEN.iter().enumerate() {
            let all: f64 = (0..VOCAB).map(|token| of(&head, slot, token).exp()).sum();
            let expected = [
                (said.worth[slot], of(&head, slot, token as usize)),
                (said.copy[slot], of(&copy, slot, token as usize)),
                (said.logps[slot], of(&head, slot, token as usize) - all.ln()),
            ];
            assert!(expected.iter().all(|(found, wanted)| (f64::from(*found) - wanted).abs() < 1e-5), "{expected:?}");
        }
    }

    #[test]
    fn gradients_are_central_differences_and_none_goes_to_copies() {
        let (.., store, gradients) = run(None);
        let backend = Cpu::new();
        assert!(gradients.get(store.id("copy").unwrap()).is_none());
        for (index, name) in [(0, "head"), (2, "hidden")] {
            let found = backend.download(gradients.get(store.id(name).unwrap()).unwrap());
            for (at, found) in found.iter().enumerate() {
                let step = 1.0 / 256.0;
                let moved = |by: f32| run(Some((index, at, by))).0;
                let expected = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
                assert!((f64::from(*found) - expected).abs() < 1e-3, "{name} {at}: {found} {expected}");
            }
        }
    }
}
