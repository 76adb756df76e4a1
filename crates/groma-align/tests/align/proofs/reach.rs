//! Trains, and holds what came of it against what was to come.

use super::steps;
use super::table::{Claim, Optimum, Order, Proof};
use super::theory::{Known, Theory};
use super::world::{ASKED, END, PROMPT, THREE, World};
use crate::support::{beside, of_groups as prepared, voice};
use groma_align::{Group, History, Method, Outcome, Prepared, Role, Session, Settings, Voice, evaluate, setup, train};
use groma_model::Transformer;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const SEED: u64 = 3;

/// How far from what theory predicts training began and ended, and may end.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) before: f64,
    pub(super) after: f64,
    pub(super) near: f64,
}

/// Trains as a proof asks, where it does.
pub(super) fn reached(proof: &Proof) -> Option<Reached> {
    let found = match &proof.optimum {
        Optimum::Policy(claim) => policy(proof, claim),
        Optimum::Order(claim) => order(proof, claim),
        Optimum::Scores(rows) => scores(proof, *rows),
        Optimum::Teacher => teacher(proof),
        Optimum::Steps(rows) => steps(proof, *rows),
        Optimum::Elsewhere(_) => return None,
    };
    Some(found)
}

fn policy(proof: &Proof, claim: &Claim) -> Reached {
    let world = claim.world;
    let run = Training::new(proof, world, (claim.rows)(world));
    let mut history = History::default();
    let (before, model, _) = run.watched(None, &mut history);
    let (reference, seen) = (world.logps(&before), mean_reward(&run.rows, &history));
    let theory = (claim.theory)(&Known::new(world, reference.clone(), &run.settings.values, seen));
    assert!((theory.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{}: theory gives no distribution", proof.name());
    let (before, after) = (distance(&theory, &reference), distance(&theory, &world.logps(&model)));
    Reached { before, after, near: claim.near }
}

/// Over all steps and rows, the mean of what labelled rows were found to be worth, as it is logged; 0 where nothing is labelled.
fn mean_reward(rows: &Prepared, history: &History) -> f64 {
    let labels = || rows.groups.iter().flat_map(|group| &group.members).filter_map(|member| member.label);
    let wanted = labels().filter(|wanted| *wanted).count() as f64 / labels().count().max(1) as f64;
    let of = |metrics: &BTreeMap<String, f64>, side: &str| metrics.get(&format!("rewards/{side}")).copied();
    let mean = |(_, metrics): &(u64, BTreeMap<String, f64>)| {
        let (chosen, rejected) = (of(metrics, "chosen")?, of(metrics, "rejected")?);
        Some(wanted * chosen + (1.0 - wanted) * rejected)
    };
    history.logged.iter().filter_map(mean).sum::<f64>() / history.logged.len().max(1) as f64
}

/// The shares of pairs that are not in order.
fn order(proof: &Proof, claim: &Order) -> Reached {
    let world = claim.world;
    let (before, model, _) = Training::new(proof, world, (claim.rows)(world)).go(None);
    let (reference, worths, completions) = (world.logps(&before), world.worths(), world.completions());
    let share = |model: &Transformer| {
        let logps = world.logps(model);
        let said = |i: usize| (claim.said)(logps[i], reference[i], completions[i].len() as f64);
        let pairs = (0..worths.len()).flat_map(|i| (0..worths.len()).map(move |j| (i, j)));
        let pairs: Vec<(usize, usize)> = pairs.filter(|&(i, j)| worths[i] > worths[j]).collect();
        pairs.iter().filter(|&&(i, j)| said(i) <= said(j)).count() as f64 / pairs.len() as f64
    };
    Reached { before: share(&before), after: share(&model), near: 0.0 }
}

/// The largest distance of a difference of two scores from that of the rewards.
fn scores(proof: &Proof, rows: fn(World) -> Vec<Group>) -> Reached {
    let run = Training::new(proof, THREE, rows(THREE));
    let (before, model, _) = run.go(None);
    let (worths, completions) = (THREE.worths(), THREE.completions());
    let reward = |group: &Group, side: usize| {
        let ids = &group.members[side].sequence.ids[PROMPT.len()..];
        f64::from(worths[completions.iter().position(|known| known == ids).unwrap()]).ln()
    };
    let off = |model: &Transformer, group: &Group| {
        let said = evaluate(model, &run.settings, &prepared(vec![group.clone()])).unwrap()["eval_margin"];
        (said - reward(group, 0) + reward(group, 1)).abs()
    };
    let worst = |model: &Transformer| THREE.ordered_pairs().iter().map(|pair| off(model, pair)).fold(0.0, f64::max);
    Reached { before: worst(&before), after: worst(&model), near: 0.02 }
}

/// The largest distance of what is said of a step from how often it is right where the same was said before, and of what is said of all
/// steps of an answer together from how often they all are.
fn steps(proof: &Proof, rows: fn(World) -> Vec<Group>) -> Reached {
    let run = Training::new(proof, THREE, rows(THREE));
    let (before, model, _) = run.go(None);
    let rows = &run.rows.groups;
    let said = |model: &Transformer, text: &[u32]| {
        evaluate(model, &run.settings, &prepared(vec![steps::row(text)])).unwrap()["eval_reward/right"]
    };
    let off = |model: &Transformer, ids: &[u32]| {
        let text = [PROMPT, ids].concat();
        let steps = || (PROMPT.len() + 1..=text.len()).map(|end| &text[..end]);
        let together: f64 = steps().map(|begun| said(model, begun)).product();
        let each = steps().map(|begun| (said(model, begun) - steps::right(rows, begun)).abs());
        each.fold((together - steps::all_right(rows, &text)).abs(), f64::max)
    };
    let worst = |model: &Transformer| THREE.completions().iter().map(|ids| off(model, ids)).fold(0.0, f64::max);
    Reached { before: worst(&before), after: worst(&model), near: 5e-3 }
}

fn teacher(proof: &Proof) -> Reached {
    let run = Training::new(proof, THREE, THREE.texts());
    let (before, model, _) = run.go(None);
    let teacher: Vec<f64> = THREE.logps(&run.other).into_iter().map(f64::exp).collect();
    let from = |model: &Transformer| distance(&teacher, &THREE.logps(model));
    Reached { before: from(&before), after: from(&model), near: 2e-4 }
}

/// Measures a trained model on rows and on the same with sides exchanged; names of the metrics that flip, as they must.
pub(super) fn exchange(proof: &Proof, rows: fn(World) -> Vec<Group>) -> Vec<String> {
    let mut given = proof.settings();
    given.insert("max_steps".into(), 40.into());
    given.insert("eval_steps".into(), 40.into());
    let run = Training::with(proof, given, THREE, rows(THREE));
    let measured = |rows: Vec<Group>| run.go(Some(&prepared(rows))).2.evaluation.unwrap();
    let (plain, turned) = (measured(rows(THREE)), measured(rows(THREE).into_iter().map(exchanged).collect()));
    let mut flipped = Vec::new();
    for (name, value) in &plain {
        let found = |name: &str| turned.get(name).copied().unwrap_or(f64::NAN);
        let (expected, found) = if name.ends_with("margins") || name.ends_with("margin") {
            (-value, found(name))
        } else if name.ends_with("/accuracies") || name.ends_with("/accuracy") || name == "eval_accuracy" {
            (1.0 - value, found(name))
        } else if name.contains("chosen") {
            (*value, found(&name.replace("chosen", "rejected")))
        } else {
            continue;
        };
        assert!((expected - found).abs() < 1e-5 * expected.abs().max(1.0), "{} {name}: {value} {found}", proof.name());
        flipped.push(name.clone());
    }
    flipped
}

/// The same sequences, each called what its opposite was.
fn exchanged(mut group: Group) -> Group {
    let known = group.members.iter().any(|member| member.label.is_some() || member.score.is_some());
    for member in &mut group.members {
        member.label = member.label.map(|wanted| !wanted);
        member.score = member.score.map(|score| -score);
    }
    if !known {
        group.members.reverse();
    }
    group
}

/// How far two theories of policy gradients are from each other, in nats.
pub(super) fn apart(one: Theory, other: Theory) -> f64 {
    let settings = json!({"beta": 0.5, "num_generations": 32});
    let known = Known::new(ASKED, ASKED.logps(&ASKED.model(SEED)), settings.as_object().unwrap(), 0.0);
    distance(&one(&known), &other(&known).into_iter().map(f64::ln).collect::<Vec<_>>())
}

/// Jensen and Shannon's divergence of a distribution from one that is given by its logarithms, in nats.
fn distance(theory: &[f64], policy: &[f64]) -> f64 {
    let from = |p: f64, middle: f64| if p > 0.0 { p * (p / middle).ln() } else { 0.0 };
    let of = |(p, logq): (&f64, &f64)| {
        let (q, middle) = (logq.exp(), 0.5 * (p + logq.exp()));
        0.5 * (from(*p, middle) + from(q, middle))
    };
    theory.iter().zip(policy).map(of).sum()
}

/// A training in a world, on all rows at once.
struct Training {
    world: World,
    settings: Settings,
    rows: Prepared,
    /// Who fills the roles that the settings name.
    other: Transformer,
}

impl Training {
    fn new(proof: &Proof, world: World, rows: Vec<Group>) -> Self {
        Training::with(proof, proof.settings(), world, rows)
    }

    fn with(proof: &Proof, given: Map<String, Value>, world: World, rows: Vec<Group>) -> Self {
        let method = Method::find(proof.method).unwrap();
        let mut all = json!({"learning_rate": 1e-2, "lr_scheduler_type": "cosine", "max_steps": 500,
            "per_device_train_batch_size": rows.len(), "weight_decay": 0.0, "logging_steps": 1});
        let more = if method.samples() {
            let mut rewarded = if method.roles.contains(&Role::Reward) { world.rules() } else { json!({}) };
            let how = json!({"max_completion_length": world.longest, "temperature": 1.0, "max_steps": 400});
            rewarded.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
            rewarded
        } else if method.roles.contains(&Role::Teacher) {
            json!({"teacher_model": "teacher"})
        } else {
            json!({})
        };
        for part in [more.as_object().unwrap(), &given] {
            all.as_object_mut().unwrap().extend(part.clone());
        }
        let settings = Settings::resolve(method, all.as_object().unwrap()).unwrap();
        Training { world, settings, rows: prepared(rows), other: world.model(SEED + 1) }
    }

    /// The model before and after, and how it ended; measured on other rows where they are given.
    fn go(&self, held_out: Option<&Prepared>) -> (Transformer, Transformer, Outcome) {
        self.watched(held_out, &mut History::default())
    }

    /// The same, with all that was logged.
    fn watched(&self, held_out: Option<&Prepared>, history: &mut History) -> (Transformer, Transformer, Outcome) {
        let model = || setup(self.world.model(SEED), &self.settings).unwrap();
        let mut trained = model();
        let (seats, voice) = (beside(&self.settings, &self.other), Voice { stop_ids: vec![END], ..voice() });
        let session = Session {
            seats,
            voice: Some(voice),
            evaluation: held_out,
            observers: vec![history],
            ..Session::new(&self.settings, &self.rows)
        };
        let outcome = train(&mut trained, session).unwrap();
        (model(), trained, outcome)
    }
}
