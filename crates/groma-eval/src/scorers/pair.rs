//! Is the better one of two answers the likelier one, or the one of the higher reward?

use super::questions::no_rows;
use super::scorer::{Scorer, Tools};
use crate::item::Item;
use crate::metric::Metric;
use crate::scores::{Scores, scores, share};
use groma_lm::{Answer, Failure, Kind};
use groma_run::Unit;
use groma_stats::below;
use groma_stats::formulas::{CALIBRATION, CALIBRATION_BINS};

/// Preference accuracy by the log-probability of the answers, and by their reward where the model gives rewards.
pub(crate) static SCORER: Scorer = Scorer {
    id: "pair",
    mode: "log-likelihood of the answer",
    kind: Kind::Reply,
    needs: &[],
    reads: &[],
    item: no_rows,
    judge: None,
    score: score_pair,
    metrics: &[
        Metric::share("accuracy", "share of pairs with log p(chosen) > log p(rejected), or of their rewards")
            .with_chance("chance"),
        Metric {
            higher_is_better: Some(true),
            ..Metric::mean("margin", "mean of log p(chosen) - log p(rejected), or of their rewards", Unit::Nats)
        },
        Metric::share("accuracy_per_token", "the same by log-probability a token").with_chance("chance"),
        Metric {
            higher_is_better: Some(true),
            ..Metric::mean("margin_per_token", "mean difference of the log-probabilities a token", Unit::Nats)
        },
        Metric { higher_is_better: None, ..Metric::share("ties", "share of pairs that are exactly equal") },
        Metric::mean("log_loss", "of rewards: mean of -log s(margin), s the logistic function", Unit::Nats)
            .lower_is_better(),
        Metric::mean("brier", "of rewards: mean square of 1 - s(margin)", Unit::Plain).lower_is_better(),
        Metric::mean(
            "overconfidence",
            "of rewards: mean of s(|margin|), less the accuracy; ties count half",
            Unit::Plain,
        ),
        Metric::mean("calibration_error", "of rewards: expected calibration error of s(|margin|)", Unit::Share)
            .lower_is_better()
            .of(&BINS, &CALIBRATION),
        Metric::share("shuffled_labels", "null control: accuracy with seeded coin tosses for labels")
            .with_chance("chance")
            .control(),
    ],
};

/// The names of the differences by bins of confidence.
const BINS: [&str; CALIBRATION_BINS] = [
    "right_less_confidence_50",
    "right_less_confidence_55",
    "right_less_confidence_60",
    "right_less_confidence_65",
    "right_less_confidence_70",
    "right_less_confidence_75",
    "right_less_confidence_80",
    "right_less_confidence_85",
    "right_less_confidence_90",
    "right_less_confidence_95",
];

/// The first answer is the chosen one's score, the second the rejected one's. A tie is not right.
fn score_pair(item: &Item, answers: &[Answer], tools: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let [chosen, rejected] = answers else { return Err(Failure::WrongKind) };
    if let (Some(chosen), Some(rejected)) = (chosen.reward()?, rejected.reward()?) {
        return Ok(vec![rewarded(item, chosen, rejected, tools)]);
    }
    let (chosen, rejected) = (chosen.scored()?, rejected.scored()?);
    if chosen.logps.is_empty() || rejected.logps.is_empty() {
        return Err(Failure::NothingToScore);
    }
    let per_token = chosen.sum() / chosen.logps.len() as f64 - rejected.sum() / rejected.logps.len() as f64;
    let (chosen, rejected) = (chosen.sum(), rejected.sum());
    let margin = chosen - rejected;
    let mut found = by_margin(item, margin, tools);
    found.extend(scores([
        ("accuracy_per_token", share(per_token > 0.0)),
        ("margin_per_token", per_token),
        ("logp_chosen", chosen),
        ("logp_rejected", rejected),
    ]));
    Ok(vec![found])
}

/// What both kinds of models have.
fn by_margin(item: &Item, margin: f64, tools: &Tools<'_>) -> Scores {
    let name = item.id.as_deref().unwrap_or(&item.prompt);
    let swapped = below(2, &mut tools.seed.named("shuffled labels").named(name).rng()) == 1;
    scores([
        ("accuracy", share(margin > 0.0)),
        ("margin", margin),
        ("ties", share(margin == 0.0)),
        ("shuffled_labels", share(if swapped { margin < 0.0 } else { margin > 0.0 })),
        ("chance", 0.5),
    ])
}

/// Scores of a reward model: a difference of rewards is the log-odds that it gives the better one (Bradley and Terry 1952), so
/// that its probability can be held against what is so.
fn rewarded(item: &Item, chosen: f64, rejected: f64, tools: &Tools<'_>) -> Scores {
    let margin = chosen - rejected;
    let right = if margin == 0.0 { 0.5 } else { share(margin > 0.0) };
    let (wrong, confidence) = (logistic(-margin), logistic(margin.abs()));
    let difference = right - confidence;
    let mut found = by_margin(item, margin, tools);
    found.extend(scores([
        ("log_loss", (-margin).max(0.0) + (-margin.abs()).exp().ln_1p()),
        ("brier", wrong * wrong),
        ("overconfidence", -difference),
        ("reward_chosen", chosen),
        ("reward_rejected", rejected),
    ]));
    let bin = ((confidence - 0.5) * 2.0 * BINS.len() as f64) as usize;
    let of_bin = |(index, name): (usize, &&str)| {
        ((*name).to_owned(), if index == bin.min(BINS.len() - 1) { difference } else { 0.0 })
    };
    found.extend(BINS.iter().enumerate().map(of_bin));
    found
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::super::testing::likelihood;
    use super::*;
    use groma_lm::Scored;

    fn scored(pair: [(f64, usize); 2]) -> Scores {
        let answers = pair.map(|(logp, tokens)| Answer::Scored(likelihood(logp, tokens)));
        super::super::testing::scored(&SCORER, &Item::default(), &answers).unwrap().remove(0)
    }

    #[test]
    fn strict_and_by_token() {
        let found = scored([(-10.0, 10), (-6.0, 3)]);
        assert_eq!((found["accuracy"], found["margin"]), (0.0, -4.0));
        assert_eq!((found["accuracy_per_token"], found["margin_per_token"]), (1.0, 1.0));
        let tie = scored([(-2.0, 1), (-2.0, 1)]);
        assert_eq!((tie["accuracy"], tie["ties"], tie["shuffled_labels"]), (0.0, 1.0, 0.0));
    }

    fn of_rewards(chosen: f32, rejected: f32) -> Scores {
        let answer = |reward| Answer::Scored(Scored { reward: Some(reward), ..Scored::default() });
        let answers = [chosen, rejected].map(answer);
        super::super::testing::scored(&SCORER, &Item::default(), &answers).unwrap().remove(0)
    }

    #[test]
    fn rewards_are_log_odds() {
        // s(0.5) is in the bin from 0.60 to 0.65.
        let found = of_rewards(1.0, 0.5);
        assert_eq!((found["accuracy"], found["margin"], found["ties"]), (1.0, 0.5, 0.0));
        assert!((found["log_loss"] - 0.4740769841801067).abs() < 1e-12);
        assert!((found["brier"] - 0.3775406687981454_f64.powi(2)).abs() < 1e-12);
        let difference = 0.3775406687981454;
        assert!((found["overconfidence"] + difference).abs() < 1e-12);
        assert!((found["right_less_confidence_60"] - difference).abs() < 1e-12);
        assert_eq!(BINS.iter().filter(|name| found[**name] != 0.0).count(), 1);
        assert!(!found.contains_key("accuracy_per_token") && !found.contains_key("logp_chosen"));
        // Sure and wrong; and a tie, which is as sure as it is right.
        let wrong = of_rewards(-400.0, 400.0);
        assert_eq!((wrong["accuracy"], wrong["log_loss"], wrong["brier"]), (0.0, 800.0, 1.0));
        assert_eq!((wrong["overconfidence"], wrong["right_less_confidence_95"]), (1.0, -1.0));
        let tie = of_rewards(2.0, 2.0);
        assert_eq!((tie["accuracy"], tie["ties"], tie["overconfidence"]), (0.0, 1.0, 0.0));
    }

    #[test]
    fn swapping_the_pair_turns_everything_round() {
        let (one, other) = (scored([(-3.0, 2), (-5.0, 4)]), scored([(-5.0, 4), (-3.0, 2)]));
        for name in ["accuracy", "accuracy_per_token"] {
            assert_eq!(one[name] + other[name], 1.0, "{name}");
        }
        for name in ["margin", "margin_per_token"] {
            assert_eq!(one[name], -other[name], "{name}");
        }
    }
}
