//! Activation patching: which residual streams carry what tells a clean prompt from a corrupt one (Meng et al. 2022)?
//!
//! All patches of a layer are branches of one token tree that begins with the stream which comes to that layer, so that a sweep
//! costs a fraction of as many passes.
#![allow(clippy::print_stdout, reason = "an example shows what it finds")]

use std::error::Error;
use std::sync::Arc;

use groma_interp::patching::{Contrast, Disturbed, Patch, patch};
use groma_kernels::Cpu;
use groma_model::tokenizer::Specials;
use groma_model::{HookPoint, LocalModel, Site, TemplateChoice};
use groma_organism::{Config, Recipe, Village};

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
    let (layers, length) = (model.spec().layers.len(), clean.len());

    let stream = |layer| HookPoint::block(layer, Site::ResidPre);
    let at = |layer| (0..length).map(move |at| Patch { point: stream(layer), positions: vec![at], columns: None });
    let patches: Vec<Patch> = (0..layers).flat_map(at).collect();
    let contrast = Contrast { answer: clean[name], foil: corrupt[name], clean, corrupt };
    let swept = patch(model, &contrast, &patches, Disturbed::Denoising)?;

    println!("0: as in the corrupt prompt, 1: as in the clean one; a column a token of \"{}\"", text(second));
    let shares: Vec<f64> = (0..patches.len()).map(|index| swept.share(index)).collect();
    for (layer, shares) in shares.chunks(length).enumerate() {
        println!("layer {layer}: {}", shares.iter().map(|share| format!("{share:7.3}")).collect::<String>());
        assert!(shares[..name].iter().all(|share| *share == 0.0), "before the name there is nothing to restore");
    }
    assert_eq!(shares[name], 1.0, "at the start, all that differs is in the name's own stream");
    assert!(shares[name + 1..length].iter().all(|share| *share == 0.0), "and nothing is elsewhere");
    let last = &shares[(layers - 1) * length..];
    assert!(last[name + 1..].iter().any(|share| *share != 0.0), "at the end, it has spread");
    Ok(())
}
