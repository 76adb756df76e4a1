//! The loop: batches and micro-batches, metrics, packing, threads, what is not finite.

use crate::support::{beside, fingerprint, model, prepared, settings, voice, weights};
use groma_align::{
    Error, Every, History, METHODS, Prepared, SAMPLED_METRICS, SHARED_METRICS, Session, Settings, evaluate, setup,
    train,
};
use groma_model::Transformer;
use groma_run::{Class, Classify};
use serde_json::json;
use std::collections::BTreeSet;

pub(crate) fn run(settings: &Settings, prepared: &Prepared, model: Transformer) -> (History, Transformer) {
    let mut history = History::default();
    let other = crate::support::model_on(99, model.backend().clone());
    let mut model = setup(model, settings).unwrap();
    let (seats, voice) = (beside(settings, &other), Some(voice()));
    let session = Session { seats, voice, observers: vec![&mut history], ..Session::new(settings, prepared) };
    train(&mut model, session).unwrap();
    (history, model)
}

/// A reward model goes on from the head that it has: the loss before the first step is what it had at the end.
#[test]
fn a_reward_model_is_trained_on_from() {
    for adapter in [json!({}), json!({"lora": {"r": 2}})] {
        let given = |more: serde_json::Value| {
            let mut given = adapter.clone();
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            settings("reward", given)
        };
        let first = given(json!({"max_steps": 6, "learning_rate": 1e-2}));
        let rows = prepared(&first);
        let (_, trained) = run(&first, &rows, model(3));
        let reached = evaluate(&trained, &first, &rows).unwrap()["eval_loss"];
        let second = given(json!({"max_steps": 1, "per_device_train_batch_size": rows.groups.len()}));
        let (history, _) = run(&second, &rows, trained);
        assert!((history.steps[0].loss - reached).abs() < 1e-5, "{} for {reached}", history.steps[0].loss);
        assert!((reached - std::f64::consts::LN_2).abs() > 1e-3, "it has learned");
    }
}

fn largest_difference(a: &Transformer, b: &Transformer) -> f32 {
    let values = |model: &Transformer| -> Vec<f32> {
        let buffers = model.parameters().iter().map(|(_, parameter)| parameter.buffer());
        buffers.flat_map(|buffer| model.backend().download(buffer)).collect()
    };
    values(a).iter().zip(values(b)).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn how_a_batch_is_cut_into_micro_batches_does_not_matter() {
    // Without AdamW's division by tiny moments, weights could be compared more closely; the losses and norms can be.
    for (method, extra) in [
        ("sft", json!({})),
        ("sft", json!({"loss_type": "dft"})),
        ("sft", json!({"fcm_max_ratio": 0.4})),
        ("dpo", json!({"use_weighting": true})),
        ("reward", json!({"center_rewards_coefficient": 0.1})),
        ("process_reward", json!({})),
        ("dpo", json!({})),
        ("dpo", json!({"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.3]})),
        ("dpo", json!({"loss_type": "aot"})),
        ("dpo", json!({"loss_type": "aot_unpaired", "ld_alpha": 0.5})),
        ("kto", json!({})),
        ("rloo", json!({})),
        ("reinforce", json!({"baseline": "batch_mean"})),
        ("remax", json!({})),
        ("reinforce_plus_plus", json!({})),
        ("reinforce_plus_plus", json!({"baseline": "group", "num_generations": 2})),
        ("grpo", json!({})),
        ("grpo", json!({"loss_type": "grpo", "beta": 0.1, "importance_sampling_level": "sequence"})),
        ("grpo", json!({"loss_type": "sapo", "top_entropy_quantile": 0.3, "entropy_coef": 0.01, "beta": 0.1})),
        ("grpo", json!({"dynamic_sampling": true, "num_generations": 2})),
        ("gmpo", json!({"beta": 0.1})),
        ("sdpo", json!({})),
        ("sdpo", json!({"distillation_mode": "full_logits", "distillation_alpha": 0.5, "num_iterations": 2})),
        (
            "rloo",
            json!({"reward_funcs": ["regex", "length"], "regex_pattern": "[a-e]", "reward_granularity": ["span", "completion"]}),
        ),
        ("ppo", json!({"num_ppo_epochs": 2})),
        ("ppo", json!({"num_ppo_epochs": 2, "value_model": "critic", "kl_estimator": "k3", "whiten_rewards": true})),
        ("nlpo", json!({"num_ppo_epochs": 2, "mask_update": 2, "mask_top_p": 0.7})),
        ("online_dpo", json!({"loss_type": "ipo", "num_generations": 2})),
        ("xpo", json!({"alpha": 0.1, "preference": "bradley_terry"})),
        ("nash_md", json!({})),
        ("a2po", json!({"beta2": 0.1})),
        ("raft", json!({"num_generations": 2, "reward_thresholds": [-2.0, -1.0]})),
        ("quark", json!({"pool_size": 12, "quantile_tags": ["b", "a"]})),
        ("f_dpg", json!({"num_generations": 2})),
        ("a_lol", json!({})),
        ("a_lol", json!({"a_lol_variant": "kl"})),
        ("ilql", json!({"beta": 0.5, "alpha": 0.3, "steps_for_target_q_sync": 2})),
        ("ppo", json!({"normalize_rewards": true, "reward_clip": 1.5})),
        ("distillation", json!({})),
        ("gold", json!({"uld_crossentropy_weight": 0.3})),
        ("iw_opd", json!({})),
        ("cpo", json!({})),
        ("cpo", json!({"loss_type": "simpo", "cpo_alpha": 0.5})),
        ("orpo", json!({})),
        ("rrhf", json!({"rrhf_weight": 2.0})),
        ("pro", json!({})),
        ("pro", json!({"loss_type": "plackett_luce", "sft_weight": 0.1})),
        ("stable_alignment", json!({"rating_margin": 0.5})),
        ("unlikelihood", json!({"unlikelihood_alpha": 0.5})),
        ("cringe", json!({"ct_loss_weight": 0.5})),
        ("kto", json!({"loss_type": "bco"})),
        ("cpo", json!({"loss_type": "simpo", "alpha": 0.25})),
        ("listwise_dpo", json!({})),
        ("slic", json!({"loss_type": "list"})),
        ("slic", json!({"slic_regularizer": "kl"})),
        ("cringe", json!({"num_pos_predictions": 3})),
        ("beta_dpo", json!({})),
        ("tdpo", json!({"loss_type": "tdpo1"})),
        ("tdpo", json!({})),
        ("tpo", json!({"loss_type": "tpo-l", "tpo_alpha": 0.3})),
    ] {
        // A pair of completions is not torn apart.
        let pairs = matches!(method, "online_dpo" | "xpo" | "nash_md");
        let runs: Vec<_> = [(8, 1), (4, 2), if pairs { (2, 4) } else { (1, 8) }]
            .into_iter()
            .map(|(batch, accumulation)| {
                let mut given = extra.as_object().unwrap().clone();
                given.insert("per_device_train_batch_size".into(), batch.into());
                given.insert("gradient_accumulation_steps".into(), accumulation.into());
                given.insert("max_steps".into(), 4.into());
                given.insert("learning_rate".into(), 1e-3.into());
                let settings = settings(method, given.into());
                run(&settings, &prepared(&settings), model(1))
            })
            .collect();
        for (history, other) in &runs[1..] {
            for (a, b) in history.steps.iter().zip(&runs[0].0.steps) {
                assert!((a.loss - b.loss).abs() <= 1e-5 * b.loss.abs().max(1.0), "{method} {extra}: {a:?} {b:?}");
                assert!((a.grad_norm - b.grad_norm).abs() <= 1e-3 * b.grad_norm.max(1e-3), "{method}: {a:?} {b:?}");
                assert_eq!((a.num_tokens, a.epoch), (b.num_tokens, b.epoch));
            }
            assert!(largest_difference(other, &runs[0].1) < 2e-4, "{method} {extra}");
        }
    }
}

#[test]
fn every_method_learns_and_logs_its_metrics() {
    for method in METHODS {
        // Who samples one completion of each prompt learns from fewer.
        let alone = method.samples() && method.all_parameters().all(|parameter| parameter.name != "num_generations");
        let epochs = if alone { 48 } else { 12 };
        let settings = settings(
            method.id,
            json!({"num_train_epochs": epochs, "learning_rate": 5e-3, "logging_steps": 4, "per_device_train_batch_size": 4}),
        );
        let (history, _) = run(&settings, &prepared(&settings), model(2));
        let (first, last) = (&history.logged[0].1, &history.logged.last().unwrap().1);
        // A loss that is weighed by what was sampled says nothing of how near the end is.
        let (name, sign) = match method.samples() {
            true => ("reward", -1.0),
            false => (if first.contains_key("divergence") { "divergence" } else { "loss" }, 1.0),
        };
        let (before, after) = (sign * first[name], sign * last[name]);
        assert!(after < before - 0.2 * before.abs(), "{}: {before} {after}", method.id);
        let named = |metric: &&str| {
            ["helpful", "long"].map(|attribute| metric.replace("{name}", "length").replace("{attribute}", attribute))
        };
        let sampled = SAMPLED_METRICS.iter().filter(|_| method.samples());
        // Of completions that were all cut off, none ended.
        let ended = last.get("completions/clipped_ratio") != Some(&1.0);
        let expected: BTreeSet<String> = SHARED_METRICS
            .iter()
            .chain(method.metrics.iter().copied().flatten())
            .chain(sampled)
            .filter(|metric| ended || **metric != "completions/mean_terminated_length")
            .flat_map(named)
            .collect();
        // What watches say, and the distance to a reference, have tests of their own.
        let found = last.keys().filter(|name| !name.starts_with("watch/") && *name != "sampling/kl");
        let found: BTreeSet<String> = found.cloned().collect();
        assert_eq!(found, expected, "{}", method.id);
        assert_eq!(history.steps.last().unwrap().epoch, f64::from(epochs));
    }
}

#[test]
fn every_kind_of_preference_loss_trains() {
    for kind in groma_align::losses::KINDS {
        let settings = settings(
            "dpo",
            if kind.id == "exo_pair" {
                json!({"loss_type": kind.id, "label_smoothing": 1e-2, "max_steps": 25, "learning_rate": 2e-3})
            } else {
                json!({"loss_type": kind.id, "max_steps": 25, "learning_rate": 2e-3})
            },
        );
        let (history, _) = run(&settings, &prepared(&settings), model(3));
        let (first, last) = (history.steps[0].loss, history.steps[24].loss);
        // APO-down wants both down; all others widen the margin at once.
        assert!(last < first, "{}: {first} {last}", kind.id);
    }
}

#[test]
fn dynamic_fine_tuning_and_chunked_cross_entropy() {
    let given = |kind: &str| settings("sft", json!({"loss_type": kind, "max_steps": 12, "learning_rate": 5e-3}));
    let train = |kind: &str| run(&given(kind), &prepared(&given(kind)), model(2));
    let ((plain, _), (chunked, _), (dynamic, trained)) = (train("nll"), train("chunked_nll"), train("dft"));
    assert_eq!(plain.steps, chunked.steps);
    assert!(dynamic.steps[0].loss < plain.steps[0].loss, "no probability is above 1");
    let nll = |model: &Transformer| evaluate(model, &given("nll"), &prepared(&given("nll"))).unwrap()["eval_loss"];
    assert!(nll(&trained) < nll(&model(2)), "it learns");
}

/// Noise on embeddings moves the loss in training, the more the stronger it is, and not where it is measured.
/// What is forgotten changes training, and nothing that is measured.
#[test]
fn tokens_are_forgotten_in_training_alone() {
    let of = |most: f64| {
        let settings = settings("sft", json!({"max_steps": 2, "learning_rate": 1e-2, "fcm_max_ratio": most}));
        let (rows, start) = (prepared(&settings), setup(model(1), &settings).unwrap());
        let measured = evaluate(&start, &settings, &rows).unwrap();
        (measured, run(&settings, &rows, model(1)).0.steps[0].loss)
    };
    let (plain, forgetful) = (of(0.0), of(0.6));
    assert_eq!(plain.0, forgetful.0);
    assert!((plain.1 - forgetful.1).abs() > 1e-4, "{} {}", plain.1, forgetful.1);
}

#[test]
fn noise_on_embeddings_is_for_training_alone() {
    let given = |alpha: serde_json::Value| {
        settings(
            "sft",
            json!({"neftune_noise_alpha": alpha, "max_steps": 8, "learning_rate": 5e-3, "logging_steps": 1}),
        )
    };
    let train = |alpha: f64| {
        let (history, trained) = run(&given(json!(alpha)), &prepared(&given(json!(alpha))), model(2));
        let reached = evaluate(&trained, &given(json!(alpha)), &prepared(&given(json!(alpha)))).unwrap()["eval_loss"];
        (history.steps[0].loss, reached)
    };
    let plain = run(&given(json!(null)), &prepared(&given(json!(null))), model(2)).0.steps[0].loss;
    let untrained = |alpha| evaluate(&model(2), &given(alpha), &prepared(&given(json!(null)))).unwrap()["eval_loss"];
    let [tiny, usual, strong] = [1e-4, 5.0, 200.0].map(train);
    assert!((tiny.0 - plain).abs() < 1e-4 && tiny.0 != plain, "{tiny:?} {plain}");
    assert!((usual.0 - plain).abs() > 1e-3 && (strong.0 - plain).abs() > (usual.0 - plain).abs());
    assert!(usual.1 < untrained(json!(null)) - 0.1, "it learns: {usual:?}");
    assert_eq!(untrained(json!(5.0)), untrained(json!(null)));
}

#[test]
fn pairs_that_the_policy_would_not_write_count_less() {
    let given = |weigh: bool| {
        let given =
            json!({"use_weighting": weigh, "max_steps": 2, "learning_rate": 1e-3, "loss_type": ["sigmoid", "ipo"]});
        settings("dpo", given)
    };
    let train = |weigh: bool| run(&given(weigh), &prepared(&given(weigh)), model(4)).0.steps;
    let (plain, weighed) = (train(false), train(true));
    // An untrained model finds its own tokens about as likely as any others, so the weights are below 1 and not tiny.
    assert!(weighed[0].loss < plain[0].loss && weighed[0].loss > 0.01 * plain[0].loss, "{weighed:?} {plain:?}");
    assert!(weighed[0].grad_norm < plain[0].grad_norm);
}

#[test]
fn the_first_step_of_dpo_is_at_the_reference() {
    let settings = settings(
        "dpo",
        json!({"max_steps": 2, "logging_steps": 1, "learning_rate": 1e-2, "per_device_train_batch_size": 11}),
    );
    let (history, _) = run(&settings, &prepared(&settings), model(4));
    assert!((history.steps[0].loss - std::f64::consts::LN_2).abs() < 1e-6);
    let metrics = &history.logged[0].1;
    assert_eq!((metrics["rewards/accuracies"], metrics["rewards/margins"]), (0.0, 0.0));
    assert!(metrics["logps/chosen"] < 0.0 && metrics["entropy"] > 0.0);
    assert!(history.logged[1].1["rewards/accuracies"] > 0.5);
}

#[test]
fn swapping_every_pair_turns_accuracy_round() {
    let settings = settings("reward", json!({"num_train_epochs": 8, "learning_rate": 5e-3}));
    let rows = prepared(&settings);
    let (_, trained) = run(&settings, &rows, model(5));
    let swap = |group: &groma_align::Group| {
        let mut group = group.clone();
        group.members.reverse();
        group
    };
    let swapped = Prepared { groups: rows.groups.iter().map(swap).collect(), ..rows.clone() };
    let plain = evaluate(&trained, &settings, &rows).unwrap();
    let turned = evaluate(&trained, &settings, &swapped).unwrap();
    assert!(plain["eval_accuracy"] > 0.9);
    assert!((plain["eval_accuracy"] + turned["eval_accuracy"] - 1.0).abs() < 1e-12);
    assert!((plain["eval_margin"] + turned["eval_margin"]).abs() < 1e-9);
    assert_eq!(plain["eval_min_reward"], turned["eval_min_reward"]);
}

#[test]
fn packing_changes_what_is_computed_together_and_nothing_else() {
    // One step over all rows: packed and unpacked see the same tokens.
    let given = json!({"max_steps": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "train_sampling_strategy": "sequential"});
    let plain = settings("sft", given.clone());
    let mut packed = given.as_object().unwrap().clone();
    packed.insert("packing".into(), true.into());
    packed.insert("max_length".into(), 64.into());
    let packed = settings("sft", packed.into());
    let (a, _) = run(&plain, &prepared(&plain), model(6));
    let (b, _) = run(&packed, &prepared(&packed), model(6));
    assert!(
        (a.steps[0].loss - b.steps[0].loss).abs() < 1e-6 && (a.steps[0].grad_norm - b.steps[0].grad_norm).abs() < 1e-4
    );
    assert_eq!(a.steps[0].num_tokens, b.steps[0].num_tokens);
}

#[test]
fn held_out_rows_are_evaluated_under_their_prefix() {
    let settings = settings("dpo", json!({"max_steps": 4, "eval_steps": 2, "learning_rate": 1e-3}));
    let rows = prepared(&settings);
    let mut history = History::default();
    let mut model = setup(model(7), &settings).unwrap();
    let session = Session { evaluation: Some(&rows), observers: vec![&mut history], ..Session::new(&settings, &rows) };
    let outcome = train(&mut model, session).unwrap();
    assert_eq!(history.evaluated.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [2, 4]);
    assert!(history.evaluated[1].1["eval_loss"] < std::f64::consts::LN_2);
    assert_eq!(outcome.evaluation.as_ref(), Some(&history.evaluated[1].1));
    assert!(outcome.evaluation.unwrap().contains_key("eval_rewards/accuracies"));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let settings = settings("dpo", json!({"max_steps": 3, "learning_rate": 1e-3, "lora": {"dropout": 0.2}}));
    let fingerprints: Vec<_> = [1, 2, 3]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fingerprint(&run(&settings, &prepared(&settings), model(8)).1))
        })
        .collect();
    assert_eq!(fingerprints[0], fingerprints[1]);
    assert_eq!(fingerprints[0], fingerprints[2]);
}

#[test]
fn an_observer_reads_the_model_at_every_tenth_step_and_can_stop_the_run() {
    let settings = settings("dpo", json!({"max_steps": 25}));
    let rows = prepared(&settings);
    let mut seen = Vec::new();
    let mut watch = Every {
        steps: 10,
        call: |report: &groma_align::StepReport, model: &Transformer| {
            seen.push((report.step, model.parameters().count()));
            if report.step == 20 { Err("seen enough".into()) } else { Ok(()) }
        },
    };
    let mut model = setup(model(9), &settings).unwrap();
    let error =
        train(&mut model, Session { observers: vec![&mut watch], ..Session::new(&settings, &rows) }).unwrap_err();
    assert!(matches!(error, Error::Observer { step: 20, .. }), "{error}");
    assert_eq!(seen.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [10, 20]);
}

#[test]
fn nan_stops_before_the_step_and_keeps_the_last_good_state() {
    let settings = settings(
        "sft",
        json!({"max_steps": 6, "learning_rate": 1e-3, "per_device_train_batch_size": 4, "save_steps": 100}),
    );
    let rows = prepared(&settings);
    let directory = tempfile::tempdir().unwrap();
    // Without decay or clipping a learning rate beyond all measure makes weights overflow.
    let hot = crate::support::settings(
        "sft",
        json!({"max_steps": 60, "learning_rate": 1e38, "per_device_train_batch_size": 4}),
    );
    let mut model = setup(model(10), &hot).unwrap();
    let session = Session { directory: Some(directory.path().into()), ..Session::new(&hot, &rows) };
    let error = train(&mut model, session).unwrap_err();
    assert_eq!(error.class(), Class::NonFinite);
    let Error::NonFinite { step, rows: named, kept: Some(kept), .. } = &error else { panic!("{error}") };
    assert!(*step >= 2 && named.len() == 4 && named[0].starts_with("rows.jsonl:"), "{error}");
    assert!(kept.ends_with(format!("step-{:08}", step - 1)));
    assert!(error.to_string().contains("last good state") && error.hint().is_some());
    drop(settings);
}

#[test]
fn nan_weights_stop_before_anything_is_done() {
    let settings = settings("dpo", json!({"max_steps": 1}));
    let rows = prepared(&settings);
    let spec = crate::support::spec();
    let mut weights = weights(&spec, 1);
    weights.get_mut("norm_final.weight").unwrap().values[0] = f32::NAN;
    let model = Transformer::new(spec, &weights, std::sync::Arc::new(groma_kernels::Cpu::new())).unwrap();
    let error = train(&mut setup(model, &settings).unwrap(), Session::new(&settings, &rows)).unwrap_err();
    assert_eq!(error.class(), Class::NonFinite);
}
