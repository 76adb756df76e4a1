//! The plainest training step there is, for measuring: language modelling on a batch of rows.

use std::error::Error;

use groma_kernels::{AdamW, Buffer, Cotangent, Gradients, HeadWants, ParameterId, Tape, together};
use groma_model::{Pass, TokenTree, Transformer};

/// A model with the state of its optimizer.
pub(crate) struct Trainer {
    model: Transformer,
    ids: Vec<ParameterId>,
    moments: Vec<(Buffer, Buffer)>,
    step: u64,
}

impl Trainer {
    /// Trains all parameters of `model` that are trainable, from moments of zero.
    pub(crate) fn new(model: Transformer) -> Self {
        let ids = model.parameters().trainable();
        let zeros = |id: &ParameterId| model.backend().upload(&vec![0.0; model.parameters().get(*id).len()]);
        let moments = ids.iter().map(|id| (zeros(id), zeros(id))).collect();
        Trainer { ids, moments, model, step: 0 }
    }

    /// Forward, backward, AdamW; returns the mean negative log-probability of all predicted tokens before the update.
    ///
    /// The rows follow a prompt that they share and that is not learned from; it may be empty.
    pub(crate) fn step(&mut self, prompt: &[u32], rows: &[Vec<u32>]) -> Result<f32, Box<dyn Error>> {
        together(|| {
            let (gradients, loss) = self.gradients(prompt, rows)?;
            self.update(&gradients)?;
            Ok(loss)
        })
    }

    fn gradients(&self, prompt: &[u32], rows: &[Vec<u32>]) -> Result<(Gradients, f32), Box<dyn Error>> {
        let mut tree = TokenTree::new();
        let (mut predicting, mut targets) = (Vec::new(), Vec::new());
        let shared = (!prompt.is_empty()).then(|| tree.root(prompt));
        for row in rows {
            let segment = match shared {
                Some(prompt) => tree.child(prompt, row),
                None => tree.root(row),
            };
            let predictors = tree.predictors(segment);
            predicting.extend(predictors.rows);
            targets.extend(predictors.targets);
        }
        let mut tape = Tape::recording(self.model.backend().clone());
        let hidden = self.model.hidden(&mut tape, &tree, &Pass::default())?;
        let hidden = tape.gather_rows(&hidden, &predicting.into());
        let unembed = self.model.unembed()?;
        let head = tape.head(&hidden, &unembed, &targets.into(), None, 1.0, HeadWants::default());
        let n = head.output().logp.len();
        let loss = -head.output().logp.iter().map(|&logp| f64::from(logp)).sum::<f64>() / n as f64;
        let d_logp = vec![-1.0 / n as f32; n];
        let mut gradients = Gradients::new();
        drop((hidden, unembed));
        tape.backward(vec![Cotangent::Head { head: &head, d_logp: &d_logp, d_entropy: &[] }], &mut gradients);
        Ok((gradients, loss as f32))
    }

    fn update(&mut self, gradients: &Gradients) -> Result<(), Box<dyn Error>> {
        self.step += 1;
        let adamw = AdamW {
            lr: 1e-4,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            step: self.step,
            gradient_scale: 1.0,
        };
        let backend = self.model.backend().clone();
        for (id, (m, v)) in self.ids.iter().zip(&mut self.moments) {
            let gradient = gradients.get(*id).ok_or("a parameter got no gradient")?;
            let w = self.model.parameters_mut().get_mut(*id).buffer_mut().ok_or("a tape still holds a parameter")?;
            backend.adamw(w, gradient, m, v, adamw);
        }
        Ok(())
    }
}
