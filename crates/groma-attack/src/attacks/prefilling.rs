//! Prefilling: the answer is begun for the model.

use groma_run::Seed;
use serde::Deserialize;

use crate::Error;
use crate::attack::{Access, Attack, Method, Proposes};
use crate::attempt::Input;
use crate::goal::Goal;
use crate::settings::settings;
use crate::target::Target;

pub(crate) const RECORD: Attack = Attack::new(
    (
        "prefilling",
        "Andriushchenko et al. 2024 (2404.02151)",
        "begins the answer with the goal's target, without an end of the turn, and lets the model go on. The answer that is judged \
         is the whole of it. The beginning alone is judged beside it, so that it is not taken for what the model did: a goal that \
         it reaches by itself is put with its first word only. Settings: `prefix`, another beginning for all goals",
    ),
    Access::Weights { instead: "templates" },
    |given| Ok(Method::Inputs(Box::new(settings::<Prefilling>(given)?))),
);

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Prefilling {
    prefix: Option<String>,
}

impl Proposes for Prefilling {
    fn inputs(&self, _: &Target, goal: &Goal, _: Seed) -> Result<Vec<Input>, Error> {
        let whole = self.prefix.as_deref().unwrap_or(&goal.target);
        let first = || whole.split_inclusive(char::is_whitespace).next().unwrap_or(whole).trim_end();
        let prefix = if goal.has_truth() && goal.is_reached(whole) { first() } else { whole };
        Ok(vec![Input { prefix: prefix.to_owned(), ..Input::new(goal.prompt.clone(), "begun") }])
    }
}
