//! A limit on what completions cost: their worth less what they cost, weighed by a multiplier that rises while the limit is
//! passed.
//!
//! `max E[R]` where `E[C] <= d`, by its Lagrangian: what is learned from is `(R - λ C) / (1 + λ)`, and after each collection
//! `λ <- [λ + lambda_lr (mean C - d)]+`. Dai et al. 2023, arXiv 2310.12773, section 3.4. Safe RLHF has a critic each for worth
//! and cost, and combines their advantages; an advantage is linear in what is rewarded, so that one critic of the combination
//! has the same to say. It moves `log λ` where λ moves here, so that a limit that is kept comes to cost nothing.

use crate::group::{Group, Member};
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::rewards::{self, Panel};
use crate::role::Role;
use crate::training::OneOrMany;
use crate::{Error, Hyperparameters, Metrics};
use serde::Deserialize;

const LIMIT: &str = "cost_limit";
const START: &str = "lambda_init";
const RATE: &str = "lambda_lr";
const MOST: &str = "lambda_max";

/// Hyperparameters of methods that can keep a limit.
pub(crate) const PARAMETERS: &[Parameter] = &[
    parameter(
        "cost_funcs",
        Kind::Variants(rewards::VARIANTS),
        "null",
        None,
        "Rules that say what a completion costs, which is to stay below cost_limit.",
    ),
    parameter(
        "cost_model",
        Kind::Words,
        "null",
        None,
        "Reward models that say what a completion costs: directories, or hub ids.",
    ),
    parameter(
        "cost_weights",
        Kind::Floats,
        "null",
        None,
        "Weight of each rule of costs, then of each model; 1 each where null, below 0 for what is good where it is high.",
    ),
    parameter(LIMIT, Kind::Float, "0.0", None, "Mean cost that completions may have."),
    parameter(START, Kind::Float, "1.0", Some(Range::at_least(0.0)), "What the multiplier of costs starts at."),
    parameter(
        RATE,
        Kind::Float,
        "0.1",
        Some(Range::at_least(0.0)),
        "By how much the multiplier rises for each unit by which the mean cost is above its limit.",
    ),
    parameter(
        MOST,
        Kind::Float,
        "null",
        Some(Range::above(0.0)),
        "Most that the multiplier rises to; no limit where null.",
    ),
];

/// At their defaults where a method keeps no limit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    cost_funcs: Option<OneOrMany<String>>,
    cost_model: Option<OneOrMany<String>>,
    cost_weights: Option<Vec<f64>>,
    cost_limit: f64,
    lambda_init: f64,
    lambda_lr: f64,
    lambda_max: Option<f64>,
}

/// The limit, and how much passing it counts at the moment.
#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    raw: Raw,
    pub(crate) multiplier: f64,
}

impl Constraint {
    /// `None` where nothing says what completions cost.
    ///
    /// # Errors
    /// Those of rules and weights; a limit on nothing.
    pub(crate) fn new(settings: &Hyperparameters) -> Result<Option<Self>, Error> {
        let raw: Raw = settings.typed()?;
        let constraint = Constraint { multiplier: raw.lambda_init, raw };
        if constraint.panel().check(settings)? > 0 {
            return Ok(Some(constraint));
        }
        match [LIMIT, START, RATE, MOST].into_iter().find(|name| settings.was_given(name)) {
            Some(name) => {
                Err(settings.invalid(name, "is read with cost_funcs or cost_model alone: give one, or leave it out"))
            }
            None => Ok(None),
        }
    }

    /// Who says what completions cost.
    pub(crate) fn panel(&self) -> Panel<'_> {
        Panel::new(Role::Cost, &self.raw.cost_funcs, &self.raw.cost_model, &self.raw.cost_weights)
    }

    /// What is learned from, of a rollout's worth and cost; nothing where either is not known.
    pub(crate) fn weighed(&self, member: &Member) -> Option<f64> {
        let both = member.reward.zip(member.cost);
        both.map(|(reward, cost)| (reward - self.multiplier * cost) / self.unit())
    }

    /// What worth is divided by.
    pub(crate) fn unit(&self) -> f64 {
        1.0 + self.multiplier
    }

    /// Moves the multiplier by what rollouts cost.
    pub(crate) fn follow(&mut self, groups: &[Group], metrics: &mut Metrics) {
        let costs = groups.iter().flat_map(|group| &group.members).filter_map(|member| member.cost);
        let (sum, count) = costs.fold((0.0, 0.0), |(sum, count), cost| (sum + cost, count + 1.0));
        metrics.add("cost", sum, count);
        metrics.add("lambda", self.multiplier, 1.0);
        if count > 0.0 {
            self.multiplier = self.moved(sum / count);
        }
    }

    /// The multiplier after completions of that mean cost.
    fn moved(&self, cost: f64) -> f64 {
        let moved = (self.multiplier + self.raw.lambda_lr * (cost - self.raw.cost_limit)).max(0.0);
        self.raw.lambda_max.map_or(moved, |most| moved.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;
    use crate::Settings;
    use serde_json::{Value, json};

    fn constraint(more: Value) -> Result<Option<Constraint>, Error> {
        let mut given = json!({"reward_funcs": "length"}).as_object().unwrap().clone();
        given.extend(more.as_object().unwrap().clone());
        let settings = Settings::resolve(Method::find("ppo").unwrap(), &given)?;
        Constraint::new(&settings)
    }

    /// A choice of three: worth 3, 2, 0 and cost 1, 0.2, 0. At most 0.6 may be spent. The best mixture gives half of its weight to
    /// each of the first two, whose worths less costs are equal at `λ = 1.25`: the point of Karush, Kuhn and Tucker.
    #[test]
    fn a_choice_under_a_limit_comes_to_its_optimum() {
        let (worth, cost) = ([3.0, 2.0, 0.0], [1.0, 0.2, 0.0]);
        let given = json!({"cost_funcs": "length", "cost_limit": 0.6, "lambda_init": 0.0});
        let mut constraint = constraint(given).unwrap().unwrap();
        let mut chosen = [0.0; 3];
        for _ in 0..400 {
            // What a method comes to that is rewarded so, at a weight of 0.05 on the distance to indifference.
            let lambda = constraint.multiplier;
            let exp = [0, 1, 2].map(|i: usize| ((worth[i] - lambda * cost[i]) / (1.0 + lambda) / 0.05f64).exp());
            chosen = exp.map(|e| e / exp.iter().sum::<f64>());
            constraint.multiplier = constraint.moved(chosen.iter().zip(&cost).map(|(p, c)| p * c).sum());
        }
        assert!((constraint.multiplier - 1.25).abs() < 1e-4, "{}", constraint.multiplier);
        assert!(chosen.iter().zip([0.5, 0.5, 0.0]).all(|(a, b)| (a - b).abs() < 1e-4), "{chosen:?}");
    }

    #[test]
    fn worth_and_cost_are_weighed_and_the_multiplier_stays_in_its_bounds() {
        let given = json!({"cost_funcs": "length", "cost_limit": 1.0, "lambda_lr": 0.5, "lambda_max": 1.75});
        let mut constraint = constraint(given).unwrap().unwrap();
        let member = |reward, cost| Member { reward, cost, ..Member::default() };
        let rollouts = || {
            let members = vec![member(Some(2.0), Some(4.0)), member(Some(1.0), None), member(None, Some(0.0))];
            vec![Group { members, ..Group::default() }]
        };
        let mut metrics = Metrics::default();
        for expected in [1.5, 1.75, 1.75] {
            constraint.follow(&rollouts(), &mut metrics);
            assert_eq!(constraint.multiplier, expected);
        }
        constraint.multiplier = 3.0;
        let rewards: Vec<_> = rollouts()[0].members.iter().map(|member| constraint.weighed(member)).collect();
        assert_eq!(rewards, [Some((2.0 - 12.0) / 4.0), None, None]);
        for _ in 0..9 {
            let members = vec![member(Some(2.0), Some(0.0))];
            constraint.follow(&[Group { members, ..Group::default() }], &mut metrics);
        }
        assert_eq!((constraint.multiplier, metrics.values("")["cost"]), (0.0, 12.0 / 15.0));
    }

    #[test]
    fn a_limit_on_nothing_is_refused() {
        assert!(constraint(json!({})).unwrap().is_none());
        let error = constraint(json!({"cost_limit": 1.0})).unwrap_err().to_string();
        assert!(error.contains("cost_limit") && error.contains("cost_funcs"), "{error}");
        let error = constraint(json!({"cost_funcs": "length", "cost_weights": [1.0, 2.0]})).unwrap_err().to_string();
        assert!(error.contains("cost_weights") && error.contains("2 weights for 1 costs"), "{error}");
    }
}
