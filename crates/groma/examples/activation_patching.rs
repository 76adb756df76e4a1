//! Activation patching: which residual streams carry what tells a clean prompt from a corrupt one (Meng et al. 2022)?
//!
//! Every patch of the sweep is a root of its own in one forest, so that all layers and positions cost one forward pass.
#![allow(clippy::print_stdout, reason = "an example shows what it finds")]

use std::error::Error;
use std::sync::Arc;

use groma_kernels::{Cpu, Edit, Tape, Var};
use groma_model::tokenizer::Specials;
use groma_model::{
    Address, HookPoint, Hooks, Intervention, LocalModel, Pass, Site, TemplateChoice, TokenTree, Transformer, View,
};
use groma_organism::{Config, Recipe, Village};

/// The logit of `answer` after each tree of a forest.
fn answers(model: &Transformer, tree: &TokenTree, view: &View, answer: u32) -> groma_model::Result<Vec<f32>> {
    let ends: Arc<[u32]> = tree.segments().filter_map(|root| tree.last_row(root)).map(|row| row as u32).collect();
    let mut tape = Tape::inference(model.backend().clone());
    let hidden = model.hidden(&mut tape, tree, &Pass::of(view))?;
    let logits = model.logits(&tape.gather_rows(&hidden, &ends))?;
    Ok(logits.chunks(model.spec().vocab_size).map(|row| row[answer as usize]).collect())
}

/// The logit after an undisturbed prompt, and the residual streams before all blocks, `[layer][position * width]`.
fn run(model: &Transformer, ids: &[u32], answer: u32) -> groma_model::Result<(f32, Vec<Vec<f32>>)> {
    let points = (0..model.spec().layers.len()).map(|layer| HookPoint::block(layer, Site::ResidPre));
    let view = View::from(points.clone().fold(Hooks::new(), Hooks::read));
    let mut tree = TokenTree::new();
    tree.root(ids);
    let logit = answers(model, &tree, &view, answer)?[0];
    let values = |var: Var| model.backend().download(var.buffer());
    Ok((logit, points.filter_map(|point| view.hooks.get(point)).map(values).collect()))
}

/// The logit with the stream of `source` put in, for each layer and position.
fn sweep(model: &Transformer, ids: &[u32], source: &[Vec<f32>], answer: u32) -> groma_model::Result<Vec<Vec<f32>>> {
    let (mut tree, mut hooks) = (TokenTree::new(), Hooks::new());
    for (layer, values) in source.iter().enumerate() {
        for (at, row) in values.chunks(model.spec().hidden_size).enumerate() {
            tree.root(ids);
            let (point, edit) = (HookPoint::block(layer, Site::ResidPre), Edit::Replace { values: row.to_vec() });
            let address = Address::token(layer * ids.len() + at, at);
            hooks = hooks.intervene(Intervention { point, address, edit });
        }
    }
    let logits = answers(model, &tree, &hooks.into(), answer)?;
    Ok(logits.chunks(ids.len()).map(<[f32]>::to_vec).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (village, place) = (Village::build(&Config::default())?, tempfile::tempdir()?);
    village.export_model(&Recipe::default(), &place.path().join("model"))?;
    let mut opened = LocalModel::open(&place.path().join("model"), &TemplateChoice::default(), Arc::new(Cpu::new()))?;
    opened.freeze();
    let model = &opened.transformer;
    let [first, second] = [&village.world.people[0].name, &village.world.people[1].name];
    let text = |name: &str| format!("In the morning {name} opens the shop and");
    let encode = |name: &str| opened.tokenizer.encode(&text(name), Specials::None);
    let (clean, corrupt) = (encode(first)?, encode(second)?);
    assert_eq!(clean.len(), corrupt.len(), "the prompts differ in one token");
    let name = clean.iter().zip(&corrupt).position(|(a, b)| a != b).ok_or("the prompts are the same")?;
    let answer = clean[name];

    let ((best, of_clean), (worst, of_corrupt)) = (run(model, &clean, answer)?, run(model, &corrupt, answer)?);
    assert!(best != worst, "the prompts differ in their answers");
    let same = |logits: &[f32], logit: f32| logits.iter().all(|x| x.to_bits() == logit.to_bits());
    // A prompt patched with its own streams is the prompt: the no-op that tells patches from accidents.
    assert!(same(&sweep(model, &clean, &of_clean, answer)?.concat(), best), "own patches change no bit, anywhere");
    assert!(same(&sweep(model, &corrupt, &of_corrupt, answer)?.concat(), worst), "nor in the corrupt prompt");

    let patched = sweep(model, &corrupt, &of_clean, answer)?;
    println!("0: as in the corrupt prompt, 1: as in the clean one; a column a token of \"{}\"", text(second));
    for (layer, logits) in patched.iter().enumerate() {
        let restored = logits.iter().map(|logit| format!("{:7.3}", (logit - worst) / (best - worst) + 0.0));
        println!("layer {layer}: {}", restored.collect::<String>());
        assert!(same(&logits[..name], worst), "before the name there is nothing to restore");
    }
    assert!(same(&patched[0][name..=name], best), "at the start, all that differs is in the name's own stream");
    assert!(same(&patched[0][name + 1..], worst), "and nothing is elsewhere");
    assert!(!same(&patched[patched.len() - 1][name + 1..], worst), "at the end, it has spread");
    Ok(())
}
