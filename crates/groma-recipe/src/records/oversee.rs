//! The record of a stage that carries out a protocol of oversight.

use std::collections::BTreeMap;

use groma_oversight::Protocol;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;
use crate::want::{Part, Want};

/// Carries out a protocol of `groma oversee --list`. What was said are the rows `NAME:transcripts`; the protocol says which rows
/// to train on it leaves beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oversee {
    /// The stage's name, also that of the subject in the results.
    pub name: String,
    /// Id of the protocol.
    pub protocol: String,
    /// The model in all roles that `roles` does not fill: `base`, the name of an earlier training stage, or another model (a
    /// path or hub id with a `/`, or `URL#NAME`); the latest where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Models in single roles, by the role's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, String>,
    /// Rows that the protocol is about, where it reads any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Use at most so many rows, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The protocol's settings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

impl Oversee {
    /// The rows with what was said.
    pub(crate) const TRANSCRIPTS: &str = "transcripts";

    /// The roles that models fill, and which: none where the protocol poses its own questions. `None` for the latest model.
    pub(crate) fn seats(&self) -> Vec<(&'static str, Option<&str>)> {
        let Ok(protocol) = Protocol::find(&self.protocol) else { return Vec::new() };
        let asks = self.data.is_some() || !protocol.poses;
        let seat = |name: &'static str| (name, self.roles.get(name).or(self.model.as_ref()).map(String::as_str));
        protocol.roles.iter().filter(|_| asks).map(|role| seat(role.name)).collect()
    }
}

impl Declared for Oversee {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let models = self.model.iter().chain(self.roles.values());
        let models = models.map(|name| Reference { kind: OutputKind::Model, name });
        models.chain(self.data.iter().map(|name| Reference { kind: OutputKind::Rows, name })).collect()
    }

    fn wants(&self, _: &[TaskConfig]) -> Vec<Want<'_>> {
        let want = |(role, model)| {
            let needs = format!("the role `{role}` of the protocol `{}`", self.protocol);
            Want { model, part: Part::Prediction, needs }
        };
        self.seats().into_iter().map(want).collect()
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        let left = Protocol::find(&self.protocol).map_or(&[][..], |protocol| protocol.rows);
        let names = std::iter::once(Oversee::TRANSCRIPTS).chain(left.iter().copied());
        names.map(|name| Output::new(name, OutputKind::Rows)).chain([Output::measurements()]).collect()
    }
}
