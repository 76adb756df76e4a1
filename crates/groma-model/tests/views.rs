//! Views: what is edited, read and adapted is the same in a forward pass, in scoring and in generation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use groma_kernels::{Edit, Tape, Var};
use groma_model::generate::{Generation, GenerationContext, GenerationPrompt, generate};
use groma_model::hooks::Reading;
use groma_model::sampling::SamplingParameters;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{
    AdapterChoice, Address, Error, HookPoint, Hooks, Intervention, Lora, Pass, Positions, Site, TokenTree, Transformer,
    View, linear_modules,
};
use groma_run::Seed;

mod support;
use support::{model, random, tokens};

fn hidden(model: &Transformer, sequences: &[&[u32]], view: &View) -> Vec<f32> {
    let mut tree = TokenTree::new();
    sequences.iter().for_each(|ids| {
        tree.root(ids);
    });
    let mut tape = Tape::inference(model.backend().clone());
    let hidden = model.hidden(&mut tape, &tree, &Pass::of(view)).unwrap();
    model.backend().download(hidden.buffer())
}

fn steer(model: &Transformer, layer: usize, address: Address) -> Intervention {
    let vector = random(Seed::new(layer as u64), model.spec().hidden_size, 1.0);
    let edit = Edit::Add { vector, coefficient: 1.5 };
    Intervention { point: HookPoint::block(layer, Site::ResidPost), address, edit }
}

fn from(position: usize) -> Address {
    Address::positions(Positions::From(position))
}

fn sample(model: &Transformer, prompts: &[GenerationPrompt], samples: usize, view: &View) -> Vec<Vec<Generation>> {
    let parameters = SamplingParameters { max_new_tokens: 9, samples, ..SamplingParameters::default() };
    let context = GenerationContext { parameters: &parameters, decode: &|_| String::new(), view };
    generate(model, prompts, &context, &mut |_| true).unwrap()
}

#[test]
fn a_head_is_a_range_of_columns() {
    for kind in 0..4 {
        let model = model(kind);
        let ids = tokens(1, 7);
        for head in 0..model.spec().heads {
            let point = HookPoint::block(1, Site::Z);
            let columns = point.head(model.spec(), head).unwrap();
            let address = Address { columns: Some(columns.clone()), ..Address::default() };
            let ablated = Hooks::new().intervene(Intervention { point, address, edit: Edit::Scale { factor: 0.0 } });
            let zero = move |tape: &mut Tape, z: Var, _: &[_]| {
                let (rows, width) = (z.rows(), z.width());
                let mut values = tape.backend().download(z.buffer());
                values.chunks_mut(width).for_each(|row| row[columns.clone()].fill(0.0));
                Var::constant(tape.backend().upload(&values), rows, width)
            };
            let by_hand = Hooks::new().run(point, zero);
            let found = hidden(&model, &[&ids], &ablated.into());
            assert_eq!(found, hidden(&model, &[&ids], &by_hand.into()), "kind {kind}, head {head}");
            assert_ne!(found, hidden(&model, &[&ids], View::plain()));
        }
        assert_eq!(HookPoint::block(1, Site::Z).head(model.spec(), 4), None);
        assert_eq!(HookPoint::block(1, Site::ResidPre).head(model.spec(), 0), None);
    }
}

/// What is read while a steered model is sampled from is what a steered forward pass over the text finds, to the bit.
#[test]
fn a_steered_generation_is_a_steered_forward_pass() {
    for kind in 0..4 {
        let model = model(kind);
        let points =
            [HookPoint::block(0, Site::ResidPost), HookPoint::block(1, Site::Z), HookPoint::block(1, Site::ResidPost)];
        let reading = |hooks| points.iter().fold(hooks, |hooks: Hooks, &point| hooks.read(point));
        let steered = || Hooks::new().intervene(steer(&model, 0, from(3))).intervene(steer(&model, 1, from(2)));
        let prompts: Vec<_> =
            (0..3).map(|i| GenerationPrompt { ids: tokens(20 + i % 2, 4 + i as usize), seed: Seed::new(i) }).collect();
        let plain = sample(&model, &prompts, 2, View::plain());
        let view = View::from(reading(steered()));
        let made = sample(&model, &prompts, 2, &view);
        assert_ne!(plain, made);
        assert_eq!(made, sample(&model, &prompts, 2, &steered().into()), "reading changes nothing");
        let texts: Vec<Vec<u32>> = prompts
            .iter()
            .zip(&made)
            .flat_map(|(prompt, samples)| samples.iter().map(|one| [&prompt.ids[..], &one.ids].concat()))
            .collect();
        let all = View::from(reading(steered()));
        hidden(&model, &texts.iter().map(|ids| &ids[..]).collect::<Vec<_>>(), &all);
        for point in points {
            let found = view.hooks.readings(point, &**model.backend());
            // The last token of a sample is never read.
            let fed = |reading: &Reading| reading.position + 1 < texts[reading.sequence].len();
            let expected: Vec<_> = all.hooks.readings(point, &**model.backend()).into_iter().filter(fed).collect();
            assert_eq!(found, expected, "kind {kind}, {point}");
        }
        // And so are the log-probabilities that scoring finds under the same view.
        let requests: Vec<_> = (0..6)
            .map(|i| ScoreRequest { context: prompts[i / 2].ids.clone(), continuation: made[i / 2][i % 2].ids.clone() })
            .collect();
        let view = steered().into();
        let scored = score(&model, &requests, &ScoreOptions { view: &view, ..ScoreOptions::default() }, &mut |_| true);
        for (scored, made) in scored.unwrap().iter().zip(made.concat()) {
            assert!(scored.logps.iter().zip(&made.logps).all(|(a, b)| (a - b).abs() < 1e-4), "kind {kind}");
        }
    }
}

/// An edit of one sequence is that of the sequence alone, though others begin alike and passes are short.
#[test]
fn edits_of_one_sequence_touch_no_other() {
    for kind in 0..4 {
        let model = model(kind);
        let context = tokens(3, 40);
        let requests: Vec<_> = (0..6)
            .map(|i| ScoreRequest { context: context[..30 + i as usize].to_vec(), continuation: tokens(60 + i, 4) })
            .collect();
        let only = |sequence| Address { sequence: Some(sequence), ..from(2) };
        let scored = |requests: &[ScoreRequest], hooks: Hooks, budget_tokens| {
            let view = hooks.into();
            let options = ScoreOptions { view: &view, budget_tokens, ..ScoreOptions::default() };
            score(&model, requests, &options, &mut |_| true).unwrap()
        };
        let plain = scored(&requests, Hooks::new(), 1000);
        let view = || Hooks::new().intervene(steer(&model, 0, only(2))).intervene(steer(&model, 1, only(4)));
        let found = scored(&requests, view(), 1000);
        for budget in [1, 7, 50] {
            assert_eq!(found, scored(&requests, view(), budget));
        }
        for (i, one) in found.iter().enumerate() {
            let alone = match i {
                2 => scored(&requests[2..3], Hooks::new().intervene(steer(&model, 0, only(0))), 1000),
                4 => scored(&requests[4..5], Hooks::new().intervene(steer(&model, 1, only(0))), 1000),
                _ => vec![plain[i].clone()],
            };
            assert_eq!(one, &alone[0], "kind {kind}, request {i}");
        }
        assert_ne!(found[2], plain[2]);
        // The same in generation: the second sample of the second of two prompts.
        let prompts = [1, 2].map(|i| GenerationPrompt { ids: context[..6].to_vec(), seed: Seed::new(i) });
        let (made, plain) = (
            sample(
                &model,
                &prompts,
                2,
                &Hooks::new().intervene(steer(&model, 1, Address { sequence: Some(3), ..from(6) })).into(),
            ),
            sample(&model, &prompts, 2, View::plain()),
        );
        assert_eq!((&made[0], &made[1][0]), (&plain[0], &plain[1][0]));
        assert_ne!(made[1][1], plain[1][1]);
    }
}

#[test]
fn a_narrowed_last_layer_is_edited_as_a_whole_one() {
    for kind in 0..4 {
        let model = model(kind);
        let mut tree = TokenTree::new();
        let root = tree.root(&tokens(1, 6));
        tree.child(root, &tokens(2, 5));
        tree.child(root, &tokens(3, 4));
        let rows: Arc<[u32]> = [5, 7, 8, 14].into();
        let edits = |hooks: Hooks| {
            let one = steer(&model, 1, Address { sequence: Some(0), ..from(6) });
            let values = random(Seed::new(3), 4 * model.spec().hidden_size, 1.0);
            let point = HookPoint::block(1, Site::MlpOut);
            let address = Address { sequence: Some(1), positions: Positions::At(vec![9, 7, 6, 8]), columns: None };
            hooks.intervene(one).intervene(Intervention { point, address, edit: Edit::Replace { values } })
        };
        let found = |hooks: Hooks| {
            let mut tape = Tape::inference(model.backend().clone());
            let found = model.hidden_at(&mut tape, &tree, &rows, &Pass::of(&hooks.into())).unwrap();
            model.backend().download(found.buffer())
        };
        let narrow = found(edits(Hooks::new()));
        assert_eq!(narrow, found(edits(Hooks::new().read(HookPoint::block(1, Site::ResidPost)))), "kind {kind}");
        assert_ne!(narrow, found(Hooks::new()));
    }
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let model = model(0);
    let mut tree = TokenTree::new();
    let root = tree.root(&tokens(1, 4));
    tree.child(root, &tokens(2, 2));
    tree.child(root, &tokens(3, 3));
    let (point, edit) = (HookPoint::block(1, Site::ResidPost), Edit::Scale { factor: 0.0 });
    let run = |point, address, edit| {
        let view = View::from(Hooks::new().intervene(Intervention { point, address, edit }));
        model.hidden(&mut Tape::inference(model.backend().clone()), &tree, &Pass::of(&view)).map(|_| ())
    };
    assert!(run(point, Address::token(1, 6), edit.clone()).is_ok());
    let replace = |len| Edit::Replace { values: vec![0.5; len] };
    let columns = |columns| Address { columns: Some(columns), ..Address::default() };
    for (address, edit, what) in [
        (Address::token(0, 6), edit.clone(), "never met a row"),
        (Address::token(2, 0), edit.clone(), "never met a row"),
        (Address::token(1, 3), edit.clone(), "computed once for sequence 0 too"),
        (columns(12..17), edit.clone(), "do not lie in a row of 16"),
        (columns(3..3), edit, "do not lie"),
        (Address::default(), Edit::Add { vector: vec![1.0; 15], coefficient: 1.0 }, "15 values for 16 columns"),
        (Address::default(), replace(17), "no whole number of rows"),
        (Address::default(), replace(16 * 6), "none for place 6"),
        (Address::default(), Edit::ProjectOut { direction: vec![0.0; 16], strength: 1.0 }, "zero"),
        (Address::default(), Edit::Scale { factor: f32::NAN }, "not finite"),
    ] {
        let error = run(point, address, edit).unwrap_err();
        assert!(error.to_string().contains(what), "{error}, not {what}");
    }
    let error = run(HookPoint::block(2, Site::ResidPost), Address::default(), Edit::Scale { factor: 1.0 });
    assert!(matches!(error, Err(Error::UnknownHook { .. })));
    let unknown = View { adapter: AdapterChoice::Named("other".into()), ..View::default() };
    let error = model.hidden(&mut Tape::inference(model.backend().clone()), &tree, &Pass::of(&unknown)).unwrap_err();
    assert!(error.to_string().contains("no adapter named `other`"), "{error}");
    let request = ScoreRequest { context: vec![1], continuation: vec![2] };
    let view = View::from(Hooks::new().intervene(steer(&model, 0, from(1))));
    let options = ScoreOptions { view: &view, ..ScoreOptions::default() };
    assert!(score(&model, &[request], &options, &mut |_| true).is_err(), "only one token is read");
}

#[test]
fn interventions_are_data() {
    let model = model(1);
    let ids = tokens(5, 6);
    let one = steer(&model, 1, Address { columns: None, ..from(2) });
    let text = serde_json::to_string(&one).unwrap();
    let read: Intervention = serde_json::from_str(&text).unwrap();
    assert_eq!(read, one);
    let by = |one: Intervention| hidden(&model, &[&ids], &Hooks::new().intervene(one).into());
    assert_eq!(by(read), by(one));
    let zero = r#"{"point": "blocks.0.attn.hook_z", "address": {"columns": {"start": 0, "end": 8}}, "edit": {"scale": {"factor": 0}}}"#;
    assert!(serde_json::from_str::<Intervention>(zero).is_ok());
    assert!(serde_json::from_str::<Intervention>(&zero.replace("hook_z", "hook_y")).is_err());
}

#[test]
fn several_adapters_are_on_off_or_one_of_them() {
    for kind in 0..4 {
        let ids = tokens(40, 9);
        let modules: Vec<_> = linear_modules(model(kind).spec()).into_iter().map(|m| m.name).collect();
        let lora = |seed: u64, modules: &[String]| {
            let mut pairs = groma_model::lora::fresh_pairs(model(kind).spec(), modules, 3, Seed::new(seed));
            for (name, pair) in &mut pairs {
                pair.b.values = random(Seed::new(seed).named(name), pair.b.values.len(), 0.2);
            }
            Lora { scale: 0.7, dropout: 0.0, pairs }
        };
        let (first, second) = (lora(5, &modules), lora(6, &modules[1..3]));
        let mut both = model(kind);
        both.attach_as("helpful", &first).unwrap();
        both.attach_as("careful", &second).unwrap();
        assert!(both.attach_as("careful", &second).is_err());
        let under = |adapter| hidden(&both, &[&ids], &View { adapter, ..View::default() });
        for (name, lora) in [("helpful", &first), ("careful", &second)] {
            let mut alone = model(kind);
            alone.attach(lora).unwrap();
            assert_eq!(
                under(AdapterChoice::Named(name.into())),
                hidden(&alone, &[&ids], View::plain()),
                "{kind} {name}"
            );
            assert_eq!(&both.adapter_named(name).unwrap(), lora);
        }
        assert_eq!(under(AdapterChoice::Active), under(AdapterChoice::Named("careful".into())));
        assert_eq!(under(AdapterChoice::Off), hidden(&model(kind), &[&ids], View::plain()));
        assert_eq!(both.adapters().collect::<Vec<_>>(), ["helpful", "careful"]);
        let trainable = both.parameters().trainable();
        assert!(trainable.iter().all(|&id| both.parameters().get(id).name.ends_with(".careful")));
    }
}

/// A pattern that code leaves as it is weighs the values as attention does; one that it replaces is what is used.
#[test]
fn patterns_can_be_replaced() {
    for kind in 0..4 {
        let model = model(kind);
        let ids = tokens(6, 8);
        let point = HookPoint::block(1, Site::Pattern);
        let plain = hidden(&model, &[&ids], View::plain());
        let same = hidden(&model, &[&ids], &Hooks::new().run(point, |_, pattern, _| pattern).into());
        assert!(same.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-4), "kind {kind}");
        // Every query looks at itself alone: then z is its own value.
        let own = |tape: &mut Tape, pattern: Var, _: &[_]| {
            let keys = pattern.width();
            let itself = |i: usize| f32::from(u8::from(i / keys % keys == i % keys));
            let values: Vec<f32> = (0..pattern.rows() * keys).map(itself).collect();
            Var::constant(tape.backend().upload(&values), pattern.rows(), keys)
        };
        let (z, v) = (HookPoint::block(1, Site::Z), HookPoint::block(1, Site::Value));
        let view = View::from(Hooks::new().run(point, own).read(z).read(v));
        assert_ne!(hidden(&model, &[&ids], &view), plain);
        let [z, v] = [z, v].map(|point| model.backend().download(view.hooks.get(point).unwrap().buffer()));
        let (heads, kv_heads, dim) = (model.spec().heads, model.spec().kv_heads, model.spec().head_dim);
        for (i, z) in z.chunks(dim).enumerate() {
            let (row, head) = (i / heads, i % heads);
            assert_eq!(z, &v[(row * kv_heads + head / (heads / kv_heads)) * dim..][..dim], "kind {kind}");
        }
        // In generation the same, over the keys of the cache.
        let prompts = [GenerationPrompt { ids: ids.clone(), seed: Seed::new(1) }];
        let identity = Hooks::new().run(point, |_, pattern, _| pattern).into();
        let (a, b) = (sample(&model, &prompts, 1, &identity), sample(&model, &prompts, 1, View::plain()));
        assert_eq!(a[0][0].ids, b[0][0].ids, "kind {kind}");
        let edit = Intervention { point, address: Address::default(), edit: Edit::Scale { factor: 0.0 } };
        let view = View::from(Hooks::new().intervene(edit));
        let refused = model.hidden(&mut Tape::inference(model.backend().clone()), &TokenTree::new(), &Pass::of(&view));
        assert!(matches!(refused, Err(Error::ReadOnlyHook { .. })));
    }
}

/// A pass that begins with what comes to a block has the bits of a whole one, edits behind it included.
#[test]
fn a_pass_may_begin_at_a_block() {
    for kind in 0..4 {
        let model = model(kind);
        let sequences = [tokens(1, 9), tokens(2, 6)];
        let (mut tree, mut tape) = (TokenTree::new(), Tape::inference(model.backend().clone()));
        sequences.iter().for_each(|ids| _ = tree.root(ids));
        let start = HookPoint::block(1, Site::ResidPre);
        let edit = || Hooks::new().intervene(steer(&model, 1, Address::token(1, 3)));
        let read = View::from(edit().read(start));
        let whole = model.hidden(&mut tape, &tree, &Pass::of(&read)).unwrap();
        let stream = read.hooks.get(start).unwrap();
        let rows = Arc::from([8, 12, 14]);
        let wanted = tape.gather_rows(&whole, &rows);
        let view = View::from(edit());
        let from = model.hidden_from(&mut tape, (1, stream.clone()), &tree, &rows, &Pass::of(&view)).unwrap();
        let values = |var: &Var| model.backend().download(var.buffer());
        assert_eq!(values(&from), values(&wanted), "kind {kind}");
        let below = View::from(Hooks::new().intervene(steer(&model, 0, Address::token(1, 3))));
        let error = model.hidden_from(&mut tape, (1, stream.clone()), &tree, &rows, &Pass::of(&below)).unwrap_err();
        assert!(error.to_string().contains("never comes to blocks.0.hook_resid_post"), "{error}");
        let error = model.hidden_from(&mut tape, (2, stream), &tree, &rows, &Pass::of(&view)).unwrap_err();
        assert!(error.to_string().contains("the model has 2 blocks"), "{error}");
    }
}

#[test]
fn an_unknown_place_is_told_with_the_nearest_one() {
    let error = HookPoint::find("blocks.1.hook_resid_pos", model(0).spec()).unwrap_err().to_string();
    assert!(error.contains("did you mean `blocks.1.hook_resid_post`"), "{error}");
    assert!(HookPoint::find("blocks.2.hook_resid_post", model(0).spec()).is_err(), "it has two blocks");
}
