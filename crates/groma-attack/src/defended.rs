//! A model behind a defence.

use groma_lm::{Ask, Continuation, Failure, Kind, LanguageModel, Reply, Scored, Sink};
use groma_run::Cancel;

use crate::Shield;

/// A model that is asked through a defence. Scores are the model's own: a defence changes what is said, not how likely the model
/// finds a text.
pub struct Defended<'a> {
    model: &'a dyn LanguageModel,
    shield: &'a dyn Shield,
    name: &'a str,
}

impl<'a> Defended<'a> {
    /// `model` behind `shield`, which is called `name` in results.
    pub fn new(model: &'a dyn LanguageModel, shield: &'a dyn Shield, name: &'a str) -> Self {
        Defended { model, shield, name }
    }
}

impl LanguageModel for Defended<'_> {
    fn generate_each(&self, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        self.shield.generate_each(self.model, asks, cancel, sink);
    }

    fn score_each(&self, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>) {
        self.model.score_each(wanted, cancel, sink);
    }

    fn refuses(&self, kind: Kind) -> Option<Failure> {
        self.model.refuses(kind)
    }

    fn is_elsewhere(&self) -> bool {
        self.model.is_elsewhere()
    }

    fn mode(&self, kind: Kind) -> String {
        let mode = self.model.mode(kind);
        if kind == Kind::Generate { format!("{mode}, behind {}", self.name) } else { mode }
    }
}
