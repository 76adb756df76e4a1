//! From the names of parameters to those in a family's checkpoints, and back.

use super::family::Family;
use super::module_rule::{ModuleRule, rule};
use crate::spec::Spec;
use crate::spec::head::{Head, HeadKind};
use crate::spec::heads::Class;
use crate::spec::parameters::{Parameter, parameters};

/// What TRL calls a value head.
pub(crate) const VALUE_PATH: &str = "v_head.summary";

/// A parameter with the way in which checkpoints store it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredParameter {
    /// Our name and shape.
    pub parameter: Parameter,
    /// Names under which it may be found, the usual one first; the rest are older names and those without the prefix of
    /// the body.
    pub names: Vec<String>,
    /// Stored as `[inputs, outputs]`.
    pub transposed: bool,
}

impl StoredParameter {
    /// Its shape in the file.
    pub fn stored_shape(&self) -> Vec<usize> {
        let mut shape = self.parameter.shape.clone();
        if self.transposed {
            shape.reverse();
        }
        shape
    }
}

impl Family {
    /// All parameters of a model of this family, in forward order.
    pub fn stored_parameters(&self, spec: &Spec) -> Vec<StoredParameter> {
        let of_head = |parameter: &Parameter| {
            let (name, leaf) = parameter.name.rsplit_once('.')?;
            let path = self.head_path(&spec.outputs, spec.head(name)?)?;
            Some(StoredParameter {
                parameter: parameter.clone(),
                names: vec![format!("{path}.{leaf}")],
                transposed: false,
            })
        };
        parameters(spec).into_iter().filter_map(|p| of_head(&p).or_else(|| self.stored(p))).collect()
    }

    /// The path of one of a model's heads in its checkpoints; `None` for the unembedding, which is a module of the family.
    pub fn head_path(&self, heads: &[Head], head: &Head) -> Option<String> {
        match Class::of(heads) {
            _ if head.kind == HeadKind::Unembedding => None,
            Ok((Class::TokenClassification, first)) if first == head => {
                self.token_class.map(|class| class.head.to_owned())
            }
            _ if *head == Head::VALUE => Some(VALUE_PATH.to_owned()),
            _ => Some(head.name.clone().into_owned()),
        }
    }

    /// How a parameter is stored; `None` for a name that the family does not have.
    pub fn stored(&self, parameter: Parameter) -> Option<StoredParameter> {
        let (module, leaf) = parameter.name.rsplit_once('.')?;
        let (rule, layer) = self.rule_of(module)?;
        let usual = rule.theirs.iter().map(|name| format!("{}.{leaf}", fill(name, layer)));
        let mut names: Vec<String> = usual.collect();
        let bare: Vec<String> =
            names.iter().filter_map(|name| name.strip_prefix(self.base_prefix)).map(str::to_owned).collect();
        names.extend(bare);
        let transposed = rule.transposed && leaf == "weight";
        Some(StoredParameter { parameter, names, transposed })
    }

    /// The path of a module in transformers, e.g. `model.layers.0.self_attn.q_proj` for `blocks.0.attention.q`.
    pub fn module_path(&self, module: &str) -> Option<String> {
        let (rule, layer) = self.rule_of(module)?;
        rule.theirs.first().map(|name| fill(name, layer))
    }

    /// The module at a path of transformers, the inverse of [`Family::module_path`].
    pub fn module_at(&self, path: &str) -> Option<String> {
        self.rules
            .iter()
            .copied()
            .flatten()
            .find_map(|rule| rule.theirs.iter().find_map(|theirs| Some(fill(rule.ours, match_layer(theirs, path)?))))
    }

    /// Whether this family stores the module's matrix as `[inputs, outputs]` (PEFT's `fan_in_fan_out`).
    pub fn is_transposed(&self, module: &str) -> bool {
        self.rule_of(module).is_some_and(|(rule, _)| rule.transposed)
    }

    fn rule_of<'m>(&self, module: &'m str) -> Option<(&ModuleRule, Option<&'m str>)> {
        self.rules.iter().copied().flatten().find_map(|rule| Some((rule, match_layer(rule.ours, module)?)))
    }
}

fn fill(pattern: &str, layer: Option<&str>) -> String {
    match layer {
        Some(layer) => pattern.replace("{i}", layer),
        None => pattern.to_owned(),
    }
}

/// `Some(layer)` where a name follows a pattern; the layer is `None` where the pattern has none.
fn match_layer<'n>(pattern: &str, name: &'n str) -> Option<Option<&'n str>> {
    let Some((before, after)) = pattern.split_once("{i}") else {
        return (pattern == name).then_some(None);
    };
    let layer = name.strip_prefix(before)?.strip_suffix(after)?;
    let canonical = layer == "0" || !layer.starts_with('0');
    (canonical && !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit())).then_some(Some(layer))
}

/// Names of Llama and all who follow it, but for the norms.
pub(super) const LLAMA_MODULES: &[ModuleRule] = &[
    rule("embed", &["model.embed_tokens"]),
    rule("blocks.{i}.attention.q", &["model.layers.{i}.self_attn.q_proj"]),
    rule("blocks.{i}.attention.k", &["model.layers.{i}.self_attn.k_proj"]),
    rule("blocks.{i}.attention.v", &["model.layers.{i}.self_attn.v_proj"]),
    rule("blocks.{i}.attention.out", &["model.layers.{i}.self_attn.o_proj"]),
    rule("blocks.{i}.attention.q_norm", &["model.layers.{i}.self_attn.q_norm"]),
    rule("blocks.{i}.attention.k_norm", &["model.layers.{i}.self_attn.k_norm"]),
    rule("blocks.{i}.mlp.gate", &["model.layers.{i}.mlp.gate_proj"]),
    rule("blocks.{i}.mlp.up", &["model.layers.{i}.mlp.up_proj"]),
    rule("blocks.{i}.mlp.down", &["model.layers.{i}.mlp.down_proj"]),
    rule("norm_final", &["model.norm"]),
    rule("unembed", &["lm_head"]),
];

/// Llama's norms.
pub(super) const PRE_NORMS: &[ModuleRule] = &[
    rule("blocks.{i}.norm_attention", &["model.layers.{i}.input_layernorm"]),
    rule("blocks.{i}.norm_mlp", &["model.layers.{i}.post_attention_layernorm"]),
];

/// Norms of Gemma 2 and 3.
pub(super) const SANDWICH_NORMS: &[ModuleRule] = &[
    rule("blocks.{i}.norm_attention", &["model.layers.{i}.input_layernorm"]),
    rule("blocks.{i}.norm_attention_out", &["model.layers.{i}.post_attention_layernorm"]),
    rule("blocks.{i}.norm_mlp", &["model.layers.{i}.pre_feedforward_layernorm"]),
    rule("blocks.{i}.norm_mlp_out", &["model.layers.{i}.post_feedforward_layernorm"]),
];
