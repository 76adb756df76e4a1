//! What one collection comes to.

use super::*;
use crate::Settings;
use crate::forest::Forest;
use crate::sequence::Sequence;
use groma_kernels::HeadOutput;

fn ppo(more: &Value) -> Result<Ppo, Error> {
    let mut given = json!({"reward_funcs": "length"}).as_object().unwrap().clone();
    given.extend(more.as_object().unwrap().clone());
    let settings = Settings::resolve(&METHOD, &given)?;
    Ppo::new(&settings, None)
}

fn rows(case: &Value, name: &str) -> Vec<Vec<f64>> {
    serde_json::from_value(case[name].clone()).unwrap()
}

fn singles(case: &Value, name: &str) -> Vec<Vec<f32>> {
    serde_json::from_value(case[name].clone()).unwrap()
}

/// Completions of one token each that nothing else has, with what a case says of them.
fn rollouts(case: &Value) -> Vec<Group> {
    let group = |(index, sampled): (usize, Vec<f32>)| {
        let ids: Vec<u32> = (0..sampled.len() as u32).map(|t| 100 * index as u32 + t + 1).collect();
        let value = singles(case, "values")[index].clone();
        let estimates = value.into_iter().map(|value| Estimate { value, ..Estimate::default() }).collect();
        let reference = singles(case, "reference")[index].clone();
        let (reward, ended) = (case["scores"][index].as_f64(), Some(true));
        let placed = case.get("placed").map_or(Vec::new(), |_| rows(case, "placed")[index].clone());
        let sequence = Sequence::completion(&[0], &ids);
        Group {
            members: vec![Member { sampled, reference, reward, placed, ended, estimates, ..Member::new(sequence) }],
            ..Group::default()
        }
    };
    singles(case, "sampled").into_iter().enumerate().map(group).collect()
}

/// The loss of a case, and its slopes by completion and token, for log-probabilities and for values.
fn losses(ppo: &mut Ppo, groups: &[Group], now: &[Vec<f64>], says: &[Vec<f64>]) -> (f64, Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let forest = Forest::new(&groups.iter().flat_map(Group::sequences).collect::<Vec<_>>());
    let by_slot = |rows: &[Vec<f64>]| {
        let mut all = vec![0.0; forest.slot_count()];
        for (member, row) in rows.iter().enumerate() {
            forest.slots(member).iter().zip(row).for_each(|(&slot, &value)| all[slot as usize] = value as f32);
        }
        all
    };
    let output = HeadOutput { logp: by_slot(now), entropy: by_slot(now), ..HeadOutput::default() };
    let values = by_slot(says);
    let said = Said { values: &values, ..Said::of_tokens(&forest, &output) };
    let groups: Vec<Cow<'_, Group>> = groups.iter().map(Cow::Borrowed).collect();
    let step = Step { groups: &groups, total: ppo.total(&groups) };
    let found = ppo.loss(step, 0..groups.len(), &said, &mut Metrics::default());
    let of = |slopes: &[f32]| (0..groups.len()).map(|member| said.of(member, slopes)).collect();
    (found.sum / step.total, of(&found.logps), of(&found.values))
}

fn assert_close(found: impl Iterator<Item = f64>, expected: &[f64], what: &str) {
    let found: Vec<f64> = found.collect();
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-5 * b.abs().max(1.0);
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{what}: {found:?} {expected:?}");
}

/// Advantages, returns, losses and slopes of TRL's own code, see `scripts/make_ppo_fixture.py`.
#[test]
fn advantages_losses_and_slopes_are_those_of_trl() {
    let fixture: Value = serde_json::from_str(include_str!("../../../fixtures/ppo.json")).unwrap();
    for case in fixture["cases"].as_array().unwrap() {
        let what = case["settings"].to_string();
        let mut ppo = ppo(&case["settings"]).unwrap();
        let (mut groups, mut metrics) = (rollouts(case), Metrics::default());
        ppo.judge(&mut groups, &mut metrics);
        for (index, group) in groups.iter().enumerate() {
            let of = |read: fn(&Estimate) -> f64| group.members[0].estimates.iter().map(read);
            assert_close(of(|e| e.advantage), &rows(case, "advantages")[index], &format!("{what} advantages"));
            assert_close(of(|e| e.target), &rows(case, "returns")[index], &format!("{what} returns"));
        }
        for name in ["objective/kl", "objective/entropy", "objective/non_score_reward", "objective/scores"] {
            let (found, expected) = (metrics.values("")[name], case["metrics"][name].as_f64().unwrap());
            assert!((found - expected).abs() < 1e-5, "{what} {name}: {found} {expected}");
        }
        let (loss, logps, values) = losses(&mut ppo, &groups, &rows(case, "now"), &rows(case, "says"));
        assert!((loss - case["loss"].as_f64().unwrap()).abs() < 1e-6, "{what}: {loss}");
        for index in 0..groups.len() {
            let wide = |row: &[f32]| row.iter().map(|&slope| f64::from(slope)).collect::<Vec<_>>().into_iter();
            assert_close(wide(&logps[index]), &rows(case, "logp_slopes")[index], &format!("{what} slopes"));
            assert_close(wide(&values[index]), &rows(case, "value_slopes")[index], &format!("{what} slopes of values"));
        }
    }
}

/// Of rewards that lie at tokens, see `scripts/make_policy_fixtures.py`.
#[test]
fn advantages_of_placed_rewards_are_those_of_the_equations() {
    let fixture: Value = serde_json::from_str(include_str!("../../../fixtures/policy_losses.json")).unwrap();
    for case in fixture["placed"]["ppo"].as_array().unwrap() {
        let (mut ppo, mut groups) = (ppo(&case["settings"]).unwrap(), rollouts(case));
        ppo.judge(&mut groups, &mut Metrics::default());
        for (index, group) in groups.iter().enumerate() {
            let of = |read: fn(&Estimate) -> f64| group.members[0].estimates.iter().map(read);
            assert_close(of(|e| e.advantage), &rows(case, "advantages")[index], "advantages");
            assert_close(of(|e| e.target), &rows(case, "returns")[index], "returns");
        }
    }
}

#[test]
fn slopes_of_values_are_central_differences() {
    let estimate = Estimate { value: 0.5, advantage: 0.0, target: 0.9 };
    for value in [0.1, 0.45, 0.6, 0.8, 1.5] {
        let (h, at) = (1e-6, |value| value_loss(value, &estimate, 0.2).0);
        let (_, slope, _) = value_loss(value, &estimate, 0.2);
        assert!((slope - (at(value + h) - at(value - h)) / (2.0 * h)).abs() < 1e-8, "{value}");
    }
    assert!(value_loss(0.8, &estimate, 0.2).2, "further than it may go, towards where it should");
    assert!(!value_loss(0.1, &estimate, 0.2).2, "further away than it was");
}

/// On the policy that sampled, with ratios of 1, the gradient is that of REINFORCE with a baseline.
#[test]
fn at_the_sampler_slopes_are_advantages() {
    let case = json!({"sampled": [[-1.0, -0.5], [-2.0]], "reference": [[-1.0, -0.5], [-2.0]],
        "values": [[0.1, 0.2], [0.0]], "scores": [1.0, -1.0]});
    let mut ppo = ppo(&json!({"whiten_advantages": false})).unwrap();
    let mut groups = rollouts(&case);
    ppo.judge(&mut groups, &mut Metrics::default());
    let (_, slopes, _) = losses(&mut ppo, &groups, &rows(&case, "sampled"), &rows(&case, "values"));
    let advantages = groups.iter().flat_map(|group| &group.members[0].estimates).map(|e| e.advantage as f32);
    let expected: Vec<f32> = advantages.map(|advantage| -advantage / 3.0).collect();
    assert!(slopes.concat().iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-7), "{slopes:?} {expected:?}");
}

#[test]
fn nothing_is_learned_of_a_completion_without_a_reward() {
    let mut groups =
        rollouts(&json!({"sampled": [[-1.0]], "reference": [[-1.0]], "values": [[0.0]], "scores": [null]}));
    policy::mask_unrewarded(&mut groups[0].members);
    let member = &groups[0].members[0];
    assert!(member.sampled.is_empty() && member.sequence.scored_count() == 0);
}

/// With nothing to be gained or lost otherwise, the slope is that of the cross-entropy of what the row has.
#[test]
fn what_rows_have_is_learned_beside() {
    let mut ppo = ppo(&json!({"ptx_coef": 2.0, "kl_coef": 0.0, "vf_coef": 0.0})).unwrap();
    let mut groups = rollouts(&json!({"sampled": [[-1.0, -0.5]], "reference": [[-1.0, -0.5]],
        "values": [[0.0, 0.0]], "scores": [0.0]}));
    let row = Group::of("rows:1".into(), Sequence::completion(&[0], &[7, 8, 9]));
    demonstrations::add(METHOD.id, &mut groups, &[Cow::Borrowed(&row)]).unwrap();
    let said = [vec![-1.0, -0.5], vec![-0.25, -1.5, -2.0]];
    let groups: Vec<Group> = groups
        .remove(0)
        .members
        .into_iter()
        .map(|member| Group { members: vec![member], ..Group::default() })
        .collect();
    let (loss, slopes, values) = losses(&mut ppo, &groups, &said, &[vec![0.0; 2], vec![0.0; 3]]);
    assert!((loss - 2.0 * 3.75 / 3.0).abs() < 1e-6, "{loss}");
    assert!(slopes[0] == [0.0, 0.0] && slopes[1].iter().all(|slope| (slope + 2.0 / 3.0).abs() < 1e-6), "{slopes:?}");
    assert!(values.concat().iter().all(|slope| *slope == 0.0));
    let prompt = Group::of("rows:2".into(), Sequence { ids: vec![0], supervised: vec![false] });
    assert!(
        demonstrations::add(
            METHOD.id,
            &mut rollouts(&json!({"sampled": [[-1.0]], "reference": [[-1.0]], "values": [[0.0]],
        "scores": [0.0]})),
            &[Cow::Borrowed(&prompt)]
        )
        .is_err()
    );
}

#[test]
fn its_state_survives() {
    let settings = json!({"kl_controller": "adaptive", "target": 0.1});
    let mut moved = ppo(&settings).unwrap();
    moved.kl.weight = 0.1 + 0.2;
    let state: Value = serde_json::from_str(&moved.state().to_string()).unwrap();
    let mut fresh = ppo(&settings).unwrap();
    fresh.restore(&state).unwrap();
    assert_eq!(fresh.kl.weight, 0.1 + 0.2);
    assert!(fresh.restore(&Value::Null).unwrap_err().contains("kl_coef"));
}
