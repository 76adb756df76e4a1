//! Several heads on one trunk: trained together, written, read back, and what is refused; and a model that learns from another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper fails the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use groma_kernels::{Cotangent, Cpu, Divergence, Gradients, HeadWants, Tape, TeacherVar, Var};
use groma_model::{
    AdapterFile, BaseModel, Checkpoint, Export, Head, HeadKind, Lora, LoraConfig, Pass, TokenTree, Transformer, lora,
    open_transformer,
};
use groma_run::Seed;

const IDS: [u32; 12] = [3, 9, 4, 31, 17, 5, 28, 11, 6, 39, 22, 8];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families").join(name)
}

fn open(name: &str) -> (Checkpoint, Transformer) {
    let checkpoint = Checkpoint::open(&fixture(name)).unwrap();
    let model = open_transformer(checkpoint.directory(), &checkpoint, checkpoint.spec().clone(), Arc::new(Cpu::new()));
    (checkpoint, model.unwrap())
}

fn many() -> Vec<Head> {
    vec![Head::UNEMBEDDING, Head::VALUE, Head::score(3), Head::token_score(2)]
}

fn hidden<'m>(model: &'m Transformer, tape: &mut Tape<'m>) -> Var {
    let mut tree = TokenTree::new();
    tree.root(&IDS);
    model.hidden(tape, &tree, &Pass::default()).unwrap()
}

/// What all heads say of all rows.
fn outputs(model: &Transformer) -> Vec<Vec<f32>> {
    let mut tape = Tape::inference(model.backend().clone());
    let hidden = hidden(model, &mut tape);
    let of_head = |head: &Head| match head.kind {
        HeadKind::Unembedding => model.logits(&hidden).unwrap(),
        _ => model.backend().download(model.head(&mut tape, &head.name, &hidden).unwrap().buffer()),
    };
    model.spec().outputs.iter().map(of_head).collect()
}

/// One step of gradient descent on next tokens, values, a class of the text and scores of tokens; the loss of each before it.
fn step(model: &mut Transformer, rate: f32) -> [f64; 4] {
    let backend = model.backend().clone();
    let mut gradients = Gradients::new();
    let mut losses = [0.0; 4];
    {
        let mut tape = Tape::recording(backend.clone());
        let hidden = hidden(model, &mut tape);
        let rows = IDS.len();
        let targets: Arc<[u32]> = IDS[1..].into();
        let before: Arc<[u32]> = (0..rows as u32 - 1).collect();
        let predicting = tape.gather_rows(&hidden, &before);
        let tokens = tape.head(&predicting, &model.unembed().unwrap(), &targets, None, 1.0, HeadWants::default());
        losses[0] = -tokens.output().logp.iter().map(|&logp| f64::from(logp)).sum::<f64>();
        let d_logp = vec![-1.0; rows - 1];
        let mut cotangents = vec![Cotangent::Head { head: &tokens, d_logp: &d_logp, d_entropy: &[] }];
        let last = tape.gather_rows(&hidden, &[rows as u32 - 1].into());
        let heads = [("value", &hidden), ("score", &last), ("token_score", &hidden)];
        let said = heads.map(|(name, hidden)| model.head(&mut tape, name, hidden).unwrap());
        for (loss, (index, said)) in losses[1..].iter_mut().zip(said.iter().enumerate()) {
            let wanted = |element: usize| ((element * 7 + index * 3) % 5) as f32 - 2.0;
            let values = backend.download(said.buffer());
            let d: Vec<f32> = values.iter().enumerate().map(|(element, value)| value - wanted(element)).collect();
            *loss = d.iter().map(|d| 0.5 * f64::from(*d).powi(2)).sum();
            cotangents.push(Cotangent::Value(said, backend.upload(&d)));
        }
        tape.backward(cotangents, &mut gradients);
    }
    for (id, gradient) in gradients.iter() {
        backend.add_scaled(model.parameters_mut().get_mut(id).buffer_mut().unwrap(), gradient, -rate);
    }
    losses
}

fn train(model: &mut Transformer, steps: usize) {
    let first = step(model, 5e-3);
    (0..steps).for_each(|_| _ = step(model, 5e-3));
    let last = step(model, 5e-3);
    for (head, (first, last)) in many().iter().zip(first.iter().zip(last)) {
        assert!(last < 0.7 * first, "{}: {first} {last}", head.name);
    }
}

#[test]
fn several_heads_learn_together_and_are_read_back() {
    let (checkpoint, mut model) = open("llama");
    let logits = outputs(&model);
    model.set_heads(&many(), Some(Seed::new(1))).unwrap();
    assert_eq!(outputs(&model)[0], logits[0]);
    train(&mut model, 60);
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("model");
    let weights = model.weights();
    let export = Export::new(checkpoint.config().map(), model.spec(), &weights);
    export.write(&target).unwrap();
    export.verify(&target).unwrap();
    let read = Checkpoint::open(&target).unwrap();
    assert_eq!(read.spec().outputs, many());
    let again = open_transformer(&target, &read, read.spec().clone(), Arc::new(Cpu::new())).unwrap();
    assert_eq!(outputs(&again), outputs(&model));
}

#[test]
fn heads_beside_an_adapter_are_saved_with_it() {
    let (checkpoint, mut model) = open("llama");
    model.set_heads(&many(), None).unwrap();
    let modules = ["blocks.0.attention.v".to_owned(), "blocks.1.mlp.down".to_owned()];
    let pairs = lora::fresh_pairs(model.spec(), &modules, 4, Seed::new(3));
    model.attach(&Lora { scale: 2.0, dropout: 0.0, pairs }).unwrap();
    let spec = model.spec().clone();
    model.parameters_mut().set_trainable(|name| name.contains("lora") || spec.is_head_parameter(name));
    let first = step(&mut model, 5e-3);
    (0..80).for_each(|_| _ = step(&mut model, 5e-3));
    assert!(step(&mut model, 5e-3)[1..].iter().zip(&first[1..]).all(|(last, first)| *last < 0.7 * first));

    let directory = tempfile::tempdir().unwrap();
    let base = BaseModel::at(checkpoint.directory());
    let config = LoraConfig { rank: 4, alpha: 8.0, dropout: 0.0, rank_stabilised: false, base };
    let pairs = model.adapter().unwrap().pairs;
    let file = AdapterFile { config, pairs, heads: many(), head_weights: model.head_weights() };
    file.write(directory.path().join("adapter").as_path(), checkpoint.spec(), None, &[]).unwrap();
    let target = directory.path().join("adapter");
    assert_eq!(AdapterFile::read(&target, checkpoint.spec()).unwrap(), file);
    let again = open_transformer(&target, &checkpoint, checkpoint.spec().clone(), Arc::new(Cpu::new())).unwrap();
    assert_eq!(outputs(&again), outputs(&model));
}

fn of_actions() -> Vec<Head> {
    vec![Head::UNEMBEDDING, Head::VALUE, Head::Q1, Head::Q2, Head::TARGET_Q1, Head::TARGET_Q2]
}

/// Heads as wide as the vocabulary begin apart, their copies as they are; all are written and read, with a model and with an adapter.
#[test]
fn action_values_are_written_and_read_back() {
    let (checkpoint, mut model) = open("llama");
    model.set_heads(&of_actions(), Some(Seed::new(4))).unwrap();
    let weights = model.head_weights();
    assert_ne!(weights["q1.weight"], weights["q2.weight"]);
    assert_eq!(weights["q1.weight"].shape, [model.spec().vocab_size, model.spec().hidden_size]);
    for (copy, head) in [("target_q1.weight", "q1.weight"), ("target_q2.weight", "q2.weight")] {
        assert_eq!(weights[copy], weights[head]);
        assert!(model.spec().is_set_parameter(copy) && !model.spec().is_set_parameter(head));
    }
    let directory = tempfile::tempdir().unwrap();
    let (whole, beside) = (directory.path().join("whole"), directory.path().join("adapter"));
    let merged = model.merged_weights();
    let export = Export::new(checkpoint.config().map(), model.spec(), &merged);
    export.write(&whole).unwrap();
    export.verify(&whole).unwrap();
    let read = Checkpoint::open(&whole).unwrap();
    assert_eq!(read.spec().outputs, of_actions());
    let again = open_transformer(&whole, &read, read.spec().clone(), Arc::new(Cpu::new())).unwrap();
    assert_eq!(outputs(&again), outputs(&model));
    let base = BaseModel::at(checkpoint.directory());
    let config = LoraConfig { rank: 2, alpha: 4.0, dropout: 0.0, rank_stabilised: false, base };
    let pairs = lora::fresh_pairs(model.spec(), &["blocks.0.attention.v".to_owned()], 2, Seed::new(1));
    let file = AdapterFile { config, pairs, heads: of_actions(), head_weights: model.head_weights() };
    file.write(&beside, checkpoint.spec(), None, &[]).unwrap();
    assert_eq!(AdapterFile::read(&beside, checkpoint.spec()).unwrap(), file);
    // What hidden states are worth is the least of what copies say, less the value.
    let mut tape = Tape::inference(model.backend().clone());
    let hidden = hidden(&model, &mut tape);
    let (said, vocab) = (outputs(&model), model.spec().vocab_size);
    for (place, found) in model.advantages(&hidden).unwrap().into_iter().enumerate() {
        assert_eq!(found, said[4][place].min(said[5][place]) - said[1][place / vocab]);
    }
}

#[test]
fn descriptions_of_action_values_that_make_no_sense_are_refused() {
    for (listed, wrong) in [
        (r#"{"name": "q1", "kind": "action", "width": 3}"#, true),
        (r#"{"name": "q1", "kind": "action"}"#, false),
        (r#"{"name": "q1", "kind": "actions"}"#, true),
        (r#"{"name": "topic", "kind": "sequence"}"#, true),
    ] {
        let (checkpoint, model) = open("llama");
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("model");
        let weights = model.weights();
        Export::new(checkpoint.config().map(), model.spec(), &weights).write(&target).unwrap();
        let path = target.join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config["groma_heads"] = serde_json::from_str(&format!("[{listed}]")).unwrap();
        std::fs::write(&path, config.to_string()).unwrap();
        let refused = Checkpoint::open(&target).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(refused.contains("a head has a name, a kind"), wrong, "{listed}: {refused}");
    }
}

#[test]
fn heads_come_and_go_without_touching_the_trunk() {
    let (_, mut model) = open("llama-value");
    assert_eq!(model.spec().outputs, [Head::UNEMBEDDING, Head::VALUE]);
    let before = model.weights();
    model.set_heads(&[Head::VALUE, Head::score(2)], None).unwrap();
    let after = model.weights();
    assert!(!after.contains_key("unembed.weight") && after["score.weight"].values.iter().all(|value| *value == 0.0));
    assert!(after.iter().filter(|(name, _)| *name != "score.weight").all(|(name, tensor)| before[name] == *tensor));
    let refused = |model: &mut Transformer, heads: &[Head], part: &str| {
        let error = model.set_heads(heads, None).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(&mut model, &[Head::UNEMBEDDING], "no unembedding any more, only score, value");
    refused(&mut model, &[Head::SCORE], "its head score has 2 outputs");
    refused(&mut model, &[Head::score(2), Head::named("score", HeadKind::Sequence, 2)], "two parts named score");
    refused(&mut model, &[Head::named("embed", HeadKind::Token, 2)], "two parts named embed");
    assert_eq!(model.weights(), after);
    let pairs = lora::fresh_pairs(model.spec(), &["blocks.0.attention.q".into()], 2, Seed::new(3));
    model.attach(&Lora { scale: 1.0, dropout: 0.0, pairs }).unwrap();
    refused(&mut model, &[Head::VALUE], "before an adapter is attached");
    model.set_heads(&[Head::VALUE, Head::score(2)], None).unwrap();
}

#[test]
fn the_start_of_a_head_follows_seed_and_name() {
    let start = |seed: u64, heads: &[Head]| {
        let (_, mut model) = open("llama");
        model.set_heads(heads, Some(Seed::new(seed))).unwrap();
        model.head_weights()
    };
    let all = start(1, &many());
    assert_eq!(all["value.weight"], start(1, &[Head::VALUE])["value.weight"]);
    assert_ne!(all["value.weight"], start(2, &[Head::VALUE])["value.weight"]);
    assert!(all["token_score.weight"].values.iter().all(|value| value.abs() <= 0.25 && *value != 0.0));
    assert_eq!(all["token_score.bias"].values, [0.0; 2]);
}

/// One step of gradient descent on the divergence from a teacher at each token; its mean before it, in nats.
fn learn(student: &mut Transformer, teacher: &Transformer, kind: Divergence) -> f64 {
    let backend = student.backend().clone();
    let mut gradients = Gradients::new();
    let mean;
    {
        let theirs = hidden(teacher, &mut Tape::inference(backend.clone()));
        let unembed = teacher.unembed().unwrap();
        let teacher = TeacherVar { hidden: theirs, unembed, softcap: teacher.spec().final_softcap };
        let mut tape = Tape::recording(backend.clone());
        let own = hidden(student, &mut tape);
        let divergence = tape.divergence(&own, &student.unembed().unwrap(), &teacher, kind, None, 0.9);
        let values = divergence.values();
        mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
        let d_value = vec![1.0 / values.len() as f32; values.len()];
        tape.backward(vec![Cotangent::Divergence { divergence: &divergence, d_value: &d_value }], &mut gradients);
    }
    for (id, gradient) in gradients.iter() {
        backend.add_scaled(student.parameters_mut().get_mut(id).buffer_mut().unwrap(), gradient, -0.05);
    }
    mean
}

#[test]
fn a_student_of_another_family_comes_nearer_to_its_teacher_by_every_divergence() {
    let (_, teacher) = open("gpt_neox");
    let before = outputs(&teacher);
    for kind in [Divergence::ForwardKl, Divergence::ReverseKl, Divergence::JensenShannon { beta: 0.3 }] {
        let (_, mut student) = open("qwen3");
        let first = learn(&mut student, &teacher, kind);
        (0..60).for_each(|_| _ = learn(&mut student, &teacher, kind));
        let last = learn(&mut student, &teacher, kind);
        assert!(last < 0.75 * first, "{kind:?}: {first} {last}");
    }
    assert_eq!(outputs(&teacher), before, "the teacher stays");
}

/// What is said of how a head is read goes where its weights go: into a model's files, and into an adapter's.
#[test]
fn attributes_and_what_ends_a_step_are_written_and_read_back() {
    let names = || vec!["helpfulness".to_owned(), "verbosity".to_owned()];
    for head in [Head::of_attributes(names()), Head::behind("\n\n"), Head::STEP] {
        let directory = tempfile::tempdir().unwrap();
        let (checkpoint, mut model) = open("llama");
        model.set_heads(std::slice::from_ref(&head), Some(Seed::new(3))).unwrap();
        let weights = model.merged_weights();
        let export = Export::new(checkpoint.config().map(), model.spec(), &weights);
        let whole = directory.path().join("whole");
        export.write(&whole).unwrap();
        export.verify(&whole).unwrap();
        assert_eq!(Checkpoint::open(&whole).unwrap().spec().outputs, std::slice::from_ref(&head));
        let base = BaseModel::at(checkpoint.directory());
        let config = LoraConfig { rank: 2, alpha: 4.0, dropout: 0.0, rank_stabilised: false, base };
        let modules: Vec<String> =
            groma_model::linear_modules(model.spec()).into_iter().map(|module| module.name).collect();
        let pairs = lora::fresh_pairs(model.spec(), &modules, 2, Seed::new(1));
        let file = AdapterFile { config, pairs, heads: vec![head.clone()], head_weights: model.head_weights() };
        let beside = directory.path().join("adapter");
        file.write(&beside, checkpoint.spec(), None, &[]).unwrap();
        assert_eq!(AdapterFile::read(&beside, checkpoint.spec()).unwrap().heads, [head]);
    }
    let (_, mut model) = open("llama");
    model.set_heads(&[Head::of_attributes(names())], None).unwrap();
    assert_eq!((model.spec().attributes(), model.spec().rewards_steps()), (&names()[..], false));
    let error = model.set_heads(&[Head::of_attributes(vec!["a".into(), "b".into()])], None).unwrap_err().to_string();
    assert!(error.contains("is of the attributes helpfulness, verbosity"), "{error}");
    model.set_heads(&[Head::score(2)], None).unwrap();
    assert!(!model.spec().rewards(), "classes of texts are no rewards");
}
