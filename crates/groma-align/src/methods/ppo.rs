//! Proximal policy optimisation with a critic: each token is rewarded, and compared with what was to be expected there.
//!
//! Schulman et al. 2017, arXiv 1707.06347; Ziegler et al. 2019, arXiv 1909.08593, for language models. As in TRL (0.23) the
//! reward of a token is `-kl_coef KL_t`, that of the last one has the completion's score beside it; advantages are generalised
//! (GAE) and whitened over all that was sampled at once. The loss is the mean over the tokens of an optimizer step of
//! `-min(r A, clip(r) A) + vf_coef / 2 max((V - R)^2, (clip(V) - R)^2)`, `R` being what the critic should have said.
//!
//! Otherwise than in TRL: the score lies at the last token, not behind it; means are taken over the tokens of a step, not of a
//! micro-batch; the mini-batches of a pass are those of the pass before; a schedule counts steps, not collections; without
//! `value_model` the critic is a head on the policy's trunk.

mod kl_controller;

use super::advantages::{generalised, whiten};
use super::policy::{self, Clip, clipped, log_ratios, measure};
use crate::collect::Collector;
use crate::constraint;
use crate::group::{Estimate, Group, Member};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Range, parameter};
use crate::rewarded::{MISSING_EOS_PENALTY, Rewarded, number};
use crate::rewards::Panel;
use crate::role::Role;
use crate::rollout::{self, Rollouts};
use crate::{Error, Hyperparameters, Metrics, collect, moving, reference, scaling};
use groma_data::Shape;
use groma_model::Head;
use kl_controller::KlController;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;

const PTX: &str = "ptx_coef";
const COUNT: Option<Range> = Some(Range::at_least(1.0));
const NOT_NEGATIVE: Option<Range> = Some(Range::at_least(0.0));
const POSITIVE: Option<Range> = Some(Range::above(0.0));
const SHARE: Option<Range> = Some(Range::closed(0.0, 1.0));

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "ppo",
    names: &["proximal-policy-optimisation", "rlhf", "ppo-lag"],
    title: "Proximal policy optimisation",
    paper: "arXiv:1707.06347",
    doc: "Samples completions and makes those tokens likelier after which more reward came than a critic, which learns with it, had expected; on request within a limit on what completions cost (Safe RLHF's PPO-Lag).",
    data: &[Shape::PromptOnly, Shape::PromptCompletion],
    roles: &[Role::Reference, Role::Reward, Role::Critic, Role::Cost],
    heads: &[Head::UNEMBEDDING, Head::VALUE],
    parameters: &[
        rollout::SAMPLING,
        &[
            parameter("num_ppo_epochs", Kind::Integer, "4", COUNT, "Passes of learning over what was sampled at once."),
            parameter(
                "num_mini_batches",
                Kind::Integer,
                "1",
                COUNT,
                "Optimizer steps in a pass, each on per_device_train_batch_size x gradient_accumulation_steps completions.",
            ),
        ],
        rollout::REWARDS,
        moving::PARAMETERS,
        &[
            reference::REF_MODEL,
            parameter(
                "value_model",
                Kind::Text,
                "null",
                None,
                "The critic, where it is a model of its own, all of which trains: a directory, or hub id, of a reward model or language model of the same tokenizer; a head on the policy's trunk where null.",
            ),
            parameter(
                "kl_coef",
                Kind::Float,
                "0.05",
                NOT_NEGATIVE,
                "Weight of the distance to the reference in the reward; 0 needs no reference.",
            ),
            parameter(
                "kl_estimator",
                Kind::Choice(&["k1", "k3"]),
                "\"k1\"",
                None,
                "How the distance is estimated at a token: by the difference of log-probabilities, or by a term that is never below 0, whose optimum is another one than the tilted reference.",
            ),
            parameter(
                "kl_controller",
                Kind::Variant(kl_controller::VARIANTS),
                "\"fixed\"",
                None,
                "Whether kl_coef stays, or moves towards a distance that is aimed at.",
            ),
            parameter(
                "cliprange",
                Kind::Float,
                "0.2",
                POSITIVE,
                "How far the ratio to the sampler may be from 1 and count.",
            ),
            parameter("vf_coef", Kind::Float, "0.1", NOT_NEGATIVE, "Weight of the critic's loss."),
            parameter(
                "cliprange_value",
                Kind::Float,
                "0.2",
                POSITIVE,
                "How far what the critic says may be from what it said at sampling and count.",
            ),
            parameter("gamma", Kind::Float, "1.0", SHARE, "What a reward counts a token earlier."),
            parameter(
                "lam",
                Kind::Float,
                "0.95",
                SHARE,
                "How far advantages look ahead before they trust the critic (GAE).",
            ),
            parameter(
                "whiten_rewards",
                Kind::Boolean,
                "false",
                None,
                "Bring the rewards of tokens to a deviation of 1, their mean kept.",
            ),
            parameter("whiten_advantages", Kind::Boolean, "true", None, "Bring advantages to mean 0 and deviation 1."),
            MISSING_EOS_PENALTY,
            parameter(
                PTX,
                Kind::Float,
                "0.0",
                NOT_NEGATIVE,
                "What the mean negative log-probability of a token of the rows' own completions counts beside (PPO-ptx), which takes rows that have some.",
            ),
        ],
        scaling::PARAMETERS,
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "3e-6"), ("max_completion_length", "53"), ("temperature", "0.7")],
    metrics: &[
        policy::REWARDS,
        collect::COMPLETIONS,
        policy::TOKENS,
        &[
            "objective/kl",
            "objective/kl_coef",
            "objective/entropy",
            "objective/non_score_reward",
            "objective/rlhf_reward",
            "objective/scores",
            "policy/approxkl_avg",
            "policy/clipfrac_avg",
            "policy/entropy_avg",
            "loss/policy_avg",
            "loss/value_avg",
            "val/clipfrac_avg",
            "val/ratio",
            "val/num_eos_tokens",
        ],
    ],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Ppo::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    kl_estimator: String,
    cliprange: f64,
    vf_coef: f64,
    cliprange_value: f64,
    gamma: f64,
    lam: f64,
    whiten_rewards: bool,
    whiten_advantages: bool,
    ptx_coef: f64,
}

struct Ppo {
    rewarded: Rewarded,
    raw: Raw,
    kl: KlController,
}

impl Ppo {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let kl = KlController::new(settings)?;
        if kl.weight == 0.0 {
            reference::unasked(settings, "kl_coef")?;
        }
        Ok(Ppo { rewarded: Rewarded::new(settings)?, raw: settings.typed()?, kl })
    }

    /// How far each token of a completion takes the policy from the reference.
    fn distances(&self, member: &Member) -> Vec<f64> {
        let pairs = member.sampled.iter().zip(&member.reference).map(|(&p, &r)| (f64::from(p), f64::from(r)));
        match self.raw.kl_estimator.as_str() {
            "k3" => pairs.map(|(logp, reference)| policy::k3(logp, reference).0).collect(),
            _ => pairs.map(|(logp, reference)| logp - reference).collect(),
        }
    }

    /// The reward of each token of a completion.
    fn rewards(&self, member: &Member, metrics: &mut Metrics) -> Vec<f64> {
        let (Some(score), false) = (member.reward, member.sampled.is_empty()) else { return Vec::new() };
        let mut rewards = vec![0.0; member.sampled.len()];
        let distances = self.distances(member);
        rewards.iter_mut().zip(&distances).for_each(|(reward, distance)| *reward = -self.kl.weight * distance);
        let shaped: f64 = rewards.iter().sum();
        if let Some(last) = rewards.last_mut() {
            *last += score;
        }
        if !member.reference.is_empty() {
            metrics.add("objective/kl", distances.iter().sum(), 1.0);
        }
        metrics.add("objective/entropy", member.sampled.iter().map(|&logp| -f64::from(logp)).sum(), 1.0);
        metrics.add("objective/non_score_reward", shaped, 1.0);
        metrics.add("objective/scores", score, 1.0);
        metrics.add("objective/rlhf_reward", shaped + score, 1.0);
        rewards
    }

    /// From scores, and from what the critic expected, to what each token is found to be worth; then the weight of the distance
    /// moves.
    fn judge(&mut self, groups: &mut [Group], metrics: &mut Metrics) {
        let mut rewards: Vec<Vec<f64>> = members(groups).map(|member| self.rewards(member, metrics)).collect();
        if self.raw.whiten_rewards {
            whiten(&mut rewards.iter_mut().flatten().collect::<Vec<_>>(), true);
        }
        for (member, rewards) in members(groups).zip(&rewards) {
            let values: Vec<f64> = member.estimates.iter().map(|estimate| f64::from(estimate.value)).collect();
            let advantages = generalised(rewards, &values, self.raw.gamma, self.raw.lam);
            for (estimate, advantage) in member.estimates.iter_mut().zip(advantages) {
                *estimate = Estimate { advantage, target: advantage + f64::from(estimate.value), ..*estimate };
            }
        }
        if self.raw.whiten_advantages {
            let advantages = members(groups).flat_map(|member| &mut member.estimates).map(|one| &mut one.advantage);
            whiten(&mut advantages.collect::<Vec<_>>(), false);
        }
        metrics.add("objective/kl_coef", self.kl.weight, 1.0);
        let learned: Vec<&mut Member> = members(groups).filter(|member| !member.sampled.is_empty()).collect();
        let distance: f64 = learned.iter().flat_map(|member| self.distances(member)).sum();
        if !learned.is_empty() {
            self.kl.update(distance / learned.len() as f64, learned.len());
        }
    }
}

/// Puts beside what was sampled of prompts the completions that their rows have.
///
/// # Errors
/// Where none has one.
fn add_demonstrations(groups: &mut [Group], rows: &[Cow<'_, Group>]) -> Result<(), Error> {
    let mut found = 0;
    for (group, row) in groups.iter_mut().zip(rows) {
        let given = row.sequences().filter(|sequence| sequence.scored_count() > 0);
        let before = group.members.len();
        group.members.extend(given.map(|sequence| Member::new(sequence.clone())));
        found += group.members.len() - before;
    }
    if found == 0 {
        let (name, problem) = (PTX.into(), "asks for completions, and the rows have none: give rows with some".into());
        return Err(Error::Setting { method: METHOD.id, name, value: "above 0".into(), problem });
    }
    Ok(())
}

/// Tokens of a completion that the row has, and that nobody sampled.
fn demonstrated(member: &Member) -> usize {
    if member.sampled.is_empty() { member.sequence.scored_count() } else { 0 }
}

fn members(groups: &mut [Group]) -> impl Iterator<Item = &mut Member> {
    groups.iter_mut().flat_map(|group| &mut group.members)
}

/// Half the squared error of what the critic says, or of what it may say, whichever is larger; its slope; and whether it is the
/// latter.
fn value_loss(value: f64, estimate: &Estimate, range: f64) -> (f64, f64, bool) {
    let before = f64::from(estimate.value);
    let plain = (value - estimate.target).powi(2);
    let bounded = (value.clamp(before - range, before + range) - estimate.target).powi(2);
    match bounded > plain {
        true => (0.5 * bounded, 0.0, true),
        false => (0.5 * plain, value - estimate.target, false),
    }
}

impl Objective for Ppo {
    fn reads(&self) -> Reads {
        Reads::Tokens { temperature: self.rewarded.rollouts.sampling.temperature, half_temperature: false }
    }

    fn rollouts(&self) -> Option<&Rollouts> {
        Some(&self.rewarded.rollouts)
    }

    fn needs_reference(&self) -> bool {
        self.kl.weight > 0.0
    }

    fn learns_rows(&self) -> bool {
        self.raw.ptx_coef > 0.0
    }

    fn has_critic(&self) -> bool {
        true
    }

    fn costs(&self) -> Option<Panel<'_>> {
        self.rewarded.costs()
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let mut groups = self.rewarded.sample(collector, &prompts)?;
        let ended = members(&mut groups).filter(|member| member.ended == Some(true)).count();
        collector.metrics.add("val/num_eos_tokens", ended as f64, 1.0);
        for group in &mut groups {
            policy::mask_truncated(&mut group.members, &self.rewarded.rollouts);
            policy::mask_unrewarded(&mut group.members);
        }
        let groups = groups.into_iter().map(Cow::Owned).collect();
        let groups = if self.needs_reference() { collector.referenced(groups)? } else { groups };
        let mut groups: Vec<Group> = groups.into_iter().map(Cow::into_owned).collect();
        collector.estimate(&mut groups)?;
        self.judge(&mut groups, collector.metrics);
        if self.raw.ptx_coef > 0.0 {
            add_demonstrations(&mut groups, &prompts)?;
        }
        Ok(groups.into_iter().map(Cow::Owned).collect())
    }

    /// Tokens of which something is learned.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.iter().flat_map(|group| &group.members).map(|member| member.sampled.len()).sum::<usize>() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let clip = Clip { low: self.raw.cliprange, high: self.raw.cliprange };
        let (mut sum, mut by_logp, mut by_value) = (0.0, Vec::new(), Vec::new());
        let all = || step.groups.iter().flat_map(|group| &group.members);
        let given: usize = if self.raw.ptx_coef > 0.0 { all().map(demonstrated).sum() } else { 0 };
        let ptx = self.raw.ptx_coef * step.total / given.max(1) as f64;
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            if demonstrated(member) > 0 {
                let logps = said.logps(index);
                let nll = -logps.iter().map(|&logp| f64::from(logp)).sum::<f64>();
                metrics.add("loss/ptx_avg", nll, logps.len() as f64);
                sum += ptx * nll;
                by_logp.push(vec![-ptx; logps.len()]);
                by_value.push(vec![0.0; logps.len()]);
                continue;
            }
            let (ratios, values) = (log_ratios(&said.logps(index), member), said.of(index, said.values));
            let mut seen = Seen::default();
            let (mut logps, mut slopes) = (Vec::new(), Vec::new());
            for ((&ratio, &value), estimate) in ratios.iter().zip(&values).zip(&member.estimates) {
                let (loss, slope, cut) = clipped(ratio, estimate.advantage, clip);
                let (error, pull, bounded) = value_loss(f64::from(value), estimate, self.raw.cliprange_value);
                sum += loss + self.raw.vf_coef * error;
                logps.push(slope);
                slopes.push(self.raw.vf_coef * pull);
                seen.add(ratio, (loss, cut != [false; 2]), (error, bounded));
            }
            seen.measure(metrics);
            measure(metrics, said, index, &ratios);
            let entropy: f64 = said.of(index, &said.output.entropy).into_iter().map(f64::from).sum();
            metrics.add("policy/entropy_avg", entropy, ratios.len() as f64);
            by_logp.push(logps);
            by_value.push(slopes);
        }
        let factor = 1.0 / step.total.max(1.0);
        let (logps, values) = (said.spread(&by_logp, factor), said.spread(&by_value, factor));
        Slopes { sum, logps, values, ..Slopes::default() }
    }

    fn state(&self) -> Value {
        json!({"kl_coef": self.kl.weight, "rewarded": self.rewarded.state()})
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        self.kl.weight = number(state, "kl_coef")?;
        self.rewarded.restore(&state["rewarded"])
    }
}

/// Sums over the tokens of a completion, under TRL's names.
#[derive(Default)]
struct Seen {
    sums: [f64; 6],
    tokens: f64,
}

impl Seen {
    const NAMES: [&str; 6] = [
        "policy/approxkl_avg",
        "val/ratio",
        "loss/policy_avg",
        "policy/clipfrac_avg",
        "loss/value_avg",
        "val/clipfrac_avg",
    ];

    fn add(&mut self, ratio: f64, policy: (f64, bool), critic: (f64, bool)) {
        let share = |is: bool| f64::from(u8::from(is));
        let of_token = [0.5 * ratio * ratio, ratio.exp(), policy.0, share(policy.1), critic.0, share(critic.1)];
        self.sums.iter_mut().zip(of_token).for_each(|(sum, value)| *sum += value);
        self.tokens += 1.0;
    }

    fn measure(&self, metrics: &mut Metrics) {
        Seen::NAMES.iter().zip(self.sums).for_each(|(name, sum)| metrics.add(name, sum, self.tokens));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::forest::Forest;
    use crate::sequence::Sequence;
    use groma_kernels::HeadOutput;

    fn ppo(more: &Value) -> Result<Ppo, Error> {
        let mut given = json!({"reward_funcs": "length"}).as_object().unwrap().clone();
        given.extend(more.as_object().unwrap().clone());
        let settings = Settings::resolve(&METHOD, &given)?;
        Ppo::new(&settings)
    }

    fn rows(case: &Value, name: &str) -> Vec<Vec<f64>> {
        serde_json::from_value(case[name].clone()).unwrap()
    }

    fn singles(case: &Value, name: &str) -> Vec<Vec<f32>> {
        serde_json::from_value(case[name].clone()).unwrap()
    }

    /// Completions of one token each that nothing else has, with what a case says of them.
    fn rollouts(case: &Value) -> Vec<Group> {
        let group = |(index, sampled): (usize, Vec<f32>)| {
            let ids: Vec<u32> = (0..sampled.len() as u32).map(|t| 100 * index as u32 + t + 1).collect();
            let value = singles(case, "values")[index].clone();
            let estimates = value.into_iter().map(|value| Estimate { value, ..Estimate::default() }).collect();
            let reference = singles(case, "reference")[index].clone();
            let (reward, ended) = (case["scores"][index].as_f64(), Some(true));
            let sequence = Sequence::completion(&[0], &ids);
            Group {
                members: vec![Member { sampled, reference, reward, ended, estimates, ..Member::new(sequence) }],
                ..Group::default()
            }
        };
        singles(case, "sampled").into_iter().enumerate().map(group).collect()
    }

    /// The loss of a case, and its slopes by completion and token, for log-probabilities and for values.
    fn losses(
        ppo: &mut Ppo,
        groups: &[Group],
        now: &[Vec<f64>],
        says: &[Vec<f64>],
    ) -> (f64, Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let forest = Forest::new(&groups.iter().flat_map(Group::sequences).collect::<Vec<_>>());
        let by_slot = |rows: &[Vec<f64>]| {
            let mut all = vec![0.0; forest.slot_count()];
            for (member, row) in rows.iter().enumerate() {
                forest.slots(member).iter().zip(row).for_each(|(&slot, &value)| all[slot as usize] = value as f32);
            }
            all
        };
        let output = HeadOutput { logp: by_slot(now), entropy: by_slot(now), ..HeadOutput::default() };
        let values = by_slot(says);
        let said = Said { values: &values, ..Said::of_tokens(&forest, &output) };
        let groups: Vec<Cow<'_, Group>> = groups.iter().map(Cow::Borrowed).collect();
        let step = Step { groups: &groups, total: ppo.total(&groups) };
        let found = ppo.loss(step, 0..groups.len(), &said, &mut Metrics::default());
        let of = |slopes: &[f32]| (0..groups.len()).map(|member| said.of(member, slopes)).collect();
        (found.sum / step.total, of(&found.logps), of(&found.values))
    }

    fn assert_close(found: impl Iterator<Item = f64>, expected: &[f64], what: &str) {
        let found: Vec<f64> = found.collect();
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-5 * b.abs().max(1.0);
        assert!(
            found.len() == expected.len() && found.iter().zip(expected).all(near),
            "{what}: {found:?} {expected:?}"
        );
    }

    /// Advantages, returns, losses and slopes of TRL's own code, see `scripts/make_ppo_fixture.py`.
    #[test]
    fn advantages_losses_and_slopes_are_those_of_trl() {
        let fixture: Value = serde_json::from_str(include_str!("../../fixtures/ppo.json")).unwrap();
        for case in fixture["cases"].as_array().unwrap() {
            let what = case["settings"].to_string();
            let mut ppo = ppo(&case["settings"]).unwrap();
            let (mut groups, mut metrics) = (rollouts(case), Metrics::default());
            ppo.judge(&mut groups, &mut metrics);
            for (index, group) in groups.iter().enumerate() {
                let of = |read: fn(&Estimate) -> f64| group.members[0].estimates.iter().map(read);
                assert_close(of(|e| e.advantage), &rows(case, "advantages")[index], &format!("{what} advantages"));
                assert_close(of(|e| e.target), &rows(case, "returns")[index], &format!("{what} returns"));
            }
            for name in ["objective/kl", "objective/entropy", "objective/non_score_reward", "objective/scores"] {
                let (found, expected) = (metrics.values("")[name], case["metrics"][name].as_f64().unwrap());
                assert!((found - expected).abs() < 1e-5, "{what} {name}: {found} {expected}");
            }
            let (loss, logps, values) = losses(&mut ppo, &groups, &rows(case, "now"), &rows(case, "says"));
            assert!((loss - case["loss"].as_f64().unwrap()).abs() < 1e-6, "{what}: {loss}");
            for index in 0..groups.len() {
                let wide = |row: &[f32]| row.iter().map(|&slope| f64::from(slope)).collect::<Vec<_>>().into_iter();
                assert_close(wide(&logps[index]), &rows(case, "logp_slopes")[index], &format!("{what} slopes"));
                assert_close(
                    wide(&values[index]),
                    &rows(case, "value_slopes")[index],
                    &format!("{what} slopes of values"),
                );
            }
        }
    }

    #[test]
    fn slopes_of_values_are_central_differences() {
        let estimate = Estimate { value: 0.5, advantage: 0.0, target: 0.9 };
        for value in [0.1, 0.45, 0.6, 0.8, 1.5] {
            let (h, at) = (1e-6, |value| value_loss(value, &estimate, 0.2).0);
            let (_, slope, _) = value_loss(value, &estimate, 0.2);
            assert!((slope - (at(value + h) - at(value - h)) / (2.0 * h)).abs() < 1e-8, "{value}");
        }
        assert!(value_loss(0.8, &estimate, 0.2).2, "further than it may go, towards where it should");
        assert!(!value_loss(0.1, &estimate, 0.2).2, "further away than it was");
    }

    /// On the policy that sampled, with ratios of 1, the gradient is that of REINFORCE with a baseline.
    #[test]
    fn at_the_sampler_slopes_are_advantages() {
        let case = json!({"sampled": [[-1.0, -0.5], [-2.0]], "reference": [[-1.0, -0.5], [-2.0]],
            "values": [[0.1, 0.2], [0.0]], "scores": [1.0, -1.0]});
        let mut ppo = ppo(&json!({"whiten_advantages": false})).unwrap();
        let mut groups = rollouts(&case);
        ppo.judge(&mut groups, &mut Metrics::default());
        let (_, slopes, _) = losses(&mut ppo, &groups, &rows(&case, "sampled"), &rows(&case, "values"));
        let advantages = groups.iter().flat_map(|group| &group.members[0].estimates).map(|e| e.advantage as f32);
        let expected: Vec<f32> = advantages.map(|advantage| -advantage / 3.0).collect();
        assert!(slopes.concat().iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-7), "{slopes:?} {expected:?}");
    }

    #[test]
    fn nothing_is_learned_of_a_completion_without_a_reward() {
        let mut groups =
            rollouts(&json!({"sampled": [[-1.0]], "reference": [[-1.0]], "values": [[0.0]], "scores": [null]}));
        policy::mask_unrewarded(&mut groups[0].members);
        let member = &groups[0].members[0];
        assert!(member.sampled.is_empty() && member.sequence.scored_count() == 0);
    }

    /// With nothing to be gained or lost otherwise, the slope is that of the cross-entropy of what the row has.
    #[test]
    fn what_rows_have_is_learned_beside() {
        let mut ppo = ppo(&json!({"ptx_coef": 2.0, "kl_coef": 0.0, "vf_coef": 0.0})).unwrap();
        let mut groups = rollouts(&json!({"sampled": [[-1.0, -0.5]], "reference": [[-1.0, -0.5]],
            "values": [[0.0, 0.0]], "scores": [0.0]}));
        let row = Group::of("rows:1".into(), Sequence::completion(&[0], &[7, 8, 9]));
        add_demonstrations(&mut groups, &[Cow::Borrowed(&row)]).unwrap();
        let said = [vec![-1.0, -0.5], vec![-0.25, -1.5, -2.0]];
        let groups: Vec<Group> = groups
            .remove(0)
            .members
            .into_iter()
            .map(|member| Group { members: vec![member], ..Group::default() })
            .collect();
        let (loss, slopes, values) = losses(&mut ppo, &groups, &said, &[vec![0.0; 2], vec![0.0; 3]]);
        assert!((loss - 2.0 * 3.75 / 3.0).abs() < 1e-6, "{loss}");
        assert!(
            slopes[0] == [0.0, 0.0] && slopes[1].iter().all(|slope| (slope + 2.0 / 3.0).abs() < 1e-6),
            "{slopes:?}"
        );
        assert!(values.concat().iter().all(|slope| *slope == 0.0));
        let prompt = Group::of("rows:2".into(), Sequence { ids: vec![0], supervised: vec![false] });
        assert!(
            add_demonstrations(
                &mut rollouts(&json!({"sampled": [[-1.0]], "reference": [[-1.0]], "values": [[0.0]],
            "scores": [0.0]})),
                &[Cow::Borrowed(&prompt)]
            )
            .is_err()
        );
    }

    #[test]
    fn its_state_survives() {
        let settings = json!({"kl_controller": "adaptive", "target": 0.1});
        let mut moved = ppo(&settings).unwrap();
        moved.kl.weight = 0.1 + 0.2;
        let state: Value = serde_json::from_str(&moved.state().to_string()).unwrap();
        let mut fresh = ppo(&settings).unwrap();
        fresh.restore(&state).unwrap();
        assert_eq!(fresh.kl.weight, 0.1 + 0.2);
        assert!(fresh.restore(&Value::Null).unwrap_err().contains("kl_coef"));
    }
}
