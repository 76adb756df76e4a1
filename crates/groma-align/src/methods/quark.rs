//! Quark: completions are sorted into quantiles by what they are worth, the model learns them behind a tag that says which, and
//! speaks behind that of the best.
//!
//! Lu et al. 2022, arXiv 2205.13636: explore (sample behind the tag of the best), quantise (all that was sampled so far), learn
//! `-log p(y | x, tag) + beta KL(p_ref(. | x) | p(. | x, tag))`, again and again; the loss is the mean over the tokens of a step.
//! Otherwise than in the paper: a tag is plain text before the prompt, and no new token; the best has none unless `tag_best`, so that
//! the model answers as the best does when it is asked plainly; with `baseline` `group`, rewards are compared within their prompt
//! before they are sorted; completions that are worth the same share a quantile; the oldest leave a pool that is full; and the
//! divergence is estimated at the tokens that were sampled, `w (ρ - 1 - log ρ)` with `ρ = p / p_ref` and `w = p_ref / p_sampler`, whose
//! mean over what is sampled is the divergence, where the paper sums over the vocabulary.

mod pool;

use super::policy;
use crate::collect::{Collector, mean_and_deviation};
use crate::group::{Group, Member};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Said, Slopes, Step};
use crate::parameter::{Kind, Range, as_list, parameter, said_twice};
use crate::rewarded::Rewarded;
use crate::role::Role;
use crate::rollout;
use crate::sampled::tokens;
use crate::sequence::Sequence;
use crate::training::OneOrMany;
use crate::{Error, Hyperparameters, Metrics, collect, constraint, reference};
use groma_data::Shape;
use groma_model::Head;
use pool::{Entry, Pool};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;

const TAGS: &str = "quantile_tags";
const BASELINE: &str = "baseline";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "quark",
    names: &["quantized-reward-conditioning", "reward-conditioning"],
    title: "Quark",
    paper: "arXiv:2205.13636",
    doc: "Samples completions, sorts all so far into quantiles by their rewards, and learns each behind the tag of its quantile; what is sampled next stands behind that of the best.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        &[rollout::COMPLETIONS],
        rollout::PASSES,
        rollout::REWARDS,
        &[
            reference::REF_MODEL,
            parameter(
                "beta",
                Kind::Float,
                "0.05",
                Some(Range::at_least(0.0)),
                "Weight of the distance to the reference, which is asked without a tag; 0 needs no reference.",
            ),
            parameter(
                TAGS,
                Kind::Words,
                "[\"[e] \", \"[d] \", \"[c] \", \"[b] \", \"[a] \"]",
                None,
                "What prompts begin with, from the worst quantile to the best: as many quantiles as tags, two or more.",
            ),
            parameter(
                "tag_best",
                Kind::Boolean,
                "false",
                None,
                "Whether the best have their tag too, as in the paper; else the model answers as they do when it is asked plainly.",
            ),
            parameter(
                BASELINE,
                Kind::Choice(&["none", "group"]),
                "\"none\"",
                None,
                "Whether completions are sorted by their rewards less the mean of their prompt's group, which takes num_generations of 2 or more: where what is asked decides what can be had, else the best are those of easy prompts.",
            ),
            parameter(
                "pool_size",
                Kind::Integer,
                "1024",
                Some(Range::at_least(2.0)),
                "Completions that are kept and learned from, evenly by quantile; the oldest leave first.",
            ),
        ],
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-5")],
    metrics: &[
        policy::REWARDS,
        policy::SPREAD,
        collect::COMPLETIONS,
        &["entropy", "nll", "kl", "quark/pool", "quark/best_reward", "quark/worst_reward"],
    ],
    masks: |settings| Ok(Masks { tags: tags(settings)?, ..Masks::default() }),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Quark::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    beta: f64,
    quantile_tags: OneOrMany<String>,
    tag_best: bool,
    baseline: Kinds,
    pool_size: usize,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kinds {
    None,
    Group,
}

/// What prompts begin with, from the worst quantile to the best.
fn tags(settings: &Hyperparameters) -> Result<Vec<String>, Error> {
    let raw: Raw = settings.typed()?;
    let mut tags = raw.quantile_tags.as_slice().to_vec();
    if tags.len() < 2 {
        let hint = tags.first().map_or(String::new(), |tag| as_list(tag));
        return Err(settings.invalid(TAGS, format!("must be two tags or more: one for each quantile{hint}")));
    }
    if let Some(tag) = said_twice(&tags) {
        return Err(settings.invalid(TAGS, format!("has `{tag}` twice: quantiles are told apart by their tags")));
    }
    if let Some(best) = tags.last_mut().filter(|_| !raw.tag_best) {
        best.clear();
    }
    Ok(tags)
}

struct Quark {
    rewarded: Rewarded,
    beta: f64,
    baseline: Kinds,
    quantiles: usize,
    pool: Pool,
}

impl Quark {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        if raw.beta == 0.0 {
            reference::unasked(settings, "beta")?;
        }
        let (rewarded, quantiles) = (Rewarded::new(settings)?, tags(settings)?.len());
        if raw.baseline == Kinds::Group && rewarded.rollouts.num_generations < 2 {
            let problem = "has nothing to compare with where num_generations is 1: sample two or more of each prompt";
            return Err(settings.invalid(BASELINE, problem));
        }
        Ok(Quark { rewarded, beta: raw.beta, baseline: raw.baseline, quantiles, pool: Pool::new(raw.pool_size) })
    }

    /// Puts completions into the pool, with what the reference says of them behind the plain prompt.
    fn keep(&mut self, collector: &Collector<'_>, rows: &[Cow<'_, Group>], groups: Vec<Group>) -> Result<(), Error> {
        // Held-out rows are measured by what is said to them alone.
        if collector.rows.is_empty() {
            self.pool.clear();
        }
        let longest = collector.model.spec().max_positions;
        let plain = groups.into_iter().zip(rows).map(|(mut group, row)| {
            let asked = row.members.first().map_or(&[][..], |member| &member.sequence.ids);
            // Behind the longest tag it must be readable, too.
            let most = row.members.iter().map(|member| member.sequence.ids.len()).max().unwrap_or(0);
            for member in &mut group.members {
                let completion = crate::sampled::completion(member);
                let completion = completion[..completion.len().min(longest.saturating_sub(most))].to_vec();
                member.sampled.truncate(completion.len());
                member.sequence = Sequence::completion(asked, &completion);
            }
            Cow::Owned(group)
        });
        let plain: Vec<Cow<'_, Group>> = plain.collect();
        let known = if self.needs_reference() { collector.referenced(plain)? } else { plain };
        for (group, row) in known.iter().zip(rows) {
            // The first of a row is the plain prompt; behind it are those of the quantiles.
            let prompts: Vec<&[u32]> = row.members.iter().skip(1).map(|member| &member.sequence.ids[..]).collect();
            let known: Vec<f64> = group.members.iter().filter_map(|member| member.reward).collect();
            let expected = if self.baseline == Kinds::Group { mean_and_deviation(&known).0 } else { 0.0 };
            let entry = |member: &Member| Entry::of(&group.place, &prompts, member, expected);
            self.pool.add(group.members.iter().filter_map(entry));
        }
        Ok(())
    }

    /// So many completions of the pool, each behind the tag of its quantile.
    fn draw(&self, collector: &mut Collector<'_>, count: usize) -> Vec<Group> {
        let quantiles = self.pool.quantiles(self.quantiles);
        for (entry, &quantile) in self.pool.entries().zip(&quantiles) {
            let of = |wanted| f64::from(u8::from(quantile == wanted));
            collector.metrics.add("quark/best_reward", of(self.quantiles - 1) * entry.reward, of(self.quantiles - 1));
            collector.metrics.add("quark/worst_reward", of(0) * entry.reward, of(0));
        }
        collector.metrics.add("quark/pool", quantiles.len() as f64, 1.0);
        let drawn = pool::evenly(&quantiles, self.quantiles, count, collector.seed.named("quark"));
        self.pool.groups(&drawn, &quantiles)
    }
}

/// The loss of a token and its slope: its negative log-probability, and the distance to the reference at `beta`, of which nothing is
/// known without one.
fn token_loss(beta: f64, logp: f64, reference: Option<f64>, sampled: f64) -> (f64, f64) {
    let (distance, pull) = reference.map_or((0.0, 0.0), |reference| forward_kl(logp, reference, sampled));
    (beta * distance - logp, beta * pull - 1.0)
}

/// The divergence of the policy from the reference, `KL(p_ref | p)`, as estimated at a token that somebody else sampled; and its
/// derivative with respect to the policy's log-probability.
fn forward_kl(logp: f64, reference: f64, sampled: f64) -> (f64, f64) {
    let (weight, log_ratio) = ((reference - sampled).exp(), logp - reference);
    (weight * (log_ratio.exp_m1() - log_ratio), weight * log_ratio.exp_m1())
}

impl Objective for Quark {
    fn rewarded(&self) -> Option<&Rewarded> {
        Some(&self.rewarded)
    }

    fn needs_reference(&self) -> bool {
        self.beta > 0.0
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        rows: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let best = |row: &Cow<'a, Group>| {
            let (place, columns) = (row.place.clone(), row.columns.clone());
            // Before anything was learned, no tag says anything.
            let asked = if self.pool.is_new() { row.members.first() } else { row.members.last() };
            Cow::Owned(Group { place, members: asked.cloned().into_iter().collect(), columns })
        };
        let prompts: Vec<Cow<'_, Group>> = rows.iter().map(best).collect();
        let mut groups = self.rewarded.sample(collector, &prompts)?;
        let count = groups.iter().map(|group| group.members.len()).sum();
        for group in &mut groups {
            policy::mask_truncated(&mut group.members, &self.rewarded.rollouts);
            policy::mask_unrewarded(&mut group.members);
        }
        self.keep(collector, &rows, groups)?;
        Ok(self.draw(collector, count).into_iter().map(Cow::Owned).collect())
    }

    /// Tokens that are learned.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        tokens(groups)
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let (mut sum, mut all) = (0.0, Vec::new());
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let logps = said.logps(index);
            let at = |t: usize| {
                (f64::from(logps[t]), member.reference.get(t).copied().map(f64::from), f64::from(member.sampled[t]))
            };
            let found = (0..logps.len()).map(|t| {
                let (logp, reference, sampled) = at(t);
                token_loss(self.beta, logp, reference, sampled)
            });
            let (values, slopes): (Vec<f64>, Vec<f64>) = found.unzip();
            sum += values.iter().sum::<f64>();
            measure(metrics, said, index, member);
            all.push(slopes);
        }
        Slopes { sum, logps: said.spread(&all, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }

    fn journal(&mut self) -> Vec<String> {
        self.pool.new_lines()
    }

    fn recall(&mut self, line: &str) -> Result<(), String> {
        self.pool.recall(line)
    }

    fn state(&self) -> Value {
        json!({"rewarded": self.rewarded.state(), "pool": self.pool.state()})
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        self.pool.restore(&state["pool"])?;
        self.rewarded.restore(&state["rewarded"])
    }
}

/// Logs what the model says of one completion: `kl` is its divergence from the reference at a token, as the loss estimates it.
fn measure(metrics: &mut Metrics, said: &Said<'_>, index: usize, member: &Member) {
    let (logps, count) = (said.logps(index), member.sampled.len() as f64);
    let entropy: f64 = said.of(index, &said.output.entropy).into_iter().map(f64::from).sum();
    metrics.add("entropy", entropy, count);
    metrics.add("nll", -logps.iter().map(|&logp| f64::from(logp)).sum::<f64>(), count);
    let tokens = logps.iter().zip(&member.reference).zip(&member.sampled);
    let distance = tokens.map(|((&p, &r), &s)| forward_kl(p.into(), r.into(), s.into()).0).sum();
    metrics.add("kl", distance, member.reference.len() as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::forest::Forest;
    use groma_kernels::HeadOutput;

    fn normalised(weights: &[f64]) -> Vec<f64> {
        let total: f64 = weights.iter().map(|weight| weight.exp()).sum();
        weights.iter().map(|weight| weight - total.ln()).collect()
    }

    /// Over all tokens that somebody may sample, the mean of the estimates is the divergence, and that of their slopes its slope.
    #[test]
    fn the_mean_of_all_estimates_is_the_divergence() {
        let [policy, reference, sampler] =
            [[0.3, -1.0, 2.0, 0.1], [1.0, 0.2, -0.7, 0.0], [0.0, 0.5, 0.5, -2.0]].map(|weights| normalised(&weights));
        let mean = |of: fn((f64, f64)) -> f64| -> f64 {
            (0..4).map(|t| sampler[t].exp() * of(forward_kl(policy[t], reference[t], sampler[t]))).sum()
        };
        let exact: f64 = (0..4).map(|t| reference[t].exp() * (reference[t] - policy[t])).sum();
        assert!((mean(|(value, _)| value) - exact).abs() < 1e-12);
        // d KL / d z_i = p_i - p_ref_i; what estimates send to the logits comes to the same.
        for i in 0..4 {
            let sent: f64 = (0..4)
                .map(|t| {
                    let hit = f64::from(u8::from(t == i));
                    sampler[t].exp() * forward_kl(policy[t], reference[t], sampler[t]).1 * (hit - policy[i].exp())
                })
                .sum();
            assert!((sent - (policy[i].exp() - reference[i].exp())).abs() < 1e-12, "{i}");
        }
    }

    #[test]
    fn slopes_are_central_differences() {
        let h = 1e-6;
        for (logp, reference, sampled) in [(-1.0, Some(-1.0), -2.0), (-2.0, Some(-0.5), -1.0), (-0.1, None, -3.0)] {
            let at = |logp| token_loss(0.3, logp, reference, sampled).0;
            let numeric = (at(logp + h) - at(logp - h)) / (2.0 * h);
            assert!((token_loss(0.3, logp, reference, sampled).1 - numeric).abs() < 1e-8);
        }
    }

    /// Quantiles, loss and slopes by other code, see `scripts/make_policy_fixtures.py`.
    #[test]
    fn quantiles_losses_and_slopes_are_those_of_the_formula() {
        let fixture: Value = serde_json::from_str(include_str!("../../fixtures/policy_losses.json")).unwrap();
        for case in fixture["quark"].as_array().unwrap() {
            let rows = |name: &str| serde_json::from_value::<Vec<Vec<f32>>>(case[name].clone()).unwrap();
            let mut given = json!({"reward_funcs": "length"}).as_object().unwrap().clone();
            given.extend(case["settings"].as_object().unwrap().clone());
            let mut quark = Quark::new(&Settings::resolve(&METHOD, &given).unwrap()).unwrap();
            let prompts: Vec<Vec<u32>> = (0..quark.quantiles as u32).map(|tag| vec![tag]).collect();
            let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
            for (index, (sampled, reference)) in rows("sampled").into_iter().zip(rows("reference")).enumerate() {
                let ids: Vec<u32> = (0..sampled.len() as u32).map(|t| 100 * index as u32 + t + 10).collect();
                let reward = case["rewards"][index].as_f64();
                let member = Member { sampled, reference, reward, ..Member::new(Sequence::completion(&[9], &ids)) };
                quark.pool.add(Entry::of("rows:1", &prompts, &member, 0.0));
            }
            let quantiles = quark.pool.quantiles(quark.quantiles);
            assert_eq!(json!(quantiles), case["quantiles"]);
            let all: Vec<usize> = (0..quantiles.len()).collect();
            let groups: Vec<Cow<'_, Group>> = quark.pool.groups(&all, &quantiles).into_iter().map(Cow::Owned).collect();
            let behind = |group: &Cow<'_, Group>| group.members[0].sequence.ids[0] as usize;
            assert_eq!(groups.iter().map(behind).collect::<Vec<_>>(), quantiles, "each stands behind its own tag");
            let forest = Forest::new(&groups.iter().flat_map(|group| group.sequences()).collect::<Vec<_>>());
            let mut output = HeadOutput { entropy: vec![0.0; forest.slot_count()], ..HeadOutput::default() };
            output.logp = output.entropy.clone();
            for (member, row) in rows("now").iter().enumerate() {
                forest.slots(member).iter().zip(row).for_each(|(&slot, &now)| output.logp[slot as usize] = now);
            }
            let said = Said::of_tokens(&forest, &output);
            let step = Step { groups: &groups, total: quark.total(&groups) };
            let found = quark.loss(step, 0..groups.len(), &said, &mut Metrics::default());
            let expected = case["loss"].as_f64().unwrap();
            assert!((found.sum / step.total - expected).abs() < 1e-6, "{} {expected}", found.sum / step.total);
            for (member, row) in rows("slopes").iter().enumerate() {
                for (slope, expected) in said.of(member, &found.logps).iter().zip(row) {
                    assert!((slope - expected).abs() < 1e-6, "{slope} {expected}");
                }
            }
        }
    }

    #[test]
    fn its_pool_survives() {
        let new = || {
            Quark::new(&Settings::resolve(&METHOD, json!({"reward_funcs": "length"}).as_object().unwrap()).unwrap())
                .unwrap()
        };
        let mut full = new();
        let member = Member {
            sampled: vec![-0.1, -0.2],
            reward: Some(0.1 + 0.2),
            ..Member::new(Sequence::completion(&[1], &[2, 3]))
        };
        full.pool.add(Entry::of("rows:1", &[&[5], &[1]], &member, 0.1));
        let (state, lines) = (full.state(), full.journal());
        assert_eq!((lines.len(), full.journal().len()), (1, 0), "what is written once is not written again");
        let mut fresh = new();
        fresh.restore(&serde_json::from_str(&state.to_string()).unwrap()).unwrap();
        lines.iter().for_each(|line| fresh.recall(line).unwrap());
        assert!(fresh.recall("{}").unwrap_err().contains("pool"));
        let entries = |quark: &Quark| quark.pool.entries().cloned().collect::<Vec<_>>();
        assert_eq!((entries(&fresh), fresh.state(), fresh.journal().len()), (entries(&full), state.clone(), 0));
        // The first checkpoints held the pool itself: it is written once more.
        let mut old = state;
        old["pool"] = json!(entries(&full));
        let mut fresh = new();
        fresh.restore(&old).unwrap();
        assert_eq!((entries(&fresh), fresh.state(), fresh.journal()), (entries(&full), full.state(), lines));
        assert!(fresh.restore(&Value::Null).unwrap_err().contains("pool"));
    }

    #[test]
    fn one_quantile_is_none() {
        let given = json!({"reward_funcs": "length", "quantile_tags": "good "});
        let error = Settings::resolve(&METHOD, given.as_object().unwrap()).unwrap_err().to_string();
        assert!(error.contains("quantile_tags") && error.contains("two tags"), "{error}");
        let given = json!({"reward_funcs": "length", "quantile_tags": ["bad ", "good ", "bad "]});
        let error = Settings::resolve(&METHOD, given.as_object().unwrap()).unwrap_err().to_string();
        assert!(error.contains("quantile_tags") && error.contains("`bad ` twice"), "{error}");
        let given = json!({"reward_funcs": "length", "baseline": "group"});
        let error = Settings::resolve(&METHOD, given.as_object().unwrap()).unwrap_err().to_string();
        assert!(error.contains("baseline") && error.contains("num_generations"), "{error}");
    }
}
