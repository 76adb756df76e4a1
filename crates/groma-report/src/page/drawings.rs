//! Pictures that stages leave as data.

use super::bands::{self, bands};
use super::{heat, paths};
use crate::text::for_page;
use groma_run::figure::{Lines, Point};
use groma_run::{Drawing, Figure};
use maud::{Markup, html};

/// A picture with its title and what it says.
pub(super) fn figure(figure: &Figure) -> Markup {
    html! {
        section.drawing {
            h3 { (for_page(&figure.title)) }
            @if !figure.caption.is_empty() { p.quiet { (for_page(&figure.caption)) } }
            @match &figure.drawing {
                Drawing::Heat(drawn) => (heat::heat(&figure.title, drawn)),
                Drawing::Lines(drawn) => (lines(&figure.title, drawn)),
                Drawing::Paths(drawn) => (paths::paths(&figure.title, drawn)),
            }
        }
    }
}

fn lines(title: &str, lines: &Lines) -> Markup {
    let point = |point: &Point| (point.x, point.y, point.ends.map(|[low, high]| (low.0, high.0)));
    let series: Vec<bands::Series> = lines
        .series
        .iter()
        .map(|line| bands::Series { name: line.name.clone(), points: line.points.iter().map(point).collect() })
        .collect();
    html! {
        @if !lines.y.is_empty() { p.quiet { (for_page(&lines.y)) } }
        (bands(title, &lines.x, lines.unit, &series))
    }
}
