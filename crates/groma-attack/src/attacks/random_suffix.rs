//! Random suffixes: what noise at the end of a request does, without any search.

use groma_data::below;
use groma_run::{Random, Seed};
use serde::Deserialize;

use crate::Error;
use crate::alphabet::alphabet;
use crate::attack::{Access, Attack, Method, Proposes};
use crate::attempt::Input;
use crate::goal::Goal;
use crate::prompt::{user_text, with_user_text};
use crate::settings::settings;
use crate::slot::Slot;
use crate::target::Target;

pub(crate) const RECORD: Attack = Attack::new(
    (
        "random-suffix",
        "a control; Zou et al. 2023 (2307.15043) start from such",
        "puts suffixes that are drawn and not searched for behind the request: of tokens that survive being encoded again where the \
         weights are here, else of printable characters. Settings: `tries` (10), `length` (20 tokens, or three times as many \
         characters)",
    ),
    Access::Answers,
    |given| RandomSuffix::checked(settings(given)?),
)
.control();

/// Draws until a suffix survives being encoded again.
const DRAWS: usize = 64;
/// Characters that stand for a token where there is no tokenizer.
const CHARACTERS: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RandomSuffix {
    tries: usize,
    length: usize,
}

impl Default for RandomSuffix {
    fn default() -> Self {
        RandomSuffix { tries: 10, length: 20 }
    }
}

impl RandomSuffix {
    fn checked(random: RandomSuffix) -> Result<Method, String> {
        match random {
            RandomSuffix { tries: 0, .. } | RandomSuffix { length: 0, .. } => {
                Err("`tries` and `length` are at least 1".into())
            }
            random => Ok(Method::Inputs(Box::new(random))),
        }
    }

    fn characters(&self, rng: &mut Random) -> String {
        let printable = || char::from(b' ' + below(rng, 95) as u8);
        format!(" {}", std::iter::repeat_with(printable).take(CHARACTERS * self.length).collect::<String>())
    }
}

impl Proposes for RandomSuffix {
    fn inputs(&self, target: &Target, goal: &Goal, seed: Seed) -> Result<Vec<Input>, Error> {
        let slot = target.weights.as_ref().map(|local| {
            let allowed = alphabet(local.encoder.tokenizer, local.transformer.spec().vocab_size, true);
            let ids: Vec<u32> = (0..).zip(&allowed).filter(|(_, allowed)| **allowed).map(|(id, _)| id).collect();
            Ok::<_, Error>((Slot::find(local, target, goal, ("x", self.length))?, ids))
        });
        let slot = slot.transpose()?;
        let suffix = |index: usize| {
            let mut rng = seed.named("suffix").index(index as u64).rng();
            let found = slot.as_ref().and_then(|((slot, first), ids)| {
                let mut draw =
                    || first.iter().map(|_| ids[below(&mut rng, ids.len() as u64) as usize]).collect::<Vec<_>>();
                (0..DRAWS).find_map(|_| slot.holds(&draw()))
            });
            found.unwrap_or_else(|| self.characters(&mut rng))
        };
        let input = |index: usize| {
            let text = format!("{}{}", user_text(&goal.prompt), suffix(index));
            Input::new(with_user_text(&goal.prompt, text), "drawn")
        };
        Ok((0..self.tries).map(input).collect())
    }
}
