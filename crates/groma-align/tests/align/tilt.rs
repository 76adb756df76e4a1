//! On a vocabulary so small that every completion can be listed, methods that learn from rewards reach what theory says they
//! should: the reference tilted by the reward, `p(y) exp(r(y) / beta) / Z`.

use crate::support::{spec, voice, weights};
use groma_align::{Group, LengthStatistics, Method, Prepared, Sequence, Session, Settings, Voice, setup, train};
use groma_kernels::Cpu;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{Spec, Transformer};
use serde_json::{Value, json};
use std::sync::Arc;

const VOCAB: usize = 5;
const END: u32 = 2;
const LONGEST: usize = 3;
const BETA: f64 = 0.5;

/// Every completion: so many tokens without an end, or fewer and an end.
fn completions() -> Vec<Vec<u32>> {
    let (mut whole, mut open) = (Vec::new(), vec![Vec::new()]);
    for _ in 0..LONGEST {
        let longer = open.iter().flat_map(|begun: &Vec<u32>| (0..VOCAB as u32).map(|id| [&begun[..], &[id]].concat()));
        let (ended, others): (Vec<Vec<u32>>, Vec<Vec<u32>>) = longer.partition(|ids| ids.last() == Some(&END));
        whole.extend(ended);
        open = others;
    }
    whole.into_iter().chain(open).collect()
}

/// What the rule `length` with a target of 1 says.
fn reward(ids: &[u32]) -> f64 {
    1.0 - ids.len() as f64
}

fn logps(model: &Transformer, all: &[Vec<u32>]) -> Vec<f64> {
    let request = |ids: &Vec<u32>| ScoreRequest { context: vec![1], continuation: ids.clone() };
    let requests: Vec<ScoreRequest> = all.iter().map(request).collect();
    let scores = score(model, &requests, &ScoreOptions::default(), &mut |_| true).unwrap();
    scores.iter().map(|score| score.sum()).collect()
}

/// `E[r] - beta KL(p || reference)`, of which the tilt's is `beta log Z`.
fn worth(policy: &[f64], reference: &[f64], rewards: &[f64]) -> f64 {
    let of = |((p, q), r): ((&f64, &f64), &f64)| p.exp() * (r - BETA * (p - q));
    policy.iter().zip(reference).zip(rewards).map(of).sum()
}

/// How much of the way from the reference to the optimum is gone, and the distance that is left, in nats.
fn gone(method: &str, given: Value) -> (f64, f64) {
    let spec = Spec { vocab_size: VOCAB, ..spec() };
    let model = Transformer::new(spec.clone(), &weights(&spec, 3), Arc::new(Cpu::new())).unwrap();
    let mut all = json!({"reward_funcs": "length", "length_target": 1, "max_completion_length": LONGEST, "temperature": 1.0,
        "per_device_train_batch_size": 128, "learning_rate": 1e-2, "max_grad_norm": 1.0});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let settings = Settings::resolve(Method::find(method).unwrap(), all.as_object().unwrap()).unwrap();
    let prompt = |row| Group::of(format!("rows:{row}"), Sequence { ids: vec![1], supervised: vec![false] });
    let groups: Vec<Group> = (1..=128).map(prompt).collect();
    let (lengths, digest) = (LengthStatistics::of(&groups), groma_align::group::digest(&groups));
    let rows = Prepared { groups, findings: Vec::new(), lengths, digest };
    let sequences = completions();
    let rewards: Vec<f64> = sequences.iter().map(|ids| reward(ids)).collect();
    let mut model = setup(model, &settings).unwrap();
    let before = logps(&model, &sequences);
    assert!((before.iter().map(|logp| logp.exp()).sum::<f64>() - 1.0).abs() < 1e-5, "these are all");
    let voice = Voice { stop_ids: vec![END], ..voice() };
    train(&mut model, Session { voice: Some(voice), ..Session::new(&settings, &rows) }).unwrap();
    let after = logps(&model, &sequences);
    let tilted = before.iter().zip(&rewards).map(|(logp, reward)| (logp + reward / BETA).exp());
    let best = BETA * tilted.sum::<f64>().ln();
    let (from, to) = (worth(&before, &before, &rewards), worth(&after, &before, &rewards));
    ((to - from) / (best - from), (best - to) / BETA)
}

#[test]
fn the_tilted_reference_is_reached() {
    for (method, given) in [
        ("ppo", json!({"max_steps": 800, "kl_coef": BETA})),
        ("ppo", json!({"max_steps": 800, "kl_coef": BETA, "num_mini_batches": 2, "per_device_train_batch_size": 64})),
        ("rloo", json!({"max_steps": 400, "beta": BETA})),
    ] {
        let (share, left) = gone(method, given.clone());
        println!("{method} {given}: {share:.4} of the way, {left:.4} nats left");
        assert!(share > 0.97 && left < 0.03, "{method} {given}: {share} of the way, {left} nats left");
    }
}

/// An estimate of the distance that depends on the policy has a slope of its own, which a reward does not hear: of a penalty by k3
/// the optimum is another one.
#[test]
fn another_estimator_has_another_optimum() {
    let (share, left) = gone("ppo", json!({"max_steps": 800, "kl_coef": BETA, "kl_estimator": "k3"}));
    println!("k3: {share:.4} of the way, {left:.4} nats left");
    assert!(share > 0.8 && left > 0.05, "{share} of the way, {left} nats left");
}
