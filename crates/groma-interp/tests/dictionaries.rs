//! Dictionaries find what was planted, and say how well they stand for what a model has.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; what is skipped is said"
)]

use std::path::Path;
use std::sync::Arc;

use groma_interp::{
    Activations, Dictionary, DictionarySettings, DictionaryTraining, DictionaryWeights, Fidelity, Recovered,
};
use groma_kernels::{Cotangent, Cpu, Gradients, Tape, Var};
use groma_model::tokenizer::Specials;
use groma_model::training::{AdamWSettings, FitSettings, Scheduler};
use groma_model::{Checkpoint, HookPoint, Site, Tokenizer, Transformer};
use groma_run::Seed;
use rand_chacha::rand_core::Rng;
use serde_json::json;

const WIDTH: usize = 24;
const ATOMS: usize = 48;

fn uniform(rng: &mut impl Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

/// Directions, and rows that are sums of three of them each.
fn planted(rows: usize) -> (Vec<Vec<f32>>, Activations) {
    let mut rng = Seed::new(1).rng();
    let atoms: Vec<Vec<f32>> = (0..ATOMS)
        .map(|_| {
            let row: Vec<f32> =
                (0..WIDTH).map(|_| uniform(&mut rng) + uniform(&mut rng) + uniform(&mut rng) - 1.5).collect();
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter().map(|x| x / norm).collect()
        })
        .collect();
    let mut values = vec![0.0; rows * WIDTH];
    for row in values.chunks_exact_mut(WIDTH) {
        for _ in 0..3 {
            let (atom, size) = ((rng.next_u64() % ATOMS as u64) as usize, 0.5 + uniform(&mut rng));
            row.iter_mut().zip(&atoms[atom]).for_each(|(x, a)| *x += size * a);
        }
    }
    (atoms, Activations { width: WIDTH, values })
}

fn settings(kind: &str, parameters: serde_json::Value, latents: usize, steps: u64) -> DictionarySettings {
    let adamw = AdamWSettings { max_grad_norm: 0.0, ..AdamWSettings::default() };
    let fit = FitSettings { steps, learning_rate: 3e-3, warmup_steps: 0, scheduler: Scheduler::Linear, adamw };
    let parameters = parameters.as_object().unwrap().clone();
    DictionarySettings { kind: kind.into(), parameters, latents, batch_rows: 256, seed: 3, fit }
}

fn learn(data: &Activations, settings: &DictionarySettings) -> (Dictionary, Dictionary) {
    let mut training = DictionaryTraining::new(Arc::new(Cpu::new()), data, settings).unwrap();
    let control = training.control().unwrap();
    while !training.is_done() {
        training.step().unwrap();
    }
    (training.finish(), control)
}

/// Mean over true directions of the largest cosine with a learned one.
fn recovered(atoms: &[Vec<f32>], dictionary: &Dictionary) -> f32 {
    let learned = dictionary.directions();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let best = |atom: &Vec<f32>| learned.iter().map(|other| dot(atom, other)).fold(-1.0, f32::max);
    atoms.iter().map(best).sum::<f32>() / atoms.len() as f32
}

#[test]
fn topk_finds_a_planted_dictionary() {
    let (atoms, data) = planted(6000);
    let (dictionary, control) =
        learn(&data, &settings("topk", json!({ "k": 3, "dead_after": 20_000.0 }), 2 * ATOMS, 1200));
    let (found, random) = (recovered(&atoms, &dictionary), recovered(&atoms, &control));
    let (fit, null) = (Fidelity::of(&dictionary, &data).unwrap(), Fidelity::of(&control, &data).unwrap());
    println!("mean max cosine {found:.3} (random {random:.3}); {fit:?}, random {null:?}");
    assert!(found > 0.9 && random < 0.7, "{found} {random}");
    assert!(fit.fvu < 0.1 && fit.l0 <= 3.0 && null.fvu > 3.0 * fit.fvu, "{fit:?} {null:?}");
    for direction in dictionary.directions() {
        assert!((direction.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn jump_relu_learns_its_thresholds() {
    let (atoms, data) = planted(6000);
    let parameters = json!({ "coefficient": 0.3, "bandwidth": 0.3, "theta": 0.1 });
    let (dictionary, control) = learn(&data, &settings("jump_relu", parameters, 2 * ATOMS, 1200));
    let (fit, null) = (Fidelity::of(&dictionary, &data).unwrap(), Fidelity::of(&control, &data).unwrap());
    println!("mean max cosine {:.3}; {fit:?}, random {null:?}", recovered(&atoms, &dictionary));
    assert!(fit.fvu < 0.3 && fit.l0 < 0.5 * null.l0, "{fit:?} {null:?}");
}

#[test]
fn killed_and_resumed_ends_in_the_same_bits() {
    let (_, data) = planted(500);
    let settings = settings("topk", json!({ "k": 3, "dead_after": 1500.0 }), 4 * ATOMS, 12);
    let new = || DictionaryTraining::new(Arc::new(Cpu::new()), &data, &settings).unwrap();
    let whole = learn(&data, &settings).0;
    let (place, mut killed, mut resumed) = (tempfile::tempdir().unwrap(), new(), new());
    (0..9).for_each(|_| _ = killed.step().unwrap());
    let path = place.path().join("step-9");
    killed.save(&groma_run::Disk::files(), &path).unwrap();
    resumed.resume(&path).unwrap();
    while !resumed.is_done() {
        resumed.step().unwrap();
    }
    let values = |dictionary: &Dictionary| {
        let all = dictionary.parameters().iter();
        all.flat_map(|(_, p)| dictionary.backend().download(p.buffer())).collect::<Vec<_>>()
    };
    assert_eq!(values(&resumed.finish()), values(&whole));
}

#[test]
fn settings_that_do_not_fit_are_errors() {
    let (_, data) = planted(10);
    let fails = |settings: DictionarySettings, what: &str| {
        let error = DictionaryTraining::new(Arc::new(Cpu::new()), &data, &settings).unwrap_err().to_string();
        assert!(error.contains(what), "{error}, not {what}");
    };
    fails(settings("topkk", json!({}), 8, 1), "did you mean `topk`");
    fails(settings("topk", json!({ "kk": 3 }), 8, 1), "unknown field `kk`");
    fails(settings("topk", json!({ "k": 0 }), 8, 1), "must be above 0");
    fails(settings("topk", json!({}), 0, 1), "needs latents");
}

/// A gradient goes through a dictionary that is spliced in, to what comes before it.
#[test]
fn gradients_go_through() {
    let (_, data) = planted(200);
    let (dictionary, _) = learn(&data, &settings("topk", json!({ "k": 3 }), ATOMS, 30));
    let backend = dictionary.backend().clone();
    let mut tape = Tape::recording(backend.clone());
    let x = tape.watch(Var::constant(backend.upload(data.row(0)), 1, WIDTH));
    let y = dictionary.splice()(&mut tape, x.clone(), &[]);
    let ones = backend.upload(&[1.0; WIDTH]);
    let watched = tape.backward(vec![Cotangent::Value(&y, ones)], &mut Gradients::new());
    assert!(watched.get(&x).is_some_and(|d| backend.download(d).iter().any(|d| *d != 0.0)));
}

/// A dictionary of the residual stream of a small published model, spliced in.
#[test]
fn a_dictionary_of_a_model_recovers_its_loss() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/weights/stories260K-hf");
    if !directory.exists() {
        println!("SKIPPED: {} is not there", directory.display());
        return;
    }
    let checkpoint = Checkpoint::open(&directory).unwrap();
    let mut model =
        Transformer::new(checkpoint.spec().clone(), &checkpoint.weights().unwrap(), Arc::new(Cpu::new())).unwrap();
    model.parameters_mut().set_trainable(|_| false);
    model.freeze();
    let tokenizer = Tokenizer::from_directory(&directory).unwrap();
    // The model's own stories, from different beginnings.
    let begin =
        ["Once upon a time", "One day, a", "There was a", "Lily and", "The little", "Tom saw", "It was", "A big"];
    let parameters =
        groma_model::sampling::SamplingParameters { max_new_tokens: 200, samples: 8, ..Default::default() };
    let context = groma_model::generate::GenerationContext {
        parameters: &parameters,
        decode: &|_| String::new(),
        view: groma_model::View::plain(),
    };
    let prompts: Vec<_> = begin
        .iter()
        .zip(0..)
        .map(|(text, i)| groma_model::generate::GenerationPrompt {
            ids: tokenizer.encode(text, Specials::AsConfigured).unwrap(),
            seed: Seed::new(i),
        })
        .collect();
    let made = groma_model::generate::generate(&model, &prompts, &context, &mut |_| true).unwrap();
    let texts: Vec<Vec<u32>> = prompts
        .iter()
        .zip(made)
        .flat_map(|(prompt, samples)| samples.into_iter().map(|one| [&prompt.ids[..], &one.ids].concat()))
        .collect();
    let (held_out, train) = texts.split_at(12);
    let point = HookPoint::block(2, Site::ResidPost);
    let (data, test) =
        (Activations::of(&model, point, train).unwrap(), Activations::of(&model, point, held_out).unwrap());
    let settings = settings("topk", json!({ "k": 16, "dead_after": 100_000.0 }), 4 * data.width, 1500);
    let (dictionary, control) = learn(&data, &settings);
    let (fit, null) = (Fidelity::of(&dictionary, &test).unwrap(), Fidelity::of(&control, &test).unwrap());
    let kept = Recovered::of(&model, point, &dictionary, held_out).unwrap();
    let lost = Recovered::of(&model, point, &control, held_out).unwrap();
    println!("{fit:?}, {kept:?}: {:.3} recovered; random {null:?}, {:.3} recovered", kept.share(), lost.share());
    assert!(fit.l0 <= 16.0 && fit.fvu < 0.3 && fit.fvu < 0.5 * null.fvu, "{fit:?} {null:?}");
    assert!(kept.share() > 0.8 && kept.share() > lost.share() + 0.1, "{kept:?} {lost:?}");
}

/// `scripts/make_sae_fixture.py` wrote what SAELens makes of these weights and rows.
#[test]
fn topk_is_that_of_saelens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/saelens_topk.json");
    let fixture: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let numbers = |name: &str| -> Vec<f32> {
        fixture[name].as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
    };
    let weights = DictionaryWeights {
        encoder: numbers("encoder"),
        encoder_bias: numbers("encoder_bias"),
        decoder: numbers("decoder"),
        decoder_bias: numbers("decoder_bias"),
    };
    let backend: Arc<dyn groma_kernels::Backend> = Arc::new(Cpu::new());
    let parameters = json!({ "k": fixture["k"] });
    let made =
        |weights: &DictionaryWeights| Dictionary::of(backend.clone(), "topk", parameters.as_object().unwrap(), weights);
    let (dictionary, rows) = (made(&weights).unwrap(), numbers("rows"));
    let width = weights.decoder_bias.len();
    let x = Var::constant(backend.upload(&rows), rows.len() / width, width);
    let found = dictionary.features(&mut Tape::inference(backend.clone()), &x).unwrap();
    for (name, var) in [("latents", &found.latents), ("reconstruction", &found.reconstruction)] {
        let apart = backend.download(var.buffer()).into_iter().zip(numbers(name)).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        assert!(apart < 1e-5, "{name}: {apart}");
    }
    let error = made(&DictionaryWeights { decoder_bias: vec![0.0; width + 1], ..weights }).unwrap_err().to_string();
    assert!(error.contains("cannot be made of these weights"), "{error}");
}
