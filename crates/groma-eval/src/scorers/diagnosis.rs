//! What a model says of a text when it is asked whether something is true of it: self-diagnosis.
//!
//! Schick, Udupa and Schütze 2021, arXiv 2103.00453, section 3: `p(Yes) / (p(Yes) + p(No))` behind a question about the text. Differs
//! from the paper: an answer is right by which of the two is likelier, without a threshold fitted to other rows; and what the paper
//! says by a correlation with scores is said here by the area under the ROC curve against labels.

use super::answers::log_likelihoods;
use super::choice::choices;
use super::questions::{after_one, delimiter};
use super::scorer::{Scorer, Tools};
use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::scores::{Scores, scores, share};
use groma_lm::{Answer, Failure, Kind};
use groma_run::Unit;
use groma_stats::below;
use groma_stats::formulas::{AUROC, RATIO};

/// Two choices after one context: that it is so, and that it is not; one of them is right.
pub(crate) static SCORER: Scorer = Scorer {
    id: "diagnosis",
    mode: "log-likelihood of yes and no",
    kind: Kind::Continuation,
    needs: &["prompt", "choices", "gold"],
    reads: &["delimiter"],
    item,
    judge: None,
    score: score_diagnosis,
    metrics: &[
        Metric::share("auroc", "how often a text of which it is true gets a higher probability of yes than one of which it is not, ties counting half")
            .of(&["log_odds", "holds"], &AUROC)
            .with_chance("half"),
        Metric::share("acc", "share of texts whose likelier answer is the right one").with_chance("half"),
        Metric { higher_is_better: Some(true), ..Metric::mean("yes_where_true", "mean probability of yes where it is true", Unit::Share) }
            .of(&["yes_and_true", "holds"], &RATIO),
        Metric { higher_is_better: Some(false), ..Metric::mean("yes_where_false", "mean probability of yes where it is not", Unit::Share) }
            .of(&["yes_and_false", "holds_not"], &RATIO),
        Metric::share("auroc_of_coins", "null control: the area with seeded coin tosses for labels")
            .of(&["log_odds", "coin"], &AUROC)
            .with_chance("half")
            .control(),
    ],
};

fn item(form: &Form, row: &Fields) -> Result<Item, String> {
    let (prompt, choices) = (form.text("prompt", row)?, choices(form, row)?);
    if choices.len() != 2 {
        return Err(format!("there are {} answers, not 2: yes and no", choices.len()));
    }
    let gold = form.gold("gold", row, 2)?;
    let delimiter = delimiter(form, row)?;
    let continuations: Vec<String> = choices.iter().map(|choice| [delimiter.as_str(), choice].concat()).collect();
    Ok(Item {
        answer: continuations[gold].clone(),
        reference: Some(choices[gold].clone()),
        requests: after_one(&prompt, continuations),
        prompt,
        key: Key::Choice { choices, gold, roles: Vec::new(), condition: None },
        ..Item::default()
    })
}

/// `yes` is the probability of yes among both answers, which is the logistic function of `log_odds`.
fn score_diagnosis(item: &Item, answers: &[Answer], tools: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let Key::Choice { gold, .. } = item.key else { return Err(Failure::WrongKind) };
    let [yes, no] = log_likelihoods(answers)?[..] else { return Err(Failure::WrongKind) };
    let (log_odds, holds) = (yes - no, gold == 0);
    let probability = 1.0 / (1.0 + (-log_odds).exp());
    let name = item.id.as_deref().unwrap_or(&item.prompt);
    let coin = below(2, &mut tools.seed.named("coin").named(name).rng()) == 1;
    Ok(vec![scores([
        ("yes", probability),
        ("log_odds", log_odds),
        ("holds", share(holds)),
        ("holds_not", share(!holds)),
        ("yes_and_true", probability * share(holds)),
        ("yes_and_false", probability * share(!holds)),
        ("acc", share((log_odds > 0.0) == holds)),
        ("coin", share(coin)),
        ("half", 0.5),
        ("logp_0", yes),
        ("logp_1", no),
    ])])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{likelihood, scored};
    use super::*;
    use crate::estimate::{EstimateOptions, estimate};

    fn said(gold: usize, yes: f64, no: f64) -> Scores {
        let key = Key::Choice { choices: vec!["Yes".into(), "No".into()], gold, roles: vec![], condition: None };
        let item = Item { key, ..Item::default() };
        scored(&SCORER, &item, &[yes, no].map(|logp| Answer::Scored(likelihood(logp, 1)))).unwrap().remove(0)
    }

    /// Of two tokens the share is the softmax of their logits, whatever the others are; far off it is 0 or 1, and no NaN.
    #[test]
    fn the_probability_is_a_softmax_of_two_tokens() {
        let logits = [1.5f64, -0.25, 3.0, 0.75];
        let all = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        let found = said(0, logits[0] - all, logits[1] - all);
        let of_two = logits[0].exp() / (logits[0].exp() + logits[1].exp());
        // Log-probabilities are f32.
        assert!((found["yes"] - of_two).abs() < 1e-6 && (found["log_odds"] - 1.75).abs() < 1e-6, "{found:?}");
        assert!((found["yes"] + said(1, logits[1] - all, logits[0] - all)["yes"] - 1.0).abs() < 1e-6);
        assert_eq!((said(0, -2000.0, -1.0)["yes"], said(0, -1.0, -2000.0)["yes"]), (0.0, 1.0));
    }

    #[test]
    fn what_it_tells_of_labels_is_an_area_and_a_share() {
        let of = [(0, -1.0, -2.0), (0, -3.0, -2.0), (1, -4.0, -2.0), (1, -1.0, -1.5), (1, -9.0, -1.0)];
        let item = |(id, (gold, yes, no)): (usize, (usize, f64, f64))| groma_run::Item {
            id: id.to_string(),
            scores: said(gold, yes, no),
            ..groma_run::Item::default()
        };
        let items: Vec<groma_run::Item> = of.into_iter().enumerate().map(item).collect();
        let value = |id: &str| {
            let metric = SCORER.metrics.iter().find(|metric| metric.id == id).unwrap();
            estimate(metric, &items, &EstimateOptions::default()).unwrap().value
        };
        // Log-odds 1 and -1 where it is true, -2, 0.5 and -8 where it is not: 5 of 6 pairs.
        assert!((value("auroc") - 5.0 / 6.0).abs() < 1e-12 && value("acc") == 0.6, "{}", value("auroc"));
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!((value("yes_where_true") - (logistic(1.0) + logistic(-1.0)) / 2.0).abs() < 1e-6);
        assert!((value("yes_where_false") - (logistic(-2.0) + logistic(0.5) + logistic(-8.0)) / 3.0).abs() < 1e-6);
    }
}
