//! A model made ready for a method: a score head, an adapter, and which parameters train.

use crate::training::LoraSettings;
use crate::{Error, Settings, doubt};
use groma_model::{BaseModel, Head, HeadKind, Lora, LoraConfig, Spec, Transformer, families, linear_modules, lora};
use groma_run::{Seed, available_memory_bytes};

/// All layers inside the blocks.
const ALL_LINEAR: &str = "all-linear";

/// Makes a model ready for `settings`.
///
/// A model without the method's heads gets them in place of its own, at zero (those of action values at random): reward models a
/// score. So does one with heads that tell of another training. With `lora` a fresh adapter is attached, unless one is there already,
/// and it alone trains (with heads other than the unembedding); else everything trains but heads that no gradient changes.
///
/// # Errors
/// If `lora.target_modules` names no layer of the model, or the model refuses.
pub fn setup(mut model: Transformer, settings: &Settings) -> Result<Transformer, Error> {
    let method = settings.method;
    if method.predicts() {
        Spec::require_prediction(&model.spec().outputs, &format!("the method `{}`", method.id))?;
    }
    let doubt = doubt::is_kept(settings).then(|| Head::doubt(model.spec().hidden_size));
    let heads: Vec<Head> = settings.heads().into_iter().chain(doubt).collect();
    // What was kept of another training would tell of the wrong rows.
    let of_training = |head: &Head| head.doubts() || matches!(head.kind, HeadKind::Action | HeadKind::ActionCopy);
    let stale = model.spec().outputs.iter().any(|head| of_training(head) && !heads.contains(head));
    if stale || heads.iter().any(|head| model.spec().head(&head.name) != Some(head)) {
        // Two opinions that began alike would stay alike.
        let differ = heads.iter().any(|head| head.kind == HeadKind::Action);
        model.set_heads(&heads, differ.then(|| Seed::new(settings.training.seed).named("heads")))?;
    }
    let spec = model.spec().clone();
    let Some(wanted) = &settings.training.lora else {
        if has_adapter(&model) {
            return Err(settings.invalid("lora", "an adapter is attached: give `lora` to train it, or merge it first"));
        }
        model.parameters_mut().set_trainable(|name| !spec.is_set_parameter(name));
        model.freeze();
        return Ok(model);
    };
    if !has_adapter(&model) {
        let lora = fresh(model.spec(), wanted, settings)?;
        model.attach(&lora)?;
    }
    model
        .parameters_mut()
        .set_trainable(|name| is_factor(name) || (spec.is_head_parameter(name) && !spec.is_set_parameter(name)));
    model.freeze();
    Ok(model)
}

/// Whether an adapter is attached.
pub(crate) fn has_adapter(model: &Transformer) -> bool {
    model.parameters().iter().any(|(_, parameter)| is_factor(&parameter.name))
}

fn is_factor(name: &str) -> bool {
    name.ends_with(".lora_a") || name.ends_with(".lora_b")
}

fn fresh(spec: &Spec, wanted: &LoraSettings, settings: &Settings) -> Result<Lora, Error> {
    let modules = targets(spec, wanted, settings)?;
    check_size(spec, &modules, wanted.r)?;
    let seed = Seed::new(settings.training.seed).named("adapter");
    Ok(Lora {
        scale: lora::scale(wanted.alpha, wanted.r, wanted.rslora),
        dropout: wanted.dropout as f32,
        pairs: lora::fresh_pairs(spec, &modules, wanted.r, seed),
    })
}

/// Before an adapter is made: its factors, their gradients and both moments must have room.
///
/// # Errors
/// [`Error::Memory`] where they have not.
fn check_size(spec: &Spec, modules: &[String], rank: usize) -> Result<(), Error> {
    const VALUES_EACH: u64 = 4;
    let widths = linear_modules(spec).into_iter().filter(|module| modules.contains(&module.name));
    let widths: u64 = widths.map(|module| (module.inputs + module.outputs) as u64).sum();
    let bytes = widths.saturating_mul(rank as u64).saturating_mul(VALUES_EACH * size_of::<f32>() as u64);
    match available_memory_bytes() {
        Some(available) if bytes > available => Err(Error::Memory { needed_bytes: bytes, available_bytes: available }),
        _ => Ok(()),
    }
}

/// Canonical names of the layers that `target_modules` means.
fn targets(spec: &Spec, wanted: &LoraSettings, settings: &Settings) -> Result<Vec<String>, Error> {
    let all: Vec<String> = linear_modules(spec).into_iter().map(|module| module.name).collect();
    let words = wanted.target_modules.as_slice();
    if words.iter().any(|word| word == ALL_LINEAR) {
        return Ok(all);
    }
    let family = families::by_id(spec.family);
    let path = |module: &str| family.and_then(|family| family.module_path(module)).unwrap_or_else(|| module.to_owned());
    let paths: Vec<String> = all.iter().map(|module| path(module)).collect();
    let matches = |path: &str, word: &str| path == word || path.ends_with(&format!(".{word}"));
    if let Some(word) = words.iter().find(|word| !paths.iter().any(|path| matches(path, word))) {
        return Err(settings.invalid("lora.target_modules", no_such_layer(word, &paths)));
    }
    let chosen = all.into_iter().zip(&paths).filter(|(_, path)| words.iter().any(|word| matches(path, word)));
    Ok(chosen.map(|(module, _)| module).collect())
}

fn no_such_layer(word: &str, paths: &[String]) -> String {
    let mut last: Vec<&str> = paths.iter().filter_map(|path| path.rsplit('.').next()).collect();
    last.sort_unstable();
    last.dedup();
    let near = crate::nearest::nearest(word, &last).map_or(String::new(), |near| format!("; did you mean {near}?"));
    format!("the model has no layer `{word}`; there are {}{near}", last.join(", "))
}

/// The adapter's settings as PEFT files have them.
pub(crate) fn peft_config(settings: &LoraSettings, base: BaseModel) -> LoraConfig {
    LoraConfig {
        rank: settings.r,
        alpha: settings.alpha,
        dropout: settings.dropout as f32,
        rank_stabilised: settings.rslora,
        base,
    }
}
