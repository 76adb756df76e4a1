//! What methods have in common whose teacher is the model itself, with more in its prompt: what is compared at each token of a
//! completion, and what a student learns of it.
//!
//! With `q` the teacher's distribution and `p` the student's: their divergence (`full_logits`) or that among the student's likeliest
//! tokens (`topk_logits`), which is `alpha KL(q|m) + (1 - alpha) KL(p|m)` with `m = alpha q + (1 - alpha) p`, `KL(q|p)` for
//! `alpha = 0`, `KL(p|q)` for `alpha = 1`; or, of the token that was sampled alone, `(log p - log q) log p` with the difference held,
//! whose slope is that of `KL(p|q)` in expectation (`sampled_token`). No gradient goes through the teacher.

use crate::objective::Said;
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::taught::{Compared, Taught};
use crate::{Error, Hyperparameters, reference};
use groma_kernels::{Comparison, Divergence, Support};
use serde::Deserialize;

const MODE: &str = "distillation_mode";
const ALPHA: &str = "distillation_alpha";
const COUNT: &str = "distillation_topk";
const TAIL: &str = "distillation_add_tail";
const SAMPLED: &str = "sampled_token";
const LIKELIEST: &str = "topk_logits";

/// Hyperparameters of what is compared; beside those of who teaches ([`moving::TEACHER`](crate::moving::TEACHER)).
pub(super) const PARAMETERS: &[Parameter] = &[
    parameter(
        MODE,
        Kind::Choice(&["full_logits", LIKELIEST, SAMPLED]),
        "\"full_logits\"",
        None,
        "What is compared at each token: both distributions, both among the student's likeliest tokens, or how likely the sampled token is to both.",
    ),
    parameter(
        ALPHA,
        Kind::Float,
        "0.5",
        Some(Range::closed(0.0, 1.0)),
        "Which divergence: 0 is the forward KL (cover what the teacher says), 1 the reverse, as sampled_token has it, between them Jensen-Shannon.",
    ),
    parameter(
        COUNT,
        Kind::Integer,
        "null",
        Some(Range::at_least(1.0)),
        "How many likeliest tokens are compared with topk_logits, such as 100.",
    ),
    parameter(
        TAIL,
        Kind::Boolean,
        "false",
        None,
        "With topk_logits, compare all other tokens too, as one; else both distributions are those among the likeliest.",
    ),
];

/// What is logged of it.
pub(super) const LOSS: &str = "self_distillation/distillation_loss";

/// Values of the parameters, and of those of who teaches.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct OwnTeacher {
    distillation_mode: String,
    distillation_alpha: f32,
    distillation_topk: Option<usize>,
    distillation_add_tail: bool,
    teacher_model_kind: String,
}

/// What a student learns at a token: the loss, and how it changes with what was read there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Learned {
    pub(super) value: f64,
    /// With the log-probability of the token, or with the divergence.
    pub(super) slope: f64,
}

impl OwnTeacher {
    /// # Errors
    /// Settings that do not fit each other.
    pub(super) fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let own: OwnTeacher = settings.typed()?;
        if own.by_token() && own.distillation_alpha != 1.0 {
            let problem = format!("must be 1 with {MODE} {SAMPLED}, which is the reverse KL");
            return Err(settings.invalid(ALPHA, problem));
        }
        if own.is_narrow() && own.distillation_topk.is_none() {
            return Err(settings.invalid(COUNT, format!("must be given with {MODE} {LIKELIEST}: a number such as 100")));
        }
        if let Some(name) = [COUNT, TAIL].into_iter().find(|name| settings.was_given(name) && !own.is_narrow()) {
            return Err(settings.invalid(name, format!("is read with {MODE} {LIKELIEST} alone: give both")));
        }
        if own.taught() == Taught::Policy {
            reference::unasked_unless(settings, "teacher_model_kind is base or ema")?;
        }
        Ok(own)
    }

    fn is_narrow(&self) -> bool {
        self.distillation_mode == LIKELIEST
    }

    /// Whether the sampled token alone is compared.
    pub(super) fn by_token(&self) -> bool {
        self.distillation_mode == SAMPLED
    }

    /// Who teaches.
    pub(super) fn taught(&self) -> Taught {
        if self.teacher_model_kind == "live" { Taught::Policy } else { Taught::Reference }
    }

    /// Which distributions are compared, where the sampled token is not.
    pub(super) fn comparison(&self) -> Comparison {
        let tail = self.distillation_add_tail;
        let likeliest = self.distillation_topk.map(|count| Support::Likeliest { count, tail });
        Comparison { by: Divergence::of_beta(self.distillation_alpha), among: likeliest.unwrap_or(Support::All) }
    }

    /// What is compared.
    pub(super) fn compared(&self) -> Compared {
        if self.by_token() { Compared::Token } else { Compared::Distributions(self.comparison()) }
    }

    /// What a student learns at each token of a member.
    pub(super) fn learned(&self, said: &Said<'_>, member: usize) -> Vec<Learned> {
        if !self.by_token() {
            let divergences = said.of(member, said.divergences).into_iter();
            return divergences.map(|value| Learned { value: value.into(), slope: 1.0 }).collect();
        }
        let both = said.logps(member).into_iter().zip(said.of(member, said.taught));
        both.map(|(student, teacher)| held(student.into(), teacher.into())).collect()
    }
}

/// Of one token how likely it is to student and teacher: `(log p - log q) log p`, the difference held.
fn held(student: f64, teacher: f64) -> Learned {
    let difference = student - teacher;
    Learned { value: difference * student, slope: difference }
}
