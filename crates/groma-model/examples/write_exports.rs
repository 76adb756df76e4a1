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
    AdapterFile, BaseModel, Checkpoint, ElementType, Export, Head, HeadKind, Pass, TokenTree, Transformer, Weights,
    families, open_transformer,
};
use groma_run::Seed;
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
    for (name, source, heads) in [
        ("reward", "gemma2", vec![Head::SCORE]),
        ("classes", "gpt2", vec![Head::score(3)]),
        ("tokens", "qwen3", vec![Head::token_score(2)]),
        ("classified-tokens", "gpt_neox", vec![Head::token_score(1)]),
        ("value", "gpt_neo", vec![Head::UNEMBEDDING, Head::VALUE]),
        ("many", "llama-biases", vec![Head::UNEMBEDDING, Head::VALUE, Head::score(4), Head::token_score(2)]),
    ] {
        write_with_heads(name, &fixtures.join("families").join(source), &heads, &target)?;
    }
    for (name, heads) in
        [("reward-of-language-model", vec![Head::SCORE]), ("value", vec![Head::UNEMBEDDING, Head::VALUE])]
    {
        write_adapter_with_heads(name, &fixtures.join("adapters/llama"), &heads, &target)?;
    }
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

/// The trunk of a fixture with heads that start at random.
fn write_with_heads(name: &str, source: &Path, heads: &[Head], target: &Path) -> Outcome<()> {
    let checkpoint = Checkpoint::open(source)?;
    let mut model = transformer(checkpoint.spec(), &checkpoint.weights()?, 0)?;
    model.set_heads(heads, Some(Seed::new(1)))?;
    let mut weights = model.weights();
    change(&mut weights, ElementType::F32);
    finish(&format!("model-{name}"), &Export::new(checkpoint.config().map(), model.spec(), &weights), target)
}

/// A fixture's adapter, with heads of its own.
fn write_adapter_with_heads(name: &str, source: &Path, heads: &[Head], target: &Path) -> Outcome<()> {
    let base = AdapterFile::base_directory(source)?.canonicalize()?;
    let checkpoint = Checkpoint::open(&base)?;
    let mut adapter = AdapterFile::read(source, checkpoint.spec())?;
    let mut model = transformer(checkpoint.spec(), &checkpoint.weights()?, 0)?;
    model.set_heads(heads, Some(Seed::new(2)))?;
    adapter.config.base = BaseModel::at(&base);
    (adapter.heads, adapter.head_weights) = (heads.to_vec(), model.head_weights());
    finish_adapter(&format!("adapter-{name}"), &adapter, &checkpoint, target)
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
    let mut adapter = AdapterFile::read(source, checkpoint.spec())?;
    for pair in adapter.pairs.values_mut() {
        pair.a.values.iter_mut().for_each(|value| *value *= 0.7);
        pair.b.values.iter_mut().for_each(|value| *value += 0.05);
    }
    let base = base.canonicalize()?;
    adapter.config.base = BaseModel::at(&base);
    finish_adapter(&format!("adapter-{}", name(source)), &adapter, &checkpoint, target)
}

/// Writes an adapter, reads it back, and writes what the adapted model says.
fn finish_adapter(name: &str, adapter: &AdapterFile, checkpoint: &Checkpoint, target: &Path) -> Outcome<()> {
    let directory = target.join(name);
    adapter.write(&directory, checkpoint.spec(), Some("# A test"), &[])?;
    let ids = token_ids(checkpoint.spec());
    let spec = checkpoint.spec().for_length(ids.len());
    let model = open_transformer(&directory, checkpoint, spec, Arc::new(Cpu::new()))?;
    write_outputs(&target.join(format!("{name}.json")), &model, &ids, Some(checkpoint.directory()))
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
    let hidden = model.hidden(&mut tape, &tree, &Pass::default())?;
    let mut heads = Vec::new();
    for Head { name, kind, width, .. } in &model.spec().outputs {
        let values = match kind {
            HeadKind::Unembedding => model.logits(&hidden)?,
            _ => model.backend().download(model.head(&mut tape, name, &hidden)?.buffer()),
        };
        let skipped = if *kind == HeadKind::Sequence { (ids.len() - 1) * width } else { 0 };
        heads.push(json!({ "name": name, "values": values[skipped..] }));
    }
    Ok(std::fs::write(path, json!({ "ids": ids, "heads": heads, "base": base }).to_string())?)
}
