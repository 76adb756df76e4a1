//! What a frozen model makes of an answer once it has read the completion as a critique of it: the reward of a small critic that
//! learns to help a large model that cannot be trained.
//!
//! Akyürek et al. 2023, arXiv 2305.08844 (RL4F), section 3. The row's prompt holds the question and the model's first answer, and ends
//! with what asks for a critique; the reward is how like the refined answer is to the row's reference. What is not answered, and what
//! has no reference, has no value. Differs from the paper: which similarity is a setting for all tasks, and any method that
//! samples can learn from it, not PPO alone.

use super::exact_match::{right_answer, wants_right_answer, written};
use super::frozen::{ANSWERS, Frozen, Names, longest};
use super::reward::{Reward, Rollout};
use super::rouge::{Rouge, rouge};
use super::rule::{Rule, Wanted};
use crate::parameter::{Kind, Parameter};
use crate::{Error, Hyperparameters};
use groma_lm::LanguageModel;
use groma_run::Cancel;
use serde_json::Value;

pub(super) const RULE: Rule = Rule {
    id: NAMES.rule,
    title: "What a critique makes of an answer",
    paper: "arXiv:2305.08844",
    doc: "How like the answer of a language model that is given the completion as a critique is to the reference; no value where it does \
          not answer.",
    parameters: &[
        ANSWERS,
        Parameter {
            name: NAMES.template,
            kind: Kind::Text,
            default: "\"{prompt}\\nCritique: {critique}\"",
            range: None,
            doc: "How it is asked, with {critique}, and {prompt} where that is to be read, too; of a conversation its last turn, which asked for the critique.",
        },
        Parameter {
            name: SIMILARITY,
            kind: Kind::Choice(&["rouge", "rouge_1", "rouge_2", "rouge_l", "exact"]),
            default: "\"rouge_l\"",
            range: None,
            doc: "What is compared: runs of one or two words or the longest common subsequence (F1), the mean of these three, or the whole.",
        },
        Parameter {
            name: REFERENCE,
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "The column with the reference; where null, answer, solution or ground_truth.",
        },
        longest(NAMES.length),
    ],
    wants: |settings| Some(column(settings).map_or_else(wants_right_answer, wants_column)),
    build: |settings, model| Ok(Box::new(Refined::new(settings, model)?)),
};

const NAMES: Names = Names {
    rule: "refined",
    template: "refined_template",
    length: "refined_max_new_tokens",
    slot: "{critique}",
    needs_prompt: false,
};
const SIMILARITY: &str = "refined_similarity";
const REFERENCE: &str = "refined_reference";

/// The column that is named for the reference.
fn column(settings: &Hyperparameters) -> Option<String> {
    settings.values.get(REFERENCE).and_then(Value::as_str).map(str::to_owned)
}

/// What rows must have where a column is named for the reference.
fn wants_column(column: String) -> Wanted {
    let columns = format!("the column `{column}` ({REFERENCE})");
    Wanted::new(columns, move |row| row.get(&column).is_some_and(|value| !value.is_null()))
}

struct Refined<'a> {
    frozen: Frozen<'a>,
    reference: Option<String>,
    similarity: fn(&str, &str) -> f64,
}

impl<'a> Refined<'a> {
    fn new(settings: &Hyperparameters, model: Option<&'a dyn LanguageModel>) -> Result<Self, Error> {
        let text = |name: &str| settings.values.get(name).and_then(Value::as_str);
        let similarity: fn(&str, &str) -> f64 = match text(SIMILARITY) {
            Some("rouge") => {
                |answer, reference| Rouge::ALL.map(|kind| rouge(kind, answer, reference)).iter().sum::<f64>() / 3.0
            }
            Some("rouge_1") => |answer, reference| rouge(Rouge::Runs(1), answer, reference),
            Some("rouge_2") => |answer, reference| rouge(Rouge::Runs(2), answer, reference),
            Some("exact") => |answer, reference| f64::from(u8::from(answer.trim() == reference.trim())),
            _ => |answer, reference| rouge(Rouge::Longest, answer, reference),
        };
        Ok(Refined { frozen: Frozen::new(settings, model, &NAMES)?, reference: column(settings), similarity })
    }

    fn reference(&self, rollout: &Rollout<'_>) -> Option<String> {
        match &self.reference {
            Some(column) => rollout.columns.get(column).and_then(written),
            None => right_answer(rollout),
        }
    }
}

impl Reward for Refined<'_> {
    /// # Errors
    /// Those of [`Frozen::answers`].
    fn score(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        let answers = self.frozen.answers(rollouts, cancel)?;
        let worth = |(rollout, answer): (&Rollout<'_>, &Option<String>)| {
            Some((self.similarity)(answer.as_deref()?, &self.reference(rollout)?))
        };
        Ok(rollouts.iter().zip(&answers).map(worth).collect())
    }
}
