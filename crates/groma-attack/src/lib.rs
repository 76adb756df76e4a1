//! Attacks on models that one owns, under a budget, and defences of models that are asked.
//!
//! An [`Attack`] is a record that makes a [`Method`] of its settings: it proposes inputs for a [`Goal`], or searches for one.
//! [`assault`] does so for all goals of a run in an [`Arena`], where every question is counted against a [`Budget`] and every
//! answer judged ([`Judge`]); what comes of each goal is an [`Attempt`]. A [`Target`] is any [`groma_lm::LanguageModel`]; attacks by
//! gradients need its weights.
//!
//! Attacks on privacy read [`Text`]s that training may have had ([`Audits`]): extraction, exposure, membership.
//!
//! A [`Defence`] is a record that makes a [`Shield`] of its settings; [`Defended`] is a model behind one, and itself a model:
//! whatever asks it, a benchmark or an attack, asks through the defence, so that every attack on it is an adaptive one.

mod alphabet;
mod arena;
mod assault;
mod attack;
mod attacks;
mod attempt;
mod budget;
mod certificate;
mod defence;
mod defences;
mod defended;
mod drawn;
mod error;
mod goal;
mod keep;
mod numbers;
mod prompt;
mod settings;
mod slot;
mod target;
#[cfg(test)]
mod testing;
mod texts;
mod verdict;

pub use arena::{Arena, Trial};
pub use assault::assault;
pub use attack::{Access, Attack, Audited, Audits, Method, Proposes, Searches};
pub use attacks::{ATTACKS, Loss, OneHot, one_hot};
pub use attempt::{Attempt, Input, Point, Try, success_at};
pub use budget::{Budget, Spent};
pub use defence::{Defence, Refuses, Shield};
pub use defences::DEFENCES;
pub use defended::Defended;
pub use drawn::Drawn;
pub use error::Error;
pub use goal::{Goal, Injection, goals};
pub use keep::Keep;
pub use slot::Frame;
pub use target::Target;
pub use texts::{Text, texts};
pub use verdict::{ByModel, ByRules, Judge, Verdict};
