//! The record of a training stage.

use groma_align::{Method, OneOrMany, named_seats};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::reading::Reading;
use crate::records::TaskConfig;
use crate::want::{Part, Want, by_method, in_role};

/// Trains a model by a method of `groma methods`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// The stage's name; later stages use the trained model under it.
    pub name: String,
    /// Id of the method.
    pub method: String,
    /// `base`, `twin`, or the name of an earlier training stage; the latest where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it is trained on, or several whose rows are mixed: `village:FILE`, `twin:FILE`, `preferences:train`, the rows of
    /// an earlier stage as `STAGE:OUTPUT` (a measuring stage leaves what was said to each task that asks for text), a file, or a hub id.
    pub data: OneOrMany<String>,
    /// Held-out rows, for `eval_steps` and `sample_steps`; the latter takes `preferences:held_out` where this is not given
    /// and `data` is `preferences:train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_data: Option<String>,
    /// Use at most so many rows, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Where `settings` give no `learning_rate`: it is this number over the model's hidden size, as wider models want
    /// smaller steps (Yang et al. 2022).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate_times_width: Option<f64>,
    /// Share of the preference pairs whose sides are exchanged before training, drawn by the seed: wrong labels in a known amount.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_noise: f64,
    /// How the columns of its files are read.
    #[serde(default, skip_serializing_if = "Reading::is_plain")]
    pub reading: Reading,
    /// Hyperparameters; see `groma methods`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

impl Declared for Train {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let models = self.model.as_deref().into_iter().chain(named_seats(&self.settings).map(|(_, name)| name));
        let models = models.map(|name| Reference { kind: OutputKind::Model, name });
        let rows = self.data.as_slice().iter().chain(&self.evaluation_data);
        models.chain(rows.map(|name| Reference { kind: OutputKind::Rows, name })).collect()
    }

    fn wants(&self, _: &[TaskConfig]) -> Vec<Want<'_>> {
        let Some(method) = Method::find(&self.method) else { return Vec::new() };
        let policy = || Want { model: self.model.as_deref(), part: Part::Prediction, needs: by_method(method) };
        let seats = named_seats(&self.settings);
        let seats =
            seats.map(|(role, name)| Want { model: Some(name), part: Part::of(role), needs: in_role(role, name) });
        method.predicts().then(policy).into_iter().chain(seats).collect()
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        vec![Train::output()]
    }
}

impl Train {
    /// The model that it leaves.
    pub(crate) fn output() -> Output {
        Output::new("model", OutputKind::Model)
    }
}
