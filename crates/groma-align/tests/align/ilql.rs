//! Implicit Q-learning as a whole: on a chain of states that can be listed, what tokens are worth is what theory says, and parts of
//! completions are put together that nobody wrote together; copies follow; what was learned is written, and read again.

use crate::support::{Letters, limits, model, prepared, rows, settings, spec, voice, weights};
use crate::training::run;
use groma_align::{
    Group, LengthStatistics, Member, Method, Prepared, Sequence, Session, Settings, group, prepare, setup, train,
};
use groma_data::Shape;
use groma_kernels::{Cpu, Tape};
use groma_model::generate::{GenerationContext, GenerationPrompt, generate, generate_guided};
use groma_model::guidance::{ByAdvantage, Guidance, Rule, log_probs, normalised};
use groma_model::sampling::SamplingParameters;
use groma_model::spec::Layer;
use groma_model::{Head, Pass, Spec, TokenTree, Transformer, View};
use groma_run::Seed;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// States, which are the tokens that were written last. From the start to A or B, from both to the middle, then to C or D, and the end.
const START: u32 = 0;
const A: u32 = 1;
const B: u32 = 2;
const MIDDLE: u32 = 3;
const C: u32 = 4;
const D: u32 = 5;
const END: u32 = 6;
/// What was written: each is right once and wrong once, and worth nothing in all.
const WRITTEN: [[u32; 4]; 2] = [[A, MIDDLE, D, END], [B, MIDDLE, C, END]];
/// Nobody wrote it, and it is right twice.
const BEST: [u32; 4] = [A, MIDDLE, C, END];
const GAMMA: f64 = 0.9;
const TAU: f64 = 0.9;

fn reward(token: u32) -> f64 {
    match token {
        A | C => 1.0,
        B | D => -1.0,
        _ => 0.0,
    }
}

/// A model that sees nothing but the last token, so that states are tokens.
fn chain() -> Transformer {
    let layers = vec![Layer { window: Some(1), rotary: Some(0) }; 2];
    let spec = Spec { vocab_size: 7, layers, ..spec() };
    Transformer::new(spec.clone(), &weights(&spec, 3), Arc::new(Cpu::new())).unwrap()
}

/// Both completions, with the steps that are right and wrong.
fn written() -> Prepared {
    let row = |ids: &[u32; 4]| {
        let step = |(place, &id): (usize, &u32)| (reward(id) != 0.0).then(|| (place + 2, reward(id) > 0.0));
        let steps = ids.iter().enumerate().filter_map(step).collect();
        let member = Member { steps, ..Member::new(Sequence::completion(&[START], ids)) };
        Group { place: "rows:1".into(), members: vec![member], ..Group::default() }
    };
    let groups: Vec<Group> = WRITTEN.iter().map(row).collect();
    let (lengths, digest) = (LengthStatistics::of(&groups), group::digest(&groups));
    Prepared { groups, findings: Vec::new(), lengths, digest }
}

fn trained(method: &str, given: Value) -> Transformer {
    let mut all = json!({"max_steps": 600, "learning_rate": 1e-2, "lr_scheduler_type": "cosine", "per_device_train_batch_size": 2});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let settings = Settings::resolve(Method::find(method).unwrap(), all.as_object().unwrap()).unwrap();
    let mut model = setup(chain(), &settings).unwrap();
    train(&mut model, Session::new(&settings, &written())).unwrap();
    model
}

fn ilql(given: Value) -> Transformer {
    let mut all = json!({"gamma": GAMMA, "tau": TAU, "alpha": 0.2, "steps_for_target_q_sync": 1});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    trained("ilql", all)
}

/// Of a state: what the head of this name says.
fn said(model: &Transformer, state: u32, head: &str) -> Vec<f64> {
    let mut tree = TokenTree::new();
    tree.root(&[state]);
    let mut tape = Tape::inference(model.backend().clone());
    let hidden = model.hidden(&mut tape, &tree, &Pass::default()).unwrap();
    let values = model.head(&mut tape, head, &hidden).unwrap();
    model.backend().download(values.buffer()).into_iter().map(f64::from).collect()
}

/// The probability of a completion where tokens are weighed by what they are worth.
fn probability(model: &Transformer, completion: &[u32], beta: f64) -> f64 {
    let mut state = START;
    completion
        .iter()
        .map(|&token| {
            let mut tree = TokenTree::new();
            tree.root(&[state]);
            let hidden = model.hidden(&mut Tape::inference(model.backend().clone()), &tree, &Pass::default()).unwrap();
            let own = log_probs(&model.logits(&hidden).unwrap());
            let worth = if beta > 0.0 {
                vec![model.advantages(&hidden).unwrap().into_iter().map(f64::from).collect()]
            } else {
                vec![]
            };
            let weights: Vec<f32> =
                ByAdvantage { beta }.steer(&own, &worth).into_iter().map(|weight| weight as f32).collect();
            state = token;
            normalised(&weights, 1.0)[token as usize].exp()
        })
        .product()
}

/// What theory says of tokens that were written: `Q(s, a) = r(a) + γ V(a)`, and `V` the expectile of those that were written there.
fn theory() -> BTreeMap<(u32, u32), f64> {
    let edges: Vec<(u32, u32)> = WRITTEN.iter().flat_map(|ids| std::iter::once(START).chain(*ids).zip(*ids)).collect();
    let mut worth: BTreeMap<(u32, u32), f64> = edges.iter().map(|&edge| (edge, 0.0)).collect();
    for _ in 0..edges.len() {
        let value = |state: u32| {
            let those: Vec<f64> = edges.iter().filter(|edge| edge.0 == state).map(|edge| worth[edge]).collect();
            let slope = |value: f64| -> f64 {
                those.iter().map(|q| if *q > value { TAU * (q - value) } else { (1.0 - TAU) * (q - value) }).sum()
            };
            let halve = |(low, high): (f64, f64), _| {
                let middle = 0.5 * (low + high);
                if slope(middle) > 0.0 { (middle, high) } else { (low, middle) }
            };
            if those.is_empty() { 0.0 } else { (0..100).fold((-9.0, 9.0), halve).0 }
        };
        worth = edges.iter().map(|&(from, to)| ((from, to), reward(to) + GAMMA * value(to))).collect();
    }
    worth
}

/// Without what holds down other tokens, which moves those that were written, too.
#[test]
fn what_tokens_are_worth_is_what_theory_says() {
    let model = ilql(json!({"cql_scale": 0.0}));
    let theory = theory();
    let middle = 2.0 * TAU - 1.0;
    assert!((theory[&(A, MIDDLE)] - GAMMA * middle).abs() < 1e-9 && (theory[&(MIDDLE, C)] - 1.0).abs() < 1e-9);
    let mut worst: f64 = 0.0;
    for (&(state, token), expected) in &theory {
        for head in [Head::Q1, Head::Q2, Head::TARGET_Q1, Head::TARGET_Q2] {
            let found = said(&model, state, &head.name)[token as usize];
            worst = worst.max((found - expected).abs());
        }
    }
    let value = said(&model, MIDDLE, &Head::VALUE.name)[0];
    println!("worths are up to {worst:.4} from theory; the middle is worth {value:.4}, by theory {middle:.4}");
    assert!(worst < 0.03 && (value - middle).abs() < 0.03, "{worst} {value}");
}

/// Neither completion that was written is worth anything, and those that imitate write the best one once in four times.
#[test]
fn parts_are_put_together_that_nobody_wrote_together() {
    let worth = |ids: &[u32]| ids.iter().map(|&id| reward(id)).sum::<f64>();
    assert_eq!((WRITTEN.map(|ids| worth(&ids)), worth(&BEST)), ([0.0; 2], 2.0));
    let imitating = trained("sft", json!({}));
    let model = ilql(json!({}));
    let (imitated, plain, chosen) =
        (probability(&imitating, &BEST, 0.0), probability(&model, &BEST, 0.0), probability(&model, &BEST, 4.0));
    println!("the best: {imitated:.4} imitated, {plain:.4} by the model alone, {chosen:.4} by what tokens are worth");
    assert!((imitated - 0.25).abs() < 0.02 && (plain - 0.25).abs() < 0.02, "{imitated} {plain}");
    assert!(chosen > 0.97, "{chosen}");
    // What is sampled is what was listed.
    let parameters = SamplingParameters { max_new_tokens: 6, samples: 400, stop_ids: vec![END], ..Default::default() };
    let context = GenerationContext { parameters: &parameters, decode: voice().decode, view: View::plain() };
    let prompts = [GenerationPrompt { ids: vec![START], seed: Seed::new(5) }];
    let guidance = |beta: f64| {
        generate_guided(&model, &prompts, &context, &Guidance { guides: &[], rule: &ByAdvantage { beta } }, &mut |_| {
            true
        })
        .unwrap()
    };
    for beta in [0.5, 4.0] {
        let drawn = guidance(beta)[0].iter().filter(|made| made.ids == BEST).count() as f64 / 400.0;
        let expected = probability(&model, &BEST, beta);
        let deviation = (expected * (1.0 - expected) / 400.0).sqrt();
        assert!((drawn - expected).abs() < 4.0 * deviation + 0.01, "{beta}: {drawn} {expected}");
    }
    assert_eq!(guidance(0.0), generate(&model, &prompts, &context, &mut |_| true).unwrap(), "0 changes nothing");
}

/// After every second step a copy goes a quarter of the way to its head, whichever way the trunk trains.
#[test]
fn copies_follow_their_heads() {
    for lora in [Value::Null, json!({"r": 2})] {
        let mut given = json!({"max_steps": 1, "learning_rate": 1e-2, "alpha": 0.25, "steps_for_target_q_sync": 2});
        if !lora.is_null() {
            given["lora"] = lora;
        }
        let after = |steps: u64| {
            given["max_steps"] = steps.into();
            given["lr_scheduler_type"] = "constant".into();
            let settings = settings("ilql", given.clone());
            run(&settings, &prepared(&settings), model(1)).1.head_weights()
        };
        let mut after = after;
        let [one, two] = [1, 2].map(&mut after);
        for (head, copy) in [("q1.weight", "target_q1.weight"), ("q2.weight", "target_q2.weight")] {
            assert_ne!(one[head], one[copy], "the head has learned");
            let expected = one[copy].values.iter().zip(&two[head].values).map(|(old, head)| old * 0.75 + head * 0.25);
            let far = expected.zip(&two[copy].values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < 1e-7, "{copy}: {far}");
        }
        assert_ne!(one["q1.weight"], one["q2.weight"], "two opinions");
    }
}

/// What the settings read is learned from in every shape of rows.
#[test]
fn rows_of_every_shape_are_learned_from() {
    for shape in [Shape::Ranked, Shape::Labelled, Shape::Preference, Shape::Stepwise] {
        let settings = settings("ilql", json!({"max_steps": 30, "learning_rate": 5e-3, "logging_steps": 10}));
        let rows = prepare(&settings, &rows(shape), &Letters::default(), limits()).unwrap();
        let (history, _) = run(&settings, &rows, model(2));
        let (first, last) = (&history.logged[0].1, &history.logged.last().unwrap().1);
        for part in ["loss", "loss/q", "loss/awac"] {
            assert!(last[part] < first[part], "{shape} {part}: {} {}", first[part], last[part]);
        }
    }
}
