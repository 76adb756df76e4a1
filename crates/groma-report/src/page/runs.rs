//! Any number of runs side by side.

use maud::{Markup, html};

use super::samples::text;
use crate::changed::ChangedAnswer;
use crate::compared::{Contender, RunsCompared, RunsRow, Standing};
use crate::effect::RULE;
use crate::format::{count, counted};
use crate::page::forest::class_of;
use crate::page::sections::sentences;
use crate::reading::Reading;
use crate::row::{in_words, shown_metric};
use crate::table::{direction, group_name};
use crate::text::{clip, for_page};

/// Changed answers of one task that are shown.
const MOST_ANSWERS: usize = 60;
/// Settings that are shown.
const MOST_SETTINGS: usize = 300;

/// A row a measure, a column a run.
pub(super) fn standing(compared: &RunsCompared, standing: &Standing) -> Markup {
    let groups: Vec<&[RunsRow]> = standing.rows.chunk_by(|a, b| a.group == b.group).collect();
    html! {
        div.scroll { table.headline {
            thead { tr {
                th scope="col" { "Measure" }
                @for name in &compared.runs { th.number scope="col" { (for_page(name)) } }
            } }
            @for rows in groups {
                tbody {
                    tr.group { th colspan=(compared.runs.len() + 1) scope="rowgroup" { (group_name(rows[0].group)) } }
                    @for row in rows { (measure(row, &compared.runs)) }
                }
            }
        } }
        p.quiet {
            "★ is better than every other run, at 95% for all of them together, and not negligibly. Changes are from "
            (for_page(&compared.runs[0])) ", with 95% intervals, over the same items, one by one, unless marked *. " (RULE)
        }
        (sentences(&standing.notes))
    }
}

fn measure(row: &RunsRow, names: &[String]) -> Markup {
    html! {
        tr {
            th scope="row" {
                (for_page(&row.task)) " "
                @if let Some(metric) = shown_metric(&row.task, &row.metric) { span.metric { (for_page(metric)) } " " }
                span.metric { (direction(row.higher_is_better)) }
                @if !row.factors.is_empty() { span.mode { (for_page(&in_words(&row.factors))) } }
            }
            @for (place, (of, name)) in row.runs.iter().zip(names).enumerate() {
                td.number data-label=(for_page(name)) { (contender(of.as_ref(), row, row.best == Some(place))) }
            }
        }
    }
}

fn contender(of: Option<&Contender>, row: &RunsRow, is_best: bool) -> Markup {
    let digits = row.digits();
    html! {
        @match of {
            None => span.quiet { "–" },
            Some(of) => {
                span.value {
                    @if is_best { span.star title="clearly the best" { "★ " } }
                    (digits.value(of.side.value, row.unit))
                }
                span.interval {
                    @if let Some(interval) = &of.side.interval { (digits.interval(interval, row.unit)) " " }
                    "n " (count(of.side.n))
                }
                @if let (Some(change), Some(reading)) = (&of.change, of.reading) {
                    span class=(format!("reading {}", class_of(reading))) {
                        (reading.mark()) " " (digits.difference(change.difference, row.unit)) @if !change.paired { "*" }
                        @if let Some(size) = of.size.filter(|_| reading.is_clear()) { ", " (size.word()) }
                    }
                }
            },
        }
    }
}

/// A row a setting, a column a run.
pub(super) fn settings(compared: &RunsCompared) -> Option<Markup> {
    let table = html! {
        div.scroll { table.plain {
            thead { tr { th scope="col" { "Setting" } @for name in &compared.runs { th scope="col" { (for_page(name)) } } } }
            tbody { @for of in compared.settings.iter().take(MOST_SETTINGS) {
                tr {
                    th scope="row" { code { (for_page(&of.setting)) } }
                    @for value in &of.values { td { (for_page(value.as_deref().unwrap_or("–"))) } }
                }
            } }
        } }
    };
    (!compared.settings.is_empty()).then_some(table)
}

/// How many items each task shares.
pub(super) fn shared(compared: &RunsCompared) -> Option<Markup> {
    let list = html! {
        ul.notes { @for of in &compared.shared {
            li {
                (for_page(&of.task)) ", " (for_page(&of.run)) ": " (counted(of.shared, "item")) " of " (count(of.first))
                " and " (count(of.second))
            }
        } }
    };
    (!compared.shared.is_empty()).then_some(list)
}

/// The answers that changed, task by task.
pub(super) fn answers(compared: &RunsCompared) -> Option<Markup> {
    let list = html! {
        @for of in &compared.answers {
            @let task = &of.of_task;
            details open[compared.answers.len() == 1] {
                summary {
                    (for_page(&of.run)) ", " (for_page(&task.task)) ": " (count(task.changed)) " of " (count(task.shared))
                    " changed, " (count(task.better)) " better and " (count(task.worse)) " worse by " (for_page(&task.metric))
                }
                @for answer in task.examples.iter().take(MOST_ANSWERS) { (card(answer, &compared.runs[0], &of.run)) }
                @if task.changed > MOST_ANSWERS as u64 {
                    p.quiet { (count(task.changed - MOST_ANSWERS as u64)) " more are in the JSON of groma compare." }
                }
            }
        }
    };
    (!compared.answers.is_empty()).then_some(list)
}

fn card(answer: &ChangedAnswer, left: &str, right: &str) -> Markup {
    let reading = match answer.better {
        Some(true) => Some(Reading::Better),
        Some(false) => Some(Reading::Worse),
        None => None,
    };
    html! {
        article.sample {
            header {
                span.id { (for_page(clip(&answer.id, 80).0)) }
                @if let Some(reading) = reading { " " span class=(format!("badge {}", class_of(reading))) { (reading.mark()) " " (reading.words()) } }
            }
            @if let Some(prompt) = &answer.prompt { div.prompt dir="auto" { (text(prompt)) } }
            div.sides {
                @for (name, said, score) in [
                    (left, &answer.left, answer.scores.map(|scores| scores.0)),
                    (right, &answer.right, answer.scores.map(|scores| scores.1)),
                ] {
                    section.side {
                        div.label {
                            (for_page(name)) @if let Some(score) = score { " " span.badge { "score " (crate::format::plain(score)) } }
                        }
                        @if let Some(said) = said { div.answer dir="auto" { (text(said)) } }
                    }
                }
            }
        }
    }
}
