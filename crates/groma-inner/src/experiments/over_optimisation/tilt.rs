//! A softmax policy trained on a proxy with a penalty on its distance from the beginning, and where that must end.

use std::sync::Arc;

use groma_kernels::Backend;
use groma_model::ParameterStore;
use groma_model::training::{AdamWSettings, Fit, FitSettings, Scheduler};
use groma_run::Seed;

use super::noise::Noise;
use crate::Error;
use crate::policy_gradient::{log_softmax, loss};

const LOGITS: &str = "logits";

/// What is trained.
pub(super) struct Task {
    pub(super) actions: usize,
    /// Weight of the divergence from the uniform beginning.
    pub(super) penalty: f64,
    pub(super) steps: u64,
}

/// A trained policy, and the policy of which theory says that it is the best: the beginning tilted, `exp(proxy / penalty) / Z`.
pub(super) struct Tilted {
    pub(super) gold: f64,
    pub(super) proxy: f64,
    pub(super) kl: f64,
    pub(super) exact_gold: f64,
    pub(super) exact_kl: f64,
    /// What share of the objective's way from the beginning to its best is gone.
    pub(super) reached: f64,
}

/// Trains a policy from the uniform one by the gradient of the whole objective `E[proxy] - penalty KL`, all actions in
/// expectation (Sutton et al. 2000): nothing is drawn but the world.
pub(super) fn trained(task: &Task, seed: Seed, backend: Arc<dyn Backend>) -> Result<Tilted, Error> {
    let mut random = seed.rng();
    let golds: Vec<f64> = (0..task.actions).map(|_| Noise::Normal.draw(&mut random)).collect();
    let proxies: Vec<f64> = golds.iter().map(|gold| gold + Noise::HEAVY.draw(&mut random)).collect();
    let mut parameters = ParameterStore::default();
    let id = parameters.insert(LOGITS.into(), 1, task.actions, true, backend.upload(&vec![0.0; task.actions]));
    let adamw = AdamWSettings { max_grad_norm: 0.0, ..AdamWSettings::default() };
    // Logits have to go as far as proxies over the penalty lie apart.
    let farthest = proxies.iter().fold(1.0_f64, |far, proxy| far.max(proxy.abs())) / task.penalty;
    let settings = FitSettings {
        steps: task.steps,
        learning_rate: 4.0 * farthest / task.steps as f64,
        warmup_steps: 0,
        scheduler: Scheduler::Cosine,
        adamw,
    };
    let mut fit = Fit::new(backend.clone(), parameters, settings);
    while !fit.is_done() {
        fit.step(|tape, parameters| {
            let logits = parameters.var(id);
            let logps = log_softmax(&tape.backend().download(logits.buffer()), task.actions);
            let advantages = advantages(&logps, &proxies, task.penalty);
            Ok(loss(tape, &logits, advantages, 0.0).into())
        })?;
    }
    let logps = log_softmax(&backend.download(fit.finish().get(id).buffer()), task.actions);
    let tilt: Vec<f32> = proxies.iter().map(|proxy| (proxy / task.penalty) as f32).collect();
    let exact = log_softmax(&tilt, task.actions);
    let objective = |logps: &[f64]| mean(logps, &proxies) - task.penalty * divergence(logps);
    let beginning = proxies.iter().sum::<f64>() / task.actions as f64;
    let way = objective(&exact) - beginning;
    Ok(Tilted {
        gold: mean(&logps, &golds),
        proxy: mean(&logps, &proxies),
        kl: divergence(&logps),
        exact_gold: mean(&exact, &golds),
        exact_kl: divergence(&exact),
        reached: if way > 0.0 { (objective(&logps) - beginning) / way } else { 1.0 },
    })
}

/// What each action adds to the objective beyond the mean, times how likely it is.
fn advantages(logps: &[f64], proxies: &[f64], penalty: f64) -> Vec<f32> {
    let uniform = -(logps.len() as f64).ln();
    let rewards: Vec<f64> = logps.iter().zip(proxies).map(|(logp, proxy)| proxy - penalty * (logp - uniform)).collect();
    let baseline = mean(logps, &rewards);
    logps.iter().zip(&rewards).map(|(logp, reward)| (logp.exp() * (reward - baseline)) as f32).collect()
}

fn mean(logps: &[f64], values: &[f64]) -> f64 {
    logps.iter().zip(values).map(|(logp, value)| logp.exp() * value).sum()
}

/// From the uniform policy, in nats.
fn divergence(logps: &[f64]) -> f64 {
    let uniform = -(logps.len() as f64).ln();
    logps.iter().map(|logp| logp.exp() * (logp - uniform)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_kernels::Cpu;

    #[test]
    fn training_ends_at_the_tilted_beginning() {
        for penalty in [4.0, 1.0, 0.25] {
            let task = Task { actions: 64, penalty, steps: 400 };
            let found = trained(&task, Seed::new(11), Arc::new(Cpu::new())).unwrap();
            assert!(found.reached > 0.98 && found.reached < 1.0 + 1e-6, "{penalty}: {}", found.reached);
            assert!(
                (found.kl - found.exact_kl).abs() < 0.1 * found.exact_kl.max(0.5),
                "{} {}",
                found.kl,
                found.exact_kl
            );
        }
    }

    /// Of two actions with a difference of proxies D, the tilted share of the better one is the logistic function of D / penalty.
    #[test]
    fn the_tilt_of_two_is_the_logistic_function() {
        let task = Task { actions: 2, penalty: 1.0, steps: 500 };
        let seed = Seed::new(5);
        let found = trained(&task, seed, Arc::new(Cpu::new())).unwrap();
        let mut random = seed.rng();
        let golds: Vec<f64> = (0..2).map(|_| Noise::Normal.draw(&mut random)).collect();
        let proxies: Vec<f64> = golds.iter().map(|gold| gold + Noise::HEAVY.draw(&mut random)).collect();
        let share = 1.0 / (1.0 + (proxies[1] - proxies[0]).exp());
        assert!((found.exact_gold - (share * golds[0] + (1.0 - share) * golds[1])).abs() < 1e-5);
    }
}
