//! Rows in a model's tokens, as instruments read them.

use std::path::Path;

use groma_data::{Content, Row, Shape, Truth};
use groma_interp::Case;
use groma_lm::Encoder;
use groma_run::Seed;
use serde_json::Value;

use crate::Error;
use crate::reading::Reading;
use crate::records::Chosen;
use crate::rows::{question, read_rows};

/// The column with a right answer, where the row's shape has none.
const GOLD: &str = "gold";
/// The column with what answers can be found to do.
const TRUTH: &str = "truth";

/// How rows become cases.
#[derive(Clone, Copy)]
pub(crate) struct Casing<'a> {
    /// The model's tokens.
    pub(crate) encoder: &'a Encoder<'a>,
    /// The longest that it reads.
    pub(crate) max_positions: usize,
    /// At most so many rows.
    pub(crate) limit: Option<usize>,
    /// The column by which rows belong together.
    pub(crate) cluster: Option<&'a str>,
    /// Draws them.
    pub(crate) seed: Seed,
}

/// The rows of a file that are meant, in tokens; and how many were longer than the model reads.
///
/// # Errors
/// Those of reading and encoding, and [`Error::Recipe`] where no row is meant.
pub(crate) fn cases(path: &Path, chosen: &Chosen, how: Casing<'_>) -> Result<(Vec<Case>, u64), Error> {
    let rows = chosen_rows(path, chosen, how.limit, how.seed)?;
    let all = rows.iter().map(|row| case(row, how)).collect::<Result<Vec<_>, _>>()?;
    let count = all.len();
    let fit: Vec<Case> =
        all.into_iter().filter(|case| case.prompt.len() + case.answer.len() <= how.max_positions).collect();
    let left_out = (count - fit.len()) as u64;
    Ok((fit, left_out))
}

/// The rows of a file that are meant.
///
/// # Errors
/// As for [`cases`].
pub(crate) fn chosen_rows(path: &Path, chosen: &Chosen, limit: Option<usize>, seed: Seed) -> Result<Vec<Row>, Error> {
    let rows = read_rows(path, Shape::ALL, None, seed, &Reading::default())?.rows;
    let is_meant = |row: &Row| chosen.only().all(|(column, value)| text_of(row, column).as_deref() == Some(value));
    let meant: Vec<Row> = rows.into_iter().filter(is_meant).collect();
    if meant.is_empty() {
        let wanted: Vec<String> = chosen.only().map(|(column, value)| format!("{column} = {value}")).collect();
        let problem = format!("{} has no row with {}", path.display(), wanted.join(" and "));
        return Err(Error::Recipe { name: chosen.rows().to_owned(), problem });
    }
    let Some(limit) = limit.filter(|limit| *limit < meant.len()) else { return Ok(meant) };
    let mut places = groma_data::sample(meant.len(), limit, seed.named("limit"));
    places.sort_unstable();
    Ok(meant
        .into_iter()
        .enumerate()
        .filter(|(place, _)| places.binary_search(place).is_ok())
        .map(|(_, row)| row)
        .collect())
}

/// Whole texts in tokens, cut to what the model reads.
///
/// # Errors
/// Those of reading and encoding.
pub(crate) fn texts(path: &Path, name: &str, how: Casing<'_>) -> Result<Vec<Vec<u32>>, Error> {
    let (found, _) = cases(path, &Chosen::All(name.to_owned()), Casing { max_positions: usize::MAX, ..how })?;
    let whole = |case: Case| {
        let mut ids = [case.prompt, case.answer].concat();
        ids.truncate(how.max_positions);
        ids
    };
    Ok(found.into_iter().map(whole).filter(|ids| ids.len() > 1).collect())
}

fn case(row: &Row, how: Casing<'_>) -> Result<Case, Error> {
    let (location, prompt, answer) = question(row);
    let asked = prompt.clone().unwrap_or_else(|| answer.clone());
    let answer = if prompt.is_some() { right_answer(row, &asked, answer) } else { None };
    let (prompt, answer) = match answer {
        Some(answer) => {
            let tokens = how.encoder.reply(&asked, &answer)?;
            (tokens.prompt, tokens.completion)
        }
        None => (how.encoder.prompt(&asked)?, Vec::new()),
    };
    let truth = row.other.get(TRUTH).and_then(|truth| serde_json::from_value::<Truth>(truth.clone()).ok());
    let id = text_of(row, "id").unwrap_or(location);
    let cluster = how.cluster.and_then(|column| text_of(row, column)).unwrap_or_else(|| id.clone());
    let word = last_word(&asked);
    Ok(Case { id, prompt, answer, truth: truth.unwrap_or_default(), word, cluster })
}

/// The answer that the row has, or else what its column `gold` says.
fn right_answer(row: &Row, asked: &Content, answer: Content) -> Option<Content> {
    if !answer.plain().is_empty() {
        return Some(answer);
    }
    row.other.get(GOLD).and_then(Value::as_str).map(|gold| asked.answered(gold))
}

fn text_of(row: &Row, column: &str) -> Option<String> {
    row.other.get(column).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn last_word(content: &Content) -> String {
    let text = content.plain();
    let mut words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.next_back().map(str::to_lowercase).unwrap_or_default()
}
