//! groma's side of `scripts/compare_transformer_lens.py`: `transformer_lens_worker CHECKPOINT_DIRECTORY`.
//!
//! Reads one JSON object from standard input, `{"clean": [...], "corrupt": [...], "answer": 1, "foil": 2, "repetitions": 3,
//! "activations": true}`, and answers with one: the activations of the clean prompt at all hook points, `{name: [...]}`, where they
//! are asked for; the patching grids `{resid_pre, attn_out, mlp_out: [layer][position], z: [layer][head]}` (denoising); and the
//! seconds that each repetition of all grids took, the reading of both prompts included.
#![allow(clippy::print_stdout, reason = "a worker answers on standard output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use groma_interp::patching::{Contrast, Disturbed, Patch, Swept, patch};
use groma_kernels::{Cpu, Tape};
use groma_model::{Checkpoint, HookPoint, Hooks, Pass, Site, TokenTree, Transformer, View};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    clean: Vec<u32>,
    corrupt: Vec<u32>,
    answer: u32,
    foil: u32,
    repetitions: usize,
    activations: bool,
}

const BY_POSITION: [(&str, Site); 3] =
    [("resid_pre", Site::ResidPre), ("attn_out", Site::AttentionOut), ("mlp_out", Site::MlpOut)];

/// Every place that can be read, of one prompt.
fn activations(model: &Transformer, ids: &[u32]) -> groma_model::Result<BTreeMap<String, Vec<f32>>> {
    let points = HookPoint::all(model.spec());
    let view = View::from(points.iter().fold(Hooks::new(), |hooks, &point| hooks.read(point)));
    let (mut tree, mut tape) = (TokenTree::new(), Tape::inference(model.backend().clone()));
    tree.root(ids);
    model.hidden(&mut tape, &tree, &Pass::of(&view))?;
    let found = points.iter().filter_map(|point| Some((point, view.hooks.get(*point)?)));
    Ok(found.map(|(point, var)| (point.to_string(), model.backend().download(var.buffer()))).collect())
}

/// The patches of all grids, grid by grid.
fn patches(model: &Transformer, length: usize) -> Vec<(&'static str, Vec<Patch>)> {
    let (layers, spec) = (model.spec().layers.len(), model.spec());
    let by_position = |site| {
        let at = move |layer| {
            (0..length).map(move |at| Patch {
                point: HookPoint::block(layer, site),
                positions: vec![at],
                columns: None,
            })
        };
        (0..layers).flat_map(at).collect::<Vec<_>>()
    };
    let head = |layer: usize| {
        let point = HookPoint::block(layer, Site::Z);
        let one = move |head| Patch { point, positions: (0..length).collect(), columns: point.head(spec, head) };
        (0..spec.heads).map(one)
    };
    let heads = (0..layers).flat_map(head).collect();
    BY_POSITION.iter().map(|&(name, site)| (name, by_position(site))).chain([("z", heads)]).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("name the directory of a checkpoint")?;
    let job: Job = serde_json::from_reader(std::io::stdin())?;
    let checkpoint = Checkpoint::open(Path::new(&directory))?;
    let mut model = Transformer::new(checkpoint.spec().clone(), &checkpoint.weights()?, Arc::new(Cpu::new()))?;
    model.parameters_mut().set_trainable(|_| false);
    model.freeze();
    let contrast = Contrast { clean: job.clean, corrupt: job.corrupt, answer: job.answer, foil: job.foil };
    let grids = patches(&model, contrast.clean.len());
    let all: Vec<Patch> = grids.iter().flat_map(|(_, patches)| patches.clone()).collect();
    let (mut seconds, mut swept): (Vec<f64>, Option<Swept>) = (Vec::new(), None);
    for _ in 0..job.repetitions.max(1) {
        let started = Instant::now();
        swept = Some(patch(&model, &contrast, &all, Disturbed::Denoising)?);
        seconds.push(started.elapsed().as_secs_f64());
    }
    let swept = swept.ok_or("nothing was done")?;
    let mut rest = 0..all.len();
    let mut found = serde_json::Map::new();
    for (name, patches) in &grids {
        let width = patches.len() / model.spec().layers.len();
        let shares: Vec<f64> = rest.by_ref().take(patches.len()).map(|index| swept.share(index)).collect();
        found.insert((*name).to_owned(), shares.chunks(width).map(<[f64]>::to_vec).collect::<Value>());
    }
    let read = if job.activations { activations(&model, &contrast.clean)? } else { BTreeMap::new() };
    println!("{}", json!({ "activations": read, "grids": found, "seconds": seconds }));
    Ok(())
}
