use super::*;
use groma_lm::Control;
use groma_run::{Cancel, Seed, Silent};
use std::sync::Arc;

fn carried_out(seed: u64) -> Outcome {
    let given = json!({ "seeds": 3, "held_out": 1000 });
    let table = Table {
        protocol: &RECORD,
        settings: RECORD.settings(given.as_object().unwrap()).unwrap(),
        seats: BTreeMap::new(),
        rows: &[],
        subject: "s",
        seed: Seed::new(seed),
        backend: Arc::new(groma_kernels::Cpu::new()),
        control: Control { progress: &Silent, cancel: &Cancel::default() },
    };
    carry_out(&table).unwrap()
}

fn of(outcome: &Outcome, subject: &str, metric: &str) -> f64 {
    let of = |m: &&Measurement| m.subject == subject && m.metric == metric && m.factors.is_empty();
    outcome.results.measurements.iter().find(of).unwrap().value
}

/// Independent errors cannot be imitated, and shared ones are; shuffled labels teach nothing.
#[test]
fn the_gap_closes_where_the_students_evidence_is_its_own() {
    let outcome = carried_out(1);
    let [own, shared] = STUDENTS.map(|(_, name, _)| of(&outcome, name, "pgr"));
    let [weak, ceiling] = ["supervisor", "ceiling"].map(|name| of(&outcome, name, "accuracy"));
    let [shuffled, untrained] =
        ["student, shuffled labels", "student, untrained"].map(|name| of(&outcome, name, "accuracy"));
    println!("{own} {shared} {weak} {ceiling} {shuffled} {untrained}");
    assert!(own > 0.8 && own < 1.1, "{own}");
    assert!(shared < 0.5 && shared > -0.2, "{shared}");
    // Majorities of three and of seven signs.
    assert!((weak - 0.784).abs() < 0.03 && (ceiling - 0.967).abs() < 0.02, "{weak} {ceiling}");
    assert!((shuffled - 0.5).abs() < 0.15 && (untrained - 0.5).abs() < 0.15, "{shuffled} {untrained}");
    assert_eq!((outcome.rows["labels"].len(), outcome.transcripts.len()), (3 * 2048, 3));
}
