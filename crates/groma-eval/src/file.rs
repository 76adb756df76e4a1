//! A task's file: TOML, checked whole before anything is read with it.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

use crate::Error;
use crate::columns::Column;
use crate::form::{COMMON, Form, SPOKEN};
use crate::metrics::{MetricEntry, metrics};
use crate::problem::Problem;
use crate::scorers::{SCORERS, Scorer};
use crate::suggest::{closest, nearest};
use crate::task::{Data, FewShot, Reader, Task};
use crate::template::ROW;
use groma_lm::Kind;
use groma_run::{counted, is_or_are};

/// Largest task file.
pub(crate) const MAX_BYTES: usize = 256 << 10;
/// Most metrics and forms of a task.
const MOST: usize = 64;
/// What readers add to a row of several subjects.
const SUBJECT: &str = "subject";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    id: Spanned<String>,
    #[serde(default)]
    aliases: Vec<String>,
    title: String,
    paper: String,
    source: String,
    #[serde(default)]
    licence: String,
    #[serde(default)]
    section: String,
    group: Group,
    version: u32,
    mode: Option<String>,
    temperature: Option<Spanned<f32>>,
    #[serde(default)]
    data: Data,
    #[serde(default)]
    reader: ReaderName,
    scorer: Spanned<String>,
    fewshot: Option<FewShot>,
    metrics: Vec<Spanned<String>>,
    #[serde(default = "one")]
    headlines: usize,
    #[serde(default)]
    metric: BTreeMap<String, Spanned<MetricEntry>>,
    #[serde(default)]
    item: Form,
    #[serde(default, rename = "form")]
    forms: Vec<Spanned<Form>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Group {
    Alignment,
    Capability,
    Other,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReaderName {
    #[default]
    Rows,
    Subjects,
    Preferences,
    Texts,
}

/// Reads a task. `name` is the file's, for messages.
///
/// # Errors
/// [`Error::TaskFile`] with the line, what is wrong there, and what was probably meant.
pub(crate) fn parse(name: &str, source: &str) -> Result<Task, Error> {
    let fail = |(at, problem): Problem| {
        let line = 1 + source.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        Error::TaskFile { place: format!("{name}:{line}"), problem }
    };
    if source.len() > MAX_BYTES {
        return Err(fail((0, format!("the file has {}; the limit is {MAX_BYTES}", counted(source.len(), "byte")))));
    }
    let file: TaskFile = toml::from_str(source)
        .map_err(|error| fail((error.span().map_or(0, |span| span.start), suggested(error.message()))))?;
    task(file).map_err(fail)
}

/// Adds what was probably meant to serde's message about an unknown key or value.
fn suggested(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    let wrong = words.next().filter(|_| message.starts_with("unknown"));
    let meant = wrong.and_then(|wrong| nearest(wrong, words));
    let meant = meant.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    format!("{}{meant}", message.trim())
}

fn one() -> usize {
    1
}

fn task(file: TaskFile) -> Result<Task, Problem> {
    let id = file.id.get_ref();
    let at = file.id.span().start;
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err((at, format!("`id` is `{id}`; it may have letters from a to z, digits, `-`, `_` and `.`")));
    }
    let scorer = scorer(&file.scorer)?;
    let metrics = metrics(scorer, &file.metrics, file.metric, at)?;
    if !(1..=metrics.len()).contains(&file.headlines) {
        return Err((
            at,
            format!(
                "`headlines` is {}, but there {} {}",
                file.headlines,
                is_or_are(metrics.len()),
                counted(metrics.len(), "metric")
            ),
        ));
    }
    let reader = match file.reader {
        ReaderName::Rows => Reader::Rows,
        ReaderName::Subjects => Reader::Subjects,
        ReaderName::Preferences => Reader::Preferences,
        ReaderName::Texts => Reader::Texts,
    };
    if metrics.len().max(file.forms.len()) > MOST {
        return Err((at, format!("a task has at most {MOST} metrics and {MOST} forms")));
    }
    let temperature = file.temperature.map(|given| temperature(given, scorer)).transpose()?;
    let reads_rows = matches!(reader, Reader::Rows | Reader::Subjects);
    if reads_rows == file.forms.is_empty() {
        let problem = if reads_rows { "its rows have no [[form]]" } else { "its reader needs no [[form]]" };
        return Err((at, problem.to_owned()));
    }
    let mut forms = Vec::with_capacity(file.forms.len());
    for form in file.forms {
        let at = form.span().start;
        let form = form.into_inner().or(&file.item);
        check(&form, at, scorer, reader)?;
        forms.push(form);
    }
    Ok(Task {
        aliases: file.aliases,
        title: file.title,
        paper: file.paper,
        source: file.source,
        licence: file.licence,
        section: file.section,
        group: match file.group {
            Group::Alignment => groma_run::Group::Alignment,
            Group::Capability => groma_run::Group::Capability,
            Group::Other => groma_run::Group::Other,
        },
        version: file.version,
        digest: None,
        path: None,
        mode: file.mode.unwrap_or_else(|| scorer.mode.to_owned()),
        temperature,
        data: file.data,
        reader,
        forms,
        fewshot: file.fewshot,
        scorer,
        metrics,
        headlines: file.headlines,
        id: file.id.into_inner(),
    })
}

fn scorer(name: &Spanned<String>) -> Result<&'static Scorer, Problem> {
    let found = SCORERS.iter().find(|scorer| scorer.id == name.get_ref());
    let names = SCORERS.iter().map(|scorer| scorer.id);
    let unknown = || format!("there is no scorer `{}`{}", name.get_ref(), closest(name.get_ref(), names));
    found.copied().ok_or_else(|| (name.span().start, unknown()))
}

fn temperature(given: Spanned<f32>, scorer: &Scorer) -> Result<f32, Problem> {
    let (at, temperature) = (given.span().start, given.into_inner());
    if scorer.kind != Kind::Generate {
        return Err((at, format!("the scorer `{}` draws no answers, so that no `temperature` is read", scorer.id)));
    }
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err((at, format!("`temperature` is {temperature}; it must be above 0")));
    }
    Ok(temperature)
}

/// Whether a form has what the scorer needs, and nothing that is never read.
fn check(form: &Form, at: usize, scorer: &Scorer, reader: Reader) -> Result<(), Problem> {
    let called = if form.name.is_empty() { String::new() } else { format!("form `{}`: ", form.name) };
    if form.name.is_empty() || form.required().is_empty() {
        return Err((at, format!("{called}a form needs a `name` and `columns`")));
    }
    let has = |part: &str| form.parts().any(|(name, _)| name == part);
    let told: &[&str] = if scorer.kind == Kind::Generate { SPOKEN } else { &[] };
    // A conversation stands for the prompt, and truth that a row brings for whatever the scorer would score by.
    let spared = |need: &str| has("truth") || (need == "prompt" && has("conversation"));
    if has("truth") && !has("prompt") && !has("conversation") {
        return Err((at, format!("{called}`truth` needs a `prompt` or a `conversation`")));
    }
    for need in scorer.needs {
        if !has(need) && !spared(need) {
            return Err((at, format!("{called}the scorer `{}` needs `{need}`", scorer.id)));
        }
    }
    let mut used = scorer.needs.iter().chain(scorer.reads).chain(COMMON).chain(told);
    if let Some((name, at)) = form.parts().find(|(name, _)| !used.clone().any(|part| part == name)) {
        let parts = used.by_ref().copied().collect::<Vec<_>>().join(", ");
        return Err((at, format!("{called}the scorer `{}` reads no `{name}`; it reads {parts}", scorer.id)));
    }
    if let (Some(judged), Ok(judging)) = (&scorer.judge, form.judging()) {
        let at = form.parts().find(|(name, _)| *name == "judging").map_or(at, |(_, at)| at);
        judging.check(judged.answers).map_err(|problem| (at, format!("{called}`judging`: {problem}")))?;
    }
    let paths = || form.columns.iter().map(|column| column.path.as_str());
    for (part, at, column) in form.named_columns() {
        if !paths().any(|path| path == column) {
            let meant = closest(column, paths().collect::<Vec<_>>());
            return Err((
                at,
                format!("{called}`{part}` is the column `{column}`, which is none of its columns{meant}"),
            ));
        }
    }
    let mut known: BTreeSet<&str> = form.columns.iter().map(Column::top).chain([ROW]).collect();
    if reader == Reader::Subjects {
        known.insert(SUBJECT);
    }
    for (part, at, text) in form.texts() {
        if let Some(name) = text.names().iter().find(|name| !known.contains(name.as_str())) {
            let meant = closest(name, known.iter().copied());
            return Err((at, format!("{called}`{part}` reads `{name}`, which is none of its columns{meant}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"
id = "mine"
title = "t"
paper = "p"
source = "s"
group = "capability"
version = 1
scorer = "choice"
metrics = ["acc", "halves"]

[metric.halves]
title = "half as good"
of = "ratio"
sums = ["acc", "choice"]
better = "higher"

[item]
choices = ["a", "b"]

[[form]]
name = "rows"
columns = ["question", "answer: number", "hint: text?"]
prompt = "{{ hint }}{{ question }}"
gold = "{{ answer }}"
"#;

    fn problem(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        parse("mine.toml", &GOOD.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn a_file_becomes_a_task() {
        let task = parse("mine.toml", GOOD).unwrap();
        let halves = task.metric("halves").unwrap();
        assert_eq!((halves.scores(), halves.statistic.formula.id), (vec!["acc", "choice"], "ratio"));
        assert_eq!((task.expected().as_str(), task.mode.as_str()), ("question, answer (rows)", task.scorer.mode));
    }

    #[test]
    fn errors_name_line_key_and_what_was_meant() {
        let cases = [
            (
                "scorer = \"choice\"",
                "scorer = \"choise\"",
                "mine.toml:8: there is no scorer `choise`; did you mean `choice`?",
            ),
            ("title = \"t\"", "titel = \"t\"", "mine.toml:3: unknown field `titel`"),
            ("title = \"t\"", "titel = \"t\"", "did you mean `title`?"),
            ("\"acc\", \"halves\"", "\"akk\", \"halves\"", "mine.toml:9: the scorer `choice` has no metric `akk`"),
            ("[\"acc\", \"halves\"]", "[\"acc\"]", "mine.toml:11: `metrics` does not list `halves`"),
            ("\"ratio\"", "\"ration\"", "mine.toml:13: there is no formula `ration`; did you mean `ratio`?"),
            ("[\"acc\", \"choice\"]", "[\"acc\"]", "`ratio` is made of 2 sums, but `sums` has 1"),
            (
                "{{ question }}",
                "{{ qestion }}",
                "mine.toml:23: form `rows`: `prompt` reads `qestion`, which is none of its columns; did you mean `question`?",
            ),
            ("{{ question }}", "{{ question", "mine.toml:23:"),
            ("prompt = ", "promt = ", "mine.toml:20: a form has no `promt`; did you mean `prompt`?"),
            ("prompt = ", "accepted = ", "mine.toml:23: form `rows`: the scorer `choice` reads no `accepted`"),
            ("gold = \"{{ answer }}\"", "", "mine.toml:20: form `rows`: the scorer `choice` needs `gold`"),
            ("answer: number", "answer: numer", "mine.toml:22: `numer` is no kind of column; did you mean `number`?"),
            ("gold = \"{{ answer }}\"", "gold = { text = \"x\" }", "either `text` and `among`"),
            ("gold = \"{{ answer }}\"", "gold = -1", "a choice has a number from 0"),
            ("gold = \"{{ answer }}\"", "gold = \"0\"\nharmful = true", "reads no `harmful`"),
            ("id = \"mine\"", "id = \"../mine\"", "mine.toml:2: `id` is `../mine`"),
            (
                "gold = \"{{ answer }}\"",
                "gold = { marked = \"answr\" }",
                "`gold` is the column `answr`, which is none of its columns; did you mean `answer`?",
            ),
            ("version = 1", "version = -1", "mine.toml:7:"),
            ("group = \"capability\"", "group = \"capable\"", "did you mean `capability`?"),
            ("columns = [\"question\", \"answer: number\", \"hint: text?\"]", "", "needs a `name` and `columns`"),
        ];
        for (from, to, expected) in cases {
            let found = problem(from, to);
            assert!(found.contains(expected), "{from} -> {to}: {found}");
        }
        let large = format!("# {}", "x".repeat(MAX_BYTES));
        assert!(parse("mine.toml", &large).unwrap_err().to_string().contains("the limit is"));
    }

    proptest! {
        /// Whatever is cut out of a file or put into it, there is an answer.
        #[test]
        fn hostile_files_are_refused(at in 0..GOOD.len(), cut in 0..40usize, put in "[\\[\\]{}\"=,.a-z0-9\n%-]{0,12}") {
            let end = (at + cut).min(GOOD.len());
            let text = [&GOOD[..at], &put, &GOOD[end..]].concat();
            let _ = parse("mine.toml", &text);
        }

        #[test]
        fn deep_files_are_refused(depth in 1..20_000usize) {
            let text = format!("id = {}1{}", "[".repeat(depth), "]".repeat(depth));
            prop_assert!(parse("mine.toml", &text).is_err());
        }
    }
}
