//! Defences as records.

use groma_data::Content;
use groma_lm::{Ask, LanguageModel, Reply, Sink};
use groma_run::Cancel;
use serde_json::{Map, Value};

use crate::Error;

/// Whether an answer refuses.
pub type Refuses = dyn Fn(&str) -> bool + Send + Sync;

/// A way of asking a model that is to keep it from being misled.
pub trait Shield: Send + Sync {
    /// [`LanguageModel::generate_each`] of the defended model: asks `model` whatever the defence wants, and hands one answer
    /// to each ask to `sink`.
    fn generate_each(&self, model: &dyn LanguageModel, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>);

    /// What the model reads in place of a prompt, where that is one and the same each time: what an attack by gradients goes
    /// through. The prompt itself where the defence does not change it, or changes it by chance.
    fn seen(&self, prompt: &Content) -> Content {
        prompt.clone()
    }

    /// What is guaranteed, in words, of a prompt of so many characters whose last ones, `of_suffix`, are the attacker's; nothing for
    /// most defences.
    fn certificate(&self, _characters: usize, _of_suffix: usize) -> Option<String> {
        None
    }
}

/// Makes a shield of settings; says in words what is wrong with them.
type Make = fn(Value, Box<Refuses>) -> Result<Box<dyn Shield>, String>;

/// A defence.
#[derive(Clone, Copy)]
pub struct Defence {
    /// Its name.
    pub id: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What it does, its settings with their defaults, and how it differs from what was published.
    pub doc: &'static str,
    make: Make,
}

impl Defence {
    /// The record of a shield whose settings are read as `S`.
    pub(crate) const fn new((id, paper, doc): (&'static str, &'static str, &'static str), make: Make) -> Self {
        Defence { id, paper, doc, make }
    }

    /// The defence at work. `refuses` reads answers, for defences that go by them.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn shield(&self, settings: &Map<String, Value>, refuses: Box<Refuses>) -> Result<Box<dyn Shield>, Error> {
        let made = (self.make)(Value::Object(settings.clone()), refuses);
        made.map_err(|problem| Error::Setting { kind: "defence", name: self.id, problem })
    }
}
