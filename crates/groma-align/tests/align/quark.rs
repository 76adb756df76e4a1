//! Quark as a whole: behind the tag of each quantile the model comes to say what is worth as much, and without the distance the
//! best is what is said plainly.

use crate::support::{Letters, limits, model, rows, settings, voice};
use groma_align::{Group, Member, Prepared, Sequence, Session, Settings, prepare, setup, train};
use groma_data::Shape;
use groma_model::Transformer;
use groma_model::generate::{GenerationContext, GenerationPrompt, generate};
use groma_model::sampling::SamplingParameters;
use groma_run::Seed;
use serde_json::{Value, json};

const TAGS: [&str; 3] = ["z", "y", "x"];

fn quark(more: Value) -> (Settings, Prepared) {
    let mut given = json!({"max_steps": 200, "learning_rate": 5e-3, "per_device_train_batch_size": 22, "beta": 0.01,
        "quantile_tags": TAGS, "num_generations": 2, "length_target": 2, "max_completion_length": 8,
        "lr_scheduler_type": "constant", "num_iterations": 2, "pool_size": 5000});
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let settings = settings("quark", given);
    let rows = prepare(&settings, &rows(Shape::PromptOnly), &Letters::default(), limits()).unwrap();
    (settings, rows)
}

/// Mean reward of what a model says behind a prompt of each row: of the plain ones (0), or behind the n-th tag.
fn mean_reward(model: &Transformer, rows: &Prepared, place: usize) -> f64 {
    let parameters =
        SamplingParameters { max_new_tokens: 8, samples: 16, stop_ids: voice().stop_ids, ..Default::default() };
    let context =
        GenerationContext { parameters: &parameters, decode: voice().decode, view: groma_model::View::plain() };
    let prompt =
        |group: &Group| GenerationPrompt { ids: group.members[place].sequence.ids.clone(), seed: Seed::new(7) };
    let prompts: Vec<GenerationPrompt> = rows.groups.iter().map(prompt).collect();
    let said = generate(model, &prompts, &context, &mut |_| true).unwrap();
    let rewards: Vec<f64> = said.iter().flatten().map(|one| -(one.ids.len() as f64 - 2.0).abs() / 2.0).collect();
    rewards.iter().sum::<f64>() / rewards.len() as f64
}

#[test]
fn prompts_are_asked_behind_each_tag() {
    let (_, rows) = quark(json!({"tag_best": true}));
    let ids = |member: &Member| -> Sequence { member.sequence.clone() };
    for group in &rows.groups {
        assert_eq!(group.members.len(), 1 + TAGS.len());
        let plain = ids(&group.members[0]).ids;
        for (member, tag) in group.members[1..].iter().zip(TAGS) {
            let letter = 3 + u32::from(tag.as_bytes()[0] - b'a');
            assert_eq!(ids(member).ids, [&plain[..1], &[letter], &plain[1..]].concat());
        }
    }
    let (_, untagged) = quark(json!({}));
    assert!(untagged.groups.iter().all(|group| group.members[0] == group.members[TAGS.len()]), "the best has none");
}

/// The reward of what is said rises from tag to tag, and the best is what is said plainly.
#[test]
fn reward_rises_with_the_tag() {
    let (settings, rows) = quark(json!({}));
    let mut trained = setup(model(2), &settings).unwrap();
    let before = mean_reward(&trained, &rows, 0);
    train(&mut trained, Session { voice: Some(voice()), ..Session::new(&settings, &rows) }).unwrap();
    let by_tag: Vec<f64> = (1..=TAGS.len()).map(|place| mean_reward(&trained, &rows, place)).collect();
    println!("quark: {before:.3} before; by tag {by_tag:.3?}");
    assert!(by_tag.windows(2).all(|pair| pair[1] > pair[0] + 0.1), "{by_tag:?}");
    assert!(by_tag[2] > before + 1.0, "{before} {by_tag:?}");
}
