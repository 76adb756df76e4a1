//! A reference that follows the policy.

use crate::support::{model, prepared, settings};
use crate::training::run;
use groma_align::{Method, Settings};
use serde_json::{Value, json};

fn losses(method: &str, more: Value) -> Vec<f64> {
    let mut given = json!({"max_steps": 6, "learning_rate": 1e-2, "per_device_train_batch_size": 11,
        "sync_ref_model": true, "lr_scheduler_type": "constant"});
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let settings = settings(method, given);
    run(&settings, &prepared(&settings), model(4)).0.steps.iter().map(|step| step.loss).collect()
}

fn is_at_the_reference(loss: f64) -> bool {
    (loss - std::f64::consts::LN_2).abs() < 1e-5
}

/// Where the policy takes the reference's place, the loss is again what it is where both are one model: of all weights, and of what an
/// adapter makes of them.
#[test]
fn after_a_hard_update_the_policy_is_its_own_reference() {
    for adapter in [json!({}), json!({"lora": {"r": 2}, "learning_rate": 5e-2})] {
        let mut given = json!({"ref_model_mixup_alpha": 1.0, "ref_model_sync_steps": 2});
        given.as_object_mut().unwrap().extend(adapter.as_object().unwrap().clone());
        let found: Vec<bool> = losses("dpo", given).into_iter().map(is_at_the_reference).collect();
        assert_eq!(found, [true, false, true, false, true, false], "{adapter}");
    }
}

/// The more of the policy there is in it, the nearer is the loss to what it is at the reference.
#[test]
fn a_soft_update_goes_part_of_the_way() {
    let after = |alpha: f64, adapter: &Value| {
        let mut given = json!({"ref_model_mixup_alpha": alpha, "ref_model_sync_steps": 3});
        given.as_object_mut().unwrap().extend(adapter.as_object().unwrap().clone());
        losses("dpo", given)
    };
    for adapter in [json!({}), json!({"lora": {"r": 2}, "learning_rate": 5e-2})] {
        let runs = [0.2, 0.6, 0.9].map(|alpha| after(alpha, &adapter));
        assert!(runs.iter().all(|losses| losses[..3] == runs[0][..3]), "nothing moves before: {runs:?}");
        let fourth: Vec<f64> = runs.iter().map(|losses| losses[3]).collect();
        let still = after(0.6, &json!({"ref_model_sync_steps": 100, "learning_rate": 1e-2}))[3];
        assert!(fourth.is_sorted() && fourth[2] < std::f64::consts::LN_2, "{fourth:?}");
        assert!(adapter != json!({}) || still < fourth[0], "{still} {fourth:?}");
    }
}

#[test]
fn every_method_that_has_one_moves_it() {
    let moving = |method: &&&Method| method.all_parameters().any(|parameter| parameter.name == "sync_ref_model");
    let methods: Vec<&&Method> = groma_align::METHODS.iter().filter(moving).collect();
    assert!(methods.len() >= 10, "DPO, KTO, GRPO, RLOO and what is like them");
    for method in methods {
        let own = method.all_parameters().find(|parameter| ["beta", "kl_coef"].contains(&parameter.name)).unwrap();
        let run_of = |more: Value| {
            let mut given = json!({"max_steps": 6, "learning_rate": 1e-2, own.name: 0.3});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let settings = settings(method.id, given);
            let steps = run(&settings, &prepared(&settings), model(4)).0.steps;
            steps.into_iter().map(|step| step.grad_norm).collect::<Vec<_>>()
        };
        let (still, moved) = (
            run_of(json!({})),
            run_of(json!({"sync_ref_model": true, "ref_model_sync_steps": 2, "ref_model_mixup_alpha": 1.0})),
        );
        assert!((still[0] - moved[0]).abs() < 1e-3 * still[0], "{}: {still:?} {moved:?}", method.id);
        assert_ne!(still[5], moved[5], "{}: it has not moved", method.id);
    }
}

/// A teacher that takes the model's place after each step is the model itself; one that never moves in time is where it began; and one
/// that moves is neither. With an adapter as without.
#[test]
fn a_mean_of_the_model_teaches() {
    for adapter in [json!({}), json!({"lora": {"r": 2}})] {
        for (method, own) in [
            (
                "self_distillation",
                json!({"max_completion_length": 4, "teacher_prompt_template": "{privileged_context}{prompt}"}),
            ),
            (
                "sdpo",
                json!({"distillation_weight": 1.0, "distillation_mode": "full_logits", "success_reward_threshold": -20.0}),
            ),
        ] {
            let losses = |kind: Value| {
                let mut given = json!({"max_steps": 4, "learning_rate": 1e-2, "per_device_train_batch_size": 8});
                for more in [&own, &adapter, &kind] {
                    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                }
                let settings = settings(method, given);
                run(&settings, &prepared(&settings), model(4)).0.steps.into_iter().map(|s| s.loss).collect::<Vec<_>>()
            };
            let (base, live) =
                (losses(json!({"teacher_model_kind": "base"})), losses(json!({"teacher_model_kind": "live"})));
            let ema = |more: Value| {
                let mut given = json!({"teacher_model_kind": "ema"});
                given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                losses(given)
            };
            let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * b.abs().max(1e-2));
            let what = format!("{method} {adapter}");
            assert!(near(&ema(json!({"teacher_sync_steps": 9})), &base), "{what}");
            assert!(near(&ema(json!({"teacher_update_rate": 1.0})), &live), "{what}");
            let half = ema(json!({"teacher_update_rate": 0.5}));
            assert!(near(&half[..1], &base[..1]) && !near(&half, &base) && !near(&half, &live), "{what}");
        }
    }
}

#[test]
fn what_would_be_ignored_is_refused() {
    let refused = |method: &str, given: Value| {
        let mut all = json!({"reward_funcs": "length"}).as_object().unwrap().clone();
        if method == "dpo" {
            all.clear();
        }
        all.extend(given.as_object().unwrap().clone());
        Settings::resolve(Method::find(method).unwrap(), &all).unwrap_err().to_string()
    };
    let alone = refused("dpo", json!({"ref_model_mixup_alpha": 0.5}));
    assert!(alone.contains("ref_model_mixup_alpha") && alone.contains("sync_ref_model"), "{alone}");
    let twice = refused("dpo", json!({"sync_ref_model": true, "precompute_ref_log_probs": true}));
    assert!(twice.contains("anew at each step"), "{twice}");
    let unasked = refused("grpo", json!({"sync_ref_model": true}));
    assert!(unasked.contains("nobody asks the reference"), "{unasked}");
}
