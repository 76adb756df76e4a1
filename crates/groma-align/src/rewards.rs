//! What sampled completions are worth: rules, one a file, and reward models, behind one trait.

mod exact_match;
mod length;
mod model;
mod overlong;
mod regex;

pub use model::ModelReward;

use crate::parameter::{Parameter, Variant};
use crate::{Error, Settings};
use groma_run::Digest;
use serde_json::{Map, Value};

/// A completion that was sampled.
#[derive(Clone, Copy, Debug)]
pub struct Rollout<'a> {
    /// The row's columns, its prompt among them as `prompt`.
    pub columns: &'a Map<String, Value>,
    /// What was said, without what ends it.
    pub completion: &'a str,
    /// Its tokens, the one that ends it included.
    pub tokens: usize,
    /// Whether it came to its end.
    pub ended: bool,
}

/// Says what completions are worth.
pub trait Reward {
    /// One value a rollout; `None` where it has nothing to say of one. A value is a function of its rollout alone.
    ///
    /// # Errors
    /// What keeps it from saying anything.
    fn score(&self, rollouts: &[Rollout<'_>]) -> Result<Vec<Option<f64>>, Error>;
}

/// A reward under the name that metrics have for it.
pub struct NamedReward<'a> {
    /// The name.
    pub name: String,
    /// What decides its values besides the settings: the digest of a model.
    pub digest: Option<Digest>,
    /// The reward.
    pub reward: Box<dyn Reward + 'a>,
}

/// A rule as data.
pub(crate) struct Rule {
    id: &'static str,
    title: &'static str,
    paper: &'static str,
    doc: &'static str,
    parameters: &'static [Parameter],
    build: fn(&Settings) -> Result<Box<dyn Reward>, Error>,
}

/// All rules.
static RULES: &[Rule] = &[exact_match::RULE, regex::RULE, length::RULE, overlong::RULE];

/// [`RULES`] as choices of `reward_funcs`.
pub(crate) const VARIANTS: &[Variant] =
    &[exact_match::RULE.variant(), regex::RULE.variant(), length::RULE.variant(), overlong::RULE.variant()];

impl Rule {
    const fn variant(&self) -> Variant {
        Variant { id: self.id, title: self.title, paper: self.paper, doc: self.doc, parameters: self.parameters }
    }
}

/// The rules that settings name, in their order.
///
/// # Errors
/// Those of the rules' own hyperparameters.
pub(crate) fn rules(settings: &Settings, names: &[String]) -> Result<Vec<NamedReward<'static>>, Error> {
    let named = |name: &String| RULES.iter().find(|rule| rule.id == name);
    let build =
        |rule: &Rule| Ok(NamedReward { name: rule.id.to_owned(), digest: None, reward: (rule.build)(settings)? });
    names.iter().filter_map(named).map(build).collect()
}

/// A rule that looks at one rollout at a time.
struct EachBy<F>(F);

impl<F: Fn(&Rollout<'_>) -> Option<f64>> Reward for EachBy<F> {
    fn score(&self, rollouts: &[Rollout<'_>]) -> Result<Vec<Option<f64>>, Error> {
        Ok(rollouts.iter().map(&self.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;
    use serde_json::json;

    /// What a rule says of completions with so many tokens each.
    fn said(rule: &str, own: Value, columns: Value, completions: &[(&str, usize, bool)]) -> Vec<Option<f64>> {
        let mut given = own.as_object().cloned().unwrap();
        given.insert("reward_funcs".into(), json!([rule]));
        let settings = Settings::resolve(Method::find("rloo").unwrap(), &given).unwrap();
        let rules = rules(&settings, &[rule.to_owned()]).unwrap();
        let columns = columns.as_object().cloned().unwrap();
        let rollout = |&(completion, tokens, ended)| Rollout { columns: &columns, completion, tokens, ended };
        rules[0].reward.score(&completions.iter().map(rollout).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn rules_say_what_they_are_documented_to_say() {
        let columns = json!({"answer": "four"});
        let texts = [(" four\n", 2, true), ("five", 2, true)];
        assert_eq!(said("exact_match", json!({}), columns, &texts), [Some(1.0), Some(0.0)]);
        assert_eq!(said("exact_match", json!({}), json!({"prompt": "p"}), &texts), [None, None]);
        assert_eq!(said("regex", json!({"regex_pattern": "^f[a-z]*$"}), json!({}), &texts), [Some(0.0), Some(1.0)]);
        let lengths = [("", 4, true), ("", 8, true), ("", 12, false)];
        assert_eq!(
            said("length", json!({"length_target": 8}), json!({}), &lengths),
            [Some(-0.5), Some(0.0), Some(-0.5)]
        );
        let own = json!({"max_completion_length": 12, "overlong_cache": 8});
        assert_eq!(said("overlong", own, json!({}), &lengths), [Some(0.0), Some(-0.5), Some(-1.0)]);
    }

    #[test]
    fn a_rule_cannot_be_chosen_without_what_it_needs() {
        let resolve = |given: Value| Settings::resolve(Method::find("rloo").unwrap(), given.as_object().unwrap());
        let error = resolve(json!({"reward_funcs": ["regex"]})).unwrap_err().to_string();
        assert!(error.contains("regex_pattern"), "{error}");
        let error = resolve(json!({"reward_funcs": ["regex"], "regex_pattern": "("})).unwrap_err().to_string();
        assert!(error.contains("regex_pattern"), "{error}");
        let error = resolve(json!({"reward_funcs": ["length"], "regex_pattern": "x"})).unwrap_err().to_string();
        assert!(error.contains("regex_pattern") && error.contains("reward_funcs"), "{error}");
    }
}
