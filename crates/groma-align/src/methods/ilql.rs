//! Implicit language Q-learning: of given completions with rewards, what each next token is worth, without asking about tokens that
//! nobody wrote; answers are then chosen by that and by how likely they are (`ByAdvantage`).
//!
//! Snell et al. 2022, arXiv 2206.11871, with names and defaults of trlX. A token is an action, what stands before it a state. With
//! `Q_i` the heads of action values, `Q` the least that their copies say, `V` the head of values, and a reward `r` of each token, the
//! loss of a token is
//!
//! ```text
//!   Σ_i (Q_i(s, a) - r - γ V(s'))²                             what is to come agrees with what comes
//! + |τ - 1[Q(s, a) < V(s)]| (Q(s, a) - V(s))²                  V is the τ-expectile of Q over what was written
//! - cql_scale Σ_i log softmax(Q_i(s, ·))[a]                    other tokens are worth less (conservative Q-learning)
//! - awac_scale e^{β (Q(s, a) - V(s))} log π(a | s)             the completion itself
//! ```
//!
//! and the mean over all tokens; no gradient goes through `V(s')`, through the copies, nor through the exponential. Behind the last
//! token nothing is to come: `V(s') = 0`. Every `steps_for_target_q_sync` steps a copy becomes `(1 - α) copy + α Q_i`; in the paper
//! each step, with an α of 0.005.
//!
//! Rewards: of rankings, the scores, at the last token; of what is labelled and of pairs, 1 for what is wanted and -1 for what is
//! not, there as well; of answers in steps the same, at the token that ends the step.
//!
//! Otherwise than in trlX: heads are linear, where it has a layer between, and begin near zero; the mean is over the tokens of a step,
//! not of a micro-batch; rewards are taken as they are, where it brings those of all rows to mean 0 and deviation 1; there are two heads
//! of action values always.

#[cfg(test)]
mod tests;

use super::process_reward::STEP_SEPARATOR;
use crate::action_values::{ActionSaid, ActionSlopes};
use crate::group::{Group, Member};
use crate::method::{Masks, Method};
use crate::moving::Moves;
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::sequence::Sequence;
use crate::{Error, Hyperparameters, Metrics};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

const NOT_NEGATIVE: Option<Range> = Some(Range::at_least(0.0));

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "ilql",
    names: &["implicit-q-learning", "implicit-language-q-learning"],
    title: "Implicit language Q-learning",
    paper: "arXiv:2206.11871",
    doc: "Learns given completions, and from their rewards what each next token is worth; offline. Answers are then chosen by both: \
          `groma eval --advantage BETA`.",
    data: &[Shape::Ranked, Shape::Labelled, Shape::Preference, Shape::Stepwise],
    roles: &[],
    heads: &[Head::UNEMBEDDING, Head::VALUE, Head::Q1, Head::Q2, Head::TARGET_Q1, Head::TARGET_Q2],
    parameters: &[PARAMETERS],
    overrides: &[("truncation_mode", "\"drop\"")],
    metrics: &[&[
        "loss/q",
        "loss/v",
        "loss/cql",
        "loss/awac",
        "rewards/mean",
        "values/mean",
        "qvalues/mean",
        "advantage/mean",
        "logps/mean",
        "entropy",
    ]],
    masks: |settings| {
        let Raw { step_separator, .. } = settings.typed()?;
        Ok(Masks { step_separator, ..Masks::default() })
    },
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Ilql::new(settings)?)),
};

const PARAMETERS: &[Parameter] = &[
    parameter(
        "tau",
        Kind::Float,
        "0.7",
        Some(Range { min: 0.0, min_excluded: true, max: 1.0, max_excluded: true }),
        "Which expectile of what was written V is: 0.5 is the mean, near 1 the best.",
    ),
    parameter("gamma", Kind::Float, "0.99", Some(Range::closed(0.0, 1.0)), "What a reward counts a token earlier."),
    parameter(
        "cql_scale",
        Kind::Float,
        "0.1",
        NOT_NEGATIVE,
        "Weight of the loss that holds down what tokens are worth that were not written.",
    ),
    parameter("awac_scale", Kind::Float, "1.0", NOT_NEGATIVE, "Weight of the loss of the completions themselves."),
    parameter(
        "beta",
        Kind::Float,
        "0.0",
        NOT_NEGATIVE,
        "How much likelier tokens are learned that are worth more than was to be expected; 0 learns all alike, as supervised fine-tuning does.",
    ),
    parameter(
        "alpha",
        Kind::Float,
        "0.001",
        Some(Range { min: 0.0, min_excluded: true, max: 1.0, max_excluded: false }),
        "Share of the heads of action values in their copies when these move. V and answers go by the copies: in a training of few steps they want more.",
    ),
    parameter(
        "steps_for_target_q_sync",
        Kind::Integer,
        "5",
        Some(Range::at_least(1.0)),
        "Optimizer steps between two moves of the copies.",
    ),
    STEP_SEPARATOR,
];

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    tau: f64,
    gamma: f64,
    cql_scale: f64,
    awac_scale: f64,
    beta: f64,
    alpha: f64,
    steps_for_target_q_sync: u64,
    step_separator: String,
}

/// The method at work.
struct Ilql {
    raw: Raw,
}

/// What is known of a token that was written.
#[derive(Clone, Debug, Default, PartialEq)]
struct Token {
    /// By head, what it is worth.
    worth: Vec<f64>,
    /// By head, its log-probability among all that could have been written, by what these are worth.
    chosen: Vec<f64>,
    /// The least that the copies find it worth.
    target: f64,
    /// What was to be expected before it.
    value: f64,
    /// And behind it.
    next: f64,
    reward: f64,
    logp: f64,
}

/// Parts of a token's loss, each with its weight, and their slopes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    q: f64,
    v: f64,
    cql: f64,
    awac: f64,
    /// With respect to [`Token::worth`].
    by_worth: Vec<f64>,
    /// To each of [`Token::chosen`].
    by_chosen: f64,
    /// To [`Token::value`].
    by_value: f64,
    /// To [`Token::logp`].
    by_logp: f64,
}

impl Found {
    fn loss(&self) -> f64 {
        self.q + self.v + self.cql + self.awac
    }
}

impl Ilql {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        Ok(Ilql { raw: settings.typed()? })
    }

    fn token(&self, token: &Token) -> Found {
        let Raw { gamma, cql_scale, awac_scale, beta, .. } = self.raw;
        let aim = token.reward + gamma * token.next;
        let by_worth: Vec<f64> = token.worth.iter().map(|worth| 2.0 * (worth - aim)).collect();
        let (v, by_value) = expectile(self.raw.tau, token.target, token.value);
        let weight = awac_scale * (beta * (token.target - token.value)).exp();
        Found {
            q: token.worth.iter().map(|worth| (worth - aim).powi(2)).sum(),
            v,
            cql: -cql_scale * token.chosen.iter().sum::<f64>(),
            awac: -weight * token.logp,
            by_worth,
            by_chosen: -cql_scale,
            by_value,
            by_logp: -weight,
        }
    }

    /// The tokens of a member, in their order.
    fn tokens(said: &Said<'_>, member: usize, rewards: &[f64]) -> Vec<Token> {
        let of = |by_slot: &[f32]| -> Vec<f64> { said.of(member, by_slot).into_iter().map(f64::from).collect() };
        let by_head = |read: fn(&ActionSaid) -> &[f32]| -> Vec<Vec<f64>> {
            said.actions.iter().map(|head| of(read(head))).collect()
        };
        let (worth, chosen, copies) =
            (by_head(|head| &head.worth), by_head(|head| &head.logps), by_head(|head| &head.copy));
        let (values, logps) = (of(said.values), of(&said.output.logp));
        let token = |(at, &reward): (usize, &f64)| Token {
            worth: worth.iter().map(|head| head[at]).collect(),
            chosen: chosen.iter().map(|head| head[at]).collect(),
            target: copies.iter().map(|head| head[at]).fold(f64::INFINITY, f64::min),
            value: values[at],
            next: values.get(at + 1).copied().unwrap_or(0.0),
            reward,
            logp: logps[at],
        };
        rewards.iter().enumerate().map(token).collect()
    }
}

/// `|τ - 1[target < value]| (target - value)²`, and its slope with respect to the value.
fn expectile(tau: f64, target: f64, value: f64) -> (f64, f64) {
    let gap = target - value;
    let weight = if gap < 0.0 { 1.0 - tau } else { tau };
    (weight * gap * gap, -2.0 * weight * gap)
}

/// The reward of each scored token of each member.
fn rewards(group: &Group) -> Vec<Vec<f64>> {
    let sides = group.sides();
    let of = |(member, side): (&Member, f64)| {
        let ended = |token: usize| member.steps.iter().find(|(end, _)| *end == token + 1);
        let step = |token: usize| ended(token).map_or(0.0, |&(_, right)| if right { 1.0 } else { -1.0 });
        let mut rewards: Vec<f64> = member.sequence.scored().map(step).collect();
        if let Some(last) = rewards.last_mut().filter(|_| member.steps.is_empty()) {
            *last = member.score.unwrap_or(side);
        }
        rewards
    };
    group.members.iter().zip(sides).map(of).collect()
}

/// Slopes by member and token, on their way to slots.
#[derive(Default)]
struct ByMember {
    worth: Vec<Vec<Vec<f64>>>,
    chosen: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
    logps: Vec<Vec<f64>>,
}

impl ByMember {
    fn push(&mut self, found: &[Found]) {
        let heads = found.first().map_or(self.worth.len(), |one| one.by_worth.len());
        self.worth.resize_with(heads, Vec::new);
        for (head, worth) in self.worth.iter_mut().enumerate() {
            worth.push(found.iter().map(|one| one.by_worth[head]).collect());
        }
        self.chosen.push(found.iter().map(|one| one.by_chosen).collect());
        self.values.push(found.iter().map(|one| one.by_value).collect());
        self.logps.push(found.iter().map(|one| one.by_logp).collect());
    }

    fn slopes(&self, sum: f64, said: &Said<'_>, factor: f64) -> Slopes {
        let logps = said.spread(&self.chosen, factor);
        let action = |worth: &Vec<Vec<f64>>| ActionSlopes { worth: said.spread(worth, factor), logps: logps.clone() };
        Slopes {
            sum,
            logps: said.spread(&self.logps, factor),
            values: said.spread(&self.values, factor),
            actions: self.worth.iter().map(action).collect(),
            ..Slopes::default()
        }
    }
}

impl Objective for Ilql {
    fn reads(&self) -> Reads {
        Reads::PLAIN
    }

    fn has_critic(&self) -> bool {
        true
    }

    fn action_values(&self) -> Option<Moves> {
        Some(Moves::new(self.raw.alpha, self.raw.steps_for_target_q_sync))
    }

    /// Tokens of completions.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.iter().flat_map(|group| group.sequences()).map(Sequence::scored_count).sum::<usize>() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let (mut sum, mut all) = (0.0, ByMember::default());
        let rewards = step.groups[micro].iter().flat_map(|group| rewards(group));
        for (member, rewards) in rewards.enumerate() {
            let tokens = Ilql::tokens(said, member, &rewards);
            let found: Vec<Found> = tokens.iter().map(|token| self.token(token)).collect();
            sum += found.iter().map(Found::loss).sum::<f64>();
            measure(metrics, &tokens, &found);
            let entropies = said.of(member, &said.output.entropy);
            metrics.add("entropy", entropies.iter().map(|&e| f64::from(e)).sum(), entropies.len() as f64);
            all.push(&found);
        }
        all.slopes(sum, said, 1.0 / step.total.max(1.0))
    }
}

fn measure(metrics: &mut Metrics, tokens: &[Token], found: &[Found]) {
    let count = tokens.len() as f64;
    for (name, part) in [
        ("loss/q", (|one| one.q) as fn(&Found) -> f64),
        ("loss/v", |one| one.v),
        ("loss/cql", |one| one.cql),
        ("loss/awac", |one| one.awac),
    ] {
        metrics.add(name, found.iter().map(part).sum(), count);
    }
    for (name, part) in [
        ("values/mean", (|one| one.value) as fn(&Token) -> f64),
        ("qvalues/mean", |one| one.worth.iter().sum::<f64>() / one.worth.len().max(1) as f64),
        ("advantage/mean", |one| one.target - one.value),
        ("logps/mean", |one| one.logp),
    ] {
        metrics.add(name, tokens.iter().map(part).sum(), count);
    }
    // Of completions, and not of tokens.
    metrics.add("rewards/mean", tokens.iter().map(|one| one.reward).sum(), 1.0);
}
