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

/// What the policy says of all completions, before training and after it.
fn trained(method: &str, given: Value) -> (Vec<f64>, Vec<f64>) {
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
    let mut model = setup(model, &settings).unwrap();
    let before = logps(&model, &sequences);
    assert!((before.iter().map(|logp| logp.exp()).sum::<f64>() - 1.0).abs() < 1e-5, "these are all");
    // Each token is a sentence.
    let voice = Voice { stop_ids: vec![END], decode: &|ids: &[u32]| "a. ".repeat(ids.len()), ..voice() };
    train(&mut model, Session { voice: Some(voice), ..Session::new(&settings, &rows) }).unwrap();
    (before, logps(&model, &sequences))
}

/// How much of the way from the reference to the optimum is gone, and the distance that is left, in nats.
fn gone(method: &str, given: Value) -> (f64, f64) {
    let (before, after) = trained(method, given);
    let rewards: Vec<f64> = completions().iter().map(|ids| reward(ids)).collect();
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
        ("reinforce", json!({"max_steps": 400, "beta": BETA})),
        ("reinforce", json!({"max_steps": 400, "beta": BETA, "baseline": "batch_mean"})),
        ("rloo", json!({"max_steps": 400, "beta": BETA, "reward_granularity": "sentence"})),
        ("remax", json!({"max_steps": 400, "beta": BETA})),
        ("reinforce_plus_plus", json!({"max_steps": 400, "beta": BETA})),
        ("reinforce_plus_plus", json!({"max_steps": 400, "beta": BETA, "reward_granularity": "sentence"})),
        ("online_dpo", json!({"max_steps": 400, "beta": BETA, "preference": "bradley_terry"})),
        ("xpo", json!({"max_steps": 400, "beta": BETA, "preference": "bradley_terry", "alpha": 0.0})),
        ("a2po", json!({"max_steps": 400, "beta1": BETA, "beta2": BETA})),
        ("f_dpg", json!({"max_steps": 400, "beta": BETA, "f_divergence": "reverse_kl", "num_generations": 32})),
        ("f_dpg", json!({"max_steps": 400, "beta": BETA, "f_divergence": "forward_kl", "num_generations": 32})),
        ("f_dpg", json!({"max_steps": 400, "beta": BETA, "num_generations": 32})),
    ] {
        let (share, left) = gone(method, given.clone());
        println!("{method} {given}: {share:.4} of the way, {left:.4} nats left");
        assert!(share > 0.97 && left < 0.03, "{method} {given}: {share} of the way, {left} nats left");
    }
}

/// An estimate of the distance that depends on the policy has a slope of its own, which a reward does not hear: of a penalty by k3
/// the optimum is another one. And where each token hears of its own distance alone, not of that to which it leads, as in GRPO's
/// loss, it is yet another.
#[test]
fn another_estimator_has_another_optimum() {
    let grpo = json!({"max_steps": 400, "beta": BETA, "scale_rewards": "none", "num_generations": 32});
    for (method, given) in [("ppo", json!({"max_steps": 800, "kl_coef": BETA, "kl_estimator": "k3"})), ("grpo", grpo)] {
        let (share, left) = gone(method, given);
        println!("{method}: {share:.4} of the way, {left:.4} nats left");
        assert!(share > 0.8 && left > 0.045, "{method}: {share} of the way, {left} nats left");
    }
}

/// Of `n` completions of the reference the best one is learned: the policy comes to say what that is, with its own probability, and
/// is no further from the reference than theory says.
#[test]
fn the_best_of_n_is_reached() {
    const N: usize = 4;
    let given = json!({"max_steps": 400, "sampler": "reference", "num_generations": N});
    let (before, after) = trained("raft", given);
    let rewards: Vec<f64> = completions().iter().map(|ids| reward(ids)).collect();
    let at_most = |limit: f64, strict: bool| -> f64 {
        let counts = |reward: f64| if strict { reward < limit } else { reward <= limit };
        rewards.iter().zip(&before).filter(|(reward, _)| counts(**reward)).map(|(_, logp)| logp.exp()).sum()
    };
    // The first of the best is as likely to be any of those that are equally good.
    let best = |(reward, logp): (&f64, &f64)| {
        let (below, up_to) = (at_most(*reward, true), at_most(*reward, false));
        logp.exp() / (up_to - below) * (up_to.powi(N as i32) - below.powi(N as i32))
    };
    let best: Vec<f64> = rewards.iter().zip(&before).map(best).collect();
    assert!((best.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    let from = |p: &[f64], q: &[f64]| p.iter().zip(q).map(|(p, logq)| p * (p.ln() - logq)).sum::<f64>();
    let (start, left) = (from(&best, &before), from(&best, &after));
    let bound = (N as f64).ln() - (N as f64 - 1.0) / N as f64;
    println!("best of {N}: {left:.4} nats from it, which is {start:.4} from the reference, at most {bound:.4}");
    assert!(left < 0.03 && left < 0.1 * start && start <= bound, "{start} {left} {bound}");
}

/// Nash-MD comes to rest where no completion would gain by being likelier: `p(y) ∝ p_ref(y) exp(P(y beats the mixture) / beta)`,
/// the mixture being made of that policy itself. Found by iteration, then by training.
#[test]
fn the_nash_policy_is_reached() {
    const COEF: f64 = 0.5;
    const STRENGTH: f64 = 0.1;
    let sequences = completions();
    let given = json!({"max_steps": 600, "beta": STRENGTH, "mixture_coef": COEF});
    let (before, after) = trained("nash_md", given);
    let rewards: Vec<f64> = sequences.iter().map(|ids| reward(ids)).collect();
    let mut policy = before.clone();
    for _ in 0..200 {
        let opponent = mixture(&policy, &before, &sequences, COEF);
        let wins = |r: &f64| rewards.iter().zip(&opponent).map(|(other, p)| p / (1.0 + (other - r).exp())).sum::<f64>();
        let tilted: Vec<f64> =
            rewards.iter().zip(&before).map(|(reward, logp)| logp + wins(reward) / STRENGTH).collect();
        let total: f64 = tilted.iter().map(|logp| logp.exp()).sum();
        policy = policy.iter().zip(&tilted).map(|(old, new)| 0.5 * (old + new - total.ln())).collect();
    }
    let distance = |to: &[f64]| to.iter().zip(&policy).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
    let (from, left) = (distance(&before), distance(&after));
    println!("nash_md: {from:.4} nats from its policy before, {left:.4} after");
    assert!(left < 0.03 && left < 0.05 * from, "{from} {left}");
}

/// Behind a mask that stays, the optimum is the tilt of those completions that the mask lets pass.
#[test]
fn the_tilt_of_what_may_be_chosen_is_reached() {
    const KEPT: usize = 3;
    let sequences = completions();
    let given = json!({"max_steps": 800, "kl_coef": BETA, "mask_top_p": 1.0, "mask_top_k": KEPT, "mask_update": 1000});
    let (before, after) = trained("nlpo", given);
    let allowed = |prefix: &[u32]| -> Vec<bool> {
        let next = next(&before, &sequences, prefix);
        let likelier = |id: usize| next.iter().filter(|other| **other > next[id]).count();
        (0..VOCAB).map(|id| likelier(id) < KEPT).collect()
    };
    let passes = |ids: &Vec<u32>| (0..ids.len()).all(|at| allowed(&ids[..at])[ids[at] as usize]);
    let masked = |logps: &[f64]| -> Vec<f64> {
        let step = |ids: &[u32], at: usize| {
            let (next, allowed) = (next(logps, &sequences, &ids[..at]), allowed(&ids[..at]));
            next[ids[at] as usize] / next.iter().zip(allowed).filter(|(_, is)| *is).map(|(p, _)| p).sum::<f64>()
        };
        sequences.iter().map(|ids| (0..ids.len()).map(|at| step(ids, at)).product()).collect()
    };
    let passing: Vec<bool> = sequences.iter().map(passes).collect();
    let tilted = |(index, ids): (usize, &Vec<u32>)| {
        if passing[index] { (before[index] + reward(ids) / BETA).exp() } else { 0.0 }
    };
    let optimum: Vec<f64> = sequences.iter().enumerate().map(tilted).collect();
    let total: f64 = optimum.iter().sum();
    let from = |policy: &[f64]| -> f64 {
        let each = policy.iter().zip(&optimum).zip(&passing).filter(|(_, passes)| **passes);
        each.map(|((p, best), _)| p * (p / (best / total)).ln()).sum()
    };
    let (start, left) = (from(&masked(&before)), from(&masked(&after)));
    println!(
        "nlpo: {left:.4} nats left of {start:.4}; {} of {} pass",
        passing.iter().filter(|is| **is).count(),
        passing.len()
    );
    assert!(passing.iter().any(|is| !is) && left < 0.03 && left < 0.05 * start, "{start} {left}");
}

/// What a policy over all completions says of the next token.
fn next(logps: &[f64], sequences: &[Vec<u32>], prefix: &[u32]) -> Vec<f64> {
    // The probability of all completions that begin so.
    let begins = |prefix: &[u32]| -> f64 {
        sequences.iter().zip(logps).filter(|(ids, _)| ids.starts_with(prefix)).map(|(_, logp)| logp.exp()).sum()
    };
    let all = begins(prefix);
    (0..VOCAB as u32).map(|id| begins(&[prefix, &[id]].concat()) / all).collect()
}

/// The geometric mixture of two policies, token by token; as probabilities of completions.
fn mixture(policy: &[f64], other: &[f64], sequences: &[Vec<u32>], share: f64) -> Vec<f64> {
    let step = |prefix: &[u32], id: u32| {
        let weights: Vec<f64> = next(policy, sequences, prefix)
            .iter()
            .zip(next(other, sequences, prefix))
            .map(|(p, q)| p.powf(1.0 - share) * q.powf(share))
            .collect();
        weights[id as usize] / weights.iter().sum::<f64>()
    };
    sequences.iter().map(|ids| (0..ids.len()).map(|at| step(&ids[..at], ids[at])).product()).collect()
}
