//! What instruments of a run found, as a table on standard output.

use groma_recipe::Summary;
use groma_run::{Check, EventKind, Group, Measurement, Pillar, RunRecords};
use serde_json::json;

use super::run::say_warnings;
use crate::failure::Result;
use crate::terminal::{Context, print, print_json, say};

/// Shows the numbers of a pillar and its controls: a table, or all of them as JSON.
pub(super) fn show(summary: &Summary, pillar: Pillar, context: &Context) -> Result<()> {
    let records = RunRecords::read(&summary.directory)?;
    say_warnings(&records.warnings);
    let numbers: Vec<&Measurement> = records.measurements.iter().filter(|m| m.pillar == pillar).collect();
    let checks: Vec<&Check> = records
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Check)
        .filter_map(|event| event.check.as_ref())
        .collect();
    if context.json {
        let results: Vec<_> =
            summary.stages.iter().map(|record| json!({ "stage": record.stage, "result": record.result })).collect();
        return print_json(&json!({
            "directory": summary.directory, "report": summary.report, "measurements": numbers, "checks": checks,
            "stages": results,
        }));
    }
    print(&table(numbers.iter().copied().filter(|number| !number.secondary)));
    for check in checks {
        let mark = check.passed.map_or("?", |passed| if passed { "ok" } else { "FAILED" });
        print(&format!("control {mark}: {}: {} (expected: {})\n", check.name, check.found, check.expected));
    }
    say(&format!("report: {}", summary.report.display()));
    Ok(())
}

/// A line for each number.
pub(super) fn table<'a>(numbers: impl Iterator<Item = &'a Measurement>) -> String {
    let name = |m: &Measurement| {
        let factors: Vec<String> = m.factors.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let factors = if factors.is_empty() { String::new() } else { format!(" ({})", factors.join(", ")) };
        super::rows::safe(&format!("{}: {}{factors}", m.subject, m.metric))
    };
    let shown: Vec<(String, &Measurement)> = numbers.map(|m| (name(m), m)).collect();
    let width = shown.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, m): &(String, &Measurement)| {
        let interval = m.interval.as_ref().map_or(String::new(), |i| format!("  [{:.4}, {:.4}]", i.low, i.high));
        let planted = m.planted.map_or(String::new(), |planted| format!("  planted {planted:.4}"));
        let chance = m.chance.map_or(String::new(), |chance| format!("  chance {chance:.4}"));
        let control = if m.group == Group::Control { "  (control)" } else { "" };
        let failed = if m.failed > 0 { format!("  {} failed", m.failed) } else { String::new() };
        let pad = " ".repeat(width - name.chars().count());
        format!("{name}{pad}  {:>9.4}{interval}{planted}{chance}  n {}{failed}{control}\n", m.value, m.n)
    };
    shown.iter().map(line).collect()
}
