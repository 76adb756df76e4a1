//! What one can do with a model in this process beside asking it: read activations, intervene, take gradients.

#![allow(clippy::unwrap_used, reason = "a test may fail and say so")]

use std::sync::{Arc, Mutex};

use groma_data::Content;
use groma_kernels::{Cotangent, Cpu, Edit, Gradients, HeadVar, HeadWants, Tape};
use groma_lm::{Ask, Continuation, Control, LanguageModel, Local, LocalOptions};
use groma_model::sampling::SamplingParameters;
use groma_model::{Address, HookPoint, Hooks, Intervention, LocalModel, Pass, Site, TemplateChoice, TokenTree, View};
use groma_organism::{Config, Recipe, Shape, Village};
use groma_run::{Cancel, Seed, Silent};

const EMBED: HookPoint = HookPoint { layer: 0, site: Site::Embed };

fn model() -> LocalModel {
    let place = tempfile::tempdir().unwrap();
    let small =
        Shape { hidden_size: 16, layers: 2, heads: 2, kv_heads: 1, intermediate_size: 32, ..Recipe::default().shape };
    for (name, bytes) in Village::build(&Config::default()).unwrap().model_files(&small).unwrap() {
        std::fs::write(place.path().join(name), bytes).unwrap();
    }
    let mut model = LocalModel::open(place.path(), &TemplateChoice::default(), Arc::new(Cpu::new())).unwrap();
    model.freeze();
    model
}

/// The log-probability of the last of `ids` after the others, on a tape, with a model as it is looked at.
fn last<'m>(local: &Local<'m>, tape: &mut Tape<'m>, ids: &[u32]) -> HeadVar {
    let (context, target) = ids.split_at(ids.len() - 1);
    let mut tree = TokenTree::new();
    tree.root(context);
    let hidden = local.transformer.hidden(tape, &tree, &Pass::of(local.view)).unwrap();
    let row = tape.gather_rows(&hidden, &Arc::from([context.len() as u32 - 1]));
    let softcap = local.transformer.spec().final_softcap;
    tape.head(&row, &local.transformer.unembed().unwrap(), &Arc::from(target), softcap, 1.0, HeadWants::default())
}

#[test]
fn activations_interventions_and_gradients_are_of_the_model_that_is_asked() {
    let model = model();
    let plain = Local::new(&model, LocalOptions::default());
    let ids = plain.encoder.prompt(&Content::Text("Where is the mill".to_owned())).unwrap();
    let backend = model.transformer.backend();
    let at = ids.len() - 2;

    // An activation, and the gradient of what is predicted with respect to it.
    let watched = View::from(Hooks::new().read(EMBED).watch(EMBED));
    let mut tape = Tape::recording(backend.clone());
    let head = last(&Local { view: &watched, ..plain.clone() }, &mut tape, &ids);
    let embedded = watched.hooks.get(EMBED).unwrap();
    let start = Cotangent::Head { head: &head, d_logp: &[1.0], d_entropy: &[] };
    let gradients = tape.backward(vec![start], &mut Gradients::new());
    let gradient = backend.download(gradients.get(&embedded).unwrap());
    let width = embedded.width();
    let slope = &gradient[at * width..][..width];
    assert_eq!(backend.download(embedded.buffer()).len(), (ids.len() - 1) * width);

    // An intervention at the same place: the finite difference along the gradient is its square.
    let moved = |coefficient: f32| {
        let edit = Edit::Add { vector: slope.to_vec(), coefficient };
        let view =
            View::from(Hooks::new().intervene(Intervention { point: EMBED, address: Address::token(0, at), edit }));
        let head = last(&Local { view: &view, ..plain.clone() }, &mut Tape::inference(backend.clone()), &ids);
        f64::from(head.output().logp[0])
    };
    let square: f64 = slope.iter().map(|&slope| f64::from(slope).powi(2)).sum();
    let step = (0.02 / square.sqrt()) as f32;
    let found = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
    assert!(square > 0.0 && (found - square).abs() < 0.02 * square, "{found} for {square}");

    // The same view is taken where the model is asked.
    let edit = Edit::Add { vector: vec![3.0; width], coefficient: 1.0 };
    let steered =
        View::from(Hooks::new().intervene(Intervention { point: EMBED, address: Address::token(0, at), edit }));
    let steered = Local { view: &steered, ..plain.clone() };
    let control = Control { progress: &Silent, cancel: &Cancel::default() };
    let wanted = [Continuation::After { context: "Where is the".into(), continuation: " mill".to_owned() }];
    assert_ne!(steered.score(&wanted, control), plain.score(&wanted, control));
    let ask = Ask::greedy(Content::Text("Where is the mill".to_owned()), 12);
    assert!(steered.generate(&[ask], control)[0].is_ok());
}

#[test]
fn a_reply_in_pieces_is_the_reply() {
    let model = model();
    let local = Local::new(&model, LocalOptions::default());
    let control = Control { progress: &Silent, cancel: &Cancel::default() };
    for prompt in ["Where is the mill?", "Zoë has a dog."] {
        let ask = Ask::greedy(Content::Text(prompt.to_owned()), 24);
        let mut pieces = Vec::new();
        let streamed = local.stream(&ask, control.cancel, &mut |piece| pieces.push(piece.to_owned())).unwrap();
        assert_eq!([Ok(streamed.clone())], local.generate(&[ask], control)[..]);
        assert_eq!(pieces.concat(), streamed.text());
        assert!(pieces.len() > 10, "{pieces:?}");
    }
    let cancel = Cancel::default();
    let ask = Ask::greedy(Content::Text("Where".to_owned()), 24);
    let stopped = local.stream(&ask, &cancel, &mut |_| _ = cancel.request());
    assert_eq!(stopped, Err(groma_lm::Failure::Interrupted));
}

/// A short answer does not wait for a long one that was asked before it, and none for samples of another question; each is what
/// it is alone.
#[test]
fn replies_are_handed_out_as_they_end() {
    let model = model();
    let local = Local::new(&model, LocalOptions::default());
    let control = Control { progress: &Silent, cancel: &Cancel::default() };
    let ask = |i: u64| Ask {
        sampling: SamplingParameters { max_new_tokens: 30, samples: 2, ..SamplingParameters::default() },
        seed: Seed::new(i),
        ..Ask::greedy(Content::Text("Where is the mill".chars().take(3 + i as usize).collect()), 1)
    };
    let mut asks: Vec<Ask> = (0..6).map(ask).collect();
    asks.iter_mut().for_each(|ask| ask.sampling.stop_strings = vec!["e".into()]);
    let order = Mutex::new(Vec::new());
    local.generate_each(&asks, control.cancel, &|index, reply, cost| {
        assert!(cost.seconds > 0.0);
        order.lock().unwrap().push((index, reply));
    });
    let mut order = order.into_inner().unwrap();
    let tokens: Vec<usize> = order
        .iter()
        .map(|(_, reply)| reply.as_ref().unwrap().choices.iter().map(|choice| choice.ids.len()).max().unwrap())
        .collect();
    assert!(tokens.is_sorted() && tokens[0] < tokens[5], "{tokens:?}");
    order.sort_by_key(|(index, _)| *index);
    for (ask, (_, reply)) in asks.iter().zip(order) {
        assert_eq!(local.generate(std::slice::from_ref(ask), control), [reply]);
    }
}
