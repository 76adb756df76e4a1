//! No method without its proofs, nor one of the kinds that a method's settings choose among: values from an independent source, an
//! optimum that theory predicts, reached by training where every completion can be listed, and what exchanging chosen and rejected
//! does. That slopes are those of central differences, and values those of the fixtures, is tested beside the methods.

mod by_token;
mod reach;
mod steps;
mod table;
mod theory;
mod world;

use groma_align::{Kind, METHODS, Method, Role};
use reach::{Reached, exchange};
use serde_json::Value;
use std::path::Path;
use table::{Golden, Optimum, PROOFS, Proof, RULES, Swap};

/// What must be proved: each method or, where settings choose among kinds of loss, each kind of a method.
fn owed(method: &Method) -> Vec<String> {
    let chosen = method.variants().filter(|(setting, _)| RULES.iter().all(|(rule, _)| rule != setting));
    let chosen: Vec<String> =
        chosen.map(|(setting, variant)| format!("{} {setting}={}", method.id, variant.id)).collect();
    if chosen.is_empty() { vec![method.id.to_owned()] } else { chosen }
}

/// Whether it is of something that a setting chooses which is no kind of loss.
fn is_choice(proof: &Proof) -> bool {
    let parameters = || Method::find(proof.method).unwrap().all_parameters();
    let chooses = |(setting, id): (&str, &str)| {
        parameters().any(|one| one.name == setting && matches!(one.kind, Kind::Choice(words) if words.contains(&id)))
    };
    proof.kind.is_some_and(chooses)
}

#[test]
fn no_method_is_without_its_proofs() {
    let owed: Vec<String> = METHODS.iter().flat_map(|method| owed(method)).collect();
    let given: Vec<String> = PROOFS.iter().map(Proof::name).collect();
    for name in &owed {
        assert_eq!(
            given.iter().filter(|given| *given == name).count(),
            1,
            "proofs of {name}: see tests/align/proofs/table.rs"
        );
    }
    for proof in PROOFS {
        let name = proof.name();
        assert!(owed.contains(&name) || is_choice(proof), "there is no {name}: its proofs are left over");
    }
    for (setting, why) in RULES {
        let settings = || METHODS.iter().flat_map(|method| method.variants()).map(|(setting, _)| setting);
        assert!(settings().any(|other| other == *setting) && why.contains(".rs"), "{setting}");
    }
}

/// The fixture has a case of the method with this kind.
#[test]
fn golden_values_are_there() {
    for proof in PROOFS {
        let read = |file: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        match proof.golden {
            Golden::Cases(file) => {
                let fixture: Value = serde_json::from_str(&read(&format!("fixtures/{file}"))).unwrap();
                let cases = fixture["cases"].as_array().unwrap();
                assert!(cases.iter().any(|case| proof.is_of(case)), "{} in {file}", proof.name());
            }
            Golden::Beside(file) => {
                assert!(read(&format!("src/{file}")).contains("#[test]"), "{} in {file}", proof.name())
            }
        }
    }
}

#[test]
fn optima_that_are_held_elsewhere_are_there() {
    for proof in PROOFS {
        if let Optimum::Elsewhere(file) = proof.optimum {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/align").join(file);
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.contains(&format!("(\"{}\"", proof.method)), "{} in {file}", proof.name());
        }
    }
}

/// Of the methods that are chosen.
fn reach_the_optimum(of: impl Fn(&Method) -> bool) {
    let reached = |proof: &Proof| reach::reached(proof).map(|reached| (proof.name(), reached));
    let chosen = PROOFS.iter().filter(|proof| of(Method::find(proof.method).unwrap()));
    let found: Vec<(String, Reached)> = chosen.filter_map(reached).collect();
    for (name, Reached { before, after, near }) in found {
        assert!(after <= near, "{name}: {after} is left of {before}, and {near} may be");
        assert!(before > 10.0 * near.max(1e-3), "{name}: it began where it was to end, {before} from there");
    }
}

fn compares(method: &Method) -> bool {
    method.roles.contains(&Role::Reference)
}

#[test]
fn preferences_against_a_reference_reach_the_optimum_of_theory() {
    reach_the_optimum(|method| !method.samples() && compares(method));
}

#[test]
fn rows_without_a_reference_reach_the_optimum_of_theory() {
    reach_the_optimum(|method| !method.samples() && !compares(method));
}

#[test]
fn what_samples_reaches_the_optimum_of_theory() {
    reach_the_optimum(Method::samples);
}

/// What is reached above could not be taken for what another kind of loss comes to.
#[test]
fn what_theory_says_of_policy_gradients_differs() {
    let kinds = [theory::tilt, by_token::equally, by_token::by_length, by_token::by_wins, by_token::from_reference];
    for (index, kind) in kinds.iter().enumerate() {
        for other in &kinds[..index] {
            let apart = reach::apart(*kind, *other);
            assert!(apart > table::NEAR_BY_SAMPLING, "{apart}");
        }
    }
}

/// Chosen and rejected exchanged in rows that a model is measured on: accuracies become what they lack of 1, margins their negative,
/// and what is said of one side is said of the other.
#[test]
fn metrics_flip_when_pairs_are_exchanged() {
    for proof in PROOFS {
        match proof.swap {
            Swap::Flips(rows) => {
                let flipped = exchange(proof, rows);
                assert!(!flipped.is_empty(), "{} has no metric that flips", proof.name());
            }
            Swap::None(why) => assert!(!why.is_empty()),
        }
    }
}
