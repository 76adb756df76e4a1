//! Instruments against what was planted: each number whose true size is known, beside what was found.

use crate::format;
use crate::row::name_of;
use crate::text::for_page;
use groma_run::{Measurement, Unit};
use maud::{Markup, html};

/// Rows that are shown.
const MOST_ROWS: usize = 200;

/// The table of all numbers with a planted size; `None` where there is none.
pub(super) fn calibration(measurements: &[Measurement]) -> Option<Markup> {
    let mut rows: Vec<(&Measurement, f64)> =
        measurements.iter().filter_map(|row| row.planted.map(|planted| (row, planted))).collect();
    // What one instrument found in all subjects stands together, in the order in which instruments came.
    let instrument = |row: &Measurement| (row.task.clone(), row.metric.clone(), row.factors.clone());
    let mut order = Vec::new();
    for (row, _) in &rows {
        if !order.contains(&instrument(row)) {
            order.push(instrument(row));
        }
    }
    rows.sort_by_key(|(row, _)| order.iter().position(|of| *of == instrument(row)));
    let held = rows.iter().filter(|(row, planted)| recovered(row, *planted) == Some(true)).count();
    let (detail, main): (Vec<_>, Vec<_>) = rows.iter().copied().partition(|(row, _)| !row.factors.is_empty());
    (!rows.is_empty()).then(|| html! {
        p {
            "The planted size lies in the interval of " (held) " of " (rows.len())
            @if rows.len() == 1 { " number." } @else { " numbers." }
        }
        @if !main.is_empty() { (table(&main)) }
        @if !detail.is_empty() {
            details {
                summary { "Over factors, where theory says what is true (" (detail.len()) ")" }
                (table(&detail))
            }
        }
        p.quiet {
            "Planted is what is true by construction of the world that the subject was trained on; a clean twin has the same "
            "rows without the flaw. Brackets are 95% intervals, so that one number in twenty misses by chance. How often they hold over "
            "several seeds, and which instruments do not, is on the page Calibration of groma's documentation."
        }
    })
}

fn table(rows: &[(&Measurement, f64)]) -> Markup {
    html! {
        div.scroll { table.headline {
            thead { tr {
                th scope="col" { "Instrument" }
                th scope="col" { "Subject" }
                th.number scope="col" { "Planted" }
                th.number scope="col" { "Found" }
                th scope="col" { "Reading" }
                th.number scope="col" { "n" }
            } }
            tbody { @for (row, planted) in rows.iter().take(MOST_ROWS) { (table_row(row, *planted)) } }
        } }
        @if rows.len() > MOST_ROWS { p.quiet { (rows.len() - MOST_ROWS) " more are in measurements.jsonl." } }
    }
}

/// Whether the planted size lies in the interval; `None` where there is no interval.
fn recovered(row: &Measurement, planted: f64) -> Option<bool> {
    // Ends that were rounded on the way, such as 0.1 + 0.2, shut nothing out.
    let slack = 1e-9 * planted.abs().max(1.0);
    row.interval.as_ref().map(|found| found.low - slack <= planted && planted <= found.high + slack)
}

fn table_row(row: &Measurement, planted: f64) -> Markup {
    let (class, reading) = match recovered(row, planted) {
        Some(true) => ("better", "✓ recovered"),
        Some(false) => ("worse", "✗ not recovered"),
        None => ("unclear", "? no interval"),
    };
    html! {
        tr {
            th scope="row" title=(for_page(&row.mode)) { (for_page(&name_of(&row.task, &row.metric, &row.factors))) }
            td data-label="Subject" { (for_page(&row.subject)) }
            td.number data-label="Planted" { (value(planted, row.unit)) }
            td.number data-label="Found" {
                span.value { (value(row.value, row.unit)) }
                @if let Some(interval) = &row.interval {
                    span.interval title=(for_page(&interval.method)) { (format::interval(interval, row.unit)) }
                }
            }
            td data-label="Reading" { span class=(format!("reading {class}")) { (reading) } }
            td.number data-label="n" { (format::count(row.n)) }
        }
    }
}

fn value(number: f64, unit: Unit) -> String {
    format::value(number, unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Interval;

    #[test]
    fn an_interval_holds_what_was_planted_or_does_not() {
        let of = |low: f64, high: f64| {
            let interval = Some(Interval { low, high, level: 0.95, method: "t".into() });
            Measurement { interval, ..Measurement::new("village", "bias", "difference", 0.3, 100) }
        };
        assert_eq!(recovered(&of(0.2, 0.4), 0.3), Some(true));
        assert_eq!(recovered(&of(0.0, 0.1 + 0.2), 0.3), Some(true));
        assert_eq!(recovered(&of(0.31, 0.4), 0.3), Some(false));
        assert_eq!(recovered(&Measurement { interval: None, ..of(0.2, 0.4) }, 0.3), None);
    }

    #[test]
    fn the_table_says_how_many_were_recovered() {
        let interval = |low, high| Some(Interval { low, high, level: 0.95, method: "t".into() });
        let found = Measurement {
            planted: Some(0.3),
            interval: interval(0.2, 0.4),
            ..Measurement::new("village", "bias", "difference", 0.31, 90)
        };
        let missed =
            Measurement { planted: Some(0.0), interval: interval(0.1, 0.4), subject: "<twin>".into(), ..found.clone() };
        let page = calibration(&[found, missed, Measurement::new("x", "y", "z", 1.0, 1)]).unwrap().into_string();
        assert!(page.contains("interval of 1 of 2 numbers") && page.contains("not recovered"), "{page}");
        assert!(page.contains("&lt;twin&gt;") && !page.contains("<twin>"));
        assert!(calibration(&[Measurement::new("x", "y", "z", 1.0, 1)]).is_none());
    }
}
