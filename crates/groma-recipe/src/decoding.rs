//! How answers are decoded, where that is not as the model would.

use groma_lm::{ByAdvantage, SelfDebias, SelfDetox, Steering};
use groma_model::Spec;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::asked::Asked;

/// Steers a model's answers token by token: away from what is unwanted, by what it says itself when it is told to show that
/// (self-debiasing), or by a model of the unwanted (self-detoxification); or towards what it finds worth more (implicit Q-learning).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoding {
    /// What answers are not to contain, each in words: self-debiasing (Schick et al. 2021).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub debias: Vec<String>,
    /// How fast a token loses that becomes likelier; 10 to 100 in the paper.
    #[serde(default = "decay")]
    pub decay: f64,
    /// The smallest factor by which a token's probability is multiplied.
    #[serde(default = "floor")]
    pub floor: f64,
    /// A model of the unwanted, of the same tokenizer: self-detoxification (Xu et al. 2022).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detox: Option<String>,
    /// The likeliest tokens among which it is chosen; 0 for all.
    #[serde(default = "top_k")]
    pub top_k: usize,
    /// How much the model of the unwanted counts; too much of it, and tokens come first that nobody would say.
    #[serde(default = "weight")]
    pub weight: f64,
    /// How much it counts what each next token is worth, by a model that `ilql` left: each is weighed by `e^(advantage (Q - V))`
    /// (Snell et al. 2022); 1 in trlX, 0 for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantage: Option<f64>,
}

fn decay() -> f64 {
    50.0
}

fn floor() -> f64 {
    Decoding::FLOOR
}

fn top_k() -> usize {
    20
}

fn weight() -> f64 {
    0.5
}

impl Decoding {
    /// The smallest factor in the authors' code.
    pub const FLOOR: f64 = 0.01;

    /// # Errors
    /// In words, where it says nothing, several things, or a number out of range.
    pub fn check(&self) -> Result<(), String> {
        let ways = [!self.debias.is_empty(), self.detox.is_some(), self.advantage.is_some()];
        let problem = match self {
            _ if ways.iter().filter(|given| **given).count() != 1 => "give one of `debias`, `detox` and `advantage`",
            _ if self.advantage.is_some_and(|beta| !(beta.is_finite() && beta >= 0.0)) => {
                "`advantage` must be 0 or more"
            }
            _ if !(self.decay.is_finite() && self.decay >= 0.0) => "`decay` must be 0 or more",
            _ if !(0.0..=1.0).contains(&self.floor) => "`floor` must be from 0 to 1",
            _ if !(self.weight.is_finite() && self.weight >= 0.0) => "`weight` must be 0 or more",
            _ => return Ok(()),
        };
        Err(problem.to_owned())
    }

    /// It at work on answers of a model; `unwanted` is the model that `detox` names.
    ///
    /// # Errors
    /// [`Error::OnServer`], [`Error::Decoding`] for a model of other tokens, and that of a model which does not say what tokens are worth.
    pub fn steering<'a>(&'a self, model: &Asked, unwanted: Option<&'a Asked>) -> Result<Steering<'a>, Error> {
        if let Some(beta) = self.advantage {
            Spec::require_action_values(&model.weights()?.transformer.spec().outputs, ADVANTAGE)?;
            return Ok(Steering::Worth { rule: ByAdvantage { beta } });
        }
        let Some(unwanted) = unwanted else {
            let rule = SelfDebias { decay: self.decay, floor: self.floor };
            return Ok(Steering::Debias { rule, attributes: &self.debias });
        };
        let (own, other) = (model.weights()?, unwanted.weights()?);
        if own.tokenizer.files().get(TOKENIZER) != other.tokenizer.files().get(TOKENIZER) {
            let problem = "the model that `detox` names has another tokenizer than the one that answers, and they are \
                           compared token by token: name one that was trained from the same";
            return Err(Error::Decoding { problem: problem.into() });
        }
        let rule = SelfDetox { top_k: self.top_k, weight: self.weight };
        Ok(Steering::Detox { rule, unwanted: &other.transformer })
    }
}

const TOKENIZER: &str = "tokenizer.json";
/// Who wants a model that says what next tokens are worth.
pub(crate) const ADVANTAGE: &str = "the setting `advantage`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_of_three_and_its_numbers_are_in_range() {
        let checked = |text: &str| toml::from_str::<Decoding>(text).unwrap().check();
        assert_eq!(checked("debias = ['rude words']"), Ok(()));
        assert_eq!(checked("detox = 'infected'\ntop_k = 5"), Ok(()));
        assert_eq!(checked("advantage = 4"), Ok(()));
        for wrong in [
            "",
            "debias = ['a']\ndetox = 'b'",
            "debias = ['a']\ndecay = -1",
            "debias = ['a']\nfloor = 2",
            "advantage = -1",
            "advantage = 1\ndetox = 'b'",
        ] {
            assert!(checked(wrong).is_err(), "{wrong}");
        }
    }
}
