//! Configs: unknown keys, wrong values, combinations that would be ignored.

use groma_align::{Error, Kind, METHODS, Method, Settings};
use groma_run::{Class, Classify};
use serde_json::{Value, json};

fn resolve(method: &str, given: Value) -> Result<Settings, Error> {
    Settings::resolve(Method::find(method).unwrap(), given.as_object().unwrap())
}

fn problem(method: &str, given: Value) -> String {
    let error = resolve(method, given.clone()).expect_err(&given.to_string());
    assert_eq!(error.class(), Class::Usage);
    error.to_string()
}

#[test]
fn defaults_are_those_of_trl() {
    let dpo = resolve("dpo", json!({})).unwrap();
    let training = &dpo.training;
    assert_eq!((training.learning_rate, training.num_train_epochs, training.logging_steps), (1e-6, 3.0, 10));
    assert_eq!((training.per_device_train_batch_size, training.gradient_accumulation_steps, training.seed), (8, 1, 42));
    assert_eq!((training.adam_beta1, training.adam_beta2, training.adam_epsilon), (0.9, 0.999, 1e-8));
    assert_eq!((training.weight_decay, training.max_grad_norm, training.max_length), (0.0, 1.0, Some(1024)));
    assert_eq!((dpo.values["beta"].clone(), dpo.values["loss_type"].clone()), (json!(0.1), json!(["sigmoid"])));
    assert!(training.lora.is_none() && !dpo.values.contains_key("lora"));
    assert_eq!(resolve("sft", json!({})).unwrap().training.learning_rate, 2e-5);
    assert_eq!(resolve("reward", json!({})).unwrap().training.learning_rate, 1e-4);
}

#[test]
fn unknown_keys_are_errors_with_a_suggestion() {
    assert!(problem("dpo", json!({"leraning_rate": 1e-5})).contains("did you mean `learning_rate`?"));
    assert!(problem("dpo", json!({"lora": {"rank": 4}})).contains("no setting `lora.rank`"));
    assert!(problem("sft", json!({"beta": 0.1})).contains("no setting `beta`"));
    assert!(problem("dpo", json!({"loss_type": "sigmiod"})).contains("did you mean sigmoid?"));
    assert!(problem("dpo", json!({"use_wieghting": true})).contains("did you mean `use_weighting`?"));
    assert!(problem("sft", json!({"loss_type": "dtf"})).contains("did you mean dft?"));
}

#[test]
fn values_that_cannot_be_are_errors() {
    for (method, given) in [
        ("dpo", json!({"beta": 0.0})),
        ("dpo", json!({"beta": "0.1"})),
        ("dpo", json!({"beta": null})),
        ("dpo", json!({"label_smoothing": 0.5})),
        ("dpo", json!({"learning_rate": -1e-6})),
        ("dpo", json!({"per_device_train_batch_size": 0})),
        ("dpo", json!({"per_device_train_batch_size": 1.5})),
        ("dpo", json!({"max_steps": 0})),
        ("dpo", json!({"ld_alpha": 1.5})),
        ("dpo", json!({"loss_type": []})),
        ("dpo", json!({"loss_type": ["sigmoid", "ipo"], "loss_weights": [1.0]})),
        ("dpo", json!({"lora": {"dropout": 1.0}})),
        ("dpo", json!({"lora": 8})),
        ("dpo", json!({"warmup_steps": 3, "warmup_ratio": 0.1})),
        ("sft", json!({"packing": true, "max_length": null})),
        ("sft", json!({"lr_scheduler_type": "polynomial"})),
        ("reward", json!({"center_rewards_coefficient": -0.1})),
    ] {
        problem(method, given);
    }
}

#[test]
fn what_would_be_ignored_is_refused() {
    for given in [
        json!({"loss_type": "hinge", "label_smoothing": 0.1}),
        json!({"loss_type": "exo_pair"}),
        json!({"loss_type": "sigmoid", "discopop_tau": 0.1}),
        json!({"loss_type": "nca_pair", "f_divergence_type": "forward_kl"}),
        json!({"f_alpha_divergence_coef": 0.3}),
        json!({"precompute_ref_log_probs": false}),
        json!({"use_weighting": true, "loss_type": "aot"}),
        json!({"use_weighting": true, "loss_type": ["sigmoid", "sft"]}),
    ] {
        problem("dpo", given);
    }
    for given in [
        json!({"loss_type": "sigmoid", "label_smoothing": 0.1}),
        json!({"loss_type": ["exo_pair", "sft"], "label_smoothing": 1e-3, "loss_weights": [1.0, 0.5]}),
        json!({"loss_type": "discopop", "discopop_tau": 0.1}),
        json!({"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.3}),
        json!({"precompute_ref_log_probs": false, "lora": {}}),
        json!({"lora": {"target_modules": ["q_proj", "v_proj"]}}),
    ] {
        resolve("dpo", given).unwrap();
    }
}

#[test]
fn every_method_and_parameter_is_described_and_its_default_is_valid() {
    for method in METHODS {
        assert!(!method.paper.is_empty() && !method.doc.is_empty() && !method.data.is_empty());
        let parameters: Vec<_> = method.all_parameters().collect();
        for parameter in &parameters {
            let value: Value = serde_json::from_str(parameter.default).unwrap();
            assert_eq!(parameter.problem(&value), None, "{} {}", method.id, parameter.name);
            assert!(parameter.doc.ends_with('.') && !parameter.kind.describe().is_empty());
            assert!(
                matches!(parameter.kind, Kind::Float | Kind::Integer | Kind::IntegerOrNull | Kind::Floats)
                    || parameter.range.is_none()
            );
        }
        let mut names: Vec<_> = parameters.iter().map(|parameter| parameter.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(std::ptr::eq(Method::find(method.names[0]).unwrap(), *method));
    }
    assert!(Method::find("alignment").is_none());
}

#[test]
fn digests_follow_what_is_computed_and_nothing_else() {
    let digest = |given| resolve("dpo", given).unwrap().digest().unwrap();
    assert_eq!(digest(json!({})), digest(json!({"beta": 0.1, "logging_steps": 3, "save_steps": 7})));
    assert_ne!(digest(json!({})), digest(json!({"beta": 0.2})));
    assert_ne!(digest(json!({})), digest(json!({"lora": {}})));
}

/// What the help says of null is so.
#[test]
fn documented_nulls_are_accepted() {
    for method in METHODS {
        for parameter in method.all_parameters().filter(|parameter| parameter.doc.contains("null")) {
            assert_eq!(parameter.problem(&Value::Null), None, "{} {}", method.id, parameter.name);
        }
    }
    let settings = resolve("sft", json!({"max_length": null})).unwrap();
    assert_eq!(settings.training.max_length, None);
}
