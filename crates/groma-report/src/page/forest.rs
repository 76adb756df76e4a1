//! All changes on one axis: right of the line is better, left is worse, whatever the metric's own direction.

use super::axis::{label, ticks};
use super::plane::px;
use crate::format::Digits;
use crate::headline::Headline;
use crate::reading::Reading;
use crate::row::{HeadlineRow, in_words, shown_metric};
use crate::table::group_name;
use crate::text::for_page;
use groma_run::Unit;
use maud::{Markup, html};

/// A change turned so that more is better, in percentage points for shares and in percent of the left side else.
struct Bar<'a> {
    row: &'a HeadlineRow,
    value: f64,
    ends: Option<(f64, f64)>,
}

/// The rows that have a change and a good direction; each group has its own scale.
pub(super) fn forest(headline: &Headline) -> Option<Markup> {
    let bars: Vec<_> = headline.rows.iter().filter_map(bar).collect();
    if bars.is_empty() {
        return None;
    }
    Some(html! {
        figure.forest {
            div.strips {
                div.ends { span {} span { span { "← worse" } span { "better →" } } span {} }
                @for bars in bars.chunk_by(|a, b| a.row.group == b.row.group) { (band(bars)) }
            }
            figcaption {
                "The change of each measure with its 95% interval, turned so that right is better: in percentage points, or "
                "in percent of the earlier value where the measure is no share. Each group has its own scale. An interval "
                "that holds the middle line shows no clear change (≈); ▲ is better, ▼ worse, ? too little to tell. What is beyond "
                "100 stands at the edge."
            }
        }
    })
}

fn band(bars: &[Bar<'_>]) -> Markup {
    let widest = bars.iter().flat_map(|bar| [bar.value.abs(), bar.ends.map_or(0.0, |(a, b)| a.abs().max(b.abs()))]);
    let reach = (widest.fold(0.0, f64::max) * 1.1).clamp(5.0, 100.0);
    let marks = ticks(-reach, reach, 5);
    let step = marks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
    html! {
        div.band { (group_name(bars[0].row.group)) }
        @for bar in bars { (strip(bar, reach, &marks)) }
        div.strip.scale {
            span.what {}
            svg width="100%" height="20" aria-hidden="true" {
                @for tick in &marks {
                    text.tick x=(at(*tick, reach)) y="15" text-anchor="middle" {
                        (if *tick > 0.0 { "+" } else { "" }) (label(*tick, step))
                    }
                }
            }
        }
    }
}

fn bar(row: &HeadlineRow) -> Option<Bar<'_>> {
    let change = row.change.as_ref()?;
    let sign = if row.higher_is_better? { 1.0 } else { -1.0 };
    let factor = match row.unit {
        Unit::Share => 100.0 * sign,
        _ => 100.0 * sign / row.before.as_ref().map(|side| side.value.abs()).filter(|v| *v > 0.0)?,
    };
    let ends = change.interval.as_ref().map(|i| (i.low * factor, i.high * factor)).map(|(a, b)| (a.min(b), a.max(b)));
    let ends = ends.filter(|(low, high)| low.is_finite() && high.is_finite());
    Some(Bar { row, value: change.difference * factor, ends })
}

fn strip(bar: &Bar<'_>, reach: f64, marks: &[f64]) -> Markup {
    let class = class_of(bar.row.reading);
    let shown = shown(bar);
    html! {
        div.strip {
            span.what {
                (for_page(&bar.row.task))
                @if let Some(metric) = shown_metric(&bar.row.task, &bar.row.metric) { " " span.metric { (for_page(metric)) } }
                @if !bar.row.factors.is_empty() { " " span.metric { (for_page(&in_words(&bar.row.factors))) } }
            }
            svg width="100%" height="30" role="img" aria-label=(format!("{shown}, {}", bar.row.reading.words())) {
                @for tick in marks { (upright("grid", *tick, reach)) }
                (upright("zero", 0.0, reach))
                svg y="50%" overflow="visible" {
                    @if let Some((low, high)) = bar.ends {
                        line class=(format!("span {class}")) x1=(at(low, reach)) x2=(at(high, reach)) {}
                        @for end in [low, high] {
                            line class=(format!("span {class}")) x1=(at(end, reach)) x2=(at(end, reach)) y1="-4" y2="4" {}
                        }
                    }
                    circle class=(format!("spot {class}")) cx=(at(bar.value, reach)) r="5" {}
                }
            }
            span class=(format!("reading {class}")) { (bar.row.reading.mark()) " " (shown) }
        }
    }
}

fn upright(class: &str, value: f64, reach: f64) -> Markup {
    html! { line class=(class) x1=(at(value, reach)) x2=(at(value, reach)) y1="0" y2="100%" {} }
}

/// The change as it was measured, in the axis's unit.
fn shown(bar: &Bar<'_>) -> String {
    let measured = if bar.row.higher_is_better == Some(false) { -bar.value } else { bar.value };
    let digits = if bar.row.unit == Unit::Share { bar.row.digits() } else { Digits::to_see(measured / 100.0) };
    let points = digits.difference(measured / 100.0, Unit::Share);
    if bar.row.unit == Unit::Share { points } else { format!("{points}%") }
}

/// A place on the axis in percent of its width; what lies beyond is put at the edge.
fn at(value: f64, reach: f64) -> String {
    format!("{}%", px((50.0 + 50.0 * value / reach).clamp(0.5, 99.5)))
}

/// The class that colours a reading.
pub(super) fn class_of(reading: Reading) -> &'static str {
    match reading {
        Reading::Better => "better",
        Reading::Worse => "worse",
        Reading::Higher | Reading::Lower => "moved",
        Reading::NoClearChange | Reading::TooFew | Reading::Unknown => "unclear",
    }
}
