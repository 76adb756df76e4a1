//! A reference that moves: every so many steps it becomes a mixture of what it was and the policy as it is then.
//!
//! Gorbatovski et al. 2024, arXiv 2404.09656 (TR-DPO), equations 4 and 5, as TRL's `sync_ref_model` has it: after an optimizer step whose
//! number `ref_model_sync_steps` divides, each weight of the reference is `(1 - α) ref + α policy` with `ref_model_mixup_alpha` for α;
//! 1 is the paper's hard update, less a soft one. In f32, the products first, as PyTorch has them. A reference that moves is asked anew at
//! each collection, and no table of it is kept.
//!
//! A teacher that is a mean of the model that it teaches (`ema`) is such a reference, with `teacher_update_rate` for α and
//! `teacher_sync_steps`, as TRL's SDFT and SDPO have it.
//!
//! Where an adapter trains, the weights that are mixed are those with the adapter added in, so that the mixture is one of what both
//! models compute with, and not of factors; TRL refuses adapters, and for a teacher mixes factors, beginning at zero. The reference
//! then is a whole model beside the policy, in memory and in checkpoints.
//!
//! Heads that follow others of the same model (Snell et al. 2022, arXiv 2206.11871, as trlX has it) move by the same mixture.

use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::{Error, Hyperparameters, watches};
use groma_kernels::ParameterId;
use groma_model::Transformer;
use serde::Deserialize;

const SYNC: &str = "sync_ref_model";
const ALPHA: &str = "ref_model_mixup_alpha";
const STEPS: &str = "ref_model_sync_steps";

/// Hyperparameters of methods whose reference may move.
pub(crate) const PARAMETERS: &[Parameter] = &[
    parameter(
        SYNC,
        Kind::Boolean,
        "false",
        None,
        "Let the reference follow the policy (TR-DPO): it is a model beside it, asked anew at each step, and part of checkpoints.",
    ),
    parameter(
        ALPHA,
        Kind::Float,
        "0.6",
        Some(Range { min: 0.0, min_excluded: true, max: 1.0, max_excluded: false }),
        "Share of the policy's weights in the reference's when it moves, where sync_ref_model asks for it; 1 puts the policy in its place.",
    ),
    parameter(
        STEPS,
        Kind::Integer,
        "512",
        Some(Range::at_least(1.0)),
        "Optimizer steps between two moves of the reference, where sync_ref_model asks for it.",
    ),
];

const TEACHER_KIND: &str = "teacher_model_kind";
const EMA: &str = "ema";
const RATE: &str = "teacher_update_rate";
const TEACHER_STEPS: &str = "teacher_sync_steps";

/// Hyperparameters of methods whose teacher is the model itself, as it was or as it is.
pub(crate) const TEACHER: &[Parameter] = &[
    parameter(
        TEACHER_KIND,
        Kind::Choice(&["base", "live", EMA]),
        "\"base\"",
        None,
        "Who teaches: the model that training starts from (or ref_model), the model in training as it is now, or a mean of it over steps, which begins as base.",
    ),
    parameter(
        RATE,
        Kind::Float,
        "0.05",
        Some(Range { min: 0.0, min_excluded: true, max: 1.0, max_excluded: false }),
        "Share of the model in training in the mean that teaches when that moves, with teacher_model_kind ema; 1 puts the model in its place.",
    ),
    parameter(
        TEACHER_STEPS,
        Kind::Integer,
        "1",
        Some(Range::at_least(1.0)),
        "Optimizer steps between two moves of the mean that teaches, with teacher_model_kind ema.",
    ),
];

/// How a reference moves, or a head that follows another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moves {
    alpha: f64,
    every: u64,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    sync_ref_model: bool,
    ref_model_mixup_alpha: Option<f64>,
    ref_model_sync_steps: Option<u64>,
    teacher_model_kind: Option<String>,
    teacher_update_rate: Option<f64>,
    teacher_sync_steps: Option<u64>,
}

impl Moves {
    /// How the settings let the reference move, where they do.
    pub(crate) fn of(settings: &Hyperparameters) -> Result<Option<Self>, Error> {
        let raw: Raw = settings.typed()?;
        let reference = raw.ref_model_mixup_alpha.zip(raw.ref_model_sync_steps).filter(|_| raw.sync_ref_model);
        let is_mean = raw.teacher_model_kind.as_deref() == Some(EMA);
        let teacher = raw.teacher_update_rate.zip(raw.teacher_sync_steps).filter(|_| is_mean);
        Ok(reference.or(teacher).map(|(alpha, every)| Moves { alpha, every }))
    }

    /// # Errors
    /// Where it was said how the reference moves and it does not, and where nobody asks it.
    pub(crate) fn check(settings: &Hyperparameters, compares: bool) -> Result<(), Error> {
        let moves = Moves::of(settings)?.is_some();
        if let Some(name) = [ALPHA, STEPS].into_iter().find(|name| settings.was_given(name) && !moves) {
            return Err(settings.invalid(name, format!("is read with {SYNC} alone: give both")));
        }
        if let Some(name) = [RATE, TEACHER_STEPS].into_iter().find(|name| settings.was_given(name) && !moves) {
            return Err(settings.invalid(name, format!("is read with {TEACHER_KIND} {EMA} alone: give both")));
        }
        let follows = settings.values.get(SYNC).and_then(serde_json::Value::as_bool) == Some(true);
        if follows && !compares && !watches::need_reference(&settings.values) {
            return Err(settings
                .invalid(SYNC, "nobody asks the reference here, so that there is nothing to move: leave it out"));
        }
        Ok(())
    }

    /// So much of what is followed, every so many steps.
    pub(crate) fn new(alpha: f64, every: u64) -> Self {
        Moves { alpha, every }
    }

    /// Moves heads that follow others of the same model after a step, where it is time.
    pub(crate) fn follow_heads(self, model: &mut Transformer, step: u64) -> Result<(), Error> {
        if !step.is_multiple_of(self.every) {
            return Ok(());
        }
        let backend = model.backend().clone();
        for (copy, followed) in model.copied_parameters() {
            let of = |id| backend.read(model.parameters().get(id).buffer());
            let values = mixed(&of(copy), &of(followed), self.alpha);
            put(model, copy, &values)?;
        }
        model.freeze();
        Ok(())
    }

    /// Moves the reference after a step, where it is time.
    pub(crate) fn follow(self, reference: &mut Transformer, policy: &Transformer, step: u64) -> Result<(), Error> {
        if step.is_multiple_of(self.every) { mix(reference, policy, self.alpha) } else { Ok(()) }
    }
}

/// A model to begin with: the weights of another, its adapter added in, that do not train.
///
/// # Errors
/// Those of the model.
pub(crate) fn copy(model: &Transformer) -> Result<Transformer, Error> {
    let mut copy = Transformer::new(model.spec().clone(), &model.merged_weights(), model.backend().clone())?;
    copy.parameters_mut().set_trainable(|_| false);
    copy.freeze();
    Ok(copy)
}

/// `(1 - α) reference + α policy`, weight by weight.
fn mix(reference: &mut Transformer, policy: &Transformer, alpha: f64) -> Result<(), Error> {
    let policys = policy.merged_weights();
    replace(reference, &mut |name, values| {
        let missing = || Error::Role { role: "reference", problem: format!("it has {name}, and the policy has none") };
        let policys = &policys.get(name).ok_or_else(missing)?.values;
        if policys.len() != values.len() {
            let problem = format!("its {name} is of another size than the policy's: it cannot follow");
            return Err(Error::Role { role: "reference", problem });
        }
        Ok(mixed(values, policys, alpha))
    })
}

fn mixed(reference: &[f32], policy: &[f32], alpha: f64) -> Vec<f32> {
    let (own, others) = ((1.0 - alpha) as f32, alpha as f32);
    reference.iter().zip(policy).map(|(reference, policy)| reference * own + policy * others).collect()
}

/// New values of a parameter, from its name and those that it has.
type Make<'m> = dyn FnMut(&str, &[f32]) -> Result<Vec<f32>, Error> + 'm;

/// Puts other values in the place of a frozen model's, parameter by parameter.
///
/// # Errors
/// Those of what makes the values.
pub(crate) fn replace(model: &mut Transformer, make: &mut Make<'_>) -> Result<(), Error> {
    let backend = model.backend().clone();
    let ids: Vec<_> = model.parameters().iter().map(|(id, _)| id).collect();
    for id in ids {
        let parameter = model.parameters().get(id);
        let values = make(&parameter.name, &backend.read(parameter.buffer()))?;
        put(model, id, &values)?;
    }
    model.freeze();
    Ok(())
}

/// Puts values in the place of a parameter's.
pub(crate) fn put(model: &mut Transformer, id: ParameterId, values: &[f32]) -> Result<(), Error> {
    let made = model.backend().upload(values);
    let parameter = model.parameters_mut().get_mut(id);
    let name = parameter.name.clone();
    *parameter.buffer_mut().ok_or(groma_model::Error::ParameterHeld { name })? = made;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Weights that TRL's own code comes to, see `scripts/make_moving_fixture.py`.
    #[test]
    fn weights_are_mixed_as_trl_mixes_them() {
        let fixture: Value = serde_json::from_str(include_str!("../fixtures/moving_reference.json")).unwrap();
        let numbers = |value: &Value| serde_json::from_value::<Vec<f32>>(value.clone()).unwrap();
        for case in fixture["cases"].as_array().unwrap() {
            let mut reference = numbers(&case["before"]);
            let moves = case["policy"].as_array().unwrap().iter().zip(case["after"].as_array().unwrap());
            for (policy, after) in moves {
                reference = mixed(&reference, &numbers(policy), case["alpha"].as_f64().unwrap());
                for (found, expected) in reference.iter().zip(numbers(after)) {
                    assert!((found - expected).abs() <= f32::EPSILON, "{}: {found} {expected}", case["alpha"]);
                }
            }
        }
    }
}
