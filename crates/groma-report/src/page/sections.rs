//! The parts of the page that are lists and tables.

use crate::format;
use crate::headline::{Headline, all_subjects};
use crate::page::forest::class_of;
use crate::row::{HeadlineRow, Side, in_words, shown_metric};
use crate::table::group_name;
use crate::text::{clip, for_page};
use groma_run::{Check, CheckKind, Event, EventKind, Finding, Measurement, RunRecords, Severity, Status};
use maud::{Markup, html};

/// Rows of one list that are shown.
const MOST_ROWS: usize = 300;
/// Characters of a configuration that are shown.
const MOST_CHARS: usize = 100_000;

pub(super) fn table(headline: &Headline) -> Markup {
    html! {
        (rows_table(&headline.rows, headline))
        p.quiet {
            "↑ more is better, ↓ less is better. Brackets are 95% intervals"
            @if headline.compares() {
                "; the change is over the same items, one by one, unless marked *. An interval of the change that holds 0 is "
                "“no clear change”; below 10 items nothing is said"
            }
            "."
            @if headline.compares() { " " (crate::effect::RULE) }
        }
        (sentences(&headline.notes))
        @if !headline.further.is_empty() {
            details {
                summary { "Further measures of the same tasks (" (headline.further.len()) ")" }
                (rows_table(&headline.further, headline))
            }
        }
    }
}

fn rows_table(rows: &[HeadlineRow], headline: &Headline) -> Markup {
    let groups: Vec<_> = rows.chunk_by(|a, b| a.group == b.group).collect();
    let columns = if headline.compares() { "6" } else { "3" };
    html! {
        table.headline {
            thead { tr {
                th scope="col" { "Measure" }
                th.number scope="col" { (for_page(&headline.left)) }
                @if headline.compares() {
                    th.number scope="col" { (for_page(&headline.right)) }
                    th.number scope="col" { "Change" }
                    th scope="col" { "Reading" }
                }
                th.number scope="col" { "n" }
            } }
            @for rows in groups {
                tbody {
                    tr.group { th colspan=(columns) scope="rowgroup" { (group_name(rows[0].group)) } }
                    @for row in rows.iter().take(MOST_ROWS) { (table_row(row, headline)) }
                }
            }
        }
    }
}

fn table_row(row: &HeadlineRow, headline: &Headline) -> Markup {
    let direction = match row.higher_is_better {
        Some(true) => "more is better",
        Some(false) => "less is better",
        None => "neither way is good",
    };
    html! {
        tr {
            th scope="row" {
                (for_page(&row.task)) " "
                @if let Some(metric) = shown_metric(&row.task, &row.metric) { span.metric { (for_page(metric)) } " " }
                span.metric title=(direction) { (crate::table::direction(row.higher_is_better)) }
                @if !row.factors.is_empty() { span.mode { (for_page(&in_words(&row.factors))) } }
                @if !row.mode.is_empty() { span.mode { (for_page(&row.mode)) } }
                @if let Some(chance) = row.chance { span.mode { "chance " (format::value(chance, row.unit)) } }
            }
            td.number data-label=(for_page(&headline.left)) { (side(row.before.as_ref(), row)) }
            @if headline.compares() {
                td.number data-label=(for_page(&headline.right)) { (side(row.after.as_ref(), row)) }
                td.number data-label="Change" { (change(row)) }
                td data-label="Reading" {
                    span class=(format!("reading {}", class_of(row.reading))) { (row.reading.mark()) " " (row.reading.words()) @if let Some(size) = row.clear_size() { ", " (size.word()) } }
                    @if let Some(p) = row.change.as_ref().and_then(|change| change.p_value) {
                        span.interval { (format::p_value(p)) }
                    }
                }
            }
            td.number data-label="n" { (format::count(items(row))) }
        }
    }
}

fn items(row: &HeadlineRow) -> u64 {
    let sides = [&row.before, &row.after].into_iter().flatten().map(|side| side.n);
    row.change.as_ref().map(|change| change.n).or(sides.min()).unwrap_or(0)
}

fn side(side: Option<&Side>, row: &HeadlineRow) -> Markup {
    html! {
        @match side {
            None => span.quiet { "–" },
            Some(side) => {
                span.value { (row.digits().value(side.value, row.unit)) }
                @if let Some(interval) = &side.interval {
                    span.interval title=(for_page(&interval.method)) { (row.digits().interval(interval, row.unit)) }
                }
            },
        }
    }
}

fn change(row: &HeadlineRow) -> Markup {
    html! {
        @match &row.change {
            None => span.quiet { "n/a" },
            Some(change) => {
                span.value title=(for_page(&change.method)) {
                    (row.digits().difference(change.difference, row.unit)) @if !change.paired { "*" }
                }
                @if let Some(interval) = &change.interval {
                    span.interval { (row.digits().difference_interval(interval, row.unit)) }
                }
            },
        }
    }
}

/// Short sentences, one below the other.
pub(super) fn sentences(lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            ul.notes {
                @for line in lines.iter().take(MOST_ROWS) { li { (for_page(line)) } }
                @if lines.len() > MOST_ROWS { li { (lines.len() - MOST_ROWS) " more" } }
            }
        }
    }
}

/// Null controls, gates, identities; those that failed first.
pub(super) fn checks(events: &[Event]) -> Option<Markup> {
    let mut checks: Vec<&Check> = events.iter().filter_map(|event| event.check.as_ref()).collect();
    if checks.is_empty() {
        return None;
    }
    checks.sort_by_key(|check| (check.passed == Some(true), check.passed.is_none()));
    Some(html! {
        ul.checks {
            @for check in checks.iter().take(MOST_ROWS) {
                @let (class, mark) = match check.passed {
                    Some(true) => ("passed", "✓ held"),
                    Some(false) => ("failed", "✗ failed"),
                    None => ("unclear", "? not carried out"),
                };
                li {
                    span class=(format!("state {class}")) { (mark) }
                    div {
                        strong { (for_page(&check.name)) } " " span.badge { (kind(check.kind)) }
                        div { "Expected: " (for_page(&check.expected)) }
                        div { "Found: " (for_page(&check.found))
                            @if let Some(value) = check.value { " (" (value_or_reason(value)) ")" } }
                    }
                }
            }
        }
    })
}

fn value_or_reason(value: f64) -> String {
    match value {
        v if v.is_nan() => "n/a: not a number".into(),
        v if v.is_infinite() => "n/a: infinite".into(),
        v => format::plain(v),
    }
}

fn kind(kind: CheckKind) -> &'static str {
    match kind {
        CheckKind::NullControl => "null control",
        CheckKind::Gate => "gate",
        CheckKind::Identity => "identity",
        CheckKind::Other => "check",
    }
}

/// What the pre-flight check found, the gravest first.
pub(super) fn findings(events: &[Event]) -> Option<Markup> {
    let mut findings: Vec<&Finding> = Vec::new();
    // Stages that read the same rows find the same.
    for finding in events.iter().filter_map(|event| event.finding.as_ref()) {
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let (passed, found): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.severity == Severity::Passed);
    if findings.is_empty() {
        return None;
    }
    let mut names: Vec<_> = passed.iter().map(|finding| for_page(&finding.check)).collect();
    names.dedup();
    Some(html! {
        ul.checks {
            @for finding in found.iter().take(MOST_ROWS) { (one_finding(finding)) }
        }
        @if !names.is_empty() { p { span.state.passed { "✓ in order" } " " (names.join(", ")) } }
    })
}

fn one_finding(finding: &Finding) -> Markup {
    let (class, mark) = match finding.severity {
        Severity::Error => ("failed", "✗ error"),
        Severity::Warning => ("warned", "! warning"),
        Severity::Note => ("unclear", "i note"),
        Severity::Passed => ("passed", "✓ in order"),
    };
    html! {
        li {
            span class=(format!("state {class}")) { (mark) }
            div {
                strong { (for_page(&finding.check)) } " "
                span.quiet { (format::count(finding.count)) " of " (format::count(finding.total)) }
                div { (for_page(&finding.message)) }
                @if !finding.places.is_empty() {
                    div.quiet { "First: " @for place in finding.places.iter().take(5) { code { (for_page(place)) } " " } }
                }
                @if let Some(remedy) = &finding.remedy { div { "Remedy: " (for_page(remedy)) } }
            }
        }
    }
}

/// Warnings that were noted on the way.
pub(super) fn warnings(events: &[Event]) -> Vec<String> {
    let warnings = events.iter().filter(|event| event.kind == EventKind::Warning);
    warnings.filter_map(|event| Some(format!("{}: {}", event.stage, event.message.as_ref()?))).collect()
}

/// What was run, on what, and how to run it again.
pub(super) fn what_was_run(records: &RunRecords) -> Markup {
    let manifest = &records.manifest;
    let machine = &manifest.machine;
    let memory = machine.memory_bytes.map_or(String::new(), |bytes| format!(", {} memory", format::bytes(bytes)));
    let seeds: Vec<_> = manifest.seeds.iter().map(|(name, seed)| format!("{} {seed}", for_page(name))).collect();
    html! {
        div.copy { pre.command { (for_page(&shell(&manifest.command))) } }
        dl {
            dt { "groma" } dd { (for_page(&manifest.groma)) }
            dt { "Seed" } dd { (manifest.seed) @if !seeds.is_empty() { "; " (seeds.join(", ")) } }
            dt { "Started" } dd { (manifest.started) @if manifest.resumed > 0 { ", resumed " (format::counted(manifest.resumed.into(), "time")) } }
            @if let Some(finished) = manifest.finished { dt { "Ended" } dd { (finished) } }
            dt { "Machine" }
            dd {
                (for_page(machine.cpu.as_deref().unwrap_or("unknown processor"))) ", " (machine.threads) " of "
                (format::counted(machine.cores as u64, "core")) (memory) ", " (for_page(&machine.system))
                @if let Some(kernels) = &manifest.kernels { "; kernels " (for_page(kernels)) }
                @if !machine.cpu_features.is_empty() { div.quiet { (for_page(&machine.cpu_features.join(" "))) } }
            }
        }
        (inputs(records))
        (stages(records))
        (notes(&records.events))
    }
}

fn inputs(records: &RunRecords) -> Markup {
    html! {
        @if !records.manifest.inputs.is_empty() {
            h3 { "Read" }
            div.scroll { table.plain {
                thead { tr { th { "What" } th { "Name" } th { "Size" } th { "Digest (BLAKE3)" } } }
                tbody { @for input in records.manifest.inputs.iter().take(MOST_ROWS) {
                    tr {
                        td { (for_page(&input.role)) }
                        td {
                            (for_page(&input.name))
                            @if let Some(revision) = &input.revision { " " code { (for_page(revision)) } }
                            @if let Some(note) = &input.note { div.quiet { (for_page(note)) } }
                        }
                        td { @if let Some(bytes) = input.bytes { (format::bytes(bytes)) } }
                        td { code.digest { (input.digest) } }
                    }
                } }
            } }
        }
    }
}

fn stages(records: &RunRecords) -> Markup {
    html! {
        @if !records.manifest.stages.is_empty() {
            h3 { "Stages" }
            div.scroll { table.plain {
                thead { tr { th { "Stage" } th { "State" } th.number { "Time" } th.number { "Tokens" } th { "Key" } } }
                tbody { @for stage in records.manifest.stages.iter().take(MOST_ROWS) {
                    tr {
                        td { (for_page(&stage.name)) }
                        td { (status(stage.status)) }
                        td.number { (format::seconds(stage.seconds)) }
                        td.number { @if stage.tokens > 0 { (format::count(stage.tokens)) } @else { "–" } }
                        td { code { (stage.key.short()) } }
                    }
                } }
            } }
        }
    }
}

/// What is good to know of a stage: how rows were read, where time went.
fn notes(events: &[Event]) -> Markup {
    let mut notes: Vec<(&str, &str)> = Vec::new();
    for event in events.iter().filter(|event| event.kind == EventKind::Note) {
        let note = (event.stage.as_str(), event.message.as_deref().unwrap_or_default());
        if !notes.contains(&note) && notes.len() < MOST_ROWS {
            notes.push(note);
        }
    }
    html! {
        @if !notes.is_empty() {
            h3 { "Notes" }
            ul { @for (stage, note) in notes { li { (for_page(stage)) ": " (for_page(note)) } } }
        }
    }
}

/// The resolved configuration, and all numbers, as JSON.
pub(super) fn raw(records: &RunRecords, headline: &Headline) -> Markup {
    let json = |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap_or_else(|error| error.to_string());
    let config = json(&|| serde_json::to_string_pretty(&records.manifest.config));
    let numbers = json(&|| serde_json::to_string_pretty(headline));
    html! {
        details { summary { "Resolved configuration" } div.copy { pre { (clipped(&config)) } } }
        (all_measurements(&records.measurements))
        details { summary { "The headline table as JSON" } div.copy { pre { (clipped(&numbers)) } } }
    }
}

fn clipped(text: &str) -> Markup {
    let (shown, more) = clip(text, MOST_CHARS);
    html! { (for_page(shown)) @if more { "\n… the rest is in the run directory" } }
}

fn all_measurements(rows: &[Measurement]) -> Markup {
    html! {
        @if !rows.is_empty() {
            details {
                summary {
                    "All " (format::counted(rows.len() as u64, "measurement")) " of "
                    (all_subjects(rows).iter().map(|subject| for_page(subject)).collect::<Vec<_>>().join(", "))
                }
                div.scroll { table.plain {
                    thead { tr {
                        th { "Subject" } th { "Task" } th { "Metric" } th.number { "Value" } th { "Interval" } th.number { "n" }
                        th { "Mode" } th.number { "Time" } th.number { "Tokens" } th { "Items" }
                    } }
                    tbody { @for row in rows.iter().take(MOST_ROWS) { (measurement(row)) } }
                } }
                @if rows.len() > MOST_ROWS { p.quiet { (rows.len() - MOST_ROWS) " more are in measurements.jsonl." } }
            }
        }
    }
}

fn measurement(row: &Measurement) -> Markup {
    html! {
        tr {
            td { (for_page(&row.subject)) }
            td { (for_page(&row.task)) }
            td { (for_page(&row.metric)) }
            td.number { (format::value(row.value, row.unit)) }
            td { @if let Some(interval) = &row.interval {
                (format::interval(interval, row.unit)) " " span.quiet { (for_page(&interval.method)) }
            } }
            td.number { (format::count(row.n)) }
            td { (for_page(&row.mode)) }
            td.number { (format::seconds(row.seconds)) }
            td.number { (format::count(row.tokens)) }
            td { @if let Some(file) = &row.samples { code { (for_page(file)) } } }
        }
    }
}

/// A status in words, with a mark.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Planned => "… planned",
        Status::Running => "… running or killed",
        Status::Done => "✓ done",
        Status::Reused => "✓ done earlier",
        Status::Skipped => "– left out",
        Status::Interrupted => "! interrupted, resumable",
        Status::Failed => "✗ failed",
    }
}

/// A command line that a shell takes back as it was.
pub(super) fn shell(command: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    let quote = |part: &String| match part.chars().all(plain) && !part.is_empty() {
        true => part.clone(),
        false => format!("'{}'", part.replace('\'', r"'\''")),
    };
    command.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_back_whole() {
        let command = ["groma", "run", "--set", "a b", "it's", "", "$(rm)"].map(str::to_owned);
        assert_eq!(shell(&command), r"groma run --set 'a b' 'it'\''s' '' '$(rm)'");
    }

    #[test]
    fn what_several_stages_find_in_the_same_rows_is_told_once() {
        let event = |stage: &str, message: &str| -> Event {
            let finding =
                serde_json::json!({ "check": "empty", "severity": "warning", "count": 1, "message": message });
            let event = serde_json::json!({
                "time": "2026-01-01T00:00:00Z", "stage": stage, "kind": "finding", "finding": finding,
            });
            serde_json::from_value(event).unwrap()
        };
        let events = [event("sft", "one"), event("dpo", "one"), event("dpo", "another")];
        let page = findings(&events).unwrap().into_string();
        assert_eq!((page.matches("<li>").count(), page.matches("another").count()), (2, 1), "{page}");
    }
}
