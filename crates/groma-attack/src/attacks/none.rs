//! No attack: the request as it is.

use groma_run::Seed;
use serde::Deserialize;

use crate::Error;
use crate::attack::{Access, Attack, Method, Proposes};
use crate::attempt::Input;
use crate::goal::Goal;
use crate::settings::settings;
use crate::target::Target;

pub(crate) const RECORD: Attack = Attack::new(
    ("none", "a control", "asks what the goal asks, once: what is granted without any attack"),
    Access::Answers,
    |given| Ok(Method::Inputs(Box::new(settings::<None>(given)?))),
)
.control();

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct None {}

impl Proposes for None {
    fn inputs(&self, _: &Target, goal: &Goal, _: Seed) -> Result<Vec<Input>, Error> {
        Ok(vec![Input::new(goal.prompt.clone(), "as it is")])
    }
}
