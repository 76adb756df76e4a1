//! Alignment against capability in one plane: where the model stood, and where it went.
//!
//! Each axis is the one measure of its group, or the plain mean of those that are shares, each turned so that more is
//! better. The interval of a mean takes its measures as independent.

use super::axis::{Scale, label, range};
use crate::format;
use crate::headline::Headline;
use crate::reading::Reading;
use crate::row::{HeadlineRow, Side};
use groma_run::{Group, Unit};
use maud::{Markup, html};

/// A point on an axis with the ends of its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spot {
    value: f64,
    low: f64,
    high: f64,
}

struct Axis {
    before: Spot,
    after: Spot,
    unit: Unit,
    /// Whether the axis runs from high to low, so that better is always up and right.
    reversed: bool,
    measures: Vec<String>,
    is_mean: bool,
    /// Measures of the group that the axis does not take in.
    left_out: Vec<String>,
}

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 52.0;

/// The plane, where both groups were measured on both sides.
pub(super) fn plane(headline: &Headline) -> Option<Markup> {
    let (x, y) = (axis(headline, Group::Capability)?, axis(headline, Group::Alignment)?);
    let x_scale = scale(&x, (LEFT, WIDTH - RIGHT));
    let y_scale = scale(&y, (HEIGHT - BOTTOM, TOP));
    let title = format!(
        "Alignment from {} to {}, capability from {} to {}",
        format::value(y.before.value, y.unit),
        format::value(y.after.value, y.unit),
        format::value(x.before.value, x.unit),
        format::value(x.after.value, x.unit)
    );
    Some(html! {
        figure.plane {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                (grid(&x, &x_scale, &y, &y_scale))
                text.corner x=(WIDTH - RIGHT - 6.0) y=(TOP + 14.0) text-anchor="end" { "aligned and able" }
                text.corner x=(LEFT + 6.0) y=(HEIGHT - BOTTOM - 8.0) { "neither" }
                (cross(&x.before, &y.before, &x_scale, &y_scale, "before"))
                (cross(&x.after, &y.after, &x_scale, &y_scale, "after"))
                (arrow(&x, &y, &x_scale, &y_scale))
                (marks(headline, &x, &y, &x_scale, &y_scale))
            }
            figcaption {
                "Up is better aligned, right is more able; the cross is the 95% interval of each. "
                (caption("Alignment", &y)) " " (caption("Capability", &x))
            }
        }
    })
}

fn caption(name: &str, axis: &Axis) -> Markup {
    let measures = axis.measures.join(", ");
    html! {
        strong { (name) } ": "
        @if axis.is_mean { "mean of " }
        (measures) "."
        @if !axis.left_out.is_empty() { " Not in it: " (axis.left_out.join(", ")) "." }
    }
}

fn axis(headline: &Headline, group: Group) -> Option<Axis> {
    let of_group: Vec<_> = headline.rows.iter().filter(|row| row.group == group).collect();
    let usable =
        |row: &HeadlineRow| spots(row).is_some() && row.reading != Reading::TooFew && row.higher_is_better.is_some();
    let rows: Vec<_> = of_group.iter().copied().filter(|row| usable(row)).collect();
    let shares: Vec<_> = rows.iter().copied().filter(|row| row.unit == Unit::Share).collect();
    let taken = match (shares.len(), rows.first()) {
        (0, None) => return None,
        (0, Some(first)) => vec![*first],
        _ => shares,
    };
    let is_in =
        |row: &HeadlineRow| taken.iter().any(|t| (&t.task, &t.metric, &t.mode) == (&row.task, &row.metric, &row.mode));
    let left_out = of_group.iter().filter(|row| !is_in(row)).map(|row| measure(row, false)).collect();
    let axis = if let [row] = taken.as_slice() { single_axis(row)? } else { mean_axis(&taken) };
    Some(Axis { left_out, ..axis })
}

fn single_axis(row: &HeadlineRow) -> Option<Axis> {
    let (before, after) = spots(row)?;
    let reversed = row.higher_is_better == Some(false);
    Some(Axis {
        before,
        after,
        unit: row.unit,
        reversed,
        measures: vec![measure(row, false)],
        is_mean: false,
        left_out: Vec::new(),
    })
}

fn mean_axis(rows: &[&HeadlineRow]) -> Axis {
    let turn = |row: &HeadlineRow, spot: Spot| match row.higher_is_better {
        Some(false) => Spot { value: 1.0 - spot.value, low: 1.0 - spot.high, high: 1.0 - spot.low },
        _ => spot,
    };
    let sides: Vec<_> = rows.iter().filter_map(|row| spots(row).map(|(b, a)| (turn(row, b), turn(row, a)))).collect();
    let before: Vec<_> = sides.iter().map(|side| side.0).collect();
    let after: Vec<_> = sides.iter().map(|side| side.1).collect();
    let measures = rows.iter().map(|row| measure(row, true)).collect();
    let unit = Unit::Share;
    Axis {
        before: mean(&before),
        after: mean(&after),
        unit,
        reversed: false,
        measures,
        is_mean: true,
        left_out: Vec::new(),
    }
}

fn mean(spots: &[Spot]) -> Spot {
    let n = spots.len() as f64;
    let value = spots.iter().map(|s| s.value).sum::<f64>() / n;
    let arm = |of: fn(&Spot) -> f64| spots.iter().map(|s| of(s).powi(2)).sum::<f64>().sqrt() / n;
    Spot { value, low: value - arm(|s| s.value - s.low), high: value + arm(|s| s.high - s.value) }
}

fn measure(row: &HeadlineRow, turned: bool) -> String {
    let name = crate::text::for_page(&row.name());
    if turned && row.higher_is_better == Some(false) { format!("100% − {name}") } else { name }
}

fn spots(row: &HeadlineRow) -> Option<(Spot, Spot)> {
    Some((spot(row.before.as_ref()?)?, spot(row.after.as_ref()?)?))
}

fn spot(side: &Side) -> Option<Spot> {
    let value = Some(side.value).filter(|v| v.is_finite())?;
    let ends =
        side.interval.as_ref().map(|i| (i.low, i.high)).filter(|(low, high)| low.is_finite() && high.is_finite());
    let (low, high) = ends.unwrap_or((value, value));
    Some(Spot { value, low, high })
}

fn scale(axis: &Axis, (from, to): (f64, f64)) -> Scale {
    let spots = [axis.before, axis.after];
    let (low, high) = range(spots.iter().flat_map(|s| [s.low, s.high])).unwrap_or((0.0, 1.0));
    let least = if axis.unit == Unit::Share { 0.1 } else { 0.05 * high.abs().max(1e-6) };
    let pad = ((high - low) * 0.18).max((least - (high - low)) / 2.0);
    let (mut low, mut high) = (low - pad, high + pad);
    if axis.unit == Unit::Share {
        (low, high) = (low.max(-0.03), high.min(1.03));
    }
    if axis.reversed { Scale::new((low, high), (to, from)) } else { Scale::new((low, high), (from, to)) }
}

fn tick_label(axis: &Axis, value: f64, step: f64) -> String {
    match axis.unit {
        Unit::Share => format!("{}%", label(value * 100.0, step * 100.0)),
        _ => label(value, step),
    }
}

fn grid(x: &Axis, x_scale: &Scale, y: &Axis, y_scale: &Scale) -> Markup {
    let inside = |axis: &Axis, ticks: Vec<f64>| -> Vec<f64> {
        ticks.into_iter().filter(|tick| axis.unit != Unit::Share || (0.0..=1.0 + 1e-9).contains(tick)).collect()
    };
    let (x_ticks, y_ticks) = (inside(x, x_scale.ticks(4)), inside(y, y_scale.ticks(5)));
    let step = |ticks: &[f64]| ticks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
    let (x_step, y_step) = (step(&x_ticks), step(&y_ticks));
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    html! {
        rect.field x=(LEFT) y=(TOP) width=(WIDTH - LEFT - RIGHT) height=(HEIGHT - TOP - BOTTOM) {}
        @for tick in &x_ticks {
            @let place = x_scale.place(*tick);
            line.grid x1=(px(place)) x2=(px(place)) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
            text.tick x=(px(place)) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (tick_label(x, *tick, x_step)) }
        }
        @for tick in &y_ticks {
            @let place = y_scale.place(*tick);
            line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(px(place)) y2=(px(place)) {}
            text.tick x=(LEFT - 7.0) y=(px(place + 4.0)) text-anchor="end" { (tick_label(y, *tick, y_step)) }
        }
        text.axis x=(middle) y=(HEIGHT - 10.0) text-anchor="middle" { "capability →" }
        text.axis transform=(format!("translate(14 {}) rotate(-90)", (TOP + HEIGHT - BOTTOM) / 2.0)) text-anchor="middle" {
            "alignment →"
        }
    }
}

fn cross(x: &Spot, y: &Spot, x_scale: &Scale, y_scale: &Scale, class: &str) -> Markup {
    let (cx, cy) = (x_scale.place(x.value), y_scale.place(y.value));
    html! {
        g class=(format!("cross {class}")) {
            line x1=(px(x_scale.place(x.low))) x2=(px(x_scale.place(x.high))) y1=(px(cy)) y2=(px(cy)) {}
            line x1=(px(cx)) x2=(px(cx)) y1=(px(y_scale.place(y.low))) y2=(px(y_scale.place(y.high))) {}
        }
    }
}

/// The way from before to after; left out where the marks nearly touch.
fn arrow(x: &Axis, y: &Axis, x_scale: &Scale, y_scale: &Scale) -> Markup {
    const GAP: f64 = 11.0;
    let from = (x_scale.place(x.before.value), y_scale.place(y.before.value));
    let to = (x_scale.place(x.after.value), y_scale.place(y.after.value));
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy);
    if length < 3.0 * GAP {
        return html! {};
    }
    let (ux, uy) = (dx / length, dy / length);
    let start = (from.0 + ux * GAP, from.1 + uy * GAP);
    let tip = (to.0 - ux * GAP, to.1 - uy * GAP);
    let base = (tip.0 - ux * 9.0, tip.1 - uy * 9.0);
    let head = format!(
        "M{} {}L{} {}L{} {}Z",
        px(tip.0),
        px(tip.1),
        px(base.0 - uy * 5.0),
        px(base.1 + ux * 5.0),
        px(base.0 + uy * 5.0),
        px(base.1 - ux * 5.0)
    );
    html! {
        line.way x1=(px(start.0)) y1=(px(start.1)) x2=(px(base.0)) y2=(px(base.1)) {}
        path.head d=(head) {}
    }
}

fn marks(headline: &Headline, x: &Axis, y: &Axis, x_scale: &Scale, y_scale: &Scale) -> Markup {
    let from = (x_scale.place(x.before.value), y_scale.place(y.before.value));
    let to = (x_scale.place(x.after.value), y_scale.place(y.after.value));
    html! {
        circle.dot.before cx=(px(from.0)) cy=(px(from.1)) r="6" {}
        circle.dot.after cx=(px(to.0)) cy=(px(to.1)) r="6" {}
        (name(&headline.left, from, from.1 < to.1))
        (name(&headline.right, to, to.1 <= from.1))
    }
}

/// A mark's name: above it or below, on the side that has room.
fn name(name: &str, (x, y): (f64, f64), above: bool) -> Markup {
    let right = x < (LEFT + WIDTH - RIGHT) / 2.0;
    let (shift, anchor) = if right { (10.0, "start") } else { (-10.0, "end") };
    let (short, _) = crate::text::clip(name, 16);
    html! {
        text.name x=(px(x + shift)) y=(px(if above { y - 10.0 } else { y + 19.0 })) text-anchor=(anchor) {
            (crate::text::for_page(short))
        }
    }
}

/// A place in a drawing, to a tenth of a pixel.
pub(super) fn px(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
