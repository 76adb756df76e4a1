//! Tokens a second of the engine on the Llama of the design's measurements: 8 layers x 512, 8 heads and 4 key/value heads,
//! MLP 1376, vocabulary 8192, untied, 31.6 M random parameters; and on one a tenth of its width.
//!
//! `cargo bench -p groma-model`. Throughput is in elements, which are tokens. For ratios to PyTorch on the same work see
//! `bench/`.

#![allow(clippy::expect_used, reason = "a benchmark that cannot go on has failed")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use groma_kernels::Cpu;
use groma_model::generate::{GenerationContext, GenerationPrompt, generate};
use groma_model::sampling::SamplingParameters;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{Config, Tensor, Transformer, View, families, parameters};
use groma_run::Seed;
use rand_chacha::rand_core::Rng;
use trainer::Trainer;

#[path = "shared/trainer.rs"]
mod trainer;

fn llama(hidden: usize, intermediate: usize) -> Transformer {
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "vocab_size": 8192,
        "intermediate_size": intermediate, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": false,
    });
    let config = config.as_object().cloned().unwrap_or_default();
    let config = Config::new(std::path::Path::new("config.json"), config);
    let spec = families::read(&config).expect("the configuration is supported");
    let weights = parameters(&spec)
        .into_iter()
        .map(|parameter| {
            let mut rng = Seed::new(1).named(&parameter.name).rng();
            let len = parameter.shape.iter().product();
            let values = (0..len).map(|_| (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) * 0.07).collect();
            (parameter.name, Tensor { shape: parameter.shape, values })
        })
        .collect();
    Transformer::new(spec, &weights, Arc::new(Cpu::new())).expect("the weights fit")
}

fn tokens(seed: u64, len: usize) -> Vec<u32> {
    let mut rng = Seed::new(seed).rng();
    (0..len).map(|_| rng.next_u32() % 8192).collect()
}

fn engine(criterion: &mut Criterion) {
    for (name, hidden, intermediate) in [("llama-31M", 512, 1376), ("llama-1M", 64, 172)] {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(5));
        let rows: Vec<_> = (0..8).map(|i| tokens(i, 256)).collect();
        group.throughput(Throughput::Elements(8 * 256));
        let mut trainer = Trainer::new(llama(hidden, intermediate));
        group.bench_function("training step 8x256", |b| {
            b.iter(|| black_box(trainer.step(&[], &rows).expect("the batch fits the model")))
        });

        let mut model = llama(hidden, intermediate);
        model.parameters_mut().set_trainable(|_| false);
        model.freeze();
        let requests: Vec<_> = rows
            .iter()
            .map(|row| ScoreRequest { context: row[..1].to_vec(), continuation: row[1..].to_vec() })
            .collect();
        let options = ScoreOptions::default();
        group.bench_function("score 8x256", |b| b.iter(|| score(&model, &requests, &options, &mut |_| true)));
        let last: Vec<_> = rows
            .iter()
            .map(|row| ScoreRequest { context: row[..255].to_vec(), continuation: row[255..].to_vec() })
            .collect();
        group.bench_function("prefill 8x256", |b| b.iter(|| score(&model, &last, &options, &mut |_| true)));
        for batch in [1, 16] {
            let parameters = SamplingParameters::greedy(64);
            let decode = |_: &[u32]| String::new();
            let context = GenerationContext { parameters: &parameters, decode: &decode, view: View::plain() };
            let prompts: Vec<_> =
                (0..batch).map(|i| GenerationPrompt { ids: tokens(50 + i, 8), seed: Seed::new(i) }).collect();
            group.throughput(Throughput::Elements(64 * batch));
            group.bench_function(format!("decode batch {batch}"), |b| {
                b.iter(|| generate(&model, &prompts, &context, &mut |_| true));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, engine);
criterion_main!(benches);
