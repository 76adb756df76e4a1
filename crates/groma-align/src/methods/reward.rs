//! Reward modelling of comparisons: pairs by `-ls(r_c - r_r - margin)`, rankings by the likelihood of the order or of its pairs,
//! and answers that are wanted or not by `-ls(±r)`; `coefficient * (2 mean r)²` where rewards are centred.
//!
//! Bradley and Terry 1952; Ouyang et al. 2022, arXiv 2203.02155, equation 1, which takes the mean over all pairs of a ranking;
//! Zhu et al. 2023, arXiv 2301.11270, equation 8, for Plackett and Luce; margins as in Llama 2 (arXiv 2307.09288, equation 2),
//! centring as in Eisenstein et al. 2023, arXiv 2312.09244. A pair whose answers are labelled each is that of a cost model (Dai
//! et al. 2023, arXiv 2310.12773, equation 6): the pair's term, and `-ls(s r)` of each answer, `s` being 1 where it is labelled
//! and -1 where it is not. The score is that of a scalar head at the last token. That of a language model starts at zero, so that
//! training starts from the closed form; the embedding that the removed unembedding may share stays. A reward model goes on with
//! its own. With `keep_covariance` it leaves what pessimism needs of the comparisons (Zhu et al.), see `doubt.rs`.

use super::pro::plackett_luce;
use super::ranking::{PlainRank, ordered};
use crate::group::{Group, Member};
use crate::losses::{log_sigmoid, sigmoid};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use crate::{Error, Hyperparameters, Metrics, doubt};
use groma_data::Shape;
use groma_model::{Head, Transformer};
use groma_run::Cancel;
use serde::Deserialize;
use std::borrow::Cow;

const PLACKETT_LUCE: &str = "plackett_luce";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "reward",
    names: &["reward-model", "rm", "bradley-terry", "cost-model"],
    title: "Reward model of comparisons",
    paper: "arXiv:2203.02155",
    doc: "A scalar head that scores chosen completions above rejected ones (Bradley-Terry), rankings in their order, and wanted \
          completions above 0; of pairs that are labelled besides, a cost model.",
    data: &[Shape::Preference, Shape::Ranked, Shape::Labelled],
    roles: &[],
    heads: &[Head::SCORE],
    parameters: &[
        doubt::PARAMETERS,
        &[
            Parameter {
                name: "center_rewards_coefficient",
                kind: Kind::Float,
                default: "null",
                range: Some(Range::at_least(0.0)),
                doc: "Weight of the squared sum of both rewards (of a ranking, of twice their mean), which centres them; 0.01 is usual, none where null.",
            },
            Parameter {
                name: "ranking_loss",
                kind: Kind::Choice(&["pairs", PLACKETT_LUCE]),
                default: "\"pairs\"",
                range: None,
                doc: "Of rankings: the mean over all pairs of which one is better (pairs), or the likelihood of the whole order (plackett_luce); of two completions both are the same.",
            },
        ],
    ],
    overrides: &[("learning_rate", "1e-4"), ("truncation_mode", "\"drop\"")],
    metrics: &[&["accuracy", "margin", "min_reward", "mean_reward", "max_reward"]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Reward::new(settings)?)),
};

/// The method at work.
#[derive(Clone, Debug)]
struct Reward {
    centre: f64,
    rank: PlainRank,
    settings: Hyperparameters,
}

/// Values of the parameters above.
#[derive(Debug, Deserialize)]
struct RewardSettings {
    center_rewards_coefficient: Option<f64>,
    ranking_loss: String,
}

/// Value of a pair, and its gradient with respect to the two rewards.
///
/// `margin` is by how much the chosen reward should be above the other.
pub fn pair_loss(chosen: f64, rejected: f64, margin: f64) -> (f64, f64, f64) {
    let gap = chosen - rejected - margin;
    let slope = sigmoid(-gap);
    (-log_sigmoid(gap), -slope, slope)
}

/// Value and slopes of the mean over all pairs of a better and a worse completion; 0 where all are equally good.
fn all_pairs(rewards: &[f64], scores: &[f64]) -> (f64, Vec<f64>) {
    let count = ordered(scores).count().max(1) as f64;
    let (mut value, mut slopes) = (0.0, vec![0.0; rewards.len()]);
    for (better, worse) in ordered(scores) {
        let (loss, up, down) = pair_loss(rewards[better], rewards[worse], 0.0);
        value += loss / count;
        slopes[better] += up / count;
        slopes[worse] += down / count;
    }
    (value, slopes)
}

/// Value and slope of a reward that is to be above 0, or below.
fn labelled_loss(reward: f64, wanted: bool) -> (f64, f64) {
    let sign = if wanted { 1.0 } else { -1.0 };
    (-log_sigmoid(sign * reward), -sign * sigmoid(-sign * reward))
}

impl Reward {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let RewardSettings { center_rewards_coefficient, ranking_loss } = settings.typed()?;
        let rank = if ranking_loss == PLACKETT_LUCE { plackett_luce } else { all_pairs };
        Ok(Reward { centre: center_rewards_coefficient.unwrap_or(0.0), rank, settings: settings.clone() })
    }

    /// Value of a group, and its slope by member.
    fn group(&self, members: &[Member], rewards: &[f64]) -> (f64, Vec<f64>) {
        let scores: Option<Vec<f64>> = members.iter().map(|member| member.score).collect();
        let (mut value, mut slopes) = match (scores, members) {
            (Some(scores), _) => (self.rank)(rewards, &scores),
            (None, [chosen, _]) => {
                let (value, up, down) = pair_loss(rewards[0], rewards[1], chosen.margin.unwrap_or(0.0));
                (value, vec![up, down])
            }
            _ => (0.0, vec![0.0; rewards.len()]),
        };
        for ((label, reward), slope) in members.iter().map(|member| member.label).zip(rewards).zip(&mut slopes) {
            let (loss, own) = label.map_or((0.0, 0.0), |wanted| labelled_loss(*reward, wanted));
            value += loss;
            *slope += own;
        }
        let twice_mean = 2.0 * rewards.iter().sum::<f64>() / rewards.len().max(1) as f64;
        let pull = 4.0 * self.centre * twice_mean / rewards.len().max(1) as f64;
        slopes.iter_mut().for_each(|slope| *slope += pull);
        (value + self.centre * twice_mean * twice_mean, slopes)
    }
}

impl Objective for Reward {
    fn reads(&self) -> Reads {
        Reads::Scores
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.len() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let mut slopes = Slopes::default();
        let mut rest = said.scores;
        for group in &step.groups[micro] {
            let (own, others) = rest.split_at(group.members.len());
            rest = others;
            let rewards: Vec<f64> = own.iter().map(|&reward| f64::from(reward)).collect();
            let (value, by_member) = self.group(&group.members, &rewards);
            slopes.sum += value;
            slopes.scores.extend(by_member.into_iter().map(|slope| (slope / step.total) as f32));
            measure(metrics, &group.members, &rewards);
        }
        slopes
    }

    fn finish(&self, model: &mut Transformer, rows: &[Group], cancel: &Cancel) -> Result<(), Error> {
        if doubt::is_kept(&self.settings) { doubt::keep(model, rows, &self.settings, cancel) } else { Ok(()) }
    }

    /// With a zero head all rewards are 0. One that has learned leaves it open.
    fn loss_at_start(&self, groups: &[Cow<'_, Group>]) -> Option<f64> {
        let losses = groups.iter().map(|group| self.group(&group.members, &vec![0.0; group.members.len()]).0);
        Some(losses.sum::<f64>() / groups.len().max(1) as f64)
    }
}

fn measure(metrics: &mut Metrics, members: &[Member], rewards: &[f64]) {
    let right = |holds: bool| f64::from(u8::from(holds));
    let scores: Option<Vec<f64>> = members.iter().map(|member| member.score).collect();
    let pairs = match (scores, members.len()) {
        (Some(scores), _) => ordered(&scores).collect(),
        (None, 2) => vec![(0, 1)],
        _ => Vec::new(),
    };
    for &(better, worse) in &pairs {
        metrics.add("accuracy", right(rewards[better] > rewards[worse]), 1.0);
        metrics.add("margin", rewards[better] - rewards[worse], 1.0);
    }
    if let ([Member { label: Some(wanted), .. }], [reward]) = (members, rewards) {
        metrics.add("accuracy", right(if *wanted { *reward > 0.0 } else { *reward < 0.0 }), 1.0);
    }
    for &reward in rewards {
        metrics.add("mean_reward", reward, 1.0);
        metrics.smallest("min_reward", reward);
        metrics.largest("max_reward", reward);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, Settings};
    use serde_json::{Value, json};

    fn reward(given: Value) -> Reward {
        let method = Method::find("reward").unwrap();
        Reward::new(&Settings::resolve(method, given.as_object().unwrap()).unwrap()).unwrap()
    }

    fn pair(margin: Option<f64>, labels: [Option<bool>; 2]) -> Vec<Member> {
        let mut members: Vec<Member> = labels.into_iter().map(|label| Member { label, ..Member::default() }).collect();
        members[0].margin = margin;
        members
    }

    fn ranking(scores: &[f64]) -> Vec<Member> {
        scores.iter().map(|&score| Member { score: Some(score), ..Member::default() }).collect()
    }

    #[test]
    fn golden_values_and_identities() {
        let plain = reward(json!({}));
        let whole = reward(json!({"ranking_loss": "plackett_luce"}));
        let unlabelled = [None, None];
        assert!((plain.group(&pair(None, unlabelled), &[1.0, 0.5]).0 - 0.4740769841801067).abs() < 1e-12);
        assert!((plain.group(&pair(Some(0.2), unlabelled), &[1.0, 0.5]).0 - 0.5543552444685271).abs() < 1e-12);
        assert!((whole.group(&ranking(&[3.0, 2.0, 1.0]), &[2.0, 1.0, 0.0]).0 - 0.7208676519626034).abs() < 1e-12);
        // The gradient of the contrast is -(1 - s(Δ)).
        assert!((pair_loss(1.0, 0.5, 0.0).1 + 1.0 - sigmoid(0.5)).abs() < 1e-15);
        // Of two, a ranking is a pair, whichever way it is read; of three, the pairs are those of all.
        let two = plain.group(&pair(None, unlabelled), &[0.3, -0.9]);
        for objective in [&plain, &whole] {
            let (value, slopes) = objective.group(&ranking(&[1.0, 0.0]), &[0.3, -0.9]);
            assert!((value - two.0).abs() < 1e-12);
            assert!(slopes.iter().zip(&two.1).all(|(a, b)| (a - b).abs() < 1e-12));
        }
        let mean = [(2.0, 1.0), (2.0, 0.0), (1.0, 0.0)].map(|(a, b)| pair_loss(a, b, 0.0).0).iter().sum::<f64>() / 3.0;
        assert!((plain.group(&ranking(&[3.0, 2.0, 1.0]), &[2.0, 1.0, 0.0]).0 - mean).abs() < 1e-12);
        // A pair with signs is the pair, and two classifications.
        let signs = plain.group(&pair(None, [Some(true), Some(false)]), &[0.7, -0.2]).0;
        let parts = pair_loss(0.7, -0.2, 0.0).0 - log_sigmoid(0.7) - log_sigmoid(0.2);
        assert!((signs - parts).abs() < 1e-12);
    }

    #[test]
    fn slopes_are_central_differences() {
        let h = 1e-6;
        for given in [json!({}), json!({"ranking_loss": "plackett_luce", "center_rewards_coefficient": 0.3})] {
            let objective = reward(given);
            for members in [
                pair(Some(0.4), [None, None]),
                pair(None, [Some(true), Some(true)]),
                pair(None, [Some(true), Some(false)]),
                ranking(&[2.0, 0.5, -1.0, 0.5]),
                vec![Member { label: Some(false), ..Member::default() }],
            ] {
                let at: Vec<f64> = [0.3, -0.4, 1.2, 0.1][..members.len()].to_vec();
                for (index, slope) in objective.group(&members, &at).1.into_iter().enumerate() {
                    let moved = |by: f64| {
                        let mut moved = at.clone();
                        moved[index] += by;
                        objective.group(&members, &moved).0
                    };
                    assert!(((moved(h) - moved(-h)) / (2.0 * h) - slope).abs() < 1e-8, "{members:?} {index}");
                }
            }
        }
    }
}
