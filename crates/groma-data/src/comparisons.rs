//! Rows of public comparisons whose answers stand in columns of their own, and whose better one is a number: PKU-SafeRLHF, SHP, WebGPT's and
//! those of summaries. Each becomes a pair, the better answer first.

use crate::Content;
use crate::pair::{pair, with_labels};
use crate::reader::{Made, RowReader, same_form};
use crate::row::Row;
use serde_json::{Map, Value};

/// The response that is less safe, then the other; labels say which are unsafe.
pub(crate) fn cost(row: &mut RowReader) -> Made<Row> {
    let responses = two_responses(row)?;
    let unsafe_0 = !row.flag("is_response_0_safe")?;
    let unsafe_1 = !row.flag("is_response_1_safe")?;
    let (prompt, first, second) = responses;
    match row.number("safer_response_id")? {
        0.0 => Ok(with_labels(pair((prompt, second, first), None)?, Some([unsafe_1, unsafe_0]))),
        1.0 => Ok(with_labels(pair((prompt, first, second), None)?, Some([unsafe_0, unsafe_1]))),
        other => Err(format!("`safer_response_id` must be 0 or 1, found {other}")),
    }
}

fn two_responses(row: &mut RowReader) -> Made<(Content, Content, Content)> {
    let prompt = row.prompt()?;
    let first = row.answer("response_0", &prompt)?;
    let second = row.answer("response_1", &prompt)?;
    same_form(&prompt, "response_0", &first)?;
    same_form(&prompt, "response_1", &second)?;
    Ok((prompt, first, second))
}

/// PKU-SafeRLHF's rows: two responses and the number of the better one.
pub(crate) fn numbered(row: &mut RowReader) -> Made<Row> {
    let (prompt, first, second) = two_responses(row)?;
    match row.number("better_response_id")? {
        0.0 => pair((prompt, first, second), None),
        1.0 => pair((prompt, second, first), None),
        other => Err(format!("`better_response_id` must be 0 or 1, found {other}")),
    }
}

/// Stanford's human preferences: a post's `history` and two comments, of which `labels` names the better one (1 the first, 0 the second).
pub(crate) fn human_preferences(row: &mut RowReader) -> Made<Row> {
    let post = row.asked("history", None)?;
    let first_is_better = match row.number("labels")? {
        0.0 => false,
        1.0 => true,
        other => return Err(format!("`labels` must be 0 or 1, found {other}")),
    };
    better_first(row, post, ["human_ref_A", "human_ref_B"], first_is_better)
}

/// Comparisons of WebGPT: a question and two answers with their scores.
pub(crate) fn scored_answers(row: &mut RowReader) -> Made<Row> {
    if let Some(Value::Object(question)) = row.fields.get_mut("question") {
        let text = question.remove("full_text").unwrap_or_default();
        row.fields.insert("question".into(), text);
    }
    let question = row.asked("question", None)?;
    let [first, second] = [row.number("score_0")?, row.number("score_1")?];
    if first == second {
        return Err("neither answer is better: `score_0` is `score_1`".to_owned());
    }
    better_first(row, question, ["answer_0", "answer_1"], first > second)
}

/// Comparisons of summaries: what is known of a post, two summaries, and the number of the better one. The prompt is that of Stiennon et al.
/// 2020 (table 9).
pub(crate) fn summaries(row: &mut RowReader) -> Made<Row> {
    let Value::Object(post) = row.take("info")? else { return Err("`info` must be an object".to_owned()) };
    for (at, summary) in row.list("summaries")?.into_iter().enumerate() {
        let Value::Object(mut summary) = summary else { return Err("`summaries` must hold objects".to_owned()) };
        let Some(Value::String(text)) = summary.remove("text") else {
            return Err("`summaries` must hold objects with a `text`".to_owned());
        };
        row.fields.insert(format!("summary_{at}"), Value::String(format!(" {}", text.trim())));
    }
    let first_is_better = match row.number("choice")? {
        0.0 => true,
        1.0 => false,
        other => return Err(format!("`choice` must be 0 or 1, found {other}")),
    };
    better_first(row, Content::Text(asked_of(&post)?), ["summary_0", "summary_1"], first_is_better)
}

fn asked_of(post: &Map<String, Value>) -> Made<String> {
    let said = |name: &str| post.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(article) = said("article") {
        return Ok(format!("Article: {article}\n\nTL;DR:"));
    }
    let text = said("post").ok_or("`info` must have a `post` or an `article`")?;
    let subreddit = said("subreddit").map_or(String::new(), |name| format!("SUBREDDIT: r/{name}\n\n"));
    let title = said("title").map_or(String::new(), |title| format!("TITLE: {title}\n\n"));
    Ok(format!("{subreddit}{title}POST: {text}\n\nTL;DR:"))
}

fn better_first(row: &mut RowReader, prompt: Content, answers: [&str; 2], first_is_better: bool) -> Made<Row> {
    let [first, second] = [row.answer(answers[0], &prompt)?, row.answer(answers[1], &prompt)?];
    pair(if first_is_better { (prompt, first, second) } else { (prompt, second, first) }, None)
}
