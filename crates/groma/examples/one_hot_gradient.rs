//! The gradient with respect to one-hot input tokens, and 64 one-token substitutions scored as one token tree: what a
//! search for adversarial prompts (Zou et al. 2023, arXiv 2307.15043) is made of.
#![allow(clippy::print_stdout, reason = "an example shows what it finds")]

use std::error::Error;
use std::sync::Arc;

use groma_kernels::{Cotangent, Cpu, Edit, Gradients, HeadVar, HeadWants, Tape, Var};
use groma_model::score::{ContinuationScore, ScoreOptions, ScoreRequest, score};
use groma_model::tokenizer::Specials;
use groma_model::{
    Address, HookPoint, Hooks, Intervention, LocalModel, Pass, Site, TemplateChoice, TokenTree, Transformer, View,
};
use groma_organism::{Config, Recipe, Village};
use groma_run::Seed;

const EMBED: HookPoint = HookPoint { layer: 0, site: Site::Embed };

/// The log-probability of the last of `tokens` after the others.
fn predict<'m>(
    model: &'m Transformer,
    tape: &mut Tape<'m>,
    tokens: &[u32],
    view: &View,
) -> groma_model::Result<HeadVar> {
    let (ids, target) = tokens.split_at(tokens.len() - 1);
    let mut tree = TokenTree::new();
    tree.root(ids);
    let hidden = model.hidden(tape, &tree, &Pass::of(view))?;
    let last = tape.gather_rows(&hidden, &Arc::from([ids.len() as u32 - 1]));
    Ok(tape.head(&last, &model.unembed()?, &Arc::from(target), model.spec().final_softcap, 1.0, HeadWants::default()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (village, place) = (Village::build(&Config::default())?, tempfile::tempdir()?);
    village.export_model(&Recipe::default(), &place.path().join("model"))?;
    let mut opened = LocalModel::open(&place.path().join("model"), &TemplateChoice::default(), Arc::new(Cpu::new()))?;
    opened.freeze();
    let model = &opened.transformer;
    let inference = || Tape::inference(model.backend().clone());
    let tokens = &opened.tokenizer.encode(&village.train.texts[0].text, Specials::None)?[..25];

    // The gradient at the embeddings, times the embedding matrix: one number a position and token of the vocabulary.
    let (view, mut tape) = (View::from(Hooks::new().watch(EMBED)), Tape::recording(model.backend().clone()));
    let head = predict(model, &mut tape, tokens, &view)?;
    let start = Cotangent::Head { head: &head, d_logp: &[1.0], d_entropy: &[] };
    let watched = tape.backward(vec![start], &mut Gradients::new());
    let at_embeddings = view.hooks.get(EMBED).and_then(|var| watched.get(&var).cloned()).ok_or("no gradient")?;
    let matrix = model.parameters().id("embed.weight").map(|id| model.parameters().var(id)).ok_or("no embeddings")?;
    let (width, vocab) = (matrix.width(), matrix.rows());
    let gradient = inference().linear(&Var::constant(at_embeddings, tokens.len() - 1, width), &matrix, None);
    let gradient = model.backend().read(gradient.buffer());
    let partial = |at: usize, id: u32| gradient[at * vocab + id as usize];
    let slope = |at: usize, to: u32| partial(at, to) - partial(at, tokens[at]);

    // 64 substitutions, and the first eight as directions: the one-hot row leaves its token a little towards the other.
    let draw = |part: u64, i: u64, below: usize| (Seed::new(part).index(i).bits() % below as u64) as u32;
    let substitutions: Vec<_> = (0..64).map(|i| (8 + draw(1, i, 16) as usize, draw(2, i, vocab))).collect();
    let rows = model.backend().read(matrix.buffer());
    let row = |id: u32| &rows[id as usize * width..][..width];
    for &(at, to) in &substitutions[..8] {
        let vector: Vec<f32> = row(to).iter().zip(row(tokens[at])).map(|(new, old)| new - old).collect();
        let moved = |coefficient: f32| {
            let edit = Edit::Add { vector: vector.clone(), coefficient };
            let intervention = Intervention { point: EMBED, address: Address::token(0, at), edit };
            predict(model, &mut inference(), tokens, &Hooks::new().intervene(intervention).into())
                .map(|head| f64::from(head.output().logp[0]))
        };
        let (found, expected) = ((moved(0.01)? - moved(-0.01)?) / 0.02, f64::from(slope(at, to)));
        println!("position {at:2} towards token {to:4}: gradient {expected:+.5}, finite difference {found:+.5}");
        assert!((found - expected).abs() < 1e-3 + 0.02 * expected.abs(), "the gradient is that of the relaxed input");
    }

    let context = |&(at, to): &(usize, u32)| [&tokens[..at], &[to], &tokens[at + 1..24]].concat();
    let request = |place| ScoreRequest { context: context(place), continuation: tokens[24..].to_vec() };
    let requests: Vec<ScoreRequest> = substitutions.iter().map(request).collect();
    let scores = |requests: &[ScoreRequest]| score(model, requests, &ScoreOptions::default(), &mut |_| true);
    let tree = scores(&requests)?;
    let single = requests.chunks(1).map(scores).collect::<Result<Vec<_>, _>>()?.concat();
    assert!(tree.iter().zip(&single).all(|(a, b)| a.logps[0].to_bits() == b.logps[0].to_bits()), "the same bits");
    let contexts: Vec<&[u32]> = requests.iter().map(|one| &*one.context).collect();
    let (shared, separate) = (TokenTree::share_prefixes(&contexts).0.len(), contexts.concat().len());
    println!("64 substitutions: {shared} tokens computed as one tree, {separate} one by one; the same bits");
    assert!(shared < separate, "prefixes are computed once");
    let gain = |found: &ContinuationScore| found.logps[0] - head.output().logp[0];
    let right = substitutions.iter().zip(&tree).filter(|((at, to), found)| slope(*at, *to) * gain(found) > 0.0);
    println!("the gradient tells the sign of the change of {} of 64 substitutions", right.count());
    Ok(())
}
