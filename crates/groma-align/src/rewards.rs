//! What sampled completions are worth: rules, one a file, and reward models, behind one trait.

mod endpoint;
mod ensemble;
mod exact_match;
mod final_answer;
mod frozen;
mod granularity;
mod judge;
mod length;
mod lexicon;
mod model;
mod overlong;
mod parts;
mod placed;
mod refined;
mod regex;
mod reward;
mod rouge;
mod rule;
mod stimulus;
mod truth;

pub use judge::{ToRate, rate};

pub(crate) use ensemble::{SETTING as ENSEMBLE, VARIANTS as ENSEMBLES};
pub(crate) use granularity::{Granularity, PARAMETERS as GRANULARITY};
pub(crate) use parts::token_ends;
pub(crate) use placed::placed;
pub(crate) use reward::{Answer, NamedReward, Remote, Rollout};
pub(crate) use rule::Wanted;

use ensemble::{AVERAGED, Ensemble, SETTING};
use model::{ModelReward, Parts};
use rule::Rule;

use crate::parameter::{Variant, as_list, said_twice};
use crate::role::{Filler, Role, Seat};
use crate::training::OneOrMany;
use crate::{Error, Hyperparameters};
use groma_lm::LanguageModel;
use groma_model::rewards::StepReward;
use serde_json::Value;

/// Who says what completions are worth, or cost: the rules that settings name, then the models of a role.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel<'s> {
    role: Role,
    rules: &'s [String],
    models: &'s [String],
    weights: Option<&'s [f64]>,
}

impl<'s> Panel<'s> {
    /// Of settings.
    pub(crate) fn new(
        role: Role,
        rules: &'s Option<OneOrMany<String>>,
        models: &'s Option<OneOrMany<String>>,
        weights: &'s Option<Vec<f64>>,
    ) -> Self {
        let words = |words: &'s Option<OneOrMany<String>>| words.as_ref().map_or(&[][..], OneOrMany::as_slice);
        Panel { role, rules: words(rules), models: words(models), weights: weights.as_deref() }
    }

    /// How many reward models they are.
    pub(crate) fn models(&self) -> usize {
        self.models.len()
    }

    /// The setting that names the rules.
    pub(crate) fn setting(&self) -> String {
        format!("{}_funcs", self.role.name())
    }

    /// The rules that cannot judge every row, with what they want of one.
    pub(crate) fn wants(&self, settings: &Hyperparameters) -> Vec<(&'static str, Wanted)> {
        let named = self.rules.iter().filter_map(|name| RULES.iter().find(|rule| rule.id == name));
        named.filter_map(|rule| Some((rule.id, (rule.wants)(settings)?))).collect()
    }

    /// How many they are.
    ///
    /// # Errors
    /// Those of the rules' own hyperparameters, and another number of weights.
    pub(crate) fn check(&self, settings: &Hyperparameters) -> Result<usize, Error> {
        if self.role == Role::Reward && self.weights.is_some() && averages(settings) {
            let problem = format!("weighs rewards, and `{SETTING} = {AVERAGED}` asks one model: leave it out");
            return Err(settings.invalid("reward_weights", problem));
        }
        let rules = rules(settings, self.rules, None)?;
        if parts(settings)?.pessimism > 0.0 && self.role == Role::Reward {
            if self.models.is_empty() {
                return Err(settings.invalid(PESSIMISM, "is about reward models, and there is none"));
            }
            if averages(settings) {
                let problem = format!(
                    "goes by what each reward model learned from, and `{SETTING} = {AVERAGED}` makes one of all"
                );
                return Err(settings.invalid(PESSIMISM, problem));
            }
        }
        let (count, name) = (self.rules.len() + self.models.len(), self.role.name());
        if self.role == Role::Reward {
            self.check_granularity(settings, &rules)?;
        }
        match self.weights.filter(|weights| weights.len() != count) {
            Some(weights) => {
                let problem = format!("has {} weights for {count} {name}s", weights.len());
                Err(settings.invalid(&format!("{name}_weights"), problem))
            }
            None => Ok(count),
        }
    }

    /// # Errors
    /// Where a rule is to say of parts what it says of wholes, and where models that are to be placed speak as one.
    fn check_granularity(&self, settings: &Hyperparameters, rules: &[NamedReward<'_>]) -> Result<(), Error> {
        let all = Granularity::of_settings(settings, self.rules.len() + self.models.len())?;
        let (of_rules, of_models) = all.split_at(self.rules.len());
        let wholes = |(rule, wanted): &(&NamedReward<'_>, &Granularity)| {
            **wanted == Granularity::Span && !rule.reward.judges_parts()
        };
        if let Some((rule, _)) = rules.iter().zip(of_rules).find(wholes) {
            let problem = format!("{} judges wholes, not spans: give it completion or sentence", rule.name);
            return Err(settings.invalid(granularity::SETTING, problem));
        }
        let together = settings.values.get(SETTING).and_then(Value::as_str).is_some_and(|way| way != "sum");
        if together && of_models.iter().any(|wanted| *wanted != Granularity::Completion) {
            let problem =
                format!("places the reward of each model by itself, and `{SETTING}` makes one of all: leave one out");
            return Err(settings.invalid(granularity::SETTING, problem));
        }
        Ok(())
    }

    /// All of them, each in its seat.
    ///
    /// # Errors
    /// Those of the rules' own hyperparameters, and [`Error::Role`] for a model without a score head.
    pub(crate) fn seated<'a>(
        &self,
        settings: &Hyperparameters,
        seats: &[Seat<'a>],
    ) -> Result<Vec<NamedReward<'a>>, Error> {
        let judge = seats.iter().filter(|seat| seat.role == Role::Judge).find_map(|seat| match seat.filler {
            Filler::Asked(judge) => Some(judge),
            Filler::Weights(..) => None,
        });
        let mut all = rules(settings, self.rules, judge)?;
        let averages = self.role == Role::Reward && averages(settings);
        let mut parts = parts(settings)?;
        if self.role != Role::Reward {
            parts.pessimism = 0.0;
        }
        if averages {
            let weights = seats.iter().filter(|seat| seat.role == self.role).filter_map(|seat| match seat.filler {
                Filler::Weights(model, encoder) => Some((model, encoder)),
                Filler::Asked(_) => None,
            });
            let model = ModelReward::averaged(&weights.collect::<Vec<_>>(), &parts)?;
            let named = |model| NamedReward {
                name: AVERAGED.to_owned(),
                weight: 1.0,
                ensemble: Some(Ensemble::Sum),
                granularity: Granularity::Completion,
                reward: Box::new(model),
            };
            all.extend(model.map(named));
        }
        for seat in seats.iter().filter(|seat| seat.role == self.role && !averages) {
            if let Filler::Weights(model, encoder) = seat.filler {
                let reward = Box::new(ModelReward::new(model, encoder, &parts)?);
                let ensemble = (self.role == Role::Reward).then(|| Ensemble::new(settings));
                let granularity = Granularity::Completion;
                all.push(NamedReward { name: seat.name.clone(), weight: 1.0, ensemble, granularity, reward });
            }
        }
        for (named, weight) in all.iter_mut().zip(self.weights.unwrap_or_default()) {
            named.weight = *weight;
        }
        if self.role == Role::Reward {
            let wanted = Granularity::of_settings(settings, self.rules.len() + self.models.len())?;
            all.iter_mut().zip(wanted).for_each(|(named, granularity)| named.granularity = granularity);
        }
        match all.iter().find(|named| named.granularity == Granularity::Span && !named.reward.judges_parts()) {
            Some(named) => {
                let problem = format!(
                    "`{}` scores wholes, and reward_granularity asks it for spans: steps are what a process reward model has",
                    named.name
                );
                Err(Error::Role { role: self.role.name(), problem })
            }
            None => Ok(all),
        }
    }
}

/// The setting that says what the rewards of steps come to.
pub(crate) const STEP_REWARD: &str = "step_reward";
/// What it chooses among.
pub(crate) const STEP_REWARDS: &[&str] = &["product", "min", "mean", "last", "sum"];

/// Whether one model is made of all reward models.
pub(crate) fn averages(settings: &Hyperparameters) -> bool {
    settings.values.get(SETTING).and_then(Value::as_str) == Some(AVERAGED)
}

/// The setting that says how much attributes count.
pub(crate) const ATTRIBUTE_WEIGHTS: &str = "attribute_weights";

/// The setting that says what a reward model's doubt costs.
pub(crate) const PESSIMISM: &str = "pessimism";

/// What is said of rewards in several parts.
///
/// # Errors
/// [`Error::Setting`] for weights that are none.
fn parts(settings: &Hyperparameters) -> Result<Parts, Error> {
    let given = settings.values.get(ATTRIBUTE_WEIGHTS).cloned().unwrap_or_default();
    let wrong = |problem: String| settings.invalid(ATTRIBUTE_WEIGHTS, problem);
    let list: Option<OneOrMany<String>> = serde_json::from_value(given).map_err(|error| wrong(error.to_string()))?;
    let weight = |text: &String| {
        let number = |(name, weight): (&str, &str)| {
            let weight = weight.trim().parse::<f64>().ok().filter(|weight| weight.is_finite())?;
            Some((name.trim().to_owned(), weight))
        };
        let found = text.rsplit_once('=').filter(|(name, _)| !name.contains('=')).and_then(number);
        found.ok_or_else(|| wrong(format!("has `{text}`; an attribute is weighed as NAME=NUMBER{}", as_list(text))))
    };
    let weights = list.map(|list| list.as_slice().iter().map(weight).collect::<Result<Vec<_>, Error>>()).transpose()?;
    let pessimism = settings.values.get(PESSIMISM).and_then(Value::as_f64).unwrap_or_default();
    let names: Vec<String> = weights.iter().flatten().map(|(name, _)| name.clone()).collect();
    match said_twice(&names) {
        Some(name) => Err(wrong(format!("weighs `{name}` twice"))),
        None => Ok(Parts { steps: step_reward(settings), attributes: weights, pessimism }),
    }
}

fn step_reward(settings: &Hyperparameters) -> StepReward {
    let chosen = settings.values.get(STEP_REWARD).and_then(Value::as_str);
    let found = StepReward::NAMED.iter().find(|(name, _)| Some(*name) == chosen);
    found.map_or(StepReward::Product, |(_, reward)| *reward)
}

/// All rules.
static RULES: &[Rule] = &[
    exact_match::RULE,
    final_answer::RULE,
    regex::RULE,
    length::RULE,
    overlong::RULE,
    lexicon::RULE,
    judge::RULE,
    endpoint::RULE,
    stimulus::RULE,
    refined::RULE,
    truth::RULE,
];

/// [`RULES`] as choices of `reward_funcs`.
pub(crate) const VARIANTS: &[Variant] = &[
    exact_match::RULE.variant(),
    final_answer::RULE.variant(),
    regex::RULE.variant(),
    length::RULE.variant(),
    overlong::RULE.variant(),
    lexicon::RULE.variant(),
    judge::RULE.variant(),
    endpoint::RULE.variant(),
    stimulus::RULE.variant(),
    refined::RULE.variant(),
    truth::RULE.variant(),
];

/// The rules that settings name, in their order.
///
/// # Errors
/// Those of the rules' own hyperparameters.
fn rules<'a>(
    settings: &Hyperparameters,
    names: &[String],
    judge: Option<&'a dyn LanguageModel>,
) -> Result<Vec<NamedReward<'a>>, Error> {
    let named = |name: &String| RULES.iter().find(|rule| rule.id == name);
    let build = |rule: &Rule| {
        let reward = (rule.build)(settings, judge)?;
        let (name, granularity) = (rule.id.to_owned(), Granularity::Completion);
        Ok(NamedReward { name, weight: 1.0, ensemble: None, granularity, reward })
    };
    names.iter().filter_map(named).map(build).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;
    use crate::Settings;
    use groma_run::Cancel;
    use serde_json::json;

    /// What a rule says of completions with so many tokens each.
    fn said(rule: &str, own: Value, columns: Value, completions: &[(&str, usize)]) -> Vec<Option<f64>> {
        let mut given = own.as_object().cloned().unwrap();
        given.insert("reward_funcs".into(), json!([rule]));
        let settings = Settings::resolve(Method::find("rloo").unwrap(), &given).unwrap();
        let rules = rules(&settings, &[rule.to_owned()], None).unwrap();
        let columns = columns.as_object().cloned().unwrap();
        let rollout = |&(completion, tokens)| Rollout { columns: &columns, completion, tokens };
        rules[0].reward.score(&completions.iter().map(rollout).collect::<Vec<_>>(), &Cancel::default()).unwrap()
    }

    #[test]
    fn rules_say_what_they_are_documented_to_say() {
        let columns = json!({"answer": "four"});
        let texts = [(" four\n", 2), ("five", 2)];
        assert_eq!(said("exact_match", json!({}), columns, &texts), [Some(1.0), Some(0.0)]);
        assert_eq!(said("exact_match", json!({}), json!({"prompt": "p"}), &texts), [None, None]);
        assert_eq!(said("regex", json!({"regex_pattern": "^f[a-z]*$"}), json!({}), &texts), [Some(0.0), Some(1.0)]);
        let lengths = [("", 4), ("", 8), ("", 12)];
        assert_eq!(
            said("length", json!({"length_target": 8}), json!({}), &lengths),
            [Some(-0.5), Some(0.0), Some(-0.5)]
        );
        let own = json!({"lexicon_wanted": ["Thank you", "please"], "lexicon_unwanted": "no"});
        let texts = [("Thank you, PLEASE!", 1), ("no, thank me. No", 1), ("?", 1)];
        assert_eq!(said("lexicon", own, json!({}), &texts), [Some(2.0 / 3.0), Some(-0.5), Some(0.0)]);
        let own = json!({"max_completion_length": 12, "overlong_cache": 8});
        assert_eq!(said("overlong", own, json!({}), &lengths), [Some(0.0), Some(-0.5), Some(-1.0)]);
    }

    #[test]
    fn settings_name_what_steps_come_to() {
        assert_eq!(StepReward::NAMED.map(|(name, _)| name), STEP_REWARDS);
        let settings = |given: Value| {
            let all = json!({"reward_funcs": ["length"], "length_target": 2});
            let mut all = all.as_object().unwrap().clone();
            all.extend(given.as_object().unwrap().clone());
            Settings::resolve(Method::find("rloo").unwrap(), &all)
        };
        assert_eq!(step_reward(&settings(json!({"step_reward": "min"})).unwrap()), StepReward::Least);
        let models = json!({"reward_model": ["a", "b"], "reward_ensemble": "uwo", "uwo_coefficient": 0.3});
        assert_eq!(Ensemble::new(&settings(models).unwrap()), Ensemble::Uncertainty(0.3));
        let error = settings(json!({"reward_model": "a", "reward_ensemble": "min"})).unwrap_err().to_string();
        assert!(error.contains("reward_ensemble") && error.contains("two reward models"), "{error}");
    }

    #[test]
    fn the_gold_is_what_the_row_says_that_an_answer_is_worth() {
        let check = |words: &str| json!({"kind": "phrase", "accepted": [words]});
        let truth = json!({"says": check("the mill"), "polite": check("please")});
        let row = json!({"truth": truth, "worth": {"says": 1.0, "polite": 0.5}});
        let texts = [("Please go to the mill.", 5), ("Please!", 2), ("The barn", 2)];
        assert_eq!(said("truth", json!({}), row, &texts), [Some(1.5), Some(0.5), Some(0.0)]);
        assert_eq!(
            said("truth", json!({}), json!({"truth": {}}), &texts[..1]),
            [None],
            "nothing says what it is worth"
        );
    }

    #[test]
    fn a_rule_cannot_be_chosen_without_what_it_needs() {
        let resolve = |given: Value| Settings::resolve(Method::find("rloo").unwrap(), given.as_object().unwrap());
        let error = resolve(json!({"reward_funcs": ["regex"]})).unwrap_err().to_string();
        assert!(error.contains("regex_pattern"), "{error}");
        let error = resolve(json!({"reward_funcs": ["regex"], "regex_pattern": "("})).unwrap_err().to_string();
        assert!(error.contains("regex_pattern"), "{error}");
        let error = resolve(json!({"reward_funcs": ["lexicon"]})).unwrap_err().to_string();
        assert!(error.contains("lexicon_wanted"), "{error}");
        let twice = json!({"reward_model": "m", "attribute_weights": ["a=1", "b=2", "a=3"]});
        let error = resolve(twice).unwrap_err().to_string();
        assert!(error.contains("attribute_weights") && error.contains("weighs `a` twice"), "{error}");
        let error = resolve(json!({"reward_model": "m", "attribute_weights": "a=1,b=2"})).unwrap_err().to_string();
        assert!(error.contains(r#"["a=1", "b=2"]"#), "{error}");
        let error = resolve(json!({"reward_funcs": ["judge"]})).unwrap_err().to_string();
        assert!(error.contains("judge_model"), "{error}");
        let error = resolve(json!({"reward_funcs": ["length"], "regex_pattern": "x"})).unwrap_err().to_string();
        assert!(error.contains("regex_pattern") && error.contains("reward_funcs"), "{error}");
    }
}
