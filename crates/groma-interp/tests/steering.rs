//! Steering moves a model along a direction, and along a random one of the same length it does not go there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use groma_interp::steering::{Steering, difference_of_means, random_direction};
use groma_model::generate::{GenerationContext, GenerationPrompt};
use groma_model::sampling::SamplingParameters;
use groma_model::score::ScoreRequest;
use groma_model::{Address, HookPoint, Positions, Site, View};
use groma_run::Seed;

mod support;
use support::model;

fn steering(direction: Vec<f32>, coefficient: f32) -> Steering {
    let (point, address) = (HookPoint::block(1, Site::ResidPost), Address::positions(Positions::From(2)));
    Steering { point, address, direction, coefficient, seed: Seed::new(5) }
}

#[test]
fn a_direction_raises_its_token_and_a_random_one_does_not() {
    let model = model("llama");
    let id = model.parameters().id("embed.weight").unwrap();
    let embed = model.backend().download(model.parameters().get(id).buffer());
    let target = 9usize;
    let direction = embed[target * 32..][..32].to_vec();
    let request = ScoreRequest { context: vec![1, 2, 3], continuation: vec![target as u32; 3] };
    let logps = |coefficient| {
        let found = steering(direction.clone(), coefficient).score(&model, std::slice::from_ref(&request)).unwrap();
        (found.plain[0], found.steered[0], found.control[0])
    };
    let (plain, at_zero, _) = logps(0.0);
    assert_eq!(plain, at_zero, "at 0, nothing is done");
    let swept: Vec<f64> = [-4.0, -2.0, 0.0, 2.0, 4.0, 8.0].iter().map(|&by| logps(by).1).collect();
    assert!(swept.windows(2).all(|pair| pair[0] < pair[1]), "the sweep rises: {swept:?}");
    let (plain, steered, control) = logps(8.0);
    assert!(steered - plain > 3.0 && steered - control > 3.0, "{plain} {steered} {control}");
    let parameters = SamplingParameters { max_new_tokens: 12, samples: 2, ..SamplingParameters::default() };
    let context = GenerationContext { parameters: &parameters, decode: &|_| String::new(), view: View::plain() };
    let prompts = [GenerationPrompt { ids: vec![1, 2, 3], seed: Seed::new(1) }];
    let made = steering(direction, 30.0).generate(&model, &prompts, &context, &mut |_| true).unwrap();
    let count = |samples: &[Vec<groma_model::generate::Generation>]| {
        samples.concat().iter().flat_map(|one| &one.ids).filter(|&&id| id == target as u32).count()
    };
    assert!(count(&made.steered) > 12 && count(&made.steered) > 2 * count(&made.control).max(count(&made.plain)));
}

#[test]
fn directions() {
    let model = model("llama");
    let point = HookPoint::block(0, Site::ResidPost);
    let (a, b) = (vec![vec![1, 2, 3], vec![4, 5]], vec![vec![1, 2, 9]]);
    let found = difference_of_means(&model, point, &a, &b).unwrap();
    let back = difference_of_means(&model, point, &b, &a).unwrap();
    assert!(found.iter().zip(&back).all(|(x, y)| (x + y).abs() < 1e-6));
    assert!(difference_of_means(&model, point, &a, &[]).is_err());
    assert!(difference_of_means(&model, point, &a, &[vec![]]).is_err());
    let random = random_direction(&found, Seed::new(1));
    let length = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!((length(&random) / length(&found) - 1.0).abs() < 1e-5);
    let cosine = random.iter().zip(&found).map(|(a, b)| a * b).sum::<f32>() / length(&found).powi(2);
    assert!(cosine.abs() < 0.6, "{cosine}");
    assert_ne!(random, random_direction(&found, Seed::new(2)));
}
