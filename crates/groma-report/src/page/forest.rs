//! All changes on one axis: right of the line is better, left is worse, whatever the metric's own direction.

use super::axis::{label, ticks};
use super::plane::px;
use crate::format;
use crate::headline::{Headline, HeadlineRow, Reading};
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

/// The rows that have a change and a good direction.
pub(super) fn forest(headline: &Headline) -> Option<Markup> {
    let bars: Vec<_> = headline.rows.iter().filter_map(bar).collect();
    let widest = bars.iter().flat_map(|bar| [bar.value.abs(), bar.ends.map_or(0.0, |(a, b)| a.abs().max(b.abs()))]);
    let reach = (widest.fold(0.0, f64::max) * 1.08).clamp(5.0, 150.0);
    if bars.is_empty() {
        return None;
    }
    let marks = ticks(-reach, reach, 5);
    let step = marks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
    let mut group = None;
    Some(html! {
        figure.forest {
            div.strips {
                div.ends { span { "← worse" } span { "better →" } }
                @for bar in &bars {
                    @if group != Some(bar.row.group) {
                        @let _ = group.insert(bar.row.group);
                        div.band { (group_name(bar.row.group)) }
                    }
                    (strip(bar, reach, &marks))
                }
                svg.scale width="100%" height="20" aria-hidden="true" {
                    @for tick in &marks {
                        text.tick x=(at(*tick, reach)) y="14" text-anchor="middle" {
                            (if *tick > 0.0 { "+" } else { "" }) (label(*tick, step))
                        }
                    }
                }
            }
            figcaption {
                "The change of each measure with its interval, turned so that right is better: in percentage points, or "
                "in percent of the earlier value where the measure is no share. An interval that holds the line in the "
                "middle shows no clear change."
            }
        }
    })
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
    let change = bar.row.change.as_ref().map_or(f64::NAN, |change| change.difference);
    let shown = format::difference(change, bar.row.unit);
    let relative = if bar.row.unit == Unit::Share { String::new() } else { " (in % here)".to_owned() };
    html! {
        div.strip {
            span.what { (for_page(&bar.row.task)) " " span.metric { (for_page(&bar.row.metric)) (relative) } }
            span class=(format!("reading {class}")) { (bar.row.reading.mark()) " " (shown) }
            svg width="100%" height="22" role="img" aria-label=(format!("{shown}, {}", bar.row.reading.words())) {
                @for tick in marks {
                    line.grid x1=(at(*tick, reach)) x2=(at(*tick, reach)) y1="0" y2="22" {}
                }
                line.zero x1="50%" x2="50%" y1="0" y2="22" {}
                @if let Some((low, high)) = bar.ends {
                    line class=(format!("span {class}")) x1=(at(low, reach)) x2=(at(high, reach)) y1="11" y2="11" {}
                    line class=(format!("span {class}")) x1=(at(low, reach)) x2=(at(low, reach)) y1="7" y2="15" {}
                    line class=(format!("span {class}")) x1=(at(high, reach)) x2=(at(high, reach)) y1="7" y2="15" {}
                }
                circle class=(format!("spot {class}")) cx=(at(bar.value, reach)) cy="11" r="5" {}
            }
        }
    }
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
