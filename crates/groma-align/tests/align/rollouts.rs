//! Methods that sample: sampler and learner agree to the bit, rewards are heard, and only rewards.

use crate::support::{Letters, fingerprint, limits, model, prepared, rows, settings, spec, voice, weights};
use crate::training::run;
use groma_align::{Collected, Filler, History, Observer, Role, Seat, Session, prepare, setup, train};
use groma_data::{Row, Shape};
use groma_kernels::{Cpu, Precision};
use groma_lm::{Ask, Choice, Continuation, Failure, Finish, Kind, LanguageModel, Reply, Scored, Scripted, Sink};
use groma_model::Transformer;
use groma_run::{Cancel, Class, Classify};
use serde_json::{Value, json};
use std::sync::Arc;

/// Each step learns from what its own weights sampled, so the ratio of learner to sampler is 1 in every logged step.
#[test]
fn the_learner_says_of_samples_what_the_sampler_said_to_the_bit() {
    for precision in [Precision::F32, Precision::Bf16] {
        for given in [
            json!({}),
            json!({"temperature": 0.7}),
            json!({"temperature": 1.3, "top_k": 5}),
            json!({"lora": {"r": 4}, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}),
        ] {
            let mut all = json!({"max_steps": 4, "logging_steps": 1, "learning_rate": 1e-2, "beta": 0.0});
            all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
            let settings = settings("grpo", all);
            let backend = Arc::new(Cpu::new().with_precision(precision));
            let model = Transformer::new(spec(), &weights(&spec(), 1), backend).unwrap();
            let (history, _) = run(&settings, &prepared(&settings), model);
            for (step, metrics) in &history.logged {
                let what = format!("{precision:?} {given} step {step}");
                assert_eq!(metrics["sampling/sampling_logp_difference/max"], 0.0, "{what}");
                assert_eq!(metrics["sampling/importance_sampling_ratio/mean"], 1.0, "{what}");
            }
        }
    }
}

/// A fresh adapter changes nothing: policy and reference are one, whatever the temperature of sampling.
#[test]
fn the_reference_is_asked_at_the_temperature_of_sampling() {
    for (method, extra) in [("rloo", json!({})), ("rloo", json!({"lora": {}})), ("grpo", json!({"lora": {}}))] {
        let mut given = json!({"max_steps": 1, "logging_steps": 1, "temperature": 0.6, "beta": 0.1});
        given.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let settings = settings(method, given);
        let (history, _) = run(&settings, &prepared(&settings), model(1));
        assert_eq!(history.logged[0].1["kl"], 0.0, "{method} {extra}");
    }
}

/// Where the time went is told of what was sampled, and is no metric: clocks differ where bits do not.
#[test]
fn time_is_told_beside_the_metrics() {
    for (method, samples) in [("grpo", true), ("dpo", false)] {
        let settings = settings(method, json!({"max_steps": 2, "logging_steps": 1}));
        let rows = prepared(&settings);
        let mut model = setup(model(1), &settings).unwrap();
        let mut history = History::default();
        let session = Session { voice: Some(voice()), observers: vec![&mut history], ..Session::new(&settings, &rows) };
        let spent = train(&mut model, session).unwrap().spent;
        assert!(!spent.learning.is_zero());
        assert_eq!([spent.sampling.is_zero(), spent.rewards.is_zero(), spent.words().is_none()], [!samples; 3]);
        assert!(history.logged.iter().all(|(_, metrics)| metrics.keys().all(|name| !name.starts_with("time"))));
    }
}

/// Mean rewards of the first and of the last steps.
fn rewards(method: &str, given: Value) -> (f64, f64) {
    let mut all = json!({"max_steps": 40, "logging_steps": 1, "learning_rate": 3e-3, "per_device_train_batch_size": 40,
        "lr_scheduler_type": "constant"});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let settings = settings(method, all);
    let (history, _) = run(&settings, &prepared(&settings), model(2));
    let mean = |rows: &[(u64, std::collections::BTreeMap<String, f64>)]| {
        rows.iter().map(|(_, metrics)| metrics["reward"]).sum::<f64>() / rows.len() as f64
    };
    (mean(&history.logged[..8]), mean(&history.logged[32..]))
}

/// The same with rewards exchanged at random: whatever moves then was not learned from them. Noise alone lets a policy walk, and as
/// nearly all completions are of the worst length at first, a walk can only raise the reward: over 24 seeds by 0.17 (standard error
/// 0.03) in the mean for REINFORCE and by 0.09 (0.05) for REINFORCE++, by up to 1.22 in one, and where lengths can move both ways, by
/// -0.001 and -0.004. So the middle of the seeds counts.
#[test]
fn rewards_rise_and_shuffled_ones_do_not() {
    let ppo = json!({"max_steps": 160, "logging_steps": 4, "per_device_train_batch_size": 11});
    let many = json!({"max_steps": 80, "logging_steps": 2});
    for (method, more) in [
        ("rloo", json!({})),
        ("reinforce", many.clone()),
        ("remax", many.clone()),
        ("reinforce_plus_plus", many),
        ("grpo", json!({})),
        ("ppo", ppo),
    ] {
        let (before, after) = rewards(method, more.clone());
        let mut null: Vec<f64> = (1..=4)
            .map(|seed| {
                let mut given = json!({"shuffle_rewards": true, "seed": seed});
                given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                let (before, after) = rewards(method, given);
                after - before
            })
            .collect();
        println!("{method}: {before:.3} -> {after:.3}; shuffled {null:.3?}");
        null.sort_by(f64::total_cmp);
        let middle = 0.5 * (null[1] + null[2]);
        assert!(after - before > 0.5 && middle.abs() < 0.25 * (after - before), "{method}: {before} {after} {null:?}");
    }
}

#[test]
fn samples_are_a_function_of_weights_prompt_and_seed() {
    let fingerprints: Vec<_> = [1, 2, 3]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let settings = settings("rloo", json!({"max_steps": 3, "learning_rate": 1e-2, "num_generations": 2}));
            pool.install(|| fingerprint(&run(&settings, &prepared(&settings), model(8)).1))
        })
        .collect();
    assert!(fingerprints.iter().all(|other| *other == fingerprints[0]));
}

/// Asks to stop while samples are at hand that nothing has been learned from.
struct Stopper {
    step: u64,
    cancel: Cancel,
    seen: Vec<u64>,
}

impl Observer for Stopper {
    fn collected(&mut self, report: &Collected<'_>) {
        assert!(report.tokens > 0 && report.groups.iter().all(|group| group.members.len() == 4));
        self.seen.push(report.step);
        if report.step == self.step {
            self.cancel.request();
        }
    }
}

#[test]
fn a_run_stopped_between_its_halves_ends_with_the_same_bits() {
    let settings = settings(
        "grpo",
        json!({"max_steps": 6, "learning_rate": 1e-2, "per_device_train_batch_size": 4, "num_iterations": 2}),
    );
    let rows = prepared(&settings);
    let (_, whole) = run(&settings, &rows, model(1));
    for step in [1, 3, 5] {
        let directory = tempfile::tempdir().unwrap();
        let go = |step: u64| {
            let cancel = Cancel::default();
            let mut stopper = Stopper { step, cancel: cancel.clone(), seen: Vec::new() };
            let mut model = setup(model(1), &settings).unwrap();
            let session = Session {
                directory: Some(directory.path().into()),
                resume: true,
                voice: Some(voice()),
                cancel,
                observers: vec![&mut stopper],
                ..Session::new(&settings, &rows)
            };
            let result = train(&mut model, session);
            (result, stopper.seen, model)
        };
        let (stopped, seen, _) = go(step);
        assert_eq!(stopped.unwrap_err().class(), Class::Interrupted);
        assert_eq!(seen.last(), Some(&step));
        let (_, seen, model) = go(0);
        assert!(seen.iter().all(|collected| *collected > step), "what was sampled is not sampled again: {seen:?}");
        assert_eq!(fingerprint(&model), fingerprint(&whole), "stopped in step {step}");
    }
}

#[test]
fn what_cannot_be_sampled_or_rewarded_is_refused_before_anything_is_done() {
    let settings = settings("rloo", json!({"max_steps": 1}));
    let rows = prepared(&settings);
    let mut mute = setup(model(1), &settings).unwrap();
    let error = train(&mut mute, Session::new(&settings, &rows)).unwrap_err();
    assert!(error.to_string().contains("tokenizer"), "{error}");
    let resolve = |given: Value| {
        let method = groma_align::Method::find("rloo").unwrap();
        groma_align::Settings::resolve(method, given.as_object().unwrap()).unwrap_err().to_string()
    };
    assert!(resolve(json!({})).contains("reward_funcs"));
    assert!(resolve(json!({"reward_funcs": ["length"], "num_generations": 3})).contains("must divide"));
    assert!(resolve(json!({"reward_funcs": ["length"], "reward_weights": [1.0, 2.0]})).contains("2 weights for 1"));
}

/// Counts groups whose completions are all worth the same.
#[derive(Default)]
struct Equals {
    groups: usize,
    equal: usize,
}

impl Observer for Equals {
    fn collected(&mut self, report: &Collected<'_>) {
        for group in report.groups {
            self.groups += 1;
            self.equal += usize::from(group.members.windows(2).all(|pair| pair[0].reward == pair[1].reward));
        }
    }
}

/// Of prompts whose completions are all worth the same nothing can be learned: further ones take their place.
#[test]
fn prompts_that_say_nothing_are_replaced() {
    let equals = |dynamic: bool| {
        let settings = settings(
            "grpo",
            json!({"max_steps": 4, "num_generations": 2, "per_device_train_batch_size": 16, "dynamic_sampling": dynamic}),
        );
        let (rows, mut seen, mut history) = (prepared(&settings), Equals::default(), History::default());
        let mut model = setup(model(2), &settings).unwrap();
        let observers: Vec<&mut dyn Observer> = vec![&mut seen, &mut history];
        train(&mut model, Session { voice: Some(voice()), observers, ..Session::new(&settings, &rows) }).unwrap();
        (seen, history)
    };
    let ((plain, _), (dynamic, history)) = (equals(false), equals(true));
    println!("equal: {} of {}, then {} of {}", plain.equal, plain.groups, dynamic.equal, dynamic.groups);
    assert!(plain.groups == 32 && plain.equal > 4 && dynamic.groups == 32 && dynamic.equal < plain.equal / 2);
    let last = &history.logged.last().unwrap().1;
    assert!(last["dynamic_sampling/replaced"] > 0.0 && last["dynamic_sampling/rounds"] <= 10.0);
}

/// A judge that rates by the length of the answer that it is shown, and fails as it is told.
fn judge(fails: impl Fn(&str) -> Option<Failure> + Sync + 'static) -> Scripted {
    let reply = move |ask: &Ask| {
        let asked = ask.prompt.plain();
        let (_, after) = asked.split_once("<answer>\n").unwrap();
        let (answer, _) = after.split_once("\n</answer>").unwrap();
        let text = format!("It is short or not.\n[[{}]]", 10 - answer.len().min(9));
        match fails(answer) {
            Some(Failure::Unreadable { reason }) => Ok(reason),
            Some(failure) => Err(failure),
            None => Ok(text),
        }
        .map(|text| Reply {
            choices: vec![Choice { text, ids: Vec::new(), logps: Vec::new(), finish: Finish::Stop }],
            ..Reply::default()
        })
    };
    Scripted::new(reply, |_| Err(Failure::NothingToScore))
}

fn judged(judge: &dyn LanguageModel, given: Value) -> Result<History, groma_align::Error> {
    judged_on(&rows(Shape::PromptOnly), judge, given)
}

fn judged_on(rows: &[Row], judge: &dyn LanguageModel, given: Value) -> Result<History, groma_align::Error> {
    let method = groma_align::Method::find("rloo").unwrap();
    let mut all = json!({"boundary": "diverge", "max_completion_length": 8, "num_generations": 4,
        "reward_funcs": ["judge"], "judge_model": "judge", "logging_steps": 1});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let settings = groma_align::Settings::resolve(method, all.as_object().unwrap()).unwrap();
    let rows = prepare(&settings, rows, &Letters::default(), limits()).unwrap();
    let mut history = History::default();
    let mut model = setup(model(2), &settings).unwrap();
    let digest = groma_run::Digest::of_bytes(b"judge");
    let seat = Seat { role: Role::Judge, name: "judge".into(), digest, filler: Filler::Asked(judge) };
    let observers: Vec<&mut dyn Observer> = vec![&mut history];
    let session = Session { seats: vec![seat], voice: Some(voice()), observers, ..Session::new(&settings, &rows) };
    train(&mut model, session)?;
    Ok(history)
}

#[test]
fn what_a_judge_says_is_learned_and_what_it_does_not_say_is_counted() {
    let given = json!({"max_steps": 30, "learning_rate": 3e-3, "per_device_train_batch_size": 40,
        "lr_scheduler_type": "constant"});
    let history = judged(&judge(|_| None), given).unwrap();
    let reward = |step: usize| history.logged[step].1["rewards/judge/mean"];
    assert!(reward(29) > reward(0) + 1.0, "{} {}", reward(0), reward(29));
    // Of answers that begin with these letters nothing is known, and no rating is made up.
    let fails = |answer: &str| match answer.chars().next() {
        Some('a'..='h') => Some(Failure::Unavailable { reason: "down".into() }),
        Some('i'..='m') => Some(Failure::Unreadable { reason: "I would rather not.".into() }),
        _ => None,
    };
    let history = judged(&judge(fails), json!({"max_steps": 4, "per_device_train_batch_size": 40})).unwrap();
    for (_, metrics) in &history.logged {
        let unscored = metrics["rewards/judge/unscored"];
        assert!(unscored > 4.0 && unscored < 36.0, "{unscored}");
        assert!(metrics["rewards/judge/mean"] >= 1.0 && metrics["reward"] >= 1.0, "{metrics:?}");
    }
}

/// A judge who is somewhere else.
struct Elsewhere(Scripted);

impl LanguageModel for Elsewhere {
    fn generate_each(&self, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        self.0.generate_each(asks, cancel, sink);
    }

    fn score_each(&self, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>) {
        self.0.score_each(wanted, cancel, sink);
    }

    fn mode(&self, kind: Kind) -> String {
        self.0.mode(kind)
    }

    fn is_elsewhere(&self) -> bool {
        true
    }
}

/// A judge who is asked while sampling goes on says what he would have said behind it, and stops the run as he would have.
#[test]
fn a_judge_elsewhere_is_asked_meanwhile_and_changes_nothing() {
    let given = json!({"max_steps": 3, "per_device_train_batch_size": 40});
    let fails = |answer: &str| answer.starts_with('a').then(|| Failure::Unavailable { reason: "down".into() });
    let of = |judge: &dyn LanguageModel| judged(judge, given.clone()).unwrap();
    let (behind, meanwhile) = (of(&judge(fails)), of(&Elsewhere(judge(fails))));
    assert_eq!(meanwhile.logged, behind.logged);
    let refused = Elsewhere(judge(|_| Some(Failure::Refused { reason: "no credit".into() })));
    let error = judged(&refused, json!({"max_steps": 2})).unwrap_err().to_string();
    assert!(error.contains("judge") && error.contains("no credit"), "{error}");
}

#[test]
fn a_judge_that_answers_nothing_stops_the_run() {
    let refused = judge(|_| Some(Failure::Refused { reason: "no credit".into() }));
    let error = judged(&refused, json!({"max_steps": 2})).unwrap_err().to_string();
    assert!(error.contains("judge") && error.contains("no credit"), "{error}");
    let stopped = judge(|_| Some(Failure::Interrupted));
    assert_eq!(judged(&stopped, json!({"max_steps": 2})).unwrap_err().class(), Class::Interrupted);
}

/// A masked completion has no share in the loss, and nothing of it is learned.
#[test]
fn completions_that_were_cut_off_can_be_left_out() {
    let given = json!({"max_steps": 2, "learning_rate": 1e-2, "logging_steps": 1, "max_completion_length": 1,
        "mask_truncated_completions": true, "length_target": 1});
    let settings = settings("grpo", given);
    let mut history = History::default();
    let mut model = setup(model(3), &settings).unwrap();
    let rows = prepared(&settings);
    let session = Session { voice: Some(voice()), observers: vec![&mut history], ..Session::new(&settings, &rows) };
    train(&mut model, session).unwrap();
    assert!(history.steps.iter().all(|step| step.loss == 0.0 && step.grad_norm == 0.0), "{:?}", history.steps);
}

/// A model that cannot be trained answers well where the hint holds a letter; the policy learns to say it, and without it the
/// reward is none.
#[test]
fn a_policy_learns_the_hint_that_makes_a_frozen_model_answer() {
    let reply = |ask: &Ask| {
        let (question, hint) = ask.prompt.plain().split_once(" / ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(question.ends_with('?') || question.ends_with('.'));
        let text = if hint.contains('q') { "It is Here." } else { "I do not know." }.to_owned();
        Ok(Reply {
            choices: vec![Choice { text, ids: Vec::new(), logps: Vec::new(), finish: Finish::Stop }],
            ..Reply::default()
        })
    };
    let frozen = Scripted::new(reply, |_| Err(Failure::NothingToScore));
    let given = json!({"reward_funcs": ["stimulus"], "stimulus_template": "{prompt} / {hint}", "stimulus_pattern": "(?i)here",
        "max_steps": 40, "learning_rate": 1e-2, "per_device_train_batch_size": 40, "lr_scheduler_type": "constant"});
    let history = judged(&frozen, given).unwrap();
    let reward = |step: usize| history.logged[step].1["rewards/stimulus/mean"];
    println!("{} {}", reward(0), reward(39));
    assert!(reward(0) < 0.5 && reward(39) > 0.95, "{} {}", reward(0), reward(39));
}

/// An editor that cannot be trained repairs an answer where the critique holds a letter, and makes it worse else: the critic comes to say
/// that letter, by any similarity.
#[test]
fn a_critic_learns_what_makes_a_frozen_editor_repair_an_answer() {
    let reply = |ask: &Ask| {
        let asked = ask.prompt.plain();
        let (_, critique) = asked.rsplit_once(" / ").unwrap();
        let text = if critique.contains('q') { "a red apple" } else { "hm" }.to_owned();
        Ok(Reply {
            choices: vec![Choice { text, ids: Vec::new(), logps: Vec::new(), finish: Finish::Stop }],
            ..Reply::default()
        })
    };
    let editor = Scripted::new(reply, |_| Err(Failure::NothingToScore));
    for similarity in ["rouge", "exact"] {
        let given = json!({"reward_funcs": ["refined"], "refined_template": "{prompt} / {critique}", "refined_similarity": similarity,
            "refined_reference": "reference", "max_steps": 40, "learning_rate": 1e-2, "per_device_train_batch_size": 40,
            "lr_scheduler_type": "constant"});
        let mut rows = rows(Shape::PromptOnly);
        rows.iter_mut().for_each(|row| drop(row.other.insert("reference".into(), json!("a red apple"))));
        let history = judged_on(&rows, &editor, given).unwrap();
        let reward = |step: usize| history.logged[step].1["rewards/refined/mean"];
        println!("{similarity} {} {}", reward(0), reward(39));
        assert!(reward(0) < 0.5 && reward(39) > 0.95, "{similarity} {} {}", reward(0), reward(39));
    }
}
