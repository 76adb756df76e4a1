//! Reward modelling of attributes: one number for each attribute of an answer, learned by the squares of its errors.
//!
//! Wang et al. 2024, arXiv 2406.08673 (HelpSteer2), whose heads are regressed by the mean squared error, as are those of
//! `AutoModelForSequenceClassification` of several labels with `problem_type = "regression"`; Dong et al. 2023, arXiv 2310.05344
//! (SteerLM), for what attributes are then good for. The loss is the mean of `(r_a - y_a)²` over all values that the rows of the
//! optimizer's batch have; a row that lacks a value teaches nothing of it. The scores are those of a head at the last token, without
//! a bias, as the scalar of a reward model is, and start at zero.

use crate::group::{Group, Member};
use crate::known::ATTRIBUTES;
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, as_list, said_twice};
use crate::training::OneOrMany;
use crate::{Error, Hyperparameters, Metrics};
use groma_data::Shape;
use groma_model::Head;
use std::borrow::Cow;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "attribute_reward",
    names: &["attribute-reward", "multi-attribute-reward", "regression-reward", "helpsteer"],
    title: "Reward model of attributes",
    paper: "arXiv:2406.08673",
    doc: "A head that says of an answer how much it has of each of several attributes, which are columns of the rows.",
    data: &[Shape::PromptCompletion],
    roles: &[],
    heads: &[Head::SCORE],
    parameters: &[&[Parameter {
        name: ATTRIBUTES,
        kind: Kind::Words,
        default: "null",
        range: None,
        doc: "The columns that hold an attribute each, two or more. Must be given; the model keeps their names.",
    }]],
    overrides: &[("learning_rate", "1e-4"), ("truncation_mode", "\"drop\"")],
    metrics: &[&["mse", "attributes/{attribute}/mse", "attributes/{attribute}/mean"]],
    masks: |settings| Ok(Masks { attributes: names(settings)?, ..Masks::default() }),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(AttributeReward { names: names(settings)? })),
};

/// The attributes, in their order.
fn names(settings: &Hyperparameters) -> Result<Vec<String>, Error> {
    let given = settings.values.get(ATTRIBUTES).cloned().unwrap_or_default();
    let wrong = |problem: &str| settings.invalid(ATTRIBUTES, problem);
    let list: Option<OneOrMany<String>> = serde_json::from_value(given).map_err(|error| wrong(&error.to_string()))?;
    let names = list.as_ref().map_or(&[][..], OneOrMany::as_slice).to_vec();
    if names.len() < 2 {
        let problem = "must name two columns or more; one number alone is learned by their comparison (`reward`)";
        return Err(wrong(&format!("{problem}{}", names.first().map_or(String::new(), |name| as_list(name)))));
    }
    match said_twice(&names) {
        Some(name) => Err(wrong(&format!("names the column `{name}` twice"))),
        None => Ok(names),
    }
}

/// The method at work.
#[derive(Clone, Debug)]
struct AttributeReward {
    names: Vec<String>,
}

/// The square of an error, and its slope with respect to what was predicted.
fn squared(predicted: f64, wanted: f64) -> (f64, f64) {
    let error = predicted - wanted;
    (error * error, 2.0 * error)
}

/// The values of some groups, by member and attribute.
fn values<'g>(groups: &'g [Cow<'_, Group>]) -> impl Iterator<Item = &'g Member> {
    groups.iter().flat_map(|group| &group.members)
}

impl Objective for AttributeReward {
    fn reads(&self) -> Reads {
        Reads::Scores
    }

    /// Values that are known.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        values(groups).flat_map(|member| &member.attributes).flatten().count() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let mut slopes = Slopes::default();
        let scores = said.scores.chunks_exact(self.names.len());
        for (member, scores) in values(&step.groups[micro]).zip(scores) {
            for ((name, wanted), &score) in self.names.iter().zip(&member.attributes).zip(scores) {
                let Some(wanted) = *wanted else {
                    slopes.scores.push(0.0);
                    continue;
                };
                let (loss, slope) = squared(f64::from(score), wanted);
                slopes.sum += loss;
                slopes.scores.push((slope / step.total) as f32);
                metrics.add("mse", loss, 1.0);
                metrics.add(&format!("attributes/{name}/mse"), loss, 1.0);
                metrics.add(&format!("attributes/{name}/mean"), f64::from(score), 1.0);
            }
        }
        slopes
    }

    /// With a zero head every value is predicted to be 0.
    fn loss_at_start(&self, groups: &[Cow<'_, Group>]) -> Option<f64> {
        let known = values(groups).flat_map(|member| &member.attributes).flatten();
        Some(known.map(|value| value * value).sum::<f64>() / self.total(groups).max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::forest;
    use crate::sequence::Sequence;
    use crate::{Method, Settings};
    use groma_kernels::HeadOutput;
    use serde_json::{Value, json};

    fn group(values: &[Option<f64>]) -> Cow<'static, Group> {
        let member = Member { attributes: values.to_vec(), ..Member::new(Sequence::completion(&[1], &[2])) };
        Cow::Owned(Group { members: vec![member], ..Group::default() })
    }

    /// The loss of all groups at these scores, and its slopes.
    fn loss(groups: &[Cow<'_, Group>], scores: &[f32]) -> (f64, Vec<f32>) {
        let mut reward = AttributeReward { names: vec!["a".into(), "b".into()] };
        let (tree, output) = (forest(groups), HeadOutput::default());
        let step = Step { groups, total: reward.total(groups) };
        let said = Said { scores, ..Said::of_tokens(&tree, &output) };
        let slopes = reward.loss(step, 0..groups.len(), &said, &mut Metrics::default());
        (slopes.sum / step.total, slopes.scores)
    }

    /// Values and slopes of transformers, and of PyTorch over the known ones alone (`scripts/make_attribute_fixture.py`).
    #[test]
    fn the_loss_is_that_of_transformers_and_its_slopes_are_central_differences() {
        let cases: Value = serde_json::from_str(include_str!("../../fixtures/attributes.json")).unwrap();
        for case in cases["cases"].as_array().unwrap() {
            let wanted: Vec<Vec<Option<f64>>> = serde_json::from_value(case["values"].clone()).unwrap();
            let groups: Vec<_> = wanted.iter().map(|values| group(values)).collect();
            let scores: Vec<f32> = serde_json::from_value(case["scores"].clone()).unwrap();
            let expected: Vec<f32> = serde_json::from_value(case["slopes"].clone()).unwrap();
            let (value, slopes) = loss(&groups, &scores);
            assert!((value - case["loss"].as_f64().unwrap()).abs() < 1e-6);
            for (index, (slope, expected)) in slopes.iter().zip(&expected).enumerate() {
                assert!((slope - expected).abs() < 1e-6);
                let at = |by: f32| {
                    let mut moved = scores.clone();
                    moved[index] += by;
                    loss(&groups, &moved).0
                };
                let h = 1.0 / 1024.0;
                assert!(((at(h) - at(-h)) / (2.0 * f64::from(h)) - f64::from(*slope)).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn names_are_checked() {
        let resolve = |given: Value| {
            Settings::resolve(Method::find("attribute_reward").unwrap(), given.as_object().unwrap()).map(|_| ())
        };
        assert!(resolve(json!({"attributes": ["a", "b"]})).is_ok());
        for wrong in [json!({}), json!({"attributes": "a"}), json!({"attributes": ["a", "a"]})] {
            assert!(resolve(wrong.clone()).unwrap_err().to_string().contains("attributes"), "{wrong}");
        }
    }
}
