//! Is the better one of two answers the likelier one?

use super::{Scorer, Tools, no_rows, share};
use crate::item::{Item, Scores, scores};
use crate::task::Metric;
use groma_lm::{Answer, Failure, Kind};
use groma_run::Unit;
use groma_stats::below;

/// Preference accuracy by the log-probability of the answers.
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
        Metric::share("accuracy", "share of pairs with log p(chosen) > log p(rejected)").with_chance("chance"),
        Metric {
            higher_is_better: Some(true),
            ..Metric::mean("margin", "mean of log p(chosen) - log p(rejected)", Unit::Nats)
        },
        Metric::share("accuracy_per_token", "the same by log-probability a token").with_chance("chance"),
        Metric {
            higher_is_better: Some(true),
            ..Metric::mean("margin_per_token", "mean difference of the log-probabilities a token", Unit::Nats)
        },
        Metric { higher_is_better: None, ..Metric::share("ties", "share of pairs that are exactly equally likely") },
        Metric::share("shuffled_labels", "null control: accuracy with seeded coin tosses for labels")
            .with_chance("chance")
            .control(),
    ],
};

/// The first answer is the chosen one's score, the second the rejected one's. A tie is not right.
fn score_pair(item: &Item, answers: &[Answer], tools: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let [chosen, rejected] = answers else { return Err(Failure::WrongKind) };
    let (chosen, rejected) = (chosen.scored()?, rejected.scored()?);
    if chosen.logps.is_empty() || rejected.logps.is_empty() {
        return Err(Failure::NothingToScore);
    }
    let per_token = chosen.sum() / chosen.logps.len() as f64 - rejected.sum() / rejected.logps.len() as f64;
    let (chosen, rejected) = (chosen.sum(), rejected.sum());
    let margin = chosen - rejected;
    let name = item.id.as_deref().unwrap_or(&item.prompt);
    let swapped = below(2, &mut tools.seed.named("shuffled labels").named(name).rng()) == 1;
    Ok(vec![scores([
        ("accuracy", share(margin > 0.0)),
        ("margin", margin),
        ("accuracy_per_token", share(per_token > 0.0)),
        ("margin_per_token", per_token),
        ("ties", share(margin == 0.0)),
        ("shuffled_labels", share(if swapped { margin < 0.0 } else { margin > 0.0 })),
        ("chance", 0.5),
        ("logp_chosen", chosen),
        ("logp_rejected", rejected),
    ])])
}

#[cfg(test)]
mod tests {
    use super::super::testing::likelihood;
    use super::*;

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
