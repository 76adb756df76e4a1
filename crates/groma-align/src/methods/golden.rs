//! Losses and slopes of trainers' own code and of papers' formulas, for any method that learns from rows: values, slopes, and slopes
//! again by central differences; cut into micro-batches, they are the same.

use crate::forest::Forest;
use crate::group::{Group, Member};
use crate::learn::forest;
use crate::objective::{Objective, Said, Slopes, Step};
use crate::sequence::Sequence;
use crate::{Method, Metrics, Settings};
use groma_kernels::HeadOutput;
use serde_json::Value;
use std::borrow::Cow;
use std::ops::Range;

const FIXTURES: &[&str] =
    &[include_str!("../../fixtures/preference_losses.json"), include_str!("../../fixtures/row_losses.json")];
/// Log-probabilities are moved by this to find slopes: exact in f32, as they are.
const STEP: f32 = 1.0 / 4096.0;

/// What a case says: by member of each group in turn.
struct Case {
    groups: Vec<Cow<'static, Group>>,
    rows: Vec<Vec<f32>>,
    /// What the likeliest other tokens have; of none where the method does not read it.
    top: Vec<Vec<f32>>,
    /// How far distributions are from the reference's; of none where the method does not read it.
    moved: Vec<Vec<f32>>,
}

fn numbers(value: &Value) -> Vec<Vec<f32>> {
    serde_json::from_value(value.clone()).unwrap()
}

impl Case {
    /// Groups of as many members as the case says, 2 unless it does, each of tokens of its own.
    fn of(case: &Value) -> Self {
        let rows = numbers(&case["logps"]);
        let reference = case.get("reference").map(numbers);
        let known = |name: &str, member: usize| case.get(name).map(|values| values[member].clone());
        let member = |index: usize| {
            let ids: Vec<u32> = (0..rows[index].len() as u32).map(|token| 100 * (index as u32 + 1) + token).collect();
            Member {
                reference: reference.as_ref().map_or(Vec::new(), |reference| reference[index].clone()),
                label: known("labels", index).and_then(|label| label.as_bool()),
                score: known("scores", index).and_then(|score| score.as_f64()),
                ..Member::new(Sequence::completion(&[0], &ids))
            }
        };
        let sizes: Vec<usize> =
            case.get("sizes").map_or(vec![2; rows.len() / 2], |sizes| serde_json::from_value(sizes.clone()).unwrap());
        let mut next = 0..rows.len();
        let group = |size: usize| {
            Cow::Owned(Group { members: next.by_ref().take(size).map(member).collect(), ..Group::default() })
        };
        let groups = sizes.into_iter().map(group).collect();
        let read = |name: &str| case.get(name).map_or(Vec::new(), numbers);
        Case { groups, rows, top: read("top"), moved: read("divergences") }
    }

    /// The members of some groups.
    fn members(&self, micro: Range<usize>) -> Range<usize> {
        let count = |groups: &[Cow<'_, Group>]| groups.iter().map(|group| group.members.len()).sum::<usize>();
        let first = count(&self.groups[..micro.start]);
        first..first + count(&self.groups[micro])
    }

    fn step(&self, objective: &dyn Objective) -> Step<'_> {
        Step { groups: &self.groups, total: objective.total(&self.groups) }
    }

    /// What an objective makes of a micro-batch, with the tree that its slopes are by.
    fn slopes(&self, objective: &mut dyn Objective, micro: Range<usize>) -> (Forest, Slopes) {
        let step = self.step(objective);
        let rows = &self.rows[self.members(micro.clone())];
        let tree = forest(&self.groups[micro.clone()]);
        let mut logp = vec![0.0; tree.slot_count()];
        for (member, row) in rows.iter().enumerate() {
            tree.slots(member).iter().zip(row).for_each(|(&slot, &value)| logp[slot as usize] = value);
        }
        let other = vec![0.0; logp.len()];
        let output = HeadOutput {
            entropy: other.clone(),
            mean_logit: other,
            argmax: vec![0; logp.len()],
            logp,
            ..HeadOutput::default()
        };
        let members = self.members(micro.clone());
        let by_slot = |rows: &[Vec<f32>]| {
            let mut values = vec![0.0; tree.slot_count()];
            for (member, row) in rows.iter().skip(members.start).take(members.len()).enumerate() {
                tree.slots(member).iter().zip(row).for_each(|(&slot, &value)| values[slot as usize] = value);
            }
            values
        };
        let (rivals, divergences) = (by_slot(&self.top), by_slot(&self.moved));
        let said = Said { rivals: &rivals, divergences: &divergences, ..Said::of_tokens(&tree, &output) };
        let slopes = objective.loss(step, micro, &said, &mut Metrics::default());
        (tree, slopes)
    }

    /// Lets the objective see the whole step, where it asks for it.
    fn survey(&self, objective: &mut dyn Objective) {
        if objective.needs_whole_step() {
            let step = self.step(objective);
            objective.survey(step, &self.rows);
        }
    }

    /// The loss of all groups.
    fn loss(&self, objective: &mut dyn Objective) -> f64 {
        self.slopes(objective, 0..self.groups.len()).1.sum / objective.total(&self.groups)
    }
}

fn cases() -> impl Iterator<Item = Value> {
    let all = |text: &&str| serde_json::from_str::<Value>(text).unwrap()["cases"].as_array().unwrap().clone();
    FIXTURES.iter().flat_map(all)
}

fn objective(case: &Value) -> Box<dyn Objective> {
    let method = Method::find(case["method"].as_str().unwrap()).unwrap();
    let settings = Settings::resolve(method, case["settings"].as_object().unwrap()).unwrap();
    (method.build)(&settings).unwrap()
}

#[test]
fn losses_and_slopes_are_those_of_the_fixtures() {
    for case in cases() {
        let (known, name) = (Case::of(&case), format!("{} {}", case["method"], case["settings"]));
        let expected = numbers(&case["slopes"]);
        let of_divergences = case.get("divergence_slopes").map(numbers);
        let count = known.groups.len();
        for cut in [count, 1] {
            let mut objective = objective(&case);
            known.survey(&mut *objective);
            let mut sum = 0.0;
            for micro in [0..cut, cut..count] {
                let (tree, found) = known.slopes(&mut *objective, micro.clone());
                sum += found.sum;
                let agree = |found: &[f32], expected: &[Vec<f32>]| {
                    for (member, row) in expected[known.members(micro.clone())].iter().enumerate() {
                        for (&slot, expected) in tree.slots(member).iter().zip(row) {
                            let slope = found[slot as usize];
                            let near = (slope - expected).abs() < 2e-6 * expected.abs().max(1.0);
                            assert!(near, "{name}: {slope} {expected}");
                        }
                    }
                };
                agree(&found.logps, &expected);
                if let Some(expected) = of_divergences.as_ref().filter(|_| !micro.is_empty()) {
                    agree(&found.divergences, expected);
                }
            }
            let (found, expected) = (sum / objective.total(&known.groups), case["loss"].as_f64().unwrap());
            assert!((found - expected).abs() < 2e-6 * expected.abs().max(1.0), "{name}: {found} {expected}");
        }
    }
}

#[test]
fn slopes_are_central_differences() {
    for case in cases() {
        let (mut objective, known) = (objective(&case), Case::of(&case));
        known.survey(&mut *objective);
        let (tree, found) = known.slopes(&mut *objective, 0..known.groups.len());
        let name = format!("{} {}", case["method"], case["settings"]);
        let held = case.get("held").is_some();
        for member in 0..known.rows.len() {
            for token in 0..known.rows[member].len() {
                let mut difference = |change: &dyn Fn(&mut Case, f32)| {
                    let mut at = |by: f32| {
                        let mut moved = Case {
                            groups: known.groups.clone(),
                            rows: known.rows.clone(),
                            top: known.top.clone(),
                            moved: known.moved.clone(),
                        };
                        change(&mut moved, by);
                        // What is held while a slope is taken stays as it was.
                        if !held {
                            moved.survey(&mut *objective);
                        }
                        moved.loss(&mut *objective)
                    };
                    (at(STEP) - at(-STEP)) / (2.0 * f64::from(STEP))
                };
                let slot = tree.slots(member)[token] as usize;
                let agree = |slope: f32, difference: f64| {
                    let slope = f64::from(slope);
                    assert!((slope - difference).abs() < 1e-4 * slope.abs().max(1.0), "{name}: {slope} {difference}");
                };
                agree(found.logps[slot], difference(&|case, by| case.rows[member][token] += by));
                if !held && !found.divergences.is_empty() {
                    agree(found.divergences[slot], difference(&|case, by| case.moved[member][token] += by));
                }
            }
        }
    }
}
