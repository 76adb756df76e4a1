//! The losses against golden numbers, finite differences, closed forms and identities.

use groma_align::losses::{
    Combination, Divergence, KINDS, LossKind, LossParameters, Pair, REFERENCE_FREE, Totals, kind, log_sigmoid,
};
use groma_run::Seed;
use rand_core::Rng;
use serde_json::Value;
use std::f64::consts::LN_2;

fn pair(c: f64, r: f64, rc: f64, rr: f64, chosen_tokens: usize, rejected_tokens: usize) -> Pair {
    Pair {
        policy_chosen: c,
        policy_rejected: r,
        reference_chosen: rc,
        reference_rejected: rr,
        chosen_plain: c,
        chosen_tokens,
        rejected_tokens,
    }
}

fn mean(kind: &LossKind, pairs: &[Pair], parameters: &LossParameters) -> f64 {
    let losses = kind.evaluate(pairs, &Totals::of(pairs), parameters);
    losses.iter().map(|loss| loss.value).sum::<f64>() / pairs.len() as f64
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * 1f64.max(a.abs()).max(b.abs())
}

/// Values of the published formulas, see `scripts/make_loss_fixtures.py`.
#[test]
fn golden_values() {
    let fixture: Value = serde_json::from_str(include_str!("../../fixtures/losses.json")).unwrap();
    for case in fixture["cases"].as_array().unwrap() {
        let number = |value: &Value| value.as_f64().unwrap();
        let [c, r, rc, rr] = [0, 1, 2, 3].map(|index| number(&case["pair"][index]));
        let smoothing = case["label_smoothing"].as_f64();
        let own = smoothing.map(|smoothing| ("label_smoothing", smoothing)).into_iter().collect();
        let parameters = LossParameters { beta: number(&case["beta"]), own };
        let value = mean(kind(case["kind"].as_str().unwrap()).unwrap(), &[pair(c, r, rc, rr, 1, 1)], &parameters);
        assert!(close(value, number(&case["value"]), 1e-12), "{case}: {value}");
    }
}

#[test]
fn robust_averaged_over_label_flips_is_dpo_on_clean_labels() {
    for smoothing in [0.0, 0.1, 0.3, 0.45] {
        let parameters = smoothed(smoothing);
        let clean = pair(-10.0, -12.0, -11.0, -11.5, 4, 7);
        let robust = kind("robust").unwrap();
        let mixed = (1.0 - smoothing) * mean(robust, &[clean], &parameters)
            + smoothing * mean(robust, &[clean.swapped()], &parameters);
        let dpo = mean(kind("sigmoid").unwrap(), &[clean], &LossParameters::default());
        assert!(close(mixed, dpo, 1e-12), "{smoothing}: {mixed} {dpo}");
    }
}

/// A batch with random log-probabilities; a function of the seed.
fn random_pairs(seed: u64, count: usize) -> Vec<Pair> {
    let mut rng = Seed::new(seed).rng();
    let mut uniform = |low: f64, high: f64| low + (high - low) * (rng.next_u64() as f64 / u64::MAX as f64);
    (0..count)
        .map(|_| {
            let (rc, rr) = (uniform(-40.0, -5.0), uniform(-40.0, -5.0));
            let lengths = (uniform(1.0, 20.0) as usize, uniform(1.0, 20.0) as usize);
            pair(rc + uniform(-4.0, 4.0), rr + uniform(-4.0, 4.0), rc, rr, lengths.0, lengths.1)
        })
        .collect()
}

fn smoothed(label_smoothing: f64) -> LossParameters {
    LossParameters { own: [("label_smoothing", label_smoothing)].into(), ..LossParameters::default() }
}

fn parameters_for(kind: &LossKind, beta: f64) -> LossParameters {
    let value = |name| if name == "discopop_tau" { 0.7 } else { 0.05 };
    LossParameters { beta, own: kind.parameters.iter().map(|own| (own.name, value(own.name))).collect() }
}

/// Central difference of the batch's loss in one log-probability.
fn difference(value: impl Fn(&[Pair]) -> f64, pairs: &[Pair], change: impl Fn(&mut Pair, f64), index: usize) -> f64 {
    let step = 1e-6;
    let at = |delta: f64| {
        let mut moved = pairs.to_vec();
        change(&mut moved[index], delta);
        value(&moved)
    };
    (at(step) - at(-step)) / (2.0 * step)
}

#[test]
fn gradients_of_every_kind_and_divergence_are_those_of_central_differences() {
    let divergences = [Divergence::ReverseKl, Divergence::ForwardKl, Divergence::JensenShannon, Divergence::Alpha(0.5)];
    for kind in KINDS {
        for divergence in divergences {
            for seed in 0..12 {
                let pairs = random_pairs(seed, 5);
                let combination = Combination {
                    terms: vec![(kind, 1.0)],
                    parameters: parameters_for(kind, [0.1, 0.4][seed as usize % 2]),
                    divergence,
                    by_token: false,
                };
                check_gradients(&combination, &pairs, kind.id);
            }
        }
    }
}

#[test]
fn gradients_without_a_reference_are_those_of_central_differences() {
    for free in REFERENCE_FREE {
        for seed in 0..12 {
            // Of likelier completions: of these, shapes other than the plain one are too steep for differences.
            let alone = |pair: Pair| Pair {
                policy_chosen: pair.policy_chosen / 20.0,
                policy_rejected: pair.policy_rejected / 20.0,
                chosen_plain: pair.chosen_plain / 20.0,
                reference_chosen: 0.0,
                reference_rejected: 0.0,
                ..pair
            };
            let pairs: Vec<Pair> = random_pairs(seed, 5).into_iter().map(alone).collect();
            for divergence in [Divergence::ReverseKl, Divergence::Alpha(0.7), Divergence::Alpha(1.2)] {
                let parameters = parameters_for(&free.kind, [0.1, 2.0][seed as usize % 2]);
                let terms = vec![(&free.kind, 1.0), (kind("sft").unwrap(), 0.3)];
                let by_token = free.by_token;
                check_gradients(&Combination { terms, parameters, divergence, by_token }, &pairs, free.kind.id);
            }
        }
    }
}

fn check_gradients(combination: &Combination, pairs: &[Pair], label: &str) {
    let totals = Totals::of(pairs);
    let value = |pairs: &[Pair]| combination.evaluate(pairs, &totals).iter().map(|r| r.loss.value).sum::<f64>();
    for (index, result) in combination.evaluate(pairs, &totals).iter().enumerate() {
        let expected = [
            difference(value, pairs, |pair, by| pair.policy_chosen += by, index),
            difference(value, pairs, |pair, by| pair.policy_rejected += by, index),
            difference(value, pairs, |pair, by| pair.chosen_plain += by, index),
        ];
        let found = [result.loss.d_chosen, result.loss.d_rejected, result.loss.d_chosen_plain];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(close(found, expected, 5e-6), "{label} {:?}: {found} {expected}", combination.divergence);
        }
    }
}

#[test]
fn at_the_reference_every_kind_has_its_closed_form() {
    // training-conventions, section 5.1, at beta 0.1.
    let table = [
        ("sigmoid", LN_2),
        ("hinge", 1.0),
        ("ipo", 25.0),
        ("exo_pair", 2.761231),
        ("nca_pair", 1.386294),
        ("robust", LN_2),
        ("bco_pair", 1.386294),
        ("sppo_hard", 50.0),
        ("aot", LN_2),
        ("aot_unpaired", LN_2),
        ("apo_zero", 1.0),
        ("apo_down", 1.0),
        ("discopop", 0.846574),
        ("sigmoid_norm", LN_2),
        ("dpop", LN_2),
    ];
    let at_reference: Vec<Pair> = random_pairs(3, 6)
        .into_iter()
        .map(|p| Pair { policy_chosen: p.reference_chosen, policy_rejected: p.reference_rejected, ..p })
        .collect();
    for (id, expected) in table {
        let kind = kind(id).unwrap();
        let parameters = smoothed(if id == "exo_pair" { 1e-3 } else { 0.0 });
        let closed = (kind.at_reference)(&parameters).unwrap();
        assert!((closed - expected).abs() < 1e-6, "{id}: {closed}");
        assert!(close(mean(kind, &at_reference, &parameters), closed, 1e-12), "{id}");
    }
    let open: Vec<&str> =
        KINDS.iter().map(|kind| kind.id).filter(|id| table.iter().all(|(known, _)| known != id)).collect();
    assert_eq!(open, ["sft", "sigmoid_length"], "all others are in the table");
    assert!(open.iter().all(|id| (kind(id).unwrap().at_reference)(&LossParameters::default()).is_none()));
}

#[test]
fn swapping_a_pair_exchanges_its_rewards_and_flips_the_margin() {
    let combination = Combination {
        terms: vec![(kind("sigmoid").unwrap(), 1.0)],
        parameters: LossParameters::default(),
        divergence: Divergence::ReverseKl,
        by_token: false,
    };
    for pair in random_pairs(9, 20) {
        let totals = Totals { pairs: 1, chosen_tokens: pair.chosen_tokens };
        let plain = combination.evaluate(&[pair], &totals)[0];
        let swapped = combination.evaluate(&[pair.swapped()], &totals)[0];
        assert_eq!((plain.chosen_reward, plain.rejected_reward), (swapped.rejected_reward, swapped.chosen_reward));
        // -ls(z) - (-ls(-z)) = -z
        assert!(close(plain.loss.value - swapped.loss.value, -0.1 * pair.margin(), 1e-12));
    }
}

#[test]
fn smoothing_one_half_makes_the_logistic_loss_blind_to_the_label() {
    let parameters = smoothed(0.5);
    for id in ["sigmoid", "sigmoid_norm", "aot"] {
        for pair in random_pairs(4, 8) {
            let plain = mean(kind(id).unwrap(), &[pair], &parameters);
            let swapped = mean(kind(id).unwrap(), &[pair.swapped()], &parameters);
            assert!(close(plain, swapped, 1e-12), "{id}");
        }
    }
}

#[test]
fn a_known_pair_of_ratios() {
    // dc = 1, dr = -1, beta 0.1: training-conventions, section 12.1.
    let value = mean(kind("sigmoid").unwrap(), &[pair(-9.0, -11.0, -10.0, -10.0, 3, 3)], &LossParameters::default());
    assert!((value - 0.598139).abs() < 1e-6);
    assert!(close(value, -log_sigmoid(0.2), 1e-15));
}

#[test]
fn divergences_agree_with_their_limits() {
    for ratio in [-3.0, -0.2, 0.0, 0.7, 5.0] {
        assert!(close(Divergence::Alpha(1.0 + 1e-4).score(ratio).0, ratio, 1e-2));
        assert!(close(Divergence::Alpha(0.0).score(ratio).0, Divergence::ForwardKl.score(ratio).0, 1e-12));
        assert!(Divergence::JensenShannon.score(ratio).0 <= std::f64::consts::LN_2);
    }
    assert_eq!(Divergence::Alpha(2.0).score(1e6).1, 0.0);
}

#[test]
fn weighted_kinds_add_up() {
    let pairs = random_pairs(21, 4);
    let totals = Totals::of(&pairs);
    let one = |id: &str, weight: f64| (kind(id).unwrap(), weight);
    let of = |terms| Combination {
        terms,
        parameters: LossParameters::default(),
        divergence: Divergence::ReverseKl,
        by_token: false,
    };
    let both = of(vec![one("sigmoid", 0.8), one("sft", 0.2)]).evaluate(&pairs, &totals);
    let first = of(vec![one("sigmoid", 1.0)]).evaluate(&pairs, &totals);
    let second = of(vec![one("sft", 1.0)]).evaluate(&pairs, &totals);
    for ((both, first), second) in both.iter().zip(&first).zip(&second) {
        assert!(close(both.loss.value, 0.8 * first.loss.value + 0.2 * second.loss.value, 1e-12));
    }
}

#[test]
fn extreme_margins_stay_finite() {
    for kind in KINDS {
        let parameters = parameters_for(kind, 0.1);
        for margin in [-2000.0, 2000.0] {
            let pair = pair(-3000.0 + margin, -3000.0, -3000.0, -3000.0, 10, 10);
            let loss = kind.evaluate(&[pair], &Totals::of(&[pair]), &parameters)[0];
            assert!(loss.value.is_finite() && loss.d_chosen.is_finite(), "{} {loss:?}", kind.id);
        }
    }
}
