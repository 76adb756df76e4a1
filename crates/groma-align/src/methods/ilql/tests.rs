//! Values and slopes of the formula, and what tokens are rewarded with.

use super::*;
use crate::Settings;
use crate::forest::Forest;
use crate::learn::forest;
use groma_kernels::HeadOutput;
use serde_json::{Value, json};

fn ilql(given: &Value) -> Ilql {
    Ilql::new(&Settings::resolve(&METHOD, given.as_object().unwrap()).unwrap()).unwrap()
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-5 * expected.abs().max(1.0)
}

fn rows(case: &Value, name: &str) -> Vec<Vec<f64>> {
    serde_json::from_value(case[name].clone()).unwrap()
}

fn heads(case: &Value, name: &str) -> Vec<Vec<Vec<f64>>> {
    serde_json::from_value(case[name].clone()).unwrap()
}

fn log_softmax(row: &[f64], at: usize) -> f64 {
    row[at] - row.iter().map(|value| value.exp()).sum::<f64>().ln()
}

/// Completions of a case, of tokens that no other has, each rewarded at its end.
fn groups(case: &Value) -> Vec<Cow<'static, Group>> {
    let lengths: Vec<usize> = serde_json::from_value(case["lengths"].clone()).unwrap();
    let mut end = 0;
    let group = |(index, length): (usize, usize)| {
        end += length;
        let ids: Vec<u32> = (0..length as u32).map(|token| 100 * (index as u32 + 1) + token).collect();
        let score = case["rewards"][end - 1].as_f64();
        let member = Member { score, ..Member::new(Sequence::completion(&[0], &ids)) };
        Cow::Owned(Group { members: vec![member], ..Group::default() })
    };
    lengths.into_iter().enumerate().map(group).collect()
}

/// Slopes by token of a case's completions, from those by slot.
fn by_token(forest: &Forest, members: usize, slopes: &[f32]) -> Vec<f64> {
    (0..members).flat_map(|member| forest.slots(member)).map(|&slot| f64::from(slopes[slot as usize])).collect()
}

/// See `scripts/make_ilql_fixture.py`.
#[test]
fn losses_and_slopes_are_those_of_autograd() {
    let fixture: Value = serde_json::from_str(include_str!("../../../fixtures/ilql.json")).unwrap();
    for case in fixture["cases"].as_array().unwrap() {
        let (groups, mut method) = (groups(case), ilql(&case["settings"]));
        let forest = forest(&groups);
        let actions: Vec<usize> = serde_json::from_value(case["actions"].clone()).unwrap();
        let values: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
        let by_slot = |of: &dyn Fn(usize) -> f64| {
            let mut all = vec![0.0; forest.slot_count()];
            let slots = (0..groups.len()).flat_map(|member| forest.slots(member));
            slots.enumerate().for_each(|(token, &slot)| all[slot as usize] = of(token) as f32);
            all
        };
        let (logits, q, copies) = (rows(case, "logits"), heads(case, "q"), heads(case, "copies"));
        let action = |(q, copy): (&Vec<Vec<f64>>, &Vec<Vec<f64>>)| ActionSaid {
            worth: by_slot(&|token| q[token][actions[token]]),
            logps: by_slot(&|token| log_softmax(&q[token], actions[token])),
            copy: by_slot(&|token| copy[token][actions[token]]),
        };
        let said_actions: Vec<ActionSaid> = q.iter().zip(&copies).map(action).collect();
        let logp = by_slot(&|token| log_softmax(&logits[token], actions[token]));
        let output = HeadOutput { entropy: logp.clone(), logp, ..HeadOutput::default() };
        let values = by_slot(&|token| values[token]);
        let said = Said { values: &values, actions: &said_actions, ..Said::of_tokens(&forest, &output) };
        let (step, mut metrics) = (Step { groups: &groups, total: method.total(&groups) }, Metrics::default());
        let found = method.loss(step, 0..groups.len(), &said, &mut metrics);
        let metrics = metrics.values("");
        for part in ["q", "v", "cql", "awac"] {
            let expected = case["loss"][part].as_f64().unwrap();
            assert!(near(metrics[&format!("loss/{part}")], expected), "{part}: {metrics:?} {expected}");
        }
        let expected: f64 = case["loss"].as_object().unwrap().values().filter_map(Value::as_f64).sum();
        assert!(near(found.sum / step.total, expected), "{} {expected}", found.sum / step.total);

        // By logits, as autograd has them: of a log-probability, what is chosen less the softmax.
        let all = |slopes: &[f32]| by_token(&forest, groups.len(), slopes);
        let near_rows = |rows: &[Vec<f64>], worth: &[f64], logps: &[f64], expected: &[Vec<f64>]| {
            for (token, row) in rows.iter().enumerate() {
                for (id, expected) in expected[token].iter().enumerate() {
                    let hit = f64::from(u8::from(id == actions[token]));
                    let slope = worth[token] * hit + logps[token] * (hit - log_softmax(row, id).exp());
                    assert!(near(slope, *expected), "{token} {id}: {slope} {expected}");
                }
            }
        };
        near_rows(&logits, &vec![0.0; actions.len()], &all(&found.logps), &rows(case, "d_logits"));
        for (head, expected) in heads(case, "d_q").iter().enumerate() {
            near_rows(&q[head], &all(&found.actions[head].worth), &all(&found.actions[head].logps), expected);
        }
        let expected: Vec<f64> = serde_json::from_value(case["d_values"].clone()).unwrap();
        assert!(all(&found.values).iter().zip(&expected).all(|(a, b)| near(*a, *b)));
    }
}

#[test]
fn slopes_are_central_differences() {
    // The weight of a completion is no function of V for its gradient, so that V is moved where that is the same everywhere.
    for (beta, moves_value) in [(0.0, true), (1.5, false)] {
        let method = ilql(&json!({"beta": beta, "tau": 0.8, "cql_scale": 0.3, "awac_scale": 0.7}));
        for target in [0.5, -0.75] {
            let token = Token {
                worth: vec![0.3, -0.2],
                chosen: vec![-0.5, -1.2],
                target,
                value: 0.1,
                next: 0.6,
                reward: -0.4,
                logp: -0.9,
            };
            let found = method.token(&token);
            let slope = |change: &dyn Fn(&mut Token, f64)| {
                let moved = |by: f64| {
                    let mut token = token.clone();
                    change(&mut token, by);
                    method.token(&token).loss()
                };
                (moved(1e-5) - moved(-1e-5)) / 2e-5
            };
            let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-7, "{a} {b}");
            for head in 0..2 {
                close(slope(&|token, by| token.worth[head] += by), found.by_worth[head]);
                close(slope(&|token, by| token.chosen[head] += by), found.by_chosen);
            }
            close(slope(&|token, by| token.logp += by), found.by_logp);
            if moves_value {
                close(slope(&|token, by| token.value += by), found.by_value);
            }
        }
    }
}

/// Where the loss of V has no slope: at the mean for τ = 1/2, above it for more, and at the best in the limit.
#[test]
fn the_expectile_at_a_half_is_the_mean() {
    let targets = [0.0, 1.0, 1.0, 4.0];
    let best = |tau: f64| {
        let slope = |value: f64| targets.iter().map(|&target| expectile(tau, target, value).1).sum::<f64>();
        let halve = |(low, high): (f64, f64), _| {
            let middle = 0.5 * (low + high);
            if slope(middle) < 0.0 { (middle, high) } else { (low, middle) }
        };
        (0..100).fold((-10.0, 10.0), halve).0
    };
    assert!((best(0.5) - 1.5).abs() < 1e-9);
    // At 2, one is above by 2 and three below by 4 in all: τ 2 = (1 - τ) 4.
    assert!((best(2.0 / 3.0) - 2.0).abs() < 1e-9);
    assert!((best(1.0 - 1e-9) - 4.0).abs() < 1e-6);
}

#[test]
fn rewards_lie_where_rows_say_so() {
    let sequence = || Sequence::completion(&[1, 2], &[3, 4, 5, 6]);
    let of = |members: Vec<Member>| rewards(&Group { members, ..Group::default() });
    let scored = |score| Member { score: Some(score), ..Member::new(sequence()) };
    assert_eq!(of(vec![scored(2.5), scored(-1.0)]), [[0.0, 0.0, 0.0, 2.5], [0.0, 0.0, 0.0, -1.0]]);
    let labelled = |label| Member { label: Some(label), ..Member::new(sequence()) };
    assert_eq!(of(vec![labelled(true)]), [[0.0, 0.0, 0.0, 1.0]]);
    assert_eq!(of(vec![labelled(false)]), [[0.0, 0.0, 0.0, -1.0]]);
    let other = Member::new(Sequence::completion(&[1, 2], &[7]));
    assert_eq!(of(vec![Member::new(sequence()), other]), [vec![0.0, 0.0, 0.0, 1.0], vec![-1.0]], "a pair");
    // Steps end behind 4 and 6 tokens, the prompt's included.
    let steps = Member { steps: vec![(4, true), (6, false)], ..Member::new(sequence()) };
    assert_eq!(of(vec![steps]), [[0.0, 1.0, 0.0, -1.0]]);
}

#[test]
fn settings_out_of_range_are_refused() {
    for wrong in
        [json!({"tau": 0.0}), json!({"tau": 1.0}), json!({"alpha": 0.0}), json!({"gamma": 1.5}), json!({"beta": -1.0})]
    {
        assert!(Settings::resolve(&METHOD, wrong.as_object().unwrap()).is_err(), "{wrong}");
    }
}
