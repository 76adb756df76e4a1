//! A number over a factor that is a number: a line through the values, and the intervals as a band around it.

use super::axis::{Scale, label, range};
use super::plane::px;
use crate::format;
use crate::text::for_page;
use groma_run::Unit;
use maud::{Markup, html};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// Lines of one chart; there are as many colours.
const MOST_SERIES: usize = 6;

/// Factor, value, and the ends of its interval.
pub(super) type Point = (f64, f64, Option<(f64, f64)>);

/// One line.
pub(super) struct Series {
    pub(super) name: String,
    /// In the order of the factor.
    pub(super) points: Vec<Point>,
}

/// The chart of these lines over a factor.
pub(super) fn bands(title: &str, factor: &str, unit: Unit, series: &[Series]) -> Markup {
    let finite = |series: &Series| -> Vec<Point> {
        let whole = |ends: Option<(f64, f64)>| ends.filter(|(low, high)| low.is_finite() && high.is_finite());
        let points = series.points.iter().filter(|(_, value, _)| value.is_finite());
        points.map(|(x, value, ends)| (*x, *value, whole(*ends))).collect()
    };
    let lines: Vec<_> = series.iter().take(MOST_SERIES).map(|series| (series.name.as_str(), finite(series))).collect();
    let points = || lines.iter().flat_map(|(_, points)| points);
    let heights =
        points().flat_map(|(_, value, ends)| [*value, ends.map_or(*value, |e| e.0), ends.map_or(*value, |e| e.1)]);
    let (Some(x_range), Some((low, high))) = (range(points().map(|point| point.0)), range(heights)) else {
        return html! { p.quiet { "n/a: no value is finite." } };
    };
    let pad = (high - low) * 0.06;
    let (mut low, mut high) = (low - pad, high + pad);
    if unit == Unit::Share {
        // There is nothing below 0 % and above 100 %.
        (low, high) = (low.max(0.0), high.min(1.0));
    }
    let (x, y) = (Scale::new(x_range, (LEFT, WIDTH - RIGHT)), Scale::new((low, high), (HEIGHT - BOTTOM, TOP)));
    html! {
        figure.chart {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(format!("{} by {}", for_page(title), for_page(factor))) {
                (grid(&x, &y, factor, unit))
                @for (place, (_, points)) in lines.iter().enumerate() {
                    path class=(format!("spread s{place}")) d=(band(points, &x, &y)) {}
                    path class=(format!("line s{place}")) d=(line(points, &x, &y)) {}
                    @if let [(at, _, Some((low, high)))] = points[..] {
                        // A band has no width at one point.
                        line class=(format!("line s{place}")) x1=(px(x.place(at))) x2=(px(x.place(at))) y1=(px(y.place(low))) y2=(px(y.place(high))) {}
                    }
                    @for (at, value, _) in points {
                        circle class=(format!("point s{place}")) cx=(px(x.place(*at))) cy=(px(y.place(*value))) r="3" {}
                    }
                }
            }
            ul.legend {
                @for (place, (name, _)) in lines.iter().enumerate().filter(|(_, (name, _))| !name.is_empty()) {
                    li {
                        svg width="22" height="8" aria-hidden="true" { path class=(format!("line s{place}")) d="M0 4L22 4" {} }
                        " " (for_page(name))
                    }
                }
                @if series.len() > MOST_SERIES { li.quiet { (series.len() - MOST_SERIES) " more in the table" } }
            }
        }
    }
}

fn grid(x: &Scale, y: &Scale, factor: &str, unit: Unit) -> Markup {
    let (x_ticks, y_ticks) = (x.ticks(6), y.ticks(5));
    let step = |ticks: &[f64]| ticks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
    html! {
        @for tick in &y_ticks {
            @let place = y.place(*tick);
            line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(px(place)) y2=(px(place)) {}
            text.tick x=(LEFT - 6.0) y=(px(place + 4.0)) text-anchor="end" {
                @if unit == Unit::Share { (format::value(*tick, unit)) } @else { (label(*tick, step(&y_ticks))) }
            }
        }
        line.base x1=(LEFT) x2=(WIDTH - RIGHT) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM) {}
        @for tick in &x_ticks {
            @let place = x.place(*tick);
            line.base x1=(px(place)) x2=(px(place)) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM + 4.0) {}
            text.tick x=(px(place)) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (label(*tick, step(&x_ticks))) }
        }
        text.axis x=(WIDTH - RIGHT) y=(HEIGHT - 6.0) text-anchor="end" { (for_page(factor)) }
    }
}

fn line(points: &[Point], x: &Scale, y: &Scale) -> String {
    let places: Vec<String> = points.iter().map(|(at, value, _)| place(*at, *value, x, y)).collect();
    format!("M{}", places.join("L"))
}

/// Along the upper ends and back along the lower ones; a value without an interval has no width.
fn band(points: &[Point], x: &Scale, y: &Scale) -> String {
    let upper = points.iter().map(|(at, value, ends)| place(*at, ends.map_or(*value, |ends| ends.1), x, y));
    let lower = points.iter().rev().map(|(at, value, ends)| place(*at, ends.map_or(*value, |ends| ends.0), x, y));
    format!("M{}Z", upper.chain(lower).collect::<Vec<_>>().join("L"))
}

fn place(at: f64, value: f64, x: &Scale, y: &Scale) -> String {
    format!("{} {}", px(x.place(at)), px(y.place(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_of_shares_ends_at_everything() {
        let points = vec![(1.0, 0.9, Some((0.8, 1.0))), (2.0, 0.98, Some((0.95, 1.0)))];
        let page = bands("t", "budget", Unit::Share, &[Series { name: "a".into(), points }]).into_string();
        assert!(page.contains(">100.0%<") && !page.contains("102") && !page.contains("105"), "{page}");
    }
}
