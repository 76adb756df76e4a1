//! Preparation: tokens and masks, and each finding of the pre-flight check.

use crate::support::{
    BOS, EOS, Letters, completion, conversation, limits, model, place, preference, preferences, prepared, settings,
    text,
};
use groma_align::{Error, History, Limits, Prepared, Session, losses, prepare, setup, train};
use groma_data::{Content, Message, Row};
use groma_run::{Class, Classify, Severity};
use serde_json::json;

fn pairs(rows: &[Row], given: serde_json::Value) -> Result<Prepared, Error> {
    let settings = settings("dpo", given);
    prepare(&settings, rows, &Letters::default(), limits())
}

/// Count, severity and places of a check.
fn finding(prepared: &Prepared, check: &str) -> (u64, Severity, Vec<String>) {
    let finding = prepared.findings.iter().find(|finding| finding.check == check);
    let finding = finding.unwrap_or_else(|| panic!("no {check} among {:?}", prepared.findings));
    (finding.count, finding.severity, finding.places.clone())
}

fn stopped(result: Result<Prepared, Error>, check: &str) {
    match result {
        Err(error @ Error::Preflight { .. }) => {
            assert_eq!(error.class(), Class::Usage);
            assert!(error.to_string().contains(check) && error.hint().is_some(), "{error}");
        }
        other => panic!("{check}: {other:?}"),
    }
}

#[test]
fn a_pair_is_prompt_and_completions_with_eos() {
    let prepared = pairs(&[preference(7, "ab", " c", " de")], json!({"boundary": "error"})).unwrap();
    let group = &prepared.groups[0];
    assert_eq!(group.members[0].sequence.ids, [BOS, 3, 4, 30, 5, EOS]);
    assert_eq!(group.members[0].sequence.supervised, [false, false, false, true, true, true]);
    assert_eq!(group.members[1].sequence.ids, [BOS, 3, 4, 30, 6, 7, EOS]);
    assert_eq!((group.place.as_str(), group.tree_rows()), ("rows.jsonl:7", 9));
    assert!(prepared.findings.is_empty(), "{:?}", prepared.findings);
    assert_eq!((prepared.lengths.prompt.max, prepared.lengths.rejected.max, prepared.lengths.total.max), (3, 4, 7));
}

#[test]
fn merges_across_the_boundary_stop_diverge_or_are_encoded_apart() {
    let rows = [preference(1, "so s", "top", "tay"), preference(2, "a", " b", " c")];
    stopped(pairs(&rows, json!({"boundary": "error"})), "boundary-merge");
    let diverged = pairs(&rows, json!({"boundary": "diverge"})).unwrap();
    assert_eq!(finding(&diverged, "boundary-merge"), (1, Severity::Warning, vec!["rows.jsonl:1".into()]));
    assert_eq!(diverged.groups[0].members[0].sequence.ids, [BOS, 21, 17, 30, 39, 17, 18, EOS]);
    assert_eq!(diverged.groups[0].members[0].sequence.scored_count(), 4);
    let apart = pairs(&rows, json!({"boundary": "separate"})).unwrap();
    assert_eq!(apart.groups[0].members[0].sequence.ids, [BOS, 21, 17, 30, 21, 22, 17, 18, EOS]);
    assert!(apart.findings.is_empty());
}

#[test]
fn identical_contradictory_and_equalised_pairs_are_named() {
    let rows = [
        preference(1, "a", " b", " b"),
        preference(2, "a", " b", " c"),
        preference(3, "a", " c", " b"),
        preference(4, "a", " long way down", " long way up"),
    ];
    let prepared = pairs(&rows, json!({"max_length": 10})).unwrap();
    assert_eq!(finding(&prepared, "identical-pairs"), (1, Severity::Warning, vec!["rows.jsonl:1".into()]));
    assert_eq!(finding(&prepared, "contradictory-pairs").0, 2);
    assert_eq!(finding(&prepared, "truncation-equalises-pair").2, ["rows.jsonl:4"]);
    assert_eq!(prepared.groups.len(), 2);
}

#[test]
fn truncation_follows_the_policy_and_is_counted() {
    let rows = [
        preference(1, "a very long prompt", " b", " c"),
        preference(2, "a", " bcdefgh", " x"),
        preference(3, "a", " b", " c"),
    ];
    let kept = pairs(&rows, json!({"max_length": 8})).unwrap();
    assert_eq!(finding(&kept, "truncation-empties-completion").2, ["rows.jsonl:1"]);
    assert_eq!(finding(&kept, "truncated").2, ["rows.jsonl:2"]);
    assert_eq!(kept.groups[0].members[0].sequence.ids.len(), 8);
    let dropped = pairs(&rows, json!({"max_length": 8, "truncation_mode": "drop"})).unwrap();
    assert_eq!((finding(&dropped, "too-long").0, dropped.groups.len()), (2, 1));
    stopped(pairs(&rows, json!({"max_length": 8, "truncation_mode": "error"})), "too-long");
    match pairs(&rows[..1], json!({"max_length": 8})) {
        Err(Error::NoRows { total: 1, findings }) => assert_eq!(findings[0].check, "truncation-empties-completion"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_without_supervised_tokens_and_templates_without_marks_are_errors() {
    let settings = settings("sft", json!({"assistant_only_loss": true}));
    let rows = [conversation(1, &[("user", "hi")]), conversation(2, &[("user", "hi"), ("assistant", "ho")])];
    let with = |marks, rows: &[Row]| prepare(&settings, rows, &Letters { marks, ..Letters::default() }, limits());
    stopped(with(true, &rows), "no-supervised-token");
    stopped(with(false, &rows[1..]), "no-assistant-marks");
    let good = with(true, &rows[1..]).unwrap();
    assert_eq!(good.groups[0].members[0].sequence.ids, [BOS, 36, 10, 11, 35, 10, 17, EOS]);
    assert_eq!(good.groups[0].members[0].sequence.scored().collect::<Vec<_>>(), [5, 6, 7]);
}

#[test]
fn doubled_bos_and_untrained_stops_are_found() {
    let messages = |text: &str| Content::from(vec![Message::new("assistant", text)]);
    let prompt = Content::from(vec![Message::new("user", "hi")]);
    let row = Row::preference(prompt, messages("ho"), messages("no"), place(3));
    let settings = settings("dpo", json!({"boundary": "error"}));
    let with = |encoder: Letters| prepare(&settings, std::slice::from_ref(&row), &encoder, limits());
    stopped(with(Letters { doubled_bos: true, ..Letters::default() }), "doubled-bos");
    stopped(with(Letters { no_end: true, ..Letters::default() }), "untrained-stop");
    let good = with(Letters::default()).unwrap();
    assert_eq!(good.groups[0].members[0].sequence.ids, [BOS, 36, 10, 11, 35, 10, 17, EOS]);
    let warned = crate::support::settings("dpo", json!({"preflight": "warn"}));
    let encoder = Letters { no_end: true, ..Letters::default() };
    let prepared = prepare(&warned, &[row], &encoder, limits()).unwrap();
    assert_eq!(finding(&prepared, "untrained-stop").1, Severity::Error);
}

#[test]
fn a_tokenizer_beyond_the_embedding_always_stops() {
    let settings = settings("dpo", json!({"preflight": "warn"}));
    let small = Limits { vocab_size: 20, max_positions: 64 };
    let result = prepare(&settings, &preferences(), &Letters::default(), small);
    stopped(result, "vocabulary-mismatch");
}

#[test]
fn rows_of_another_shape_are_refused() {
    let settings = settings("dpo", json!({}));
    let rows = [completion(1, "a", "b")];
    let error = prepare(&settings, &rows, &Letters::default(), limits()).unwrap_err();
    assert!(error.to_string().contains("cannot train on prompt-completion rows"), "{error}");
}

#[test]
fn only_the_first_ten_places_are_named_and_all_are_counted() {
    let rows: Vec<_> =
        (1..=25).map(|line| preference(line, "a", " b", " b")).chain([preference(26, "a", " b", " c")]).collect();
    let prepared = pairs(&rows, json!({})).unwrap();
    let (count, _, places) = finding(&prepared, "identical-pairs");
    assert_eq!((count, places.len(), places[9].as_str()), (25, 10, "rows.jsonl:10"));
}

#[test]
fn a_reference_that_is_not_the_model_stops_before_the_first_step() {
    let settings = settings("dpo", json!({"max_steps": 2}));
    let prepared = pairs(&preferences(), json!({})).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let session = || Session { directory: Some(directory.path().into()), ..Session::new(&settings, &prepared) };
    train(&mut setup(model(1), &settings).unwrap(), session()).unwrap();
    // The same cache, but another model under the same digest.
    let error = train(&mut setup(model(2), &settings).unwrap(), session()).unwrap_err();
    assert!(matches!(error, Error::Step0 { .. }), "{error}");
}

#[test]
fn every_preference_loss_turns_round_with_its_labels() {
    let lora = [json!({}), json!({"lora": {}, "precompute_ref_log_probs": false})];
    for (kind, more) in losses::KINDS.iter().flat_map(|kind| lora.iter().map(move |more| (kind.id, more))) {
        let mut given = json!({"max_steps": 1, "loss_type": kind, "ld_alpha": 0.5});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        if kind == "exo_pair" {
            given["label_smoothing"] = json!(1e-3);
        }
        let settings = settings("dpo", given);
        let prepared = prepared(&settings);
        train(&mut setup(model(1), &settings).unwrap(), Session::new(&settings, &prepared)).unwrap();
    }
    let reward = settings("reward", json!({"max_steps": 1, "center_rewards_coefficient": 0.1}));
    train(&mut setup(model(1), &reward).unwrap(), Session::new(&reward, &prepared(&reward))).unwrap();
}

#[test]
fn labels_that_have_no_effect_stop_before_the_first_step() {
    let settings = settings("dpo", json!({"max_steps": 2, "loss_weights": [0.0]}));
    let prepared = pairs(&preferences(), json!({})).unwrap();
    let error = train(&mut setup(model(1), &settings).unwrap(), Session::new(&settings, &prepared)).unwrap_err();
    assert!(matches!(error, Error::Polarity { .. }) && error.class() == Class::Usage, "{error}");
}

#[test]
fn pairs_of_equal_sides_say_nothing_about_labels() {
    let settings = settings("dpo", json!({"max_steps": 1}));
    let mut prepared = pairs(&preferences(), json!({})).unwrap();
    for group in &mut prepared.groups {
        group.members[1] = group.members[0].clone();
    }
    train(&mut setup(model(1), &settings).unwrap(), Session::new(&settings, &prepared)).unwrap();
}

#[test]
fn text_rows_learn_every_token() {
    let settings = settings("sft", json!({"max_steps": 1}));
    let row = Row::text(text("abc"), place(1));
    let prepared = prepare(&settings, &[row], &Letters::default(), limits()).unwrap();
    assert_eq!(prepared.groups[0].members[0].sequence.ids, [BOS, 3, 4, 5, EOS]);
    assert_eq!(prepared.groups[0].members[0].sequence.scored_count(), 4);
    let mut history = History::default();
    let mut model = setup(model(1), &settings).unwrap();
    train(&mut model, Session { observers: vec![&mut history], ..Session::new(&settings, &prepared) }).unwrap();
    assert_eq!(history.logged.len(), 1);
}

/// A long answer in the middle of a ranking weighs no more than the best and the worst: sums over its tokens are slopes, too.
#[test]
fn rankings_of_unlike_length_turn_round() {
    let answer =
        |said: &str, score: f64| groma_data::Answer { score: Some(score), ..groma_data::Answer::new(text(said)) };
    let middle = " a long answer that goes on and on and on and on";
    let answers = vec![answer(" a.", 3.0), answer(" b.", 2.9), answer(middle, 2.8), answer(" c.", 0.0)];
    let row =
        |line| Row { shape: groma_data::Shape::Ranked, answers: answers.clone(), ..preference(line, "w", " a", " b") };
    for method in ["listwise_dpo", "pro"] {
        let settings = settings(method, json!({"max_steps": 1, "per_device_train_batch_size": 1}));
        let prepared = prepare(&settings, &[row(1)], &Letters::default(), limits()).unwrap();
        let mut policy = setup(model(1), &settings).unwrap();
        train(&mut policy, Session::new(&settings, &prepared)).unwrap();
    }
}
