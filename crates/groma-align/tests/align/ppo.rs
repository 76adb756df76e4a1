//! PPO as a whole: its critic, in the policy and beside it, its controller, and the limit on costs.

use crate::support::{Letters, fingerprint, limits, model, prepared, rows, settings, spec, voice, weights};
use crate::training::run;
use groma_align::{Filler, History, Observer, Role, Seat, Session, Settings, evaluate, prepare, setup, train};
use groma_data::Shape;
use groma_kernels::Cpu;
use groma_model::{Head, Spec, Transformer};
use groma_run::Digest;
use serde_json::{Value, json};
use std::sync::Arc;

/// Of one pass over what was just sampled: nothing has moved, and a critic of either kind says what it said.
#[test]
fn on_the_policy_that_sampled_nothing_has_moved() {
    for more in [json!({}), json!({"value_model": "critic"}), json!({"lora": {}, "temperature": 1.3})] {
        let mut given = json!({"max_steps": 4, "num_ppo_epochs": 1, "learning_rate": 1e-2, "logging_steps": 1,
            "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "cliprange_value": 1e-30});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let settings = settings("ppo", given);
        let (history, _) = run(&settings, &prepared(&settings), model(1));
        for (step, metrics) in &history.logged {
            let of = |name: &str| metrics[name];
            let moved = [of("policy/approxkl_avg"), of("policy/clipfrac_avg"), of("val/clipfrac_avg")];
            assert_eq!((moved, of("val/ratio")), ([0.0; 3], 1.0), "{more} step {step}");
            assert!(of("loss/policy_avg").abs() < 1e-6, "whitened advantages have no mean: {metrics:?}");
        }
        assert_eq!(history.logged[0].1["objective/kl"], 0.0, "{more}");
    }
}

/// The same of a policy that chooses among what a copy of it finds likely, which is taken anew now and then: sampler and learner see
/// one mask.
#[test]
fn sampler_and_learner_see_one_mask() {
    for more in [
        json!({}),
        json!({"temperature": 1.3, "mask_top_p": 0.5, "mask_update": 1}),
        json!({"mask_top_p": 1.0, "mask_top_k": 2, "mask_update": 2, "lora": {"r": 2}}),
    ] {
        let mut given = json!({"max_steps": 5, "num_ppo_epochs": 1, "learning_rate": 3e-2, "logging_steps": 1,
            "mask_update": 3, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let settings = settings("nlpo", given);
        let (history, _) = run(&settings, &prepared(&settings), model(1));
        for (step, metrics) in &history.logged {
            assert_eq!(metrics["sampling/sampling_logp_difference/max"], 0.0, "{more} step {step}");
            assert!(metrics["policy/entropy_avg"] > 0.0 && metrics["policy/entropy_avg"] < (38f64).ln());
        }
    }
}

/// Who may choose one token alone chooses it, and learns nothing; who may choose all is PPO.
#[test]
fn a_mask_of_one_leaves_nothing_to_learn_and_of_all_leaves_ppo() {
    let given = |more: Value| {
        let mut given = json!({"max_steps": 2, "learning_rate": 1e-2, "logging_steps": 1, "vf_coef": 0.0, "kl_coef": 0.0,
            "per_device_train_batch_size": 4, "max_grad_norm": 1.0});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        given
    };
    let go = |method: &str, more: Value| {
        let settings = settings(method, given(more));
        run(&settings, &prepared(&settings), model(1)).0
    };
    let one = go("nlpo", json!({"mask_top_k": 1}));
    for (step, (_, metrics)) in one.steps.iter().zip(&one.logged) {
        assert_eq!((step.grad_norm, metrics["policy/entropy_avg"]), (0.0, 0.0));
    }
    let (all, ppo) = (go("nlpo", json!({"mask_top_p": 1.0})), go("ppo", json!({})));
    for (a, b) in all.steps.iter().zip(&ppo.steps) {
        assert!(
            (a.loss - b.loss).abs() < 1e-5 && (a.grad_norm - b.grad_norm).abs() < 1e-3 * b.grad_norm,
            "{a:?} {b:?}"
        );
    }
}

/// A reward model with this head on this model's trunk.
fn scorer(seed: u64) -> Transformer {
    let spec = Spec { outputs: vec![Head::SCORE], ..spec() };
    let mut model = Transformer::new(spec.clone(), &weights(&spec, seed), Arc::new(Cpu::new())).unwrap();
    model.parameters_mut().set_trainable(|_| false);
    model.freeze();
    model
}

fn seat<'a>(role: Role, name: &str, model: &'a Transformer) -> Seat<'a> {
    static LETTERS: Letters = Letters { doubled_bos: false, no_end: false, marks: false };
    let digest = Digest::of_bytes(fingerprint(model).as_bytes());
    Seat { role, name: name.into(), digest, filler: Filler::Weights(model, &LETTERS) }
}

fn with_seats(settings: &Settings, seats: Vec<Seat<'_>>) -> (History, Transformer) {
    let (rows, mut history) = (prepared(settings), History::default());
    let mut model = setup(model(2), settings).unwrap();
    let observers: Vec<&mut dyn Observer> = vec![&mut history];
    train(&mut model, Session { seats, voice: Some(voice()), observers, ..Session::new(settings, &rows) }).unwrap();
    (history, model)
}

#[test]
fn a_critic_learns_what_is_to_be_expected_wherever_it_is() {
    let (language_model, reward_model) = (model(7), scorer(7));
    let before = fingerprint(&reward_model);
    for critic in [None, Some(&language_model), Some(&reward_model)] {
        let mut given = json!({"max_steps": 120, "learning_rate": 5e-3, "per_device_train_batch_size": 11,
            "logging_steps": 4, "kl_coef": 0.0, "vf_coef": 1.0, "cliprange_value": 10.0, "lam": 1.0, "length_target": 7});
        if critic.is_some() {
            given["value_model"] = json!("critic");
        }
        let settings = settings("ppo", given);
        let seats = critic.map(|critic| seat(Role::Critic, "critic", critic)).into_iter().collect();
        let (history, policy) = with_seats(&settings, seats);
        let error = |rows: &[(u64, std::collections::BTreeMap<String, f64>)]| {
            rows.iter().map(|(_, metrics)| metrics["loss/value_avg"]).sum::<f64>() / rows.len() as f64
        };
        let (first, last) = (error(&history.logged[..4]), error(&history.logged[26..]));
        println!("critic of its own: {}; error {first:.4} -> {last:.4}", critic.is_some());
        assert!(last < 0.7 * first, "{first} {last}");
        assert_eq!(
            policy.spec().head("value").is_none(),
            critic.is_some(),
            "the policy has a head where nobody else is"
        );
    }
    assert_eq!(fingerprint(&reward_model), before, "whoever sits there lends its weights, and keeps them");
}

#[test]
fn a_critic_of_its_own_knows_the_policys_tokens() {
    let spec = Spec { vocab_size: 39, ..spec() };
    let other = Transformer::new(spec.clone(), &weights(&spec, 1), Arc::new(Cpu::new())).unwrap();
    let settings = settings("ppo", json!({"max_steps": 1, "value_model": "critic", "per_device_train_batch_size": 4}));
    let rows = prepared(&settings);
    let seats = vec![seat(Role::Critic, "critic", &other)];
    let session = Session { seats, voice: Some(voice()), ..Session::new(&settings, &rows) };
    let error = train(&mut setup(model(1), &settings).unwrap(), session).unwrap_err().to_string();
    assert!(error.contains("critic") && error.contains("does not know them all"), "{error}");
}

/// Mean of a metric over the last ten logs.
fn at_the_end(history: &History, metric: &str) -> f64 {
    let last = &history.logged[history.logged.len() - 10..];
    last.iter().map(|(_, metrics)| metrics[metric]).sum::<f64>() / last.len() as f64
}

fn constrained(more: Value) -> History {
    // Long answers are wanted, and the letters a to m cost: short ones, or others, must do.
    let mut given = json!({"max_steps": 400, "learning_rate": 3e-3, "per_device_train_batch_size": 11, "logging_steps": 4,
        "kl_coef": 0.0, "lr_scheduler_type": "constant", "length_target": 8, "temperature": 1.0});
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let settings = settings("ppo", given);
    run(&settings, &prepared(&settings), model(2)).0
}

#[test]
fn costs_fall_below_their_limit_and_rise_without_one() {
    let overlong = json!({"cost_funcs": "overlong", "overlong_cache": 6, "cost_weights": [-1.0]});
    let mut limited = overlong.clone();
    limited
        .as_object_mut()
        .unwrap()
        .extend(json!({"cost_limit": 0.2, "lambda_init": 0.0, "lambda_lr": 0.3}).as_object().unwrap().clone());
    let mut free = overlong;
    free.as_object_mut().unwrap().extend(json!({"lambda_init": 0.0, "lambda_lr": 0.0}).as_object().unwrap().clone());
    let (free, limited) = (constrained(free), constrained(limited));
    let (unbound, bound) = (at_the_end(&free, "cost"), at_the_end(&limited, "cost"));
    let (long, short) = (at_the_end(&free, "reward"), at_the_end(&limited, "reward"));
    println!("cost {unbound:.3} without a limit, {bound:.3} under 0.2; worth {long:.3} and {short:.3}");
    assert!(unbound > 0.4 && bound < 0.25, "{unbound} {bound}");
    assert!(short < long, "what is forgone: {long} {short}");
    assert!(limited.logged.iter().any(|(_, metrics)| metrics["lambda"] > 0.5));
    assert!(limited.logged[0].1["costs/overlong/mean"] <= 0.0 && limited.logged[0].1["costs/overlong/unscored"] == 0.0);
}

#[test]
fn a_cost_model_has_a_seat() {
    let costly = scorer(5);
    let settings = settings(
        "ppo",
        json!({"max_steps": 40, "per_device_train_batch_size": 4, "cost_model": ["harm"], "cost_weights": [0.5],
            "logging_steps": 4, "learning_rate": 1e-3}),
    );
    let (history, _) = with_seats(&settings, vec![seat(Role::Cost, "harm", &costly)]);
    for (_, metrics) in &history.logged {
        assert!((metrics["cost"] - 0.5 * metrics["costs/harm/mean"]).abs() < 1e-9, "{metrics:?}");
    }
}

/// What rows have as completions stays likelier where it is learned beside (PPO-ptx).
#[test]
fn demonstrations_are_kept_where_they_count() {
    let of = |more: Value| {
        let mut given =
            json!({"max_steps": 60, "learning_rate": 3e-3, "per_device_train_batch_size": 4, "kl_coef": 0.0});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let settings = settings("ppo", given);
        let rows = prepare(&settings, &rows(Shape::PromptCompletion), &Letters::default(), limits()).unwrap();
        let (history, policy) = run(&settings, &rows, model(2));
        let sft = crate::support::settings("sft", json!({"max_steps": 1}));
        let given =
            prepare(&sft, &crate::support::rows(Shape::PromptCompletion), &Letters::default(), limits()).unwrap();
        (evaluate(&policy, &sft, &given).unwrap()["eval_loss"], history)
    };
    let ((without, plain), (with, beside)) = (of(json!({})), of(json!({"ptx_coef": 1.0})));
    println!("nats a token: {without:.3} without, {with:.3} with");
    assert!(with < without - 0.2, "{without} {with}");
    let last = |history: &History| history.logged.last().unwrap().1.clone();
    assert!(last(&beside).contains_key("loss/ptx_avg") && !last(&plain).contains_key("loss/ptx_avg"));
}

/// The weight of the distance rises while the policy is further away than it should be.
#[test]
fn the_controller_moves_towards_its_target() {
    let weights = |target: f64| -> Vec<f64> {
        let given = json!({"max_steps": 40, "learning_rate": 3e-3, "per_device_train_batch_size": 11, "logging_steps": 4,
            "kl_coef": 0.1, "kl_controller": "adaptive", "target": target, "horizon": 100.0});
        let settings = settings("ppo", given);
        let (history, _) = run(&settings, &prepared(&settings), model(2));
        history.logged.iter().map(|(_, metrics)| metrics["objective/kl_coef"]).collect()
    };
    let (near, far) = (weights(1e-3), weights(1e3));
    assert!(near[0] == 0.1 && near[9] > 0.11, "{near:?}");
    assert!(far.windows(2).all(|pair| pair[1] < pair[0]), "{far:?}");
}

#[test]
fn what_cannot_be_is_refused() {
    let resolve = |given: Value| {
        let mut all = json!({"reward_funcs": ["length"]});
        all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        Settings::resolve(groma_align::Method::find("ppo").unwrap(), all.as_object().unwrap()).unwrap_err().to_string()
    };
    assert!(resolve(json!({"num_generations": 4})).contains("num_generations"));
    assert!(resolve(json!({"target": 6.0})).contains("kl_controller adaptive alone"));
    assert!(resolve(json!({"kl_coef": 0.0, "kl_controller": "adaptive"})).contains("kl_coef"));
    assert!(resolve(json!({"kl_coef": 0.0, "ref_model": "other"})).contains("kl_coef is above 0 alone"));
    assert!(resolve(json!({"lambda_lr": 0.1})).contains("cost_funcs"));
    assert!(resolve(json!({"value_model": "http://localhost:1#critic"})).contains("server"));
}
