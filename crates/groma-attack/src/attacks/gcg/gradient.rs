//! The gradient of the loss by the one-hot coordinates of a suffix.

use std::sync::Arc;

use groma_kernels::{Cotangent, Gradients, HeadWants, Tape};
use groma_model::{AdapterChoice, HookPoint, Hooks, Pass, Site, TokenTree, Transformer, View};

use super::loss::Loss;
use crate::slot::Frame;

const EMBED: HookPoint = HookPoint { layer: 0, site: Site::Embed };

/// What the gradient of one suffix is.
#[derive(Clone, Debug)]
pub struct OneHot {
    /// The loss of the suffix, in nats.
    pub loss: f64,
    /// `[suffix, vocab]`: by how much the loss changes with each coordinate, `(dL/de_i) . E_v`.
    pub slopes: Vec<f32>,
    /// Rows of the forward pass.
    pub tokens: u64,
}

/// The gradient of the loss of a frame's target by the one-hot coordinates of a suffix in it (Zou et al. 2023, arXiv 2307.15043,
/// section 2.2). No one-hot vector is made: it is the gradient at the suffix's rows of the embedding, times the embedding. Of an empty
/// target all is zero.
///
/// # Errors
/// If the sequence is too long, or the model has no unembedding.
pub fn one_hot(
    transformer: &Transformer,
    adapter: &AdapterChoice,
    frame: &Frame,
    suffix: &[u32],
    loss: Loss,
) -> groma_model::Result<OneHot> {
    let Frame { before, target, .. } = frame;
    // The last token is predicted, and not read.
    let Some((_, read_of_target)) = target.split_last() else {
        let slopes = vec![0.0; suffix.len() * transformer.spec().vocab_size];
        return Ok(OneHot { loss: 0.0, slopes, tokens: 0 });
    };
    let view = View { adapter: adapter.clone(), hooks: Hooks::new().watch(EMBED) };
    let mut tree = TokenTree::new();
    let read = [&frame.context(suffix), read_of_target].concat();
    tree.root(&read);
    let first = (read.len() - target.len()) as u32;
    let rows: Arc<[u32]> = (first..read.len() as u32).collect();
    let backend = transformer.backend();
    let mut tape = Tape::recording(backend.clone());
    let hidden = transformer.hidden_at(&mut tape, &tree, &rows, &Pass::of(&view))?;
    let softcap = transformer.spec().final_softcap;
    let unembed = transformer.unembed()?;
    let head = tape.head(&hidden, &unembed, &Arc::from(&target[..]), softcap, 1.0, HeadWants::default());
    let d_logp = loss.slopes(&head.output().logp);
    let embedded = view.hooks.get(EMBED);
    let start = Cotangent::Head { head: &head, d_logp: &d_logp, d_entropy: &[] };
    let gradients = tape.backward(vec![start], &mut Gradients::new());
    let embedding = transformer.embedding();
    let (vocab, width) = (embedding.rows(), embedding.width());
    let mut slopes = backend.scratch(suffix.len() * vocab);
    let at_rows = embedded.as_ref().and_then(|embedded| gradients.get(embedded));
    let at_rows = at_rows.map_or_else(Vec::new, |gradient| backend.download(gradient));
    let scale = transformer.spec().embedding_scale;
    let of_suffix = at_rows.iter().skip(before.len() * width).take(suffix.len() * width).map(|slope| slope * scale);
    let mut of_suffix: Vec<f32> = of_suffix.collect();
    of_suffix.resize(suffix.len() * width, 0.0);
    let of_suffix = backend.upload(&of_suffix);
    backend.linear(&mut slopes, &of_suffix, embedding.buffer(), None, suffix.len(), width, vocab);
    Ok(OneHot { loss: loss.of(&head.output().logp), slopes: backend.download(&slopes), tokens: read.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_kernels::Edit;
    use groma_model::score::{ScoreOptions, ScoreRequest, score};
    use groma_model::{Address, Intervention};

    fn frame() -> Frame {
        Frame { before: vec![40, 41, 42, 90], after: vec![7, 300], target: vec![60, 61, 62] }
    }

    /// The loss with `by` times the embedding of `token` added at a position of the suffix.
    fn moved(transformer: &Transformer, suffix: &[u32], place: usize, token: u32, by: f32, loss: Loss) -> f64 {
        let embedding = transformer.backend().download(transformer.embedding().buffer());
        let width = transformer.spec().hidden_size;
        let vector = embedding[token as usize * width..][..width].to_vec();
        let edit = Edit::Add { vector, coefficient: by * transformer.spec().embedding_scale };
        let address = Address::token(0, frame().before.len() + place);
        let view = View::from(Hooks::new().intervene(Intervention { point: EMBED, address, edit }));
        let request = ScoreRequest { context: frame().context(suffix), continuation: frame().target };
        let options = ScoreOptions { view: &view, ..ScoreOptions::default() };
        loss.of(&score(transformer, &[request], &options, &mut |_| true).unwrap()[0].logps)
    }

    #[test]
    fn it_is_the_derivative_by_one_hot_coordinates() {
        let model = crate::testing::model();
        let mut spec = model.transformer.spec().clone();
        spec.embedding_scale = 2.5;
        let weights = model.transformer.weights();
        let scaled = Transformer::new(spec, &weights, model.transformer.backend().clone()).unwrap();
        let suffix = [100, 200, 100];
        for (transformer, loss) in [
            (&model.transformer, Loss::CrossEntropy),
            (&scaled, Loss::CrossEntropy),
            (&model.transformer, Loss::Mellowmax(2.0)),
        ] {
            let found = one_hot(transformer, &AdapterChoice::default(), &frame(), &suffix, loss).unwrap();
            let vocab = transformer.spec().vocab_size;
            assert_eq!((found.slopes.len(), found.tokens), (3 * vocab, 11));
            let largest = found.slopes.iter().fold(0.0f32, |most, slope| most.max(slope.abs()));
            for (place, token) in [(0, 5), (0, 100), (1, 77), (2, 250), (2, 12)] {
                let step = 0.02;
                let [up, down] = [step, -step].map(|by| moved(transformer, &suffix, place, token, by, loss));
                let (slope, expected) =
                    (found.slopes[place * vocab + token as usize], (up - down) / (2.0 * f64::from(step)));
                let error = (f64::from(slope) - expected).abs();
                assert!(error < 0.02 * f64::from(largest), "{place} {token}: {slope} for {expected}, of {largest}");
            }
        }
    }
}
