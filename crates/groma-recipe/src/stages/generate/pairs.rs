//! Makes pairs of a model's answers: the row's own answer above each, or the best above the worst.

use groma_align::{ToRate, rate};
use groma_data::{Content, Row};
use groma_lm::{Continuation, Control, LanguageModel, Scored};
use serde_json::{Value, json};

use crate::Error;
use crate::asked::Asked;
use crate::records::Pairs;
use crate::rows::question;
use crate::worth::Worth;

use super::answered::Answered;

/// Longest verdict of a judge, in tokens.
const VERDICT_TOKENS: usize = 512;

/// How answers are preferred, and who is asked for that.
pub(in crate::stages) struct Prefers<'a> {
    pub(in crate::stages) pairs: Pairs,
    /// Who answered.
    pub(in crate::stages) model: &'a Asked,
    /// The reward model, or who answers are held against.
    pub(in crate::stages) by: Option<&'a Asked>,
    pub(in crate::stages) control: Control<'a>,
}

impl Prefers<'_> {
    /// Rows of pairs, of those prompts whose answers differ.
    ///
    /// # Errors
    /// Rows without truth or worth where these are asked for, and those of the models.
    pub(super) fn of(&self, answered: &[Answered<'_>]) -> Result<Vec<Value>, Error> {
        if self.pairs == Pairs::Demonstrations {
            return Ok(answered.iter().flat_map(demonstrated).collect());
        }
        let scores = self.scores(answered)?;
        let pair = |(answered, scores): (&Answered<'_>, Vec<Option<f64>>)| {
            let (best, worst) = best_and_worst(&answered.texts, &scores)?;
            Some(row(&answered.question.prompt, &answered.texts[best], &answered.texts[worst]))
        };
        Ok(answered.iter().zip(scores).filter_map(pair).collect())
    }

    /// What each answer is worth; nothing where nobody said.
    ///
    /// # Errors
    /// As [`Prefers::of`].
    pub(in crate::stages) fn scores(&self, answered: &[Answered<'_>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let by_answer = match self.pairs {
            Pairs::Demonstrations | Pairs::Truth => {
                return answered.iter().map(|answered| by_truth(answered)).collect();
            }
            Pairs::Judge => self.rated(answered)?,
            Pairs::Reward => self.asked(self.by, answered, &|scored| scored.reward.map(f64::from))?,
            Pairs::Likelihood => {
                let sum = |scored: &Scored| Some(scored.sum());
                let own = self.asked(Some(self.model), answered, &sum)?;
                let others = self.asked(self.by, answered, &sum)?;
                own.into_iter().zip(others).map(|(own, other)| Some(own? - other?)).collect()
            }
        };
        let mut rest = by_answer.into_iter();
        Ok(answered.iter().map(|answered| rest.by_ref().take(answered.texts.len()).collect()).collect())
    }

    /// How each answer is rated, by the judge or by the model itself.
    fn rated(&self, answered: &[Answered<'_>]) -> Result<Vec<Option<f64>>, Error> {
        let of_prompt = |one: &'_ Answered<'_>| {
            let reference = one.question.row.other.get("reference").and_then(Value::as_str).map(str::to_owned);
            (one.question.prompt.plain(), reference)
        };
        let questions: Vec<(String, Option<String>)> = answered.iter().map(of_prompt).collect();
        let each = answered.iter().zip(&questions).flat_map(|(one, (question, reference))| {
            let to_rate = move |answer| ToRate { question: question.clone(), reference: reference.as_deref(), answer };
            one.texts.iter().map(String::as_str).map(to_rate)
        });
        let all: Vec<ToRate<'_>> = each.collect();
        let judge = |judge: &dyn LanguageModel| Ok::<_, Error>(rate(judge, &all, VERDICT_TOKENS, self.control)?);
        Ok(self.by.unwrap_or(self.model).lend(None, judge)?.0)
    }

    /// What is read of what a model says of each answer.
    fn asked(
        &self,
        who: Option<&Asked>,
        answered: &[Answered<'_>],
        read: &dyn Fn(&Scored) -> Option<f64>,
    ) -> Result<Vec<Option<f64>>, Error> {
        let Some(who) = who else { return Ok(vec![None; answered.iter().map(|a| a.texts.len()).sum()]) };
        let reply = |prompt: &Content, text: &String| Continuation::Reply {
            prompt: prompt.clone(),
            reply: prompt.answered(text),
        };
        let each = answered.iter().flat_map(|one| one.texts.iter().map(|text| reply(&one.question.prompt, text)));
        let wanted: Vec<Continuation> = each.collect();
        let score = |model: &dyn LanguageModel| Ok::<_, Error>(model.score(&wanted, self.control));
        let (scored, _) = who.lend(None, score)?;
        self.control.cancel.check()?;
        Ok(scored.iter().map(|scored| read(scored.as_ref().ok()?)).collect())
    }
}

/// The answer that a row brings, where it says something.
pub(super) fn demonstration(row: &Row) -> Option<String> {
    let (_, _, own) = question(row);
    Some(own.plain()).filter(|own| !own.trim().is_empty())
}

/// The row's own answer above each that is another.
fn demonstrated<'a>(answered: &'a Answered<'_>) -> impl Iterator<Item = Value> + 'a {
    let own = demonstration(&answered.question.row);
    let above = move |own: String| {
        let others = answered.texts.iter().filter({
            let own = own.clone();
            move |text| text.trim() != own.trim()
        });
        others.map(move |text| row(&answered.question.prompt, &own, text))
    };
    own.into_iter().flat_map(above)
}

fn by_truth(answered: &Answered<'_>) -> Result<Vec<Option<f64>>, Error> {
    let worth = Worth::of(&answered.question.row)?;
    Ok(answered.texts.iter().map(|text| Some(worth.of_answer(text))).collect())
}

/// The first of the best answers and the first of the worst; nothing where all that are known are worth the same, or say the same.
fn best_and_worst(texts: &[String], scores: &[Option<f64>]) -> Option<(usize, usize)> {
    let known = || scores.iter().enumerate().filter_map(|(place, score)| Some((place, (*score)?)));
    let best = known().reduce(|best, other| if other.1 > best.1 { other } else { best })?;
    let worst = known().reduce(|worst, other| if other.1 < worst.1 { other } else { worst })?;
    (best.1 > worst.1 && texts[best.0] != texts[worst.0]).then_some((best.0, worst.0))
}

/// A row of a pair.
pub(in crate::stages) fn row(prompt: &Content, chosen: &str, rejected: &str) -> Value {
    json!({ "prompt": prompt, "chosen": prompt.answered(chosen), "rejected": prompt.answered(rejected) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::generate::answered::Question;
    use groma_data::{Location, Shape};

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn the_first_best_is_above_the_first_worst() {
        let said = texts(&["a", "b", "c", "d"]);
        let of = |scores: [Option<f64>; 4]| best_and_worst(&said, &scores);
        assert_eq!(of([Some(0.0), Some(2.0), Some(2.0), Some(0.0)]), Some((1, 0)));
        assert_eq!(of([None, Some(1.0), None, Some(-1.0)]), Some((1, 3)));
        assert_eq!((of([Some(1.0); 4]), of([None; 4])), (None, None));
        assert_eq!(best_and_worst(&texts(&["a", "a"]), &[Some(1.0), Some(0.0)]), None);
    }

    #[test]
    fn demonstrations_stand_above_what_is_said_otherwise() {
        let content = |text: &str| Content::Text(text.to_owned());
        let row = Row::completion(content("q? "), content("yes."), Location::new("rows.jsonl", 1));
        assert_eq!(row.shape, Shape::PromptCompletion);
        let question = Question { prompt: content("q? "), row };
        let answered = Answered { question: &question, texts: texts(&["no.", "yes."]) };
        let found: Vec<Value> = demonstrated(&answered).collect();
        assert_eq!(found, [json!({"prompt": "q? ", "chosen": "yes.", "rejected": "no."})]);
    }
}
