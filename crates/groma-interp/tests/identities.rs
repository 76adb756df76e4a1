//! What must hold exactly of lenses, attribution and patching, whatever the model.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use groma_interp::attribution::{Component, Question, attribute};
use groma_interp::direction::{Direction, ablated, orthogonalised};
use groma_interp::logit_lens::{Place, logit_lens};
use groma_interp::patching::{Contrast, Disturbed, Patch, Source, patch, sweep};
use groma_interp::{Activations, INSTRUMENTS, Instrument, Probe, Tokens};
use groma_kernels::{Edit, Tape};

use groma_model::generate::{GenerationContext, GenerationPrompt, generate};
use groma_model::sampling::SamplingParameters;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::spec::NormKind;
use groma_model::{Address, HookPoint, Hooks, Intervention, Pass, Positions, Site, TokenTree, Transformer, View};

mod support;
use support::{FAMILIES, model, tokens};

const SITES: [Site; 5] = [Site::ResidPre, Site::AttentionOut, Site::MlpOut, Site::Z, Site::Value];

/// Logits behind the last token of `ids` in a view.
fn logits(model: &Transformer, ids: &[u32], view: &View) -> Vec<f32> {
    let (mut tree, mut tape) = (TokenTree::new(), Tape::inference(model.backend().clone()));
    tree.root(ids);
    let hidden = model.hidden(&mut tape, &tree, &Pass::of(view)).unwrap();
    let last = tape.gather_rows(&hidden, &Arc::from([ids.len() as u32 - 1]));
    model.logits(&last).unwrap()
}

fn apart(logits: &[f32]) -> f64 {
    f64::from(logits[3]) - f64::from(logits[9])
}

/// Two prompts that differ in tokens 4 and 6.
fn contrast() -> Contrast {
    let clean = tokens(1, 10);
    let mut corrupt = clean.clone();
    (corrupt[4], corrupt[6]) = ((clean[4] + 1) % 64, (clean[6] + 5) % 64);
    Contrast { clean, corrupt, answer: 3, foil: 9 }
}

/// Each site and layer, at positions alone and together, and each head.
fn patches(model: &Transformer, length: usize) -> Vec<Patch> {
    let mut all = Vec::new();
    for layer in 0..model.spec().layers.len() {
        for site in SITES {
            let point = HookPoint::block(layer, site);
            let positions = (0..length).map(|at| vec![at]).chain([(0..length).collect(), vec![9, 5]]);
            all.extend(positions.map(|positions| Patch { point, positions, columns: None }));
        }
        let point = HookPoint::block(layer, Site::Z);
        all.extend((0..model.spec().heads).map(|head| Patch {
            point,
            positions: (0..length).collect(),
            columns: point.head(model.spec(), head),
        }));
    }
    all
}

#[test]
fn an_own_patch_changes_no_bit() {
    for family in FAMILIES {
        let (model, ids) = (model(family), tokens(1, 10));
        let patches = patches(&model, ids.len());
        let own = Source::read(&model, &ids, &patches).unwrap();
        let found = sweep(&model, &own, &own, &patches, ([3, 9], 0)).unwrap();
        let undisturbed =
            patch(&model, &Contrast { corrupt: ids.clone(), clean: ids, answer: 3, foil: 9 }, &[], Disturbed::Noising);
        let clean = undisturbed.unwrap().clean;
        assert_eq!(found.len(), patches.len());
        assert!(found.iter().all(|patched| patched.unwrap().to_bits() == clean.to_bits()), "{family}");
    }
}

/// What a sweep shares changes nothing: each patch by itself, in a whole pass over its own prompt, gives the same.
#[test]
fn a_sweep_is_each_patch_by_itself() {
    for family in FAMILIES {
        let (model, pair) = (model(family), contrast());
        let patches = patches(&model, pair.clean.len());
        let swept = patch(&model, &pair, &patches, Disturbed::Denoising).unwrap();
        assert!((swept.clean - apart(&logits(&model, &pair.clean, View::plain()))).abs() < 1e-4, "{family}");
        for (index, one) in patches.iter().enumerate().step_by(3) {
            let source =
                Activations::read(&model, &[one.point], std::slice::from_ref(&pair.clean), Tokens::All, &mut |_| true);
            let source = &source.unwrap()[0];
            let columns = one.columns.clone().unwrap_or(0..source.width);
            let values = one.positions.iter().flat_map(|&at| source.row(at)[columns.clone()].to_vec()).collect();
            let positions = Positions::At(one.positions.clone());
            let address = Address { sequence: None, positions, columns: one.columns.clone() };
            let edit = Intervention { point: one.point, address, edit: Edit::Replace { values } };
            let by_hand = apart(&logits(&model, &pair.corrupt, &Hooks::new().intervene(edit).into()));
            assert!(
                (swept.patched[index] - by_hand).abs() < 1e-4,
                "{family} {one:?}: {} {by_hand}",
                swept.patched[index]
            );
        }
    }
}

#[test]
fn whole_patches_are_the_other_prompt() {
    for family in FAMILIES {
        let (model, pair) = (model(family), contrast());
        let last = model.spec().layers.len() - 1;
        let all = (0..pair.clean.len()).collect();
        let patches = [
            Patch {
                point: HookPoint::block(last, Site::ResidPost),
                positions: vec![pair.clean.len() - 1],
                columns: None,
            },
            Patch { point: HookPoint::block(0, Site::ResidPre), positions: all, columns: None },
            Patch { point: HookPoint::block(0, Site::ResidPre), positions: vec![4, 6], columns: None },
            Patch { point: HookPoint::block(1, Site::ResidPre), positions: vec![0, 3], columns: None },
        ];
        for (disturbed, shares) in
            [(Disturbed::Denoising, [1.0, 1.0, 1.0, 0.0]), (Disturbed::Noising, [0.0, 0.0, 0.0, 1.0])]
        {
            let swept = patch(&model, &pair, &patches, disturbed).unwrap();
            assert!((swept.clean - swept.corrupt).abs() > 1e-3, "{family}: the prompts differ");
            assert_eq!([0, 1, 2, 3].map(|index| swept.share(index)), shares, "{family} {disturbed:?}");
        }
    }
}

#[test]
fn patches_that_do_not_fit_are_errors() {
    let (model, pair) = (model("llama"), contrast());
    let point = HookPoint::block(0, Site::ResidPre);
    let fails = |pair: &Contrast, patch_of: Patch, what: &str| {
        let error = patch(&model, pair, &[patch_of], Disturbed::Denoising).unwrap_err().to_string();
        assert!(error.contains(what), "{error}, not {what}");
    };
    let at = |positions| Patch { point, positions, columns: None };
    fails(&pair, at(vec![10]), "the prompts have 10 positions");
    fails(&Contrast { clean: tokens(1, 9), ..pair.clone() }, at(vec![4]), "9 and 10 tokens");
    let nowhere = Patch { point: HookPoint::block(9, Site::ResidPre), ..at(vec![4]) };
    fails(&pair, nowhere, "did you mean `blocks.");
}

/// The difference of two logits of the final stream, or of what is left of it without a part, at the scale of the whole.
fn by_final_norm(model: &Transformer, ids: &[u32], without: Option<&[f32]>) -> f64 {
    let last = HookPoint::block(model.spec().layers.len() - 1, Site::ResidPost);
    let stream = Activations::read(model, &[last], &[ids.to_vec()], Tokens::Last, &mut |_| true).unwrap().remove(0);
    let norm = model.spec().norm;
    let stored = |name: &str| {
        let parameter = model.parameters().get(model.parameters().id(name)?);
        Some(model.backend().download(parameter.buffer()))
    };
    let centred = |x: &[f64]| {
        let mean = if norm.kind == NormKind::Layer { x.iter().sum::<f64>() / x.len() as f64 } else { 0.0 };
        x.iter().map(|x| x - mean).collect::<Vec<f64>>()
    };
    let x: Vec<f64> = stream.row(0).iter().map(|&x| f64::from(x)).collect();
    let square = centred(&x).iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let scale = (square + f64::from(norm.eps)).sqrt();
    let part = without.map_or_else(|| vec![0.0; x.len()], |part| part.iter().map(|&x| f64::from(x)).collect());
    let left: Vec<f64> = x.iter().zip(part).map(|(x, part)| x - part).collect();
    let weight = stored("norm_final.weight").unwrap();
    let bias = stored("norm_final.bias").unwrap_or_else(|| vec![0.0; x.len()]);
    let unembed = stored("unembed.weight").or_else(|| stored("embed.weight")).unwrap();
    let row = |id: usize| &unembed[id * x.len()..][..x.len()];
    let normed = centred(&left).into_iter().zip(weight).zip(bias);
    let normed = normed.map(|((x, w), b)| x / scale * (f64::from(w) + f64::from(norm.weight_offset)) + f64::from(b));
    normed.zip(row(3).iter().zip(row(9))).map(|(x, (&a, &b))| x * (f64::from(a) - f64::from(b))).sum()
}

#[test]
fn shares_add_up_to_the_logits() {
    for family in FAMILIES {
        let model = model(family);
        let ask = |seed| Question { ids: tokens(seed, 5 + seed as usize), answer: 3, foil: 9 };
        let asked: Vec<Question> = (0..6).map(ask).collect();
        let found = attribute(&model, &asked, &mut |_| true).unwrap();
        assert!(found.error() < 1e-4, "{family}: {}", found.error());
        assert!(found.shares.iter().flatten().all(|share| share.is_finite()));
        let heads = found.components.iter().filter(|one| matches!(one, Component::Head { .. })).count();
        assert_eq!(heads, 12, "{family}: each head has a share");
        for (question, difference) in asked.iter().zip(&found.differences) {
            let cap = model.spec().final_softcap.map(f64::from);
            let uncapped = |logit: f32| cap.map_or(f64::from(logit), |cap| cap * (f64::from(logit) / cap).atanh());
            let own = logits(&model, &question.ids, View::plain());
            let own = uncapped(own[3]) - uncapped(own[9]);
            assert!((own - difference).abs() < 1e-4, "{family}: {own} {difference}");
        }
        // By itself: a share is along the unembedding, so that a part that is put out takes its share of the normed stream along.
        let point = HookPoint::block(2, Site::MlpOut);
        let written =
            Activations::read(&model, &[point], &[asked[0].ids.clone()], Tokens::Last, &mut |_| true).unwrap();
        let index = found.components.iter().position(|one| *one == Component::Mlp { layer: 2 }).unwrap();
        let bias = found.components.iter().position(|one| *one == Component::MlpBias { layer: 2 });
        let share = found.shares[0][index] + bias.map_or(0.0, |bias| found.shares[0][bias]);
        let whole = by_final_norm(&model, &asked[0].ids, None);
        let without = by_final_norm(&model, &asked[0].ids, Some(written[0].row(0)));
        assert!((whole - without - share).abs() < 1e-3, "{family}: {whole} {without} {share}");
    }
}

#[test]
fn the_last_depth_of_the_lens_is_the_model() {
    for family in FAMILIES {
        let (model, ids) = (model(family), tokens(5, 9));
        let places: Vec<Place> = (0..8).map(|position| Place { position, token: ids[position + 1] }).collect();
        let depths = logit_lens(&model, &ids, &places).unwrap();
        assert_eq!(depths.len(), 4);
        let request = ScoreRequest { context: ids[..1].to_vec(), continuation: ids[1..].to_vec() };
        let scored = score(&model, &[request], &ScoreOptions::default(), &mut |_| true).unwrap();
        for (seen, logp) in depths[3].iter().zip(&scored[0].logps) {
            assert_eq!(seen.logp, f64::from(*logp), "{family}");
            assert!(seen.kl.abs() < 1e-6, "{family}: {}", seen.kl);
        }
        assert!(
            depths[0].iter().any(|seen| seen.kl > 1e-2),
            "{family}: the embedding does not predict what the model does"
        );
        // The lens of a middle depth by hand: the stream, the final norm, the unembedding, the softmax.
        let stream = Activations::of(&model, HookPoint::block(0, Site::ResidPost), std::slice::from_ref(&ids)).unwrap();
        let mut tape = Tape::inference(model.backend().clone());
        let x = groma_kernels::Var::constant(model.backend().upload(stream.row(3)), 1, stream.width);
        let normed = model.final_norm(&mut tape, &x);
        let logits = model.logits(&normed).unwrap();
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        let by_hand = f64::from(logits[ids[4] as usize]) - sum.ln();
        assert!((depths[1][3].logp - by_hand).abs() < 1e-4, "{family}: {} {by_hand}", depths[1][3].logp);
    }
}

/// Weights that cannot write along a direction do what hooks at all writers do.
#[test]
fn orthogonalised_weights_are_ablation_at_all_writers() {
    for family in ["llama", "gpt2", "gpt_neox"] {
        let (model, ids) = (model(family), tokens(8, 12));
        let direction = support::values(groma_run::Seed::new(3), 32, 1.0);
        let by_weights = orthogonalised(&model, &direction).unwrap();
        let by_hooks = View::from(ablated(model.spec(), &direction));
        let (found, wanted) = (logits(&by_weights, &ids, View::plain()), logits(&model, &ids, &by_hooks));
        let apart = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let plain = logits(&model, &ids, View::plain());
        let changed = plain.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-4 && changed > 1e-2, "{family}: {apart} apart, {changed} changed");
        // No stream has any part along the direction.
        let read = View::from(ablated(model.spec(), &direction).read(HookPoint::block(2, Site::ResidPost)));
        logits(&model, &ids, &read);
        for reading in read.hooks.readings(HookPoint::block(2, Site::ResidPost), &**model.backend()) {
            let along: f32 = reading.values.iter().zip(&direction).map(|(x, d)| x * d).sum();
            assert!(along.abs() < 1e-4, "{family}: {along}");
        }
    }
    let error = orthogonalised(&model("gemma2"), &[1.0; 32]).unwrap_err().to_string();
    assert!(error.contains("outputs of its blocks are normed"), "{error}");
}

/// A direction added and taken off again, or added not at all, is no change.
#[test]
fn steering_by_nothing_is_nothing() {
    for family in FAMILIES {
        let (model, ids) = (model(family), tokens(9, 8));
        let vector = support::values(groma_run::Seed::new(4), 32, 1.0);
        let point = HookPoint::block(1, Site::ResidPre);
        let add = |coefficient| Intervention {
            point,
            address: Address::default(),
            edit: Edit::Add { vector: vector.clone(), coefficient },
        };
        let plain = logits(&model, &ids, View::plain());
        assert_eq!(plain, logits(&model, &ids, &Hooks::new().intervene(add(0.0)).into()), "{family}");
        let back = logits(&model, &ids, &Hooks::new().intervene(add(2.0)).intervene(add(-2.0)).into());
        assert!(plain.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-4), "{family}");
        assert_ne!(plain, logits(&model, &ids, &Hooks::new().intervene(add(2.0)).into()));
    }
}

/// A probe reads off samples what it reads off passes over them.
#[test]
fn a_probe_reads_while_sampling_what_it_reads_in_a_pass() {
    for family in FAMILIES {
        let model = model(family);
        let probe = Probe {
            point: HookPoint::block(1, Site::ResidPost),
            first: "a".into(),
            second: "b".into(),
            weights: support::values(groma_run::Seed::new(5), 32, 1.0).into_iter().map(f64::from).collect(),
            bias: 0.25,
        };
        let prompts: Vec<GenerationPrompt> =
            (0..3).map(|i| GenerationPrompt { ids: tokens(30 + i, 5), seed: groma_run::Seed::new(i) }).collect();
        let view = View::from(probe.watching(Hooks::new()));
        let parameters = SamplingParameters { max_new_tokens: 6, ..SamplingParameters::default() };
        let context = GenerationContext { parameters: &parameters, decode: &|_| String::new(), view: &view };
        let made = generate(&model, &prompts, &context, &mut |_| true).unwrap();
        let seen = probe.seen(&view.hooks, &**model.backend());
        for (sequence, (prompt, made)) in prompts.iter().zip(made).enumerate() {
            let text = [&prompt.ids[..], &made[0].ids].concat();
            for end in 1..text.len() {
                let read = probe.read(&model, &[text[..end].to_vec()]).unwrap()[0];
                let found = seen.iter().find(|one| (one.sequence, one.position) == (sequence, end - 1)).unwrap();
                assert_eq!(found.logit.to_bits(), read.to_bits(), "{family}, token {end} of {sequence}");
            }
        }
    }
}

#[test]
fn files_of_probes_and_directions_are_checked() {
    let (model, place) = (model("llama"), tempfile::tempdir().unwrap());
    let path = place.path().join("file.json");
    let fails = |text: serde_json::Value, what: &str, is_probe: bool| {
        std::fs::write(&path, text.to_string()).unwrap();
        let error = match is_probe {
            true => Probe::load(&path, model.spec()).unwrap_err().to_string(),
            false => Direction::load(&path, model.spec()).unwrap_err().to_string(),
        };
        assert!(error.contains(what), "{error}, not {what}");
    };
    let probe = |point: &str, width: usize| serde_json::json!({ "point": point, "first": "a", "second": "b", "weights": vec![1.0; width], "bias": 0.0 });
    fails(probe("blocks.1.hook_resid_post", 31), "the probe has 31 weights", true);
    fails(probe("blocks.7.hook_resid_post", 32), "did you mean `blocks.", true);
    fails(probe("blocks.1.hook_resid", 32), "not a hook point", true);
    let direction = |values: Vec<f32>| serde_json::json!({ "point": "blocks.1.hook_resid_pre", "before_last": 0, "values": values });
    fails(direction(vec![1.0; 33]), "the direction has 33 numbers", false);
    fails(direction(vec![0.0; 32]), "the direction is zero", false);
    std::fs::write(&path, probe("blocks.1.hook_resid_post", 32).to_string()).unwrap();
    assert_eq!(Probe::load(&path, model.spec()).unwrap().weights.len(), 32);
}

#[test]
fn instruments_are_found_by_name_and_refuse_what_they_do_not_know() {
    let error = Instrument::find("patsh").map(|one| one.id).unwrap_err().to_string();
    assert!(error.contains("`patch`?"), "{error}");
    let set = |id: &str, settings: serde_json::Value| {
        let settings = settings.as_object().unwrap().clone();
        Instrument::find(id).unwrap().set(&settings).map(|_| ()).map_err(|error| error.to_string())
    };
    for one in &INSTRUMENTS {
        assert!(set(one.id, serde_json::json!({})).is_ok(), "{}: its defaults do", one.id);
        let error = set(one.id, serde_json::json!({ "no_such_setting": 1 })).unwrap_err();
        assert!(error.contains(one.id) && error.contains("no_such_setting"), "{error}");
        assert!(!one.paper.is_empty() && one.doc.contains("control") || one.doc.contains("random"), "{}", one.id);
    }
    for (id, settings) in [
        ("patch", serde_json::json!({ "pairs": 0 })),
        ("probe", serde_json::json!({ "held_out": 1.0 })),
        ("direction", serde_json::json!({ "temperature": -1.0 })),
        ("sae", serde_json::json!({ "steps": 0 })),
    ] {
        assert!(set(id, settings).is_err(), "{id}");
    }
}
