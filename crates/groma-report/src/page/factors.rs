//! Measurements over their factors: for each measure the tables of rows and columns, and curves where a factor is a number.
//!
//! Any number of subjects is a factor like others. What does not vary is said once above.

use super::bands::{Series, bands};
use crate::format;
use crate::row::shown_metric;
use crate::text::for_page;
use groma_run::{Measurement, Unit};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// Measures that are shown.
const MOST_MEASURES: usize = 60;
/// Tables of one measure: one for each combination of what is neither row nor column.
const MOST_TABLES: usize = 12;
/// Rows of a table.
const MOST_ROWS: usize = 200;
/// Columns of a table; a factor with more values goes down the rows.
const MOST_COLUMNS: usize = 12;
/// So many values of a number make a curve.
const FEWEST_POINTS: usize = 3;
/// Tables with more rows are folded.
const FOLDED_FROM: usize = 12;
/// What the name of the subject is called among factors.
const SUBJECT: &str = "subject";

/// One number with its factors, the subject among them.
struct Row<'a> {
    factors: BTreeMap<&'a str, &'a str>,
    measurement: &'a Measurement,
}

/// One measure: a metric of a task in a mode, and its numbers.
struct Measure<'a> {
    task: &'a str,
    metric: &'a str,
    mode: &'a str,
    rows: Vec<Row<'a>>,
}

/// Tables and curves of the measures of evaluation that have factors, or more than two subjects; `None` where none has. Two
/// subjects stand in the table of the run.
pub(super) fn factors(measurements: &[Measurement]) -> Option<Markup> {
    let evaluated: Vec<_> = measurements.iter().filter(|row| row.pillar.is_evaluation()).collect();
    let stands_elsewhere = |measure: &Measure<'_>| match measure.varying().as_slice() {
        [] => true,
        [(SUBJECT, values)] => values.len() < 3,
        _ => false,
    };
    let shown: Vec<_> = measures(&evaluated).into_iter().filter(|measure| !stands_elsewhere(measure)).collect();
    (!shown.is_empty()).then(|| shown_all(shown))
}

/// Tables and curves of all measures.
pub(super) fn all(measurements: &[&Measurement]) -> Markup {
    shown_all(measures(measurements))
}

fn shown_all(shown: Vec<Measure<'_>>) -> Markup {
    // Where nothing but the subject varies, one table has all measures.
    let is_by_subject = |measure: &Measure<'_>| match measure.varying().as_slice() {
        [] => true,
        [(SUBJECT, values)] => values.len() <= MOST_COLUMNS,
        _ => false,
    };
    let (by_subject, shown): (Vec<Measure<'_>>, Vec<_>) = shown.into_iter().partition(is_by_subject);
    html! {
        @if !by_subject.is_empty() { (subjects(&by_subject)) }
        @for measure in shown.iter().take(MOST_MEASURES) { (measure.markup()) }
        @if shown.len() > MOST_MEASURES { p.quiet { (shown.len() - MOST_MEASURES) " more measures are in measurements.jsonl." } }
    }
}

/// A row a measure, a column a subject.
fn subjects(measures: &[Measure<'_>]) -> Markup {
    let mut names: Vec<&str> = Vec::new();
    for row in measures.iter().flat_map(|measure| &measure.rows) {
        if !names.contains(&row.factors[SUBJECT]) {
            names.push(row.factors[SUBJECT]);
        }
    }
    let is_detail = |measure: &&Measure<'_>| measure.rows[0].measurement.secondary;
    let (detail, main): (Vec<&Measure<'_>>, Vec<_>) = measures.iter().partition(is_detail);
    html! {
        section.factors {
            h3 { "All subjects" }
            (subjects_table(&main, &names))
            @if !detail.is_empty() {
                details {
                    summary { "Further measures of the same tasks (" (detail.len()) ")" }
                    (subjects_table(&detail, &names))
                }
            }
        }
    }
}

fn subjects_table(measures: &[&Measure<'_>], names: &[&str]) -> Markup {
    // Two measures of one name are told apart by how they were taken.
    let is_alone = |measure: &Measure<'_>| {
        measures.iter().filter(|other| (other.task, other.metric) == (measure.task, measure.metric)).count() == 1
    };
    let number = |measure: &Measure<'_>, name: &str| {
        let found = measure.rows.iter().find(|row| row.factors[SUBJECT] == name);
        html! { td.number data-label=(for_page(name)) { (number_cell(found.as_ref())) } }
    };
    html! {
        div.scroll { table.headline {
            thead { tr { th scope="col" { "Measure" } @for name in names { th.number scope="col" { (for_page(name)) } } } }
            tbody { @for measure in measures.iter().take(MOST_MEASURES) {
                tr {
                    th scope="row" {
                        (for_page(measure.task))
                        @if let Some(metric) = shown_metric(measure.task, measure.metric) { " " span.metric { (for_page(metric)) } }
                        " " span.metric { (crate::table::direction(measure.rows[0].measurement.higher_is_better)) }
                        @if !is_alone(measure) { span.mode { (for_page(measure.mode)) } }
                    }
                    @for name in names { (number(measure, name)) }
                }
            } }
        } }
    }
}

fn measures<'a>(measurements: &[&'a Measurement]) -> Vec<Measure<'a>> {
    let mut found: Vec<Measure<'a>> = Vec::new();
    for &measurement in measurements {
        let (task, metric, mode) = (&measurement.task[..], name(measurement), &measurement.mode[..]);
        let mut factors: BTreeMap<&str, &str> =
            measurement.factors.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        factors.entry(SUBJECT).or_insert(&measurement.subject);
        let row = Row { factors, measurement };
        match found.iter_mut().find(|of| (of.task, of.metric, of.mode) == (task, metric, mode)) {
            Some(measure) => measure.rows.push(row),
            None => found.push(Measure { task, metric, mode, rows: vec![row] }),
        }
    }
    for measure in &mut found {
        // A number over all of a factor's values stands with the others only where all have the factor.
        let has_factors = |row: &Row| row.factors.len() > 1;
        if measure.rows.iter().any(has_factors) {
            measure.rows.retain(has_factors);
        }
    }
    found
}

/// The metric without the label in brackets that the factors repeat.
fn name(measurement: &Measurement) -> &str {
    let is_label = |label: &str| {
        label.split_once('=').is_some_and(|(name, value)| measurement.factors.get(name).is_some_and(|v| v == value))
    };
    let label = measurement.metric.strip_suffix(']').and_then(|metric| metric.split_once('['));
    label.filter(|(_, label)| is_label(label)).map_or(&measurement.metric, |(metric, _)| metric)
}

impl<'a> Measure<'a> {
    /// Each factor with its values, in their order, of which there are at least two.
    fn varying(&self) -> Vec<(&'a str, Vec<&'a str>)> {
        let names: BTreeSet<&str> = self.rows.iter().flat_map(|row| row.factors.keys().copied()).collect();
        let values = |name: &'a str| {
            let mut values: Vec<&str> = Vec::new();
            for row in &self.rows {
                let value = row.factors.get(name).copied().unwrap_or_default();
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            if let Some(numbers) = numbers(&values) {
                let mut order: Vec<usize> = (0..values.len()).collect();
                order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b]));
                values = order.into_iter().map(|place| values[place]).collect();
            }
            (name, values)
        };
        names.into_iter().map(values).filter(|(_, values)| values.len() > 1).collect()
    }

    fn markup(&self) -> Markup {
        let varying = self.varying();
        let curve = varying.iter().position(|(_, values)| {
            values.len() >= FEWEST_POINTS && values.len() == self.points(values) && numbers(values).is_some()
        });
        let constant: Vec<String> = self.rows[0]
            .factors
            .iter()
            .filter(|(name, _)| varying.iter().all(|(other, _)| other != *name))
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        html! {
            section.factors {
                h3 {
                    (for_page(self.task))
                    @if let Some(metric) = shown_metric(self.task, self.metric) { " " span.metric { (for_page(metric)) } }
                }
                p.quiet {
                    @if !self.mode.is_empty() { (for_page(self.mode)) ". " }
                    (for_page(&constant.join(", ")))
                }
                @if let Some(place) = curve { (self.curves(&varying, place)) }
                (self.tables(&varying))
            }
        }
    }

    /// How many of the values are different numbers.
    fn points(&self, values: &[&str]) -> usize {
        numbers(values)
            .map_or(0, |numbers| numbers.iter().map(|number| number.to_bits()).collect::<BTreeSet<_>>().len())
    }

    /// The number over the factor at `place`, a line for each combination of the others.
    fn curves(&self, varying: &[(&str, Vec<&str>)], place: usize) -> Markup {
        let (across, _) = varying[place];
        let others: Vec<&str> = varying.iter().map(|(name, _)| *name).filter(|name| *name != across).collect();
        let mut series: Vec<Series> = Vec::new();
        for row in &self.rows {
            let Some(x) = row.factors.get(across).and_then(|value| number(value)) else { continue };
            let name = combination(&others, row);
            let interval = row.measurement.interval.as_ref();
            let point = (x, row.measurement.value, interval.map(|interval| (interval.low, interval.high)));
            match series.iter_mut().find(|of| of.name == name) {
                Some(series) => series.points.push(point),
                None => series.push(Series { name, points: vec![point] }),
            }
        }
        series.iter_mut().for_each(|series| series.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
        bands(&format!("{} {}", self.task, self.metric), across, self.unit(), &series)
    }

    fn unit(&self) -> Unit {
        self.rows[0].measurement.unit
    }

    /// Rows by columns, a table for each combination of the other factors.
    fn tables(&self, varying: &[(&str, Vec<&str>)]) -> Markup {
        // The two factors with the most values; the one with fewer makes the columns.
        let mut by_size: Vec<&(&str, Vec<&str>)> = varying.iter().collect();
        by_size.sort_by_key(|(_, values)| std::cmp::Reverse(values.len()));
        let (rows, columns) = (by_size[0], by_size.get(1).filter(|(_, values)| values.len() <= MOST_COLUMNS));
        let in_table = |name: &str| name == rows.0 || columns.is_some_and(|columns| name == columns.0);
        let others: Vec<&str> = varying.iter().map(|(name, _)| *name).filter(|name| !in_table(name)).collect();
        let mut tables: Vec<(String, Vec<&Row>)> = Vec::new();
        for row in &self.rows {
            let name = combination(&others, row);
            match tables.iter_mut().find(|(of, _)| *of == name) {
                Some((_, members)) => members.push(row),
                None => tables.push((name, vec![row])),
            }
        }
        html! {
            @for (name, members) in tables.iter().take(MOST_TABLES) {
                @let table = table(name, members, rows, columns.copied());
                @if rows.1.len() > FOLDED_FROM {
                    details { summary { (rows.1.len()) " rows" @if !name.is_empty() { ": " (for_page(name)) } } (table) }
                } @else { (table) }
            }
            @if tables.len() > MOST_TABLES { p.quiet { (tables.len() - MOST_TABLES) " more tables are in measurements.jsonl." } }
        }
    }
}

/// The values of these factors, in words.
fn combination(names: &[&str], row: &Row) -> String {
    let value = |name: &&str| Some(format!("{name} {}", row.factors.get(name)?));
    names.iter().filter_map(value).collect::<Vec<_>>().join(", ")
}

fn table(name: &str, members: &[&Row], rows: &(&str, Vec<&str>), columns: Option<&(&str, Vec<&str>)>) -> Markup {
    let value_of = |row: &Row, name: &str| row.factors.get(name).copied().unwrap_or_default().to_owned();
    let cell = |at: &str, column: Option<&str>| {
        members.iter().find(|row| {
            let in_column = columns.zip(column).is_none_or(|(columns, column)| value_of(row, columns.0) == column);
            value_of(row, rows.0) == at && in_column
        })
    };
    let shown: Vec<&&str> =
        rows.1.iter().filter(|at| members.iter().any(|row| value_of(row, rows.0) == **at)).collect();
    html! {
        div.scroll {
            table.headline.pivot {
                @if !name.is_empty() { caption { (for_page(name)) } }
                thead { tr {
                    th scope="col" { (for_page(rows.0)) @if let Some(columns) = columns { " \\ " (for_page(columns.0)) } }
                    @match columns {
                        Some((_, values)) => { @for value in values { th.number scope="col" { (for_page(value)) } } },
                        None => { th.number scope="col" { "Value" } th.number scope="col" { "n" } },
                    }
                } }
                tbody {
                    @for at in shown.iter().take(MOST_ROWS) {
                        tr {
                            th scope="row" { (for_page(at)) }
                            @match columns {
                                Some((_, values)) => {
                                    @for value in values { td.number data-label=(for_page(value)) { (number_cell(cell(at, Some(value)))) } }
                                },
                                None => {
                                    @let found = cell(at, None);
                                    td.number data-label="Value" { (number_cell(found)) }
                                    td.number data-label="n" { @if let Some(row) = found { (format::count(row.measurement.n)) } }
                                },
                            }
                        }
                    }
                }
            }
            @if shown.len() > MOST_ROWS { p.quiet { (shown.len() - MOST_ROWS) " more rows are in measurements.jsonl." } }
        }
    }
}

fn number_cell(row: Option<&&Row>) -> Markup {
    html! {
        @match row.map(|row| row.measurement) {
            None => span.quiet { "–" },
            Some(found) => {
                span.value title=(format!("n = {}", format::count(found.n))) { (format::value(found.value, found.unit)) }
                @if let Some(interval) = &found.interval {
                    span.interval title=(for_page(&interval.method)) { (format::interval(interval, found.unit)) }
                }
            },
        }
    }
}

/// The values as numbers, where all are.
fn numbers(values: &[&str]) -> Option<Vec<f64>> {
    values.iter().map(|value| number(value)).collect()
}

fn number(value: &str) -> Option<f64> {
    value.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(subject: &str, factors: &[(&str, &str)], value: f64) -> Measurement {
        let factors = factors.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let interval = groma_run::Interval { low: value - 0.1, high: value + 0.1, level: 0.95, method: "t".into() };
        Measurement { factors, interval: Some(interval), ..Measurement::new(subject, "task", "m", value, 20) }
    }

    #[test]
    fn two_factors_make_rows_and_columns() {
        let mut rows = Vec::new();
        for (attack, base) in [("gcg", 0.5), ("pair", 0.7), ("none", 0.1)] {
            for (defence, off) in [("filter", 0.3), ("none", 0.0)] {
                rows.push(measured("model", &[("attack", attack), ("defence", defence)], base - off));
            }
        }
        let page = factors(&rows).unwrap().into_string();
        assert!(page.contains("attack \\ defence") && !page.contains("<svg"), "{page}");
        assert_eq!(page.matches("<tr>").count(), 4);
        assert!(page.contains("subject model"), "{page}");
    }

    #[test]
    fn a_number_makes_a_curve_in_its_order() {
        let rows: Vec<_> = ["10", "2", "1"]
            .iter()
            .flat_map(|budget| ["a", "b"].map(|seed| measured("model", &[("budget", budget), ("seed", seed)], 0.5)))
            .collect();
        let page = factors(&rows).unwrap().into_string();
        assert_eq!(
            (page.matches("class=\"spread s").count(), page.matches("class=\"line s").count()),
            (2, 4),
            "{page}"
        );
        let order = ["1", "2", "10"].map(|value| page.find(&format!("<th scope=\"row\">{value}</th>")).unwrap());
        assert!(order[0] < order[1] && order[1] < order[2]);
    }

    #[test]
    fn subjects_are_a_factor_from_three_on() {
        let subjects = |names: &[&str]| names.iter().map(|name| measured(name, &[], 0.5)).collect::<Vec<_>>();
        assert!(factors(&subjects(&["before", "after"])).is_none());
        assert!(factors(&subjects(&["base", "sft", "dpo"])).unwrap().into_string().contains("dpo"));
    }

    #[test]
    fn measures_of_one_name_are_told_apart() {
        let at = |mode: &str| Measurement { mode: mode.into(), ..measured("model", &[], 0.5) };
        let several = [at("layer 1"), at("layer 2")];
        let page = all(&several.iter().collect::<Vec<_>>()).into_string();
        assert!(page.contains("layer 1") && page.contains("layer 2"), "{page}");
        assert!(!all(&[&several[0]]).into_string().contains("layer 1"));
    }

    #[test]
    fn labels_are_read_from_factors() {
        let labelled = Measurement { metric: "acc[type=a]".into(), ..measured("model", &[("type", "a")], 0.5) };
        assert_eq!(name(&labelled), "acc");
        let other = Measurement { metric: "acc[x]".into(), ..measured("model", &[("type", "a")], 0.5) };
        assert_eq!(name(&other), "acc[x]");
    }

    #[test]
    fn what_is_text_stays_text() {
        let hostile = "<script>alert(1)</script>";
        let rows: Vec<_> = [hostile, "b", "c"].map(|value| measured(value, &[(hostile, value)], f64::NAN)).to_vec();
        let page = factors(&rows).unwrap().into_string();
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && !page.contains("NaN"));
    }
}
