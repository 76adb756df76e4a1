//! Steering moves a model along a direction, and along a random one of the same length it does not go there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use groma_interp::steering::{Steering, difference_of_means, random_direction};
use groma_kernels::Cpu;
use groma_model::generate::{GenerationContext, GenerationPrompt};
use groma_model::sampling::SamplingParameters;
use groma_model::score::ScoreRequest;
use groma_model::{Address, Config, HookPoint, Positions, Site, Tensor, Transformer, View, families, parameters};
use groma_run::Seed;
use rand_chacha::rand_core::Rng;

fn values(seed: Seed, count: usize, size: f32) -> Vec<f32> {
    let mut rng = seed.rng();
    (0..count).map(|_| ((rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0) * size).collect()
}

fn model() -> Transformer {
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 64, "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "hidden_act": "silu"
    });
    let config = Config::parse("config.json".as_ref(), config.to_string().as_bytes()).unwrap();
    let spec = families::read(&config).unwrap();
    let draw = |p: groma_model::Parameter| {
        let count = p.shape.iter().product();
        let norm = p.name.contains("norm");
        let drawn = values(Seed::new(7).named(&p.name), count, 0.3);
        (p.name, Tensor { shape: p.shape, values: if norm { vec![1.0; count] } else { drawn } })
    };
    let weights = parameters(&spec).into_iter().map(draw).collect();
    Transformer::new(spec, &weights, Arc::new(Cpu::new())).unwrap()
}

fn steering(direction: Vec<f32>, coefficient: f32) -> Steering {
    let (point, address) = (HookPoint::block(1, Site::ResidPost), Address::positions(Positions::From(2)));
    Steering { point, address, direction, coefficient, seed: Seed::new(5) }
}

#[test]
fn a_direction_raises_its_token_and_a_random_one_does_not() {
    let model = model();
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
    let model = model();
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
