//! Reward models of rankings, labels, costs and steps; several in place of one.

use crate::support::{
    Letters, beside, fingerprint, limits, model, place, prepared, rows, settings, spec, text, voice, weights,
};
use crate::training::run;
use groma_align::{
    Group, History, LengthStatistics, Member, Prepared, Sequence, Session, Settings, evaluate, prepare, setup, train,
};
use groma_data::{Answer, Row, Shape};
use groma_kernels::Cpu;
use groma_model::rewards::{Stepped, doubted_rewards, rewards, step_rewards};
use groma_model::{Checkpoint, Head, Spec, Transformer, View};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

fn prepared_of(settings: &Settings, rows: &[Row]) -> Prepared {
    prepare(settings, rows, &Letters::default(), limits()).unwrap()
}

fn trained(settings: &Settings, rows: &Prepared) -> Transformer {
    run(settings, rows, model(5)).1
}

#[test]
fn rankings_are_learned_by_either_loss_and_turn_round_when_exchanged() {
    for loss in ["pairs", "plackett_luce"] {
        let settings = settings("reward", json!({"ranking_loss": loss, "num_train_epochs": 40, "learning_rate": 5e-3}));
        let rows = prepared_of(&settings, &rows(Shape::Ranked));
        let trained = trained(&settings, &rows);
        let mut exchanged = rows.clone();
        exchanged.groups.iter_mut().flat_map(|group| &mut group.members).for_each(|member| {
            member.score = member.score.map(|score| -score);
        });
        let found = |rows: &Prepared| evaluate(&trained, &settings, rows).unwrap();
        let (plain, turned) = (found(&rows), found(&exchanged));
        assert!(plain["eval_accuracy"] > 0.9, "{loss}: {plain:?}");
        assert!((plain["eval_accuracy"] + turned["eval_accuracy"] - 1.0).abs() < 1e-12);
        assert!((plain["eval_margin"] + turned["eval_margin"]).abs() < 1e-9);
    }
}

#[test]
fn wanted_answers_are_above_nought() {
    let settings = settings("reward", json!({"num_train_epochs": 12, "learning_rate": 5e-3}));
    let rows = prepared_of(&settings, &rows(Shape::Labelled));
    let found = evaluate(&trained(&settings, &rows), &settings, &rows).unwrap();
    assert!(found["eval_accuracy"] > 0.9 && found["eval_min_reward"] < 0.0, "{found:?}");
    assert!(!found.contains_key("eval_margin"));
}

/// A cost model's labels say on which side of nought a cost lies, its pairs which is higher.
#[test]
fn costs_have_signs_and_an_order() {
    let labelled = |(index, row): (usize, Row)| {
        // The chosen one, that of higher cost, is always harmful; of every third pair both are.
        let labels = [Some(true), Some(index % 3 == 0)];
        let answers = row.answers.into_iter().zip(labels).map(|(answer, label)| Answer { label, ..answer });
        Row { answers: answers.collect(), ..row }
    };
    let pairs: Vec<Row> = rows(Shape::Preference).into_iter().enumerate().map(labelled).collect();
    let settings = settings("reward", json!({"num_train_epochs": 20, "learning_rate": 5e-3}));
    let prepared = prepared_of(&settings, &pairs);
    let trained = trained(&settings, &prepared);
    let found = evaluate(&trained, &settings, &prepared).unwrap();
    assert!(found["eval_accuracy"] > 0.9, "{found:?}");
    let single = |label: bool| {
        let of = |row: &Row| {
            let answers = row.answers.iter().filter(|answer| answer.label == Some(label)).cloned();
            let row = |answer| Row { shape: Shape::Labelled, answers: vec![answer], ..row.clone() };
            answers.map(row).collect::<Vec<_>>()
        };
        prepared_of(&settings, &pairs.iter().flat_map(of).collect::<Vec<_>>())
    };
    for label in [true, false] {
        let signs = evaluate(&trained, &settings, &single(label)).unwrap();
        assert!(signs["eval_accuracy"] > 0.9, "{label}: {signs:?}");
    }
}

/// Answers in steps of letters, of which those with a `z` are wrong.
fn steps(count: u64, wrong: impl Fn(u64, u64) -> bool) -> Vec<Row> {
    let letters = "abcdefghijklmnopqr";
    let step = |row: u64, step: u64| {
        let bad = wrong(row, step);
        let at = ((row * 7 + step * 3) % letters.len() as u64) as usize;
        let content = text(&format!("{}{}", &letters[at..=at], if bad { "z" } else { "y" }));
        Answer { label: Some(!bad), ..Answer::new(content) }
    };
    let row = |row: u64| Row {
        shape: Shape::Stepwise,
        prompt: Some(text("so")),
        answers: (0..4).map(|index| step(row, index)).collect(),
        location: place(row + 1),
        ..Row::default()
    };
    (0..count).map(row).collect()
}

#[test]
fn steps_end_where_their_separator_does() {
    let rows = steps(1, |_, step| step == 2);
    for (given, ends) in [(json!({"step_separator": "y"}), [5, 7, 10, 12]), (json!({}), [6, 9, 12, 15])] {
        let settings = settings("process_reward", given);
        let prepared = prepared_of(&settings, &rows);
        let member = &prepared.groups[0].members[0];
        let expected: Vec<(usize, bool)> = ends.into_iter().zip([true, true, false, true]).collect();
        // BOS, the prompt's two letters, then two letters a step; the right ones end with `y`.
        assert_eq!(member.steps, expected);
        assert_eq!(member.sequence.ids.len(), ends[3] + 1);
    }
}

/// Planted errors are found in the steps in which they are, in rows that were held out; an outcome reward model, which hears of
/// the last step alone, cannot tell one step from another. With adapters, as exported and loaded again, the numbers are the same.
#[test]
fn a_process_reward_model_finds_the_wrong_step() {
    let wrong = |row: u64, step: u64| step == row % 5;
    let (train_rows, held_out) = (steps(40, wrong), steps(60, wrong)[40..].to_vec());
    let given = |last: bool| {
        let given = json!({"num_train_epochs": 15, "learning_rate": 1e-2, "train_on_last_step_only": last});
        settings("process_reward", given)
    };
    let accuracy = |last: bool| {
        let trained = trained(&given(last), &prepared_of(&given(last), &train_rows));
        evaluate(&trained, &given(false), &prepared_of(&given(false), &held_out)).unwrap()
    };
    let (process, outcome) = (accuracy(false), accuracy(true));
    assert!(process["eval_accuracy"] > 0.95, "{process:?}");
    assert!(process["eval_reward/right"] > 0.9 && process["eval_reward/wrong"] < 0.1, "{process:?}");
    assert!(outcome["eval_accuracy"] < process["eval_accuracy"], "{outcome:?}");
}

/// Losses, gradients and probabilities of transformers, see `scripts/make_process_reward_fixture.py`.
#[test]
fn a_process_reward_model_is_that_of_transformers() {
    let fixture: Value = serde_json::from_str(include_str!("../../fixtures/process_reward/cases.json")).unwrap();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/process_reward/model");
    let checkpoint = Checkpoint::open(&directory).unwrap();
    let opened =
        || Transformer::new(checkpoint.spec().clone(), &checkpoint.weights().unwrap(), Arc::new(Cpu::new())).unwrap();
    let row = |row: &Value| {
        let ids: Vec<u32> = serde_json::from_value(row["ids"].clone()).unwrap();
        let prompt = row["prompt"].as_u64().unwrap() as usize;
        let steps = serde_json::from_value(row["steps"].clone()).unwrap();
        let member = Member { steps, ..Member::new(Sequence::completion(&ids[..prompt], &ids[prompt..])) };
        Group { members: vec![member], ..Group::default() }
    };
    let groups: Vec<Group> = fixture["rows"].as_array().unwrap().iter().map(row).collect();
    let (lengths, digest) = (LengthStatistics::of(&groups), groma_align::group::digest(&groups));
    let prepared = Prepared { groups, findings: Vec::new(), lengths, digest };
    for case in fixture["cases"].as_array().unwrap() {
        let given =
            json!({"train_on_last_step_only": case["last_only"], "max_steps": 1, "per_device_train_batch_size": 3});
        let settings = settings("process_reward", given);
        let (mut model, mut history) = (setup(opened(), &settings).unwrap(), History::default());
        train(&mut model, Session { observers: vec![&mut history], ..Session::new(&settings, &prepared) }).unwrap();
        let (step, loss, norm) =
            (history.steps[0], case["loss"].as_f64().unwrap(), case["grad_norm"].as_f64().unwrap());
        assert!((step.loss - loss).abs() < 1e-5 && (step.grad_norm - norm).abs() < 1e-4 * norm, "{case}: {step:?}");
    }
    let model = opened();
    let ends: Vec<Vec<usize>> =
        prepared.groups.iter().map(|group| group.members[0].steps.iter().map(|step| step.0).collect()).collect();
    let texts = prepared.groups.iter().zip(&ends);
    let texts: Vec<Stepped<'_>> =
        texts.map(|(group, ends)| Stepped { ids: &group.members[0].sequence.ids, ends }).collect();
    let found = step_rewards(&model, &texts, View::plain(), &mut |_| true).unwrap();
    let expected: Vec<Vec<f32>> = serde_json::from_value(fixture["right"].clone()).unwrap();
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

fn scorer(seed: u64) -> Transformer {
    let spec = Spec { outputs: vec![Head::SCORE], ..spec() };
    Transformer::new(spec.clone(), &weights(&spec, seed), Arc::new(Cpu::new())).unwrap()
}

/// Trains by RLOO under reward models of these seeds, each under its own name.
fn under(rewarding: &[&Transformer], given: Value) -> (History, Transformer) {
    asked(rewarding, given).unwrap()
}

fn asked(rewarding: &[&Transformer], given: Value) -> Result<(History, Transformer), groma_align::Error> {
    let names: Vec<String> = (0..rewarding.len()).map(|index| format!("reward-{index}")).collect();
    let mut all = json!({"reward_model": names, "reward_funcs": null, "max_steps": 3, "learning_rate": 1e-2});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let settings = {
        let mut values = all.as_object().unwrap().clone();
        values.extend(
            json!({"boundary": "diverge", "max_completion_length": 8, "num_generations": 4})
                .as_object()
                .unwrap()
                .clone(),
        );
        values.remove("reward_funcs");
        Settings::resolve(groma_align::Method::find("rloo").unwrap(), &values).unwrap()
    };
    let rows = prepared(&settings);
    let mut policy = setup(model(1), &settings).unwrap();
    let mut history = History::default();
    let mut seats = beside(&settings, rewarding[0]);
    for (seat, model) in seats.iter_mut().zip(rewarding) {
        let other = beside(&settings, model).remove(0);
        (seat.digest, seat.filler) = (other.digest, other.filler);
    }
    let session =
        Session { seats, voice: Some(voice()), observers: vec![&mut history], ..Session::new(&settings, &rows) };
    train(&mut policy, session)?;
    Ok((history, policy))
}

/// Models that agree are as one; of those that do not, the worst case is below the mean, and doubt lies between or below.
#[test]
fn ensembles_of_reward_models() {
    let (a, b) = (scorer(7), scorer(8));
    // Of one trunk, the mean of weights is the mean of rewards.
    let other_head = {
        let mut mixed = a.weights();
        mixed.extend(b.weights().into_iter().filter(|(name, _)| name.starts_with("score")));
        Transformer::new(a.spec().clone(), &mixed, Arc::new(Cpu::new())).unwrap()
    };
    let first = |models: &[&Transformer], ensemble: &str| {
        let given = json!({"reward_ensemble": ensemble, "max_steps": 1, "logging_steps": 1});
        under(models, given).0.logged[0].1["reward"]
    };
    let (averaged, mean) = (first(&[&a, &other_head], "warm"), first(&[&a, &other_head], "mean"));
    assert!((averaged - mean).abs() < 1e-5, "{averaged} {mean}");
    assert!((first(&[&a, &a], "warm") - first(&[&a, &a], "min")).abs() < 1e-6);
    let one = under(&[&a], json!({}));
    for ensemble in ["mean", "min", "uwo"] {
        let (history, trained) = under(&[&a, &a], json!({"reward_ensemble": ensemble, "logging_steps": 1}));
        assert_eq!(fingerprint(&trained), fingerprint(&one.1), "{ensemble}");
        assert!(history.logged[0].1.contains_key("rewards/reward-1/mean"));
    }
    let reward = |given: Value| under(&[&a, &b], given).0.logged[0].1["reward"];
    let given = |ensemble: &str| json!({"reward_ensemble": ensemble, "max_steps": 1, "logging_steps": 1});
    let (sum, mean, least, doubt) =
        (reward(given("sum")), reward(given("mean")), reward(given("min")), reward(given("uwo")));
    assert!((sum - 2.0 * mean).abs() < 1e-9 && least < mean && doubt < mean, "{sum} {mean} {least} {doubt}");
}

/// A process reward model rewards completions, too.
#[test]
fn a_process_reward_model_rewards_completions() {
    let given = settings("process_reward", json!({"num_train_epochs": 5, "learning_rate": 1e-2}));
    let judge = trained(&given, &prepared_of(&given, &steps(20, |row, step| step == row % 5)));
    let logged = under(&[&judge], json!({"logging_steps": 1, "step_reward": "min"})).0.logged;
    assert!(logged.iter().all(|(_, metrics)| (0.0..=1.0).contains(&metrics["reward"])));
}

/// Several of them, each with its weight at its own granularity: what completions are worth is the same.
#[test]
fn reward_models_are_placed_each_as_finely_as_it_can_be() {
    let given = settings("process_reward", json!({"num_train_epochs": 2, "learning_rate": 1e-2}));
    let steps = trained(&given, &prepared_of(&given, &steps(20, |row, step| step == row % 5)));
    let whole = scorer(7);
    let reward = |granularity: Value| {
        let given = json!({"reward_weights": [2.0, 0.5], "step_reward": "sum", "reward_granularity": granularity,
            "max_steps": 1, "logging_steps": 1});
        asked(&[&steps, &whole], given).map(|(history, _)| history.logged[0].1["reward"])
    };
    let plain = reward(json!("completion")).unwrap();
    for granularity in [json!(["span", "completion"]), json!(["span", "sentence"]), json!("sentence")] {
        let placed = reward(granularity.clone()).unwrap();
        assert!((placed - plain).abs() < 1e-6, "{granularity}: {placed} {plain}");
    }
    let error = reward(json!("span")).unwrap_err().to_string();
    assert!(error.contains("reward-1") && error.contains("scores wholes"), "{error}");
}

/// What is kept changes nothing of the score; doubt is smallest near what was compared, costs what pessimism says, and does not outlast
/// the training that it is of.
#[test]
fn doubt_lies_beside_the_score_and_costs_what_pessimism_says() {
    for adapter in [false, true] {
        let of = |own: Value| {
            let mut given = json!({"num_train_epochs": 4, "learning_rate": 5e-3});
            given.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
            if adapter {
                given["lora"] = json!({"r": 4});
            }
            settings("reward", given)
        };
        let (plain, kept) = (of(json!({})), of(json!({"keep_covariance": true, "covariance_ridge": 0.1})));
        let prepared = prepared_of(&plain, &rows(Shape::Preference));
        let (without, with) = (trained(&plain, &prepared), trained(&kept, &prepared));
        let texts: Vec<&[u32]> =
            prepared.groups.iter().flat_map(|group| &group.members).map(|member| &member.sequence.ids[..]).collect();
        let scores = rewards(&without, &texts, View::plain(), &mut |_| true).unwrap();
        let doubted = doubted_rewards(&with, &texts, View::plain(), &mut |_| true).unwrap();
        assert_eq!(doubted.iter().map(|(values, _)| values.clone()).collect::<Vec<_>>(), scores, "adapter {adapter}");
        let seen = doubted.iter().map(|(_, doubt)| doubt).sum::<f32>() / doubted.len() as f32;
        let alien = doubted_rewards(&with, &[&[28; 12][..]], View::plain(), &mut |_| true).unwrap()[0].1;
        println!("adapter {adapter}: {seen} {alien}");
        assert!(seen > 0.0 && alien > seen, "adapter {adapter}: {seen} {alien}");
        let mean = |pessimism: f64| {
            let (history, _) = under(&[&with], json!({"pessimism": pessimism, "max_steps": 1, "logging_steps": 1}));
            history.logged[0].1["rewards/reward-0/mean"]
        };
        let [none, half, whole] = [0.0, 0.5, 1.0].map(mean);
        assert!(half < none && (none - whole - 2.0 * (none - half)).abs() < 1e-4, "{none} {half} {whole}");
        let error = asked(&[&without], json!({"pessimism": 0.5})).err().unwrap().to_string();
        assert!(error.contains("keep_covariance"), "{error}");
        if !adapter {
            let again = setup(with, &plain).unwrap();
            assert_eq!(again.spec().outputs, [Head::SCORE], "of rows that it learns from now nothing is known");
        }
    }
    let refused = |mut given: Value| {
        given["reward_model"] = json!(["a", "b"]);
        let method = groma_align::Method::find("rloo").unwrap();
        Settings::resolve(method, given.as_object().unwrap()).unwrap_err().to_string()
    };
    assert!(refused(json!({"pessimism": 0.5, "reward_ensemble": "warm"})).contains("makes one of all"));
    assert!(refused(json!({"pessimism": -0.5})).contains("pessimism"));
}
