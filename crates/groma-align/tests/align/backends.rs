//! Training steps on the naive backend and on the CPU.

use crate::support::{model_on, prepared, settings};
use crate::training::run;
use groma_kernels::{Backend, Cpu, Naive};
use serde_json::json;
use std::sync::Arc;

#[test]
fn backends_train_alike() {
    let lora = json!({"r": 4, "dropout": 0.1});
    for (method, extra) in [
        ("sft", json!({})),
        ("sft", json!({"gradient_checkpointing": true})),
        ("sft", json!({"lora": lora})),
        ("dpo", json!({})),
        ("dpo", json!({"use_weighting": true, "gradient_checkpointing": true})),
        ("dpo", json!({"lora": lora, "precompute_ref_log_probs": false})),
        ("ilql", json!({"alpha": 0.5, "steps_for_target_q_sync": 1})),
        ("reward", json!({})),
        ("reward", json!({"lora": lora, "gradient_checkpointing": true})),
    ] {
        let mut given = extra.as_object().unwrap().clone();
        given.insert("max_steps".into(), 4.into());
        // With AdamW's own, a gradient of nothing but rounding would be a whole step.
        given.insert("adam_epsilon".into(), 1e-2.into());
        given.insert("learning_rate".into(), 1e-2.into());
        let settings = settings(method, given.into());
        let [(steps, naive), (others, cpu)] = [Arc::new(Naive) as Arc<dyn Backend>, Arc::new(Cpu::new())]
            .map(|backend| run(&settings, &prepared(&settings), model_on(1, backend)));
        for (naive, cpu) in steps.steps.iter().zip(&others.steps) {
            assert!((naive.loss - cpu.loss).abs() < 1e-5, "{method} {extra}: {naive:?} {cpu:?}");
            assert!((naive.grad_norm - cpu.grad_norm).abs() < 1e-5 * cpu.grad_norm.max(1.0), "{naive:?} {cpu:?}");
        }
        for ((_, a), (_, b)) in naive.parameters().iter().zip(cpu.parameters().iter()) {
            let (a_values, b_values) = (naive.backend().read(a.buffer()), cpu.backend().read(b.buffer()));
            let difference = a_values.iter().zip(&*b_values).fold(0.0f32, |most, (x, y)| most.max((x - y).abs()));
            assert!(difference < 1e-5, "{method} {extra}, {}: {difference}", a.name);
        }
    }
}
