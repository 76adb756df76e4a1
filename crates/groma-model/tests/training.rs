//! Parameters that belong to no transformer train on its tape: with gradients that are right, and to the same bits when
//! they are killed and resumed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use groma_kernels::{HeadWants, Tape};
use groma_model::training::{AdamWSettings, Fit, FitSettings, Loss, Scheduler};
use groma_model::{HookPoint, Hooks, ParameterStore, Pass, Result, Site, TokenTree, Transformer, View};
use groma_run::{Disk, Seed};

mod support;
use support::{model, random, tokens};

fn settings(steps: u64) -> FitSettings {
    let adamw = AdamWSettings::default();
    FitSettings { steps, learning_rate: 0.05, warmup_steps: 0, scheduler: Scheduler::Linear, adamw }
}

/// A soft prompt: the embeddings of the first three tokens are learned.
fn prompt(model: &Transformer, values: &[f32]) -> ParameterStore {
    let mut parameters = ParameterStore::numbered(1);
    let width = model.spec().hidden_size;
    parameters.insert("prompt.weight".into(), 3, width, true, model.backend().upload(values));
    parameters
}

/// How unlikely a text is behind it.
fn loss<'m>(model: &'m Transformer, tape: &mut Tape<'m>, parameters: &ParameterStore) -> Result<Loss> {
    let ids = tokens(4, 9);
    let mut tree = TokenTree::new();
    tree.root(&ids);
    let soft = parameters.var(parameters.id("prompt.weight").unwrap());
    let put = move |tape: &mut Tape, x, _: &[_]| tape.replace_rows(&x, &Arc::from([0u32, 1, 2]), &soft);
    let view = View::from(Hooks::new().run(HookPoint { layer: 0, site: Site::Embed }, put));
    let hidden = model.hidden(tape, &tree, &Pass::of(&view))?;
    let hidden = tape.gather_rows(&hidden, &(2..8).collect());
    let cap = model.spec().final_softcap;
    Ok(tape.head(&hidden, &model.unembed()?, &ids[3..].into(), cap, 1.0, HeadWants::default()).into())
}

#[test]
fn a_soft_prompt_is_learned_and_its_gradient_is_right() {
    for kind in 0..4 {
        let mut model = model(kind);
        model.parameters_mut().set_trainable(|_| false);
        let start = random(Seed::new(1), 3 * model.spec().hidden_size, 0.5);
        // The first step of AdamW goes against the sign of the gradient, which central differences tell too.
        let mut fit = Fit::new(model.backend().clone(), prompt(&model, &start), settings(40));
        let first = fit.step(|tape, parameters| loss(&model, tape, parameters)).unwrap();
        let moved = fit.parameters().iter().map(|(_, p)| model.backend().download(p.buffer())).next().unwrap();
        let value = |values: &[f32]| {
            let mut fit = Fit::new(model.backend().clone(), prompt(&model, values), settings(1));
            fit.step(|tape, parameters| loss(&model, tape, parameters)).unwrap()
        };
        for i in (0..start.len()).step_by(5) {
            let at = |step: f32| {
                let mut values = start.clone();
                values[i] += step;
                value(&values)
            };
            let slope = (at(5e-3) - at(-5e-3)) / 1e-2;
            let step = f64::from(moved[i] - start[i]);
            assert!(slope.abs() < 1e-3 || slope * step < 0.0, "kind {kind}, element {i}: {slope} and {step}");
        }
        let mut last = first;
        while !fit.is_done() {
            last = fit.step(|tape, parameters| loss(&model, tape, parameters)).unwrap();
        }
        assert!(last < 0.8 * first, "kind {kind}: {first} to {last}");
    }
}

#[test]
fn killed_and_resumed_equals_never_killed() {
    let mut model = model(1);
    // The model trains on the same tape, and stays as it is.
    model.parameters_mut().set_trainable(|_| true);
    let before = model.weights();
    let start = random(Seed::new(2), 3 * model.spec().hidden_size, 0.5);
    let fit = || Fit::new(model.backend().clone(), prompt(&model, &start), settings(6));
    let go = |fit: &mut Fit, to: u64| {
        while fit.done() < to {
            fit.step(|tape, parameters| loss(&model, tape, parameters)).unwrap();
        }
    };
    let values =
        |fit: &Fit| fit.parameters().iter().flat_map(|(_, p)| model.backend().download(p.buffer())).collect::<Vec<_>>();
    let mut whole = fit();
    go(&mut whole, 6);
    let place = tempfile::tempdir().unwrap();
    for at in 1..6 {
        let path = place.path().join(format!("step-{at}"));
        let mut killed = fit();
        go(&mut killed, at);
        killed.save(&Disk::files(), &path).unwrap();
        let mut resumed = fit();
        resumed.resume(&path).unwrap();
        go(&mut resumed, 6);
        assert_eq!(values(&resumed), values(&whole), "killed after step {at}");
    }
    let mut other = Fit::new(model.backend().clone(), prompt(&model, &start), settings(7));
    assert!(other.resume(&place.path().join("step-1")).is_err(), "other settings");
    assert_eq!(model.weights(), before);
}
