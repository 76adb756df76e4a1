//! Writes models and adapters for `scripts/check_exports.py`, which compares their logits in transformers and peft with
//! those computed here: `cargo run --release -p groma-model --example write_exports -- DIRECTORY`.
//!
//! Each fixture's weights are changed a little first, so that nothing can be right by having been copied.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use groma_kernels::{Cpu, Tape};
use groma_model::spec::Spec;
use groma_model::{
    AdapterFile, Checkpoint, ElementType, Export, Pass, Tensor, TokenTree, Transformer, Weights, families,
};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let target = PathBuf::from(std::env::args().nth(1).ok_or("usage: write_exports DIRECTORY")?);
    std::fs::create_dir_all(&target)?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for source in directories(&fixtures.join("families"))? {
        write_model(&source, &target)?;
    }
    for source in directories(&fixtures.join("adapters"))? {
        write_adapter(&source, &target)?;
    }
    write_reward_model(&fixtures.join("families/gemma2"), &target)?;
    write_llama_from_nothing(&fixtures.join("families/llama"), &target)
}

fn directories(root: &Path) -> Outcome<Vec<PathBuf>> {
    let mut all = std::fs::read_dir(root)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
    all.sort();
    Ok(all)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Every value moved by a different small amount; exact in bf16 and f16 after rounding.
fn change(weights: &mut Weights, element_type: ElementType) {
    for (index, value) in weights.values_mut().flat_map(|tensor| &mut tensor.values).enumerate() {
        *value = element_type.round(*value * (1.0 + 0.1 * (index as f32).sin()) + 0.01);
    }
}

fn write_model(source: &Path, target: &Path) -> Outcome<()> {
    let checkpoint = Checkpoint::open(source)?;
    let element_type = match checkpoint.config().map().get("dtype").and_then(|dtype| dtype.as_str()) {
        Some("bfloat16") => ElementType::Bf16,
        Some("float16") => ElementType::F16,
        _ => ElementType::F32,
    };
    let mut weights = checkpoint.weights()?;
    change(&mut weights, element_type);
    let shard_bytes = if element_type == ElementType::F16 { 4000 } else { u64::MAX };
    let export = Export::new(checkpoint.config().map(), checkpoint.spec(), &weights);
    let export = Export { element_type, shard_bytes, card: Some("# A test"), ..export };
    finish(&format!("model-{}", name(source)), &export, target)
}

fn write_reward_model(source: &Path, target: &Path) -> Outcome<()> {
    let checkpoint = Checkpoint::open(source)?;
    let spec = checkpoint.spec().with_score_head();
    let mut weights = checkpoint.weights()?;
    let values = (0..spec.hidden_size).map(|index| (index as f32).cos()).collect();
    weights.insert("score.weight".into(), Tensor { shape: vec![1, spec.hidden_size], values });
    finish("model-reward", &Export::new(checkpoint.config().map(), &spec, &weights), target)
}

fn write_llama_from_nothing(source: &Path, target: &Path) -> Outcome<()> {
    let checkpoint = Checkpoint::open(source)?;
    let config = families::llama_config(checkpoint.spec(), 10_000.0)?;
    let weights = checkpoint.weights()?;
    finish("model-llama-from-nothing", &Export::new(&config, checkpoint.spec(), &weights), target)
}

fn finish(name: &str, export: &Export<'_>, target: &Path) -> Outcome<()> {
    let directory = target.join(name);
    export.write(&directory)?;
    export.verify(&directory)?;
    let ids = token_ids(export.spec);
    let model = transformer(export.spec, export.weights, ids.len())?;
    write_outputs(&target.join(format!("{name}.json")), &model, &ids, None)
}

fn write_adapter(source: &Path, target: &Path) -> Outcome<()> {
    let base = AdapterFile::base_directory(source)?;
    let checkpoint = Checkpoint::open(&base)?;
    let spec = checkpoint.spec();
    let mut adapter = AdapterFile::read(source, spec)?;
    for pair in adapter.pairs.values_mut() {
        pair.a.values.iter_mut().for_each(|value| *value *= 0.7);
        pair.b.values.iter_mut().for_each(|value| *value += 0.05);
    }
    let base = base.canonicalize()?;
    adapter.config.base_model = Some(base.to_string_lossy().into_owned());
    let name = format!("adapter-{}", name(source));
    adapter.write(&target.join(&name), spec, Some("# A test"), &[])?;
    let mut weights = checkpoint.weights()?;
    weights.extend(adapter.score.clone().map(|score| ("score.weight".to_owned(), score)));
    let ids = token_ids(spec);
    let mut model = transformer(spec, &weights, ids.len())?;
    model.attach(&adapter.lora())?;
    write_outputs(&target.join(format!("{name}.json")), &model, &ids, Some(&base))
}

fn token_ids(spec: &Spec) -> Vec<u32> {
    (0..28).map(|position| 3 + (position * position * 7 + position) % (spec.vocab_size as u32 - 3)).collect()
}

fn transformer(spec: &Spec, weights: &Weights, tokens: usize) -> Outcome<Transformer> {
    Ok(Transformer::new(spec.for_length(tokens), weights, Arc::new(Cpu::new()))?)
}

fn write_outputs(path: &Path, model: &Transformer, ids: &[u32], base: Option<&Path>) -> Outcome<()> {
    let mut tree = TokenTree::new();
    tree.root(ids);
    let mut tape = Tape::inference(model.backend().clone());
    let hidden = model.hidden(&mut tape, &tree, &mut Pass { adapter: true, ..Pass::default() })?;
    let values = if model.spec().score_head {
        let scores = model.score_head(&mut tape, &hidden)?;
        model.backend().download(scores.buffer()).into_iter().skip(ids.len() - 1).collect()
    } else {
        model.logits(&hidden)?
    };
    let record = json!({ "ids": ids, "values": values, "score": model.spec().score_head, "base": base });
    Ok(std::fs::write(path, record.to_string())?)
}
