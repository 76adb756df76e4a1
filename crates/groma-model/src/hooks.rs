//! Named places inside the forward pass, and what can be done there: read, edit, differentiate, run code.
//!
//! Names are those that TransformerLens users know, one meaning and one shape each; an unknown name is an error. In a
//! token tree the leading axes `[batch, pos]` are one axis, the rows of the tree.
//!
//! | name | shape of a row |
//! |---|---|
//! | `hook_embed`, `hook_pos_embed` | hidden size |
//! | `blocks.{i}.hook_resid_pre`, `_mid`, `_post` | hidden size |
//! | `blocks.{i}.ln1.hook_normalized`, `ln2.…`, `ln_final.…` | hidden size |
//! | `blocks.{i}.attn.hook_q`, `hook_rot_q`, `hook_z` | heads x head size |
//! | `blocks.{i}.attn.hook_k`, `hook_v`, `hook_rot_k` | key/value heads x head size |
//! | `blocks.{i}.attn.hook_pattern` (read, or replaced by code) | see [`Site::Pattern`] |
//! | `blocks.{i}.hook_attn_out`, `hook_mlp_out` | hidden size |
//! | `blocks.{i}.mlp.hook_pre`, `hook_pre_linear` (gated), `hook_post` | intermediate size |
//!
//! With parallel residuals there is no `hook_resid_mid`. `hook_attn_out` and `hook_mlp_out` are what is added to the
//! residual stream, so behind the output norms of the families that have them.
//!
//! [`Hooks`] say what happens at such places, and are part of the [`View`] that passes, scoring and generation
//! take alike.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::spec::{Mlp, NormPlacement, Spec};
use crate::{Error, Result};

mod acts;
mod address;
mod lowered;
mod view;

pub use acts::{Code, Hooks, Intervention, Reading};
pub use address::{Address, Cell, Positions};
pub(crate) use lowered::{Lowered, is_narrow};
pub use view::{AdapterChoice, View};

/// A kind of place in the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the module's table lists them")]
pub enum Site {
    Embed,
    PosEmbed,
    ResidPre,
    NormAttention,
    Query,
    Key,
    Value,
    RotaryQuery,
    RotaryKey,
    /// Attention probabilities, `heads * queries` rows of `keys` columns; can be read, and replaced by code.
    Pattern,
    Z,
    AttentionOut,
    ResidMid,
    NormMlp,
    MlpPre,
    MlpPreLinear,
    MlpPost,
    MlpOut,
    ResidPost,
    NormFinal,
}

/// Each site with its name; `true`: one a layer, and the name follows `blocks.{i}.`.
const SITES: [(Site, bool, &str); 20] = [
    (Site::Embed, false, "hook_embed"),
    (Site::PosEmbed, false, "hook_pos_embed"),
    (Site::ResidPre, true, "hook_resid_pre"),
    (Site::NormAttention, true, "ln1.hook_normalized"),
    (Site::Query, true, "attn.hook_q"),
    (Site::Key, true, "attn.hook_k"),
    (Site::Value, true, "attn.hook_v"),
    (Site::RotaryQuery, true, "attn.hook_rot_q"),
    (Site::RotaryKey, true, "attn.hook_rot_k"),
    (Site::Pattern, true, "attn.hook_pattern"),
    (Site::Z, true, "attn.hook_z"),
    (Site::AttentionOut, true, "hook_attn_out"),
    (Site::ResidMid, true, "hook_resid_mid"),
    (Site::NormMlp, true, "ln2.hook_normalized"),
    (Site::MlpPre, true, "mlp.hook_pre"),
    (Site::MlpPreLinear, true, "mlp.hook_pre_linear"),
    (Site::MlpPost, true, "mlp.hook_post"),
    (Site::MlpOut, true, "hook_mlp_out"),
    (Site::ResidPost, true, "hook_resid_post"),
    (Site::NormFinal, false, "ln_final.hook_normalized"),
];

/// One place in the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HookPoint {
    /// The block, where there is one a block; 0 elsewhere.
    pub layer: usize,
    /// The kind of place.
    pub site: Site,
}

impl HookPoint {
    /// A place in block `layer`.
    pub fn block(layer: usize, site: Site) -> Self {
        HookPoint { layer, site }
    }

    /// The place of this name in the model of `spec`.
    ///
    /// # Errors
    /// [`Error::UnknownHook`] with the nearest name that the model has.
    pub fn find(name: &str, spec: &Spec) -> Result<Self> {
        let found = name.parse::<HookPoint>().ok().filter(|point| point.exists_in(spec));
        found.ok_or_else(|| Error::UnknownHook { name: name.into(), near: nearest(name, spec) })
    }

    /// The name nearest to that of a place which the model of `spec` does not have.
    pub(crate) fn near(&self, spec: &Spec) -> Option<String> {
        nearest(&self.to_string(), spec)
    }

    /// Whether a pass that begins with what comes to block `layer` never meets this place.
    pub(crate) fn is_before(&self, layer: usize) -> bool {
        match self.site {
            Site::Embed | Site::PosEmbed => true,
            Site::NormFinal => false,
            _ => self.layer < layer,
        }
    }

    /// Whether the model of `spec` passes this place.
    pub fn exists_in(&self, spec: &Spec) -> bool {
        let gated = spec.mlp != Mlp::Plain;
        let sequential_norms = spec.norm_placement != NormPlacement::Post;
        self.layer < spec.layers.len()
            && match self.site {
                Site::PosEmbed => spec.learned_positions,
                Site::ResidMid => !spec.parallel_residual,
                Site::MlpPreLinear => gated,
                Site::NormAttention | Site::NormMlp => sequential_norms,
                Site::RotaryQuery | Site::RotaryKey => spec.layers[self.layer].rotary.is_some(),
                _ => true,
            }
    }

    /// Length of a row there; `None` for patterns, whose rows are as long as there are keys.
    pub fn width(&self, spec: &Spec) -> Option<usize> {
        Some(match self.site {
            Site::Query | Site::RotaryQuery | Site::Z => spec.heads * spec.head_dim,
            Site::Key | Site::Value | Site::RotaryKey => spec.kv_heads * spec.head_dim,
            Site::MlpPre | Site::MlpPreLinear | Site::MlpPost => spec.intermediate_size,
            Site::Pattern => return None,
            _ => spec.hidden_size,
        })
    }

    /// Columns of a head there; of a key/value head where rows are made of these. `None` where rows have no heads, or not
    /// that many.
    pub fn head(&self, spec: &Spec, head: usize) -> Option<Range<usize>> {
        let heads = match self.site {
            Site::Query | Site::RotaryQuery | Site::Z => spec.heads,
            Site::Key | Site::Value | Site::RotaryKey => spec.kv_heads,
            _ => 0,
        };
        (head < heads).then(|| head * spec.head_dim..(head + 1) * spec.head_dim)
    }

    /// All places of a model, in the order in which the forward pass meets them.
    pub fn all(spec: &Spec) -> Vec<HookPoint> {
        let whole = |last: bool| SITES.iter().filter(move |s| !s.1 && (s.0 == Site::NormFinal) == last).map(|s| s.0);
        let outside = |last| whole(last).map(|site| HookPoint { layer: 0, site });
        let blocks = (0..spec.layers.len())
            .flat_map(|layer| SITES.iter().filter(|s| s.1).map(move |s| HookPoint::block(layer, s.0)));
        outside(false).chain(blocks).chain(outside(true)).filter(|point| point.exists_in(spec)).collect()
    }
}

/// The name of a place of a model that is most like `name`.
fn nearest(name: &str, spec: &Spec) -> Option<String> {
    let names = HookPoint::all(spec).into_iter().map(|point| point.to_string());
    names.max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)))
}

impl fmt::Display for HookPoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SITES.iter().find(|(site, ..)| *site == self.site) {
            Some((_, true, name)) => write!(formatter, "blocks.{}.{name}", self.layer),
            Some((_, false, name)) => formatter.write_str(name),
            None => Err(fmt::Error),
        }
    }
}

impl FromStr for HookPoint {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || Error::UnknownHook { name: name.into(), near: None };
        let (layer, rest) = match name.strip_prefix("blocks.") {
            Some(rest) => {
                let (layer, rest) = rest.split_once('.').ok_or_else(unknown)?;
                (Some(layer.parse().map_err(|_| unknown())?), rest)
            }
            None => (None, name),
        };
        let (site, ..) = SITES.iter().find(|s| s.1 == layer.is_some() && s.2 == rest).ok_or_else(unknown)?;
        Ok(HookPoint { layer: layer.unwrap_or(0), site: *site })
    }
}

impl TryFrom<String> for HookPoint {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<HookPoint> for String {
    fn from(point: HookPoint) -> String {
        point.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_ones_are_errors() {
        for (site, per_layer, _) in SITES {
            let point = HookPoint { layer: if per_layer { 3 } else { 0 }, site };
            assert_eq!(point.to_string().parse::<HookPoint>().unwrap(), point);
        }
        for name in [
            "hook_resid_pre",
            "blocks.0.hook_embed",
            "blocks.x.hook_resid_pre",
            "blocks.0.",
            "",
            "blocks.0.attn.hook_scores",
        ] {
            assert!(name.parse::<HookPoint>().is_err(), "{name}");
        }
        assert_eq!(HookPoint::block(3, Site::Z).to_string(), "blocks.3.attn.hook_z");
    }
}
