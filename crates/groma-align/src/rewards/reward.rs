//! Who says what a completion is worth.

use super::ensemble::Ensemble;
use super::granularity::Granularity;
use super::parts::Part;
use crate::Error;
use groma_lm::Failure;
use groma_run::Cancel;
use serde_json::{Map, Value};

/// A completion that was sampled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rollout<'a> {
    /// The row's columns, its prompt among them as `prompt`.
    pub(crate) columns: &'a Map<String, Value>,
    /// What was said, without what ends it.
    pub(crate) completion: &'a str,
    /// Its tokens, the one that ends it included.
    pub(crate) tokens: usize,
}

/// Columns that say what the right answer is.
const ANSWERS: [&str; 3] = ["answer", "solution", "ground_truth"];

impl<'a> Rollout<'a> {
    /// The right answer, where the row has one.
    pub(super) fn answer(&self) -> Option<&'a Value> {
        answer(self.columns)
    }
}

/// The right answer among the columns of a row.
pub(super) fn answer(columns: &Map<String, Value>) -> Option<&Value> {
    ANSWERS.iter().filter_map(|name| columns.get(*name)).find(|answer| !answer.is_null())
}

/// Says what completions are worth.
pub(crate) trait Reward {
    /// One value a rollout; `None` where it has nothing to say of one. A value is a function of its rollout alone.
    ///
    /// # Errors
    /// What keeps it from saying anything, and a request to stop.
    fn score(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error>;

    /// Whether it says which parts of a completion it judges.
    fn judges_parts(&self) -> bool {
        false
    }

    /// Of each rollout, the parts that it judges: what they add comes to what [`Reward::score`] says. Of one that judges wholes, the
    /// whole.
    ///
    /// # Errors
    /// As [`Reward::score`].
    fn parts(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<Vec<Part>>>, Error> {
        let whole = |worth| vec![Part { end: usize::MAX, worth }];
        Ok(self.score(rollouts, cancel)?.into_iter().map(|said| said.map(whole)).collect())
    }

    /// The same as somebody elsewhere, where it does nothing but ask and wait: so that can be done while sampling goes on.
    fn remote(&self) -> Option<&dyn Remote> {
        None
    }
}

/// A reward that is the answer of somebody elsewhere.
pub(crate) trait Remote: Sync {
    /// What is answered of rollouts, in their order. An answer is a function of its rollout alone.
    ///
    /// # Errors
    /// Where one cannot be put into words, and where nobody is there.
    fn answers(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Answer>, Error>;

    /// What all answers of a collection say: what [`Reward::score`] says of the same rollouts.
    ///
    /// # Errors
    /// A request to stop; [`Error::Role`] where nothing was answered.
    fn read(&self, answers: &[Answer]) -> Result<Vec<Option<f64>>, Error>;

    /// Both in one.
    ///
    /// # Errors
    /// Those of both.
    fn ask(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        self.read(&self.answers(rollouts, cancel)?)
    }
}

/// What somebody elsewhere says of a rollout, which may be nothing; or why there is no answer.
pub(crate) type Answer = Result<Option<f64>, Failure>;

/// A reward under the name that metrics have for it, and how much it counts.
pub(crate) struct NamedReward<'a> {
    pub(crate) name: String,
    pub(crate) weight: f64,
    /// How it is put together with others of an ensemble before that is added to the rest; `None`: it is in none.
    pub(crate) ensemble: Option<Ensemble>,
    /// Where what it says lies.
    pub(crate) granularity: Granularity,
    pub(crate) reward: Box<dyn Reward + 'a>,
}

#[cfg(test)]
mod tests {
    use super::answer;
    use serde_json::json;

    #[test]
    fn an_answer_that_is_null_hides_no_solution() {
        for (row, right) in [
            (json!({"answer": null, "solution": 2}), Some(json!(2))),
            (json!({"answer": 1, "solution": 2}), Some(json!(1))),
            (json!({"answer": null}), None),
        ] {
            assert_eq!(answer(row.as_object().unwrap()), right.as_ref(), "{row}");
        }
    }
}
