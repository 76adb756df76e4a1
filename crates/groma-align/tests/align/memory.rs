//! Memory: recomputation changes no bit and takes less, and the estimate is near what is held.

use crate::support::{
    Letters, beside, completion, fingerprint, model, place, preference, prepared, settings, spec, voice, weights,
};
use crate::training::run;
use groma_align::{Limits, Prepared, Session, Settings, Voice, estimate_memory, prepare, setup, train};
use groma_data::{Content, Row, Shape};
use groma_kernels::Cpu;
use groma_model::spec::{Layer, Mlp};
use groma_model::{Spec, Transformer};
use serde_json::{Value, json};
use std::sync::Arc;

#[test]
fn recomputation_changes_no_bit() {
    let lora = json!({"r": 4, "dropout": 0.1});
    for (method, extra) in [
        ("sft", json!({})),
        ("dpo", json!({})),
        ("dpo", json!({ "lora": lora })),
        ("reward", json!({})),
        ("ppo", json!({})),
        ("ppo", json!({"value_model": "critic"})),
        ("ilql", json!({})),
    ] {
        let [kept, again] = [false, true].map(|checkpointing| {
            let mut given = extra.as_object().unwrap().clone();
            given.insert("gradient_checkpointing".into(), checkpointing.into());
            given.insert("max_steps".into(), 3.into());
            given.insert("learning_rate".into(), 1e-3.into());
            let settings = settings(method, given.into());
            let (history, model) = run(&settings, &prepared(&settings), model(1));
            (history.steps.iter().map(|step| step.loss.to_bits()).collect::<Vec<_>>(), fingerprint(&model))
        });
        assert_eq!(kept, again, "{method} {extra}");
    }
}

/// A model whose activations and weights are of about the same size.
fn larger(mlp: Mlp) -> Spec {
    let layers = vec![Layer { window: None, rotary: Some(0) }; 6];
    let spec = spec();
    Spec { hidden_size: 128, heads: 16, kv_heads: 8, intermediate_size: 344, max_positions: 512, mlp, layers, ..spec }
}

fn rows(settings: &Settings, letters: usize) -> Prepared {
    let text = |line: u64, len: usize| -> String {
        (0..len).map(|i| char::from(b'a' + ((i as u64 * 7 + line * 3) % 17) as u8)).collect()
    };
    let limits = Limits { max_positions: 512, ..crate::support::limits() };
    let lines = 1..=16u64;
    let pair =
        |line| preference(line, &text(line, letters), &text(line + 1, letters / 2), &text(line + 2, letters / 3));
    let rows: Vec<_> = match settings.method.data[0] {
        Shape::PromptCompletion => {
            lines.map(|line| completion(line, &text(line, 9), &text(line + 5, letters))).collect()
        }
        Shape::PromptOnly => {
            let told = |line| [("privileged_context".to_owned(), text(line + 3, 2 * letters).into())];
            let prompt = |line| Row::of_prompt(Content::Text(text(line, letters)), place(line));
            lines.map(|line| Row { other: told(line).into_iter().collect(), ..prompt(line) }).collect()
        }
        _ => lines.map(pair).collect(),
    };
    prepare(settings, &rows, &Letters::default(), limits).unwrap()
}

/// The most that buffers held in two steps, and what was foretold, in bytes. `rounded` weights are exact in bf16.
fn peak(method: &str, given: Value, spec: Spec, letters: usize, rounded: bool) -> (f64, f64) {
    let mut given = given.as_object().unwrap().clone();
    given.entry("max_steps").or_insert(2.into());
    let settings = settings(method, given.into());
    let prepared = rows(&settings, letters);
    let cpu = Cpu::new();
    let mut weights = weights(&spec, 1);
    for value in weights.values_mut().flat_map(|tensor| &mut tensor.values).filter(|_| rounded) {
        *value = f32::from_bits(value.to_bits() & 0xffff_0000);
    }
    let model = Transformer::new(spec.clone(), &weights, Arc::new(cpu.clone())).unwrap();
    let mut model = setup(model, &settings).unwrap();
    let other = (!settings.seats().is_empty()).then(|| {
        let mut other = Transformer::new(spec.clone(), &weights, Arc::new(cpu.clone())).unwrap();
        other.parameters_mut().set_trainable(|_| false);
        other.freeze();
        other
    });
    let seats = other.as_ref().map_or(Vec::new(), |other| beside(&settings, other));
    let foretold = estimate_memory(&model, &settings, &prepared, &seats).buffers();
    // Completions that never end are as long as they may be.
    let voice = Voice { stop_ids: Vec::new(), ..voice() };
    train(&mut model, Session { seats, voice: Some(voice), ..Session::new(&settings, &prepared) }).unwrap();
    (cpu.memory().peak_bytes as f64, foretold as f64)
}

#[test]
fn the_estimate_is_within_a_fifth() {
    let checkpointing = json!({"gradient_checkpointing": true});
    let told = json!({"max_completion_length": 100, "teacher_model_kind": "live", "lora": {"r": 8}, "distillation_mode": "full_logits"});
    let mut wrong = Vec::new();
    for (method, given, mlp, letters) in [
        ("sft", json!({}), Mlp::Gated, 300),
        ("sft", json!({}), Mlp::Plain, 300),
        ("sft", json!({}), Mlp::Gated, 60),
        ("sft", checkpointing.clone(), Mlp::Gated, 300),
        ("sft", json!({"lora": {"r": 8}}), Mlp::Gated, 200),
        ("dpo", json!({}), Mlp::Gated, 200),
        ("sft", json!({"lora": {"r": 8, "dropout": 0.1}}), Mlp::Gated, 200),
        ("sft", json!({"lora": {"r": 48}}), Mlp::Gated, 200),
        ("dpo", json!({"lora": {"r": 8, "dropout": 0.1}}), Mlp::Plain, 200),
        ("dpo", json!({"per_device_train_batch_size": 1, "max_steps": 16}), Mlp::Gated, 200),
        ("dpo", checkpointing, Mlp::Gated, 200),
        ("dpo", json!({"lora": {"r": 8}, "per_device_train_batch_size": 2}), Mlp::Plain, 200),
        ("reward", json!({"per_device_train_batch_size": 4}), Mlp::Gated, 100),
        ("ilql", json!({"truncation_mode": "keep_start"}), Mlp::Gated, 100),
        ("grpo", json!({"max_completion_length": 150, "num_generations": 8}), Mlp::Gated, 60),
        ("rloo", json!({"max_completion_length": 150, "lora": {"r": 8}}), Mlp::Gated, 60),
        ("ppo", json!({"max_completion_length": 150}), Mlp::Gated, 60),
        ("ppo", json!({"max_completion_length": 150, "value_model": "critic", "lora": {"r": 8}}), Mlp::Gated, 60),
        ("ppo", json!({"max_completion_length": 100, "value_model": "critic"}), Mlp::Plain, 60),
        ("self_distillation", told.clone(), Mlp::Gated, 60),
        ("sdpo", told, Mlp::Gated, 60),
        ("distillation", json!({"lmbda": 0.0}), Mlp::Gated, 200),
        ("distillation", json!({"lmbda": 1.0, "max_completion_length": 150, "lora": {"r": 8}}), Mlp::Gated, 60),
        ("dpo", json!({"ref_model": "other"}), Mlp::Gated, 200),
    ] {
        wrong.extend(wrong_estimate(method, &given, larger(mlp), letters, false));
    }
    wrong.extend(wrong_estimate("sft", &json!({"lora": {"r": 8}}), larger(Mlp::Gated), 40, true));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// With a vocabulary beside which all else is small: what the heads hold is what is held.
#[test]
fn the_estimate_knows_what_heads_hold() {
    let mut wrong = Vec::new();
    let wide = || Spec { vocab_size: 1 << 15, hidden_size: 32, heads: 4, kv_heads: 2, ..larger(Mlp::Gated) };
    for (method, given) in [
        ("sft", json!({})),
        ("reward", json!({})),
        ("ilql", json!({})),
        ("distillation", json!({"lmbda": 0.0})),
        ("distillation", json!({"lmbda": 1.0, "max_completion_length": 60})),
    ] {
        let mut given = given.as_object().unwrap().clone();
        given.insert("lora".into(), json!({"r": 4}));
        wrong.extend(wrong_estimate(method, &given.into(), wide(), 60, false));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with an estimate, if it is off by more than a fifth.
fn wrong_estimate(method: &str, given: &Value, spec: Spec, letters: usize, rounded: bool) -> Option<String> {
    let sizes = format!("{:?} {}", spec.mlp, spec.vocab_size);
    let (held, foretold) = peak(method, given.clone(), spec, letters, rounded);
    let ratio = foretold / held;
    let what =
        format!("{method} {given} {sizes} {letters}: {foretold:.3e} foretold, {held:.3e} held, ratio {ratio:.3}");
    (!(1.0 / 1.2..=1.2).contains(&ratio)).then_some(what)
}

#[test]
fn recomputation_takes_less() {
    let (kept, _) = peak("sft", json!({}), larger(Mlp::Gated), 300, false);
    let (again, _) = peak("sft", json!({"gradient_checkpointing": true}), larger(Mlp::Gated), 300, false);
    assert!(again < 0.5 * kept, "{again} instead of {kept}");
}

/// The mean of the weights of reward models is one model more.
#[test]
fn averaged_weights_are_foretold() {
    let scoring = Spec { outputs: vec![groma_model::Head::SCORE], ..spec() };
    let scorer = Transformer::new(scoring.clone(), &weights(&scoring, 3), Arc::new(Cpu::new())).unwrap();
    let values: usize = scorer.parameters().iter().map(|(_, parameter)| parameter.len()).sum();
    let foretold = |ensemble: &str| {
        let settings = settings("rloo", json!({"reward_model": ["a", "b"], "reward_ensemble": ensemble}));
        let model = setup(model(1), &settings).unwrap();
        estimate_memory(&model, &settings, &prepared(&settings), &beside(&settings, &scorer)).buffers()
    };
    assert_eq!(foretold("warm") - foretold("mean"), 4 * values as u64);
}
