//! `groma oversee` and `groma inner` from the outside: what they find, that they find it again, and what bad input gets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

#[path = "support/tiny.rs"]
mod tiny;

use serde_json::Value;
use tiny::Workplace;

/// What a command says in JSON, which must be success.
fn done(place: &Workplace, arguments: &[&str]) -> Value {
    let output = place.groma(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command says of its mistake, which must be one of usage.
fn refused(place: &Workplace, arguments: &[&str]) -> String {
    let output = place.groma(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

fn number(found: &Value, subject: &str, metric: &str, factors: &[(&str, &str)]) -> Value {
    let fits = |m: &&Value| {
        let has = |(name, value): &(&str, &str)| m["factors"][name] == *value;
        m["subject"] == subject && m["metric"] == metric && factors.iter().all(has)
    };
    found["measurements"]
        .as_array()
        .unwrap()
        .iter()
        .find(fits)
        .unwrap_or_else(|| panic!("{metric} of {subject}"))
        .clone()
}

#[test]
fn exact_debates_are_done_once_and_come_out_as_theory_says() {
    let place = Workplace::new();
    let debate = ["oversee", "debate", "--set", "questions=200", "--name", "d"];
    let found = done(&place, &debate);
    for game in ["sum", "order", "formula"] {
        let of =
            |subject: &str, judge: &str| number(&found, subject, "honest_win", &[("game", game), ("judge", judge)]);
        let (sure, usual) = (of("debate", "1.00"), of("debate", "0.90"));
        assert_eq!(
            (sure["value"].as_f64(), sure["planted"].as_f64(), sure["n"].as_u64()),
            (Some(1.0), Some(1.0), Some(400))
        );
        assert!((usual["value"].as_f64().unwrap() - 0.9).abs() < 0.06, "{usual}");
        assert_eq!(usual["pillar"], "oversight");
        assert!((of("debate", "0.50")["value"].as_f64().unwrap() - 0.5).abs() < 0.1);
        let lonely = of("consultant", "0.90");
        assert!((lonely["value"].as_f64().unwrap() - lonely["planted"].as_f64().unwrap()).abs() < 0.1, "{lonely}");
    }
    let transcripts = std::fs::read_to_string(place.path("runs/d/data/oversight.transcripts.jsonl")).unwrap();
    let first: Value = serde_json::from_str(transcripts.lines().next().unwrap()).unwrap();
    assert!(first["turns"].as_array().unwrap().len() > 3 && first["cost"]["judgements"] == 1, "{first}");
    assert!(std::fs::read_to_string(place.path("runs/d/report.html")).unwrap().contains("how often the truth wins"));
    let again = done(&place, &debate);
    assert_eq!(found["measurements"], again["measurements"]);
}

/// A model that can neither argue nor judge gives no verdict, which is counted, and no number in its place.
#[test]
fn a_model_that_judges_nothing_is_no_verdict() {
    let place = Workplace::new();
    let rows = "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}\n".repeat(3);
    std::fs::write(place.path("pairs.jsonl"), rows.replacen("\"a\"", "\"d\"", 1)).unwrap();
    let found = done(
        &place,
        &[
            "oversee",
            "debate",
            "--model",
            "model",
            "--data",
            "pairs.jsonl",
            "--set",
            "max_new_tokens=4",
            "--set",
            "turns=1",
        ],
    );
    assert_eq!(number(&found, "oversight", "no_verdict", &[])["value"], 1.0);
    assert!(found["measurements"].as_array().unwrap().iter().all(|m| m["metric"] == "no_verdict"), "{found}");
}

#[test]
fn experiments_leave_numbers_and_pictures() {
    let place = Workplace::new();
    let found = done(
        &place,
        &[
            "inner",
            "over-optimisation",
            "--set",
            "repetitions=3",
            "--set",
            "pools=50",
            "--set",
            "n=[1,4,64]",
            "--set",
            "penalties=[1.0]",
            "--set",
            "actions=32",
        ],
    );
    let gold = number(&found, "best of n", "gold", &[("noise", "normal"), ("n", "4")]);
    assert!((gold["planted"].as_f64().unwrap() - 0.7279).abs() < 1e-3, "{gold}");
    assert!(found["checks"].as_array().unwrap().iter().all(|check| check["passed"] == true), "{found}");
    let found = done(
        &place,
        &[
            "inner",
            "goal-misgeneralisation",
            "--name",
            "g",
            "--set",
            "updates=20",
            "--set",
            "seeds=2",
            "--set",
            "alpha=[0.0]",
        ],
    );
    assert_eq!(number(&found, "agent", "capability", &[("alpha", "0")])["n"], 2);
    assert!(std::fs::read_to_string(place.path("runs/g/report.html")).unwrap().contains("goal in training"));
}

#[test]
fn mistakes_are_named_with_what_would_do() {
    let place = Workplace::new();
    std::fs::write(place.path("texts.jsonl"), "{\"text\":\"a\"}\n").unwrap();
    for (arguments, words) in [
        (&["oversee", "debat"][..], "`debate`?"),
        (&["oversee"], "PROTOCOL"),
        (&["oversee", "debate", "--set", "size=5"], "a power of two"),
        (&["oversee", "debate", "--set", "judge_accuracy=[1.5]"], "in [0, 1]"),
        (&["oversee", "debate", "--set", "question=5"], "did you mean questions?"),
        (&["oversee", "debate", "--set", "games=[\"sums\"]"], "did you mean sum?"),
        (&["oversee", "debate", "--role", "jugde=model"], "has no role `jugde`"),
        (&["oversee", "debate", "--data", "texts.jsonl", "--model", "model"], "texts.jsonl"),
        (&["oversee", "debate", "--data", "texts.jsonl"], "none"),
        (&["oversee", "constitution", "--model", "model"], "`data`"),
        (&["oversee", "weak-to-strong", "--data", "texts.jsonl"], "reads no rows"),
        (&["oversee", "weak-to-strong", "--set", "strong_accuracy=0.6"], "strong signs must tell more"),
        (&["inner", "sleepr"], "there are"),
        (&["inner", "over-optimisation", "--set", "n=[1]"], "two numbers above 1"),
        (&["inner", "goal-misgeneralisation", "--set", "size=2"], "in [3, 16]"),
    ] {
        let said = refused(&place, arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}
