//! Attacks as records.

use groma_lm::{Control, LanguageModel};
use groma_run::{Measurement, Seed};
use serde_json::{Map, Value};

use crate::Error;
use crate::arena::{Arena, Trial};
use crate::attempt::Input;
use crate::goal::Goal;
use crate::keep::Keep;
use crate::target::Target;
use crate::texts::Text;

/// What an attack needs of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Answers.
    Answers,
    /// Its weights in this process; the attack of this name is the nearest that needs none.
    Weights {
        /// Its id.
        instead: &'static str,
    },
}

/// What an attack does.
pub enum Method {
    /// Puts a list of inputs, each of which is known beforehand.
    Inputs(Box<dyn Proposes>),
    /// Looks for an input, by what it learns on the way.
    Search(Box<dyn Searches>),
    /// Reads texts that training may have had, and says what the model tells of them.
    Audit(Box<dyn Audits>),
}

/// Says what a model tells of texts that its training may have had.
pub trait Audits: Send + Sync {
    /// What is found. Subject, factors and pillar are for the caller to fill in.
    ///
    /// # Errors
    /// If the texts do not tell what is needed, the model breaks down, or a stop was asked for.
    fn audit(&self, audited: &Audited) -> Result<Vec<Measurement>, Error>;

    /// The metric that recovers which share of the texts training had, where there is one.
    fn recovers(&self) -> Option<&'static str> {
        None
    }
}

/// What is audited.
pub struct Audited<'a> {
    /// The model.
    pub target: &'a Target<'a>,
    /// Another model that did not train on the texts, where there is one.
    pub reference: Option<&'a dyn LanguageModel>,
    /// The texts.
    pub texts: &'a [Text],
    /// Of all that is drawn.
    pub seed: Seed,
    /// Who is told, and who may stop the work.
    pub control: Control<'a>,
}

/// Knows its inputs beforehand.
pub trait Proposes: Send + Sync {
    /// What is put to a target for a goal, in order.
    ///
    /// # Errors
    /// If the goal does not fit the attack.
    fn inputs(&self, target: &Target, goal: &Goal, seed: Seed) -> Result<Vec<Input>, Error>;
}

/// Looks for an input.
pub trait Searches: Send + Sync {
    /// Works on a trial until it succeeds or its budget is spent; keeps where it stands, and goes on from there.
    ///
    /// # Errors
    /// If the goal does not fit, the model breaks down, or a stop was asked for.
    fn search(&self, arena: &Arena, trial: &mut Trial, keep: &Keep) -> Result<(), Error>;
}

/// Makes an attack of its settings; says in words what is wrong with them.
type Make = fn(Value) -> Result<Method, String>;

/// An attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its name.
    pub id: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What it does, its settings with their defaults, and how it differs from what was published.
    pub doc: &'static str,
    /// What it needs.
    pub access: Access,
    /// Whether it reads texts that training may have had, and not goals.
    pub is_audit: bool,
    /// Whether it stands in every table, to hold the others against.
    pub is_control: bool,
    make: Make,
}

impl Attack {
    /// The record of an attack.
    pub(crate) const fn new(
        (id, paper, doc): (&'static str, &'static str, &'static str),
        access: Access,
        make: Make,
    ) -> Self {
        Attack { id, paper, doc, access, is_audit: false, is_control: false, make }
    }

    /// The same as a control.
    pub(crate) const fn control(self) -> Self {
        Attack { is_control: true, ..self }
    }

    /// The same as one that reads texts.
    pub(crate) const fn audit(self) -> Self {
        Attack { is_audit: true, ..self }
    }

    /// The attack at work.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn method(&self, settings: &Map<String, Value>) -> Result<Method, Error> {
        let made = (self.make)(Value::Object(settings.clone()));
        made.map_err(|problem| Error::Setting { kind: "attack", name: self.id, problem })
    }

    /// Checks that a target has what the attack needs.
    ///
    /// # Errors
    /// [`Error::NeedsWeights`].
    pub fn fits(&self, has_weights: bool) -> Result<(), Error> {
        match self.access {
            Access::Weights { instead } if !has_weights => Err(Error::NeedsWeights { attack: self.id, instead }),
            _ => Ok(()),
        }
    }
}
