//! Ways through a small world of cells.

use super::plane::px;
use crate::text::for_page;
use groma_run::figure::{Mark, Path, Paths};
use maud::{Markup, html};

/// The side of a cell.
const CELL: f64 = 24.0;
/// Ways that are drawn; there are as many colours.
const MOST_PATHS: usize = 4;

/// The world from above; ways lie a little beside each other.
pub(super) fn paths(title: &str, world: &Paths) -> Markup {
    let (width, height) = (world.width.min(Paths::MOST_CELLS), world.height.min(Paths::MOST_CELLS));
    let (right, bottom) = (f64::from(width) * CELL, f64::from(height) * CELL);
    let inside = |[column, row]: [u16; 2]| column < width && row < height;
    html! {
        figure.chart.paths {
            svg viewBox=(format!("-1 -1 {} {}", px(right + 2.0), px(bottom + 2.0))) role="img" aria-label=(for_page(title)) {
                @for column in 0..=width { @let x = px(f64::from(column) * CELL); line.grid x1=(x) x2=(x) y1="0" y2=(px(bottom)) {} }
                @for row in 0..=height { @let y = px(f64::from(row) * CELL); line.grid x1="0" x2=(px(right)) y1=(y) y2=(y) {} }
                @for cell in world.walls.iter().filter(|cell| inside(**cell)) {
                    rect.wall x=(px(f64::from(cell[0]) * CELL)) y=(px(f64::from(cell[1]) * CELL)) width=(CELL) height=(CELL) {}
                }
                @for (place, path) in world.paths.iter().take(MOST_PATHS).enumerate() {
                    path class=(format!("line s{place}")) d=(way(path, place, &inside)) {}
                }
                @for mark in world.marks.iter().filter(|mark| inside(mark.cell)) { (sign(mark)) }
            }
            ul.legend {
                @for (place, path) in world.paths.iter().take(MOST_PATHS).enumerate() {
                    li {
                        svg width="22" height="8" aria-hidden="true" { path class=(format!("line s{place}")) d="M0 4L22 4" {} }
                        " " (for_page(&path.name))
                    }
                }
                @if world.paths.len() > MOST_PATHS { li.quiet { (world.paths.len() - MOST_PATHS) " more are in events.jsonl" } }
            }
        }
    }
}

/// The middle of a cell.
fn middle([column, row]: [u16; 2]) -> (f64, f64) {
    ((f64::from(column) + 0.5) * CELL, (f64::from(row) + 0.5) * CELL)
}

fn way(path: &Path, place: usize, inside: &impl Fn([u16; 2]) -> bool) -> String {
    let beside = (place as f64 - 1.5) * 3.0;
    let points = path.cells.iter().filter(|cell| inside(**cell)).map(|cell| middle(*cell));
    let places: Vec<String> = points.map(|(x, y)| format!("{} {}", px(x + beside), px(y + beside))).collect();
    if places.is_empty() { String::new() } else { format!("M{}", places.join("L")) }
}

fn sign(mark: &Mark) -> Markup {
    let (x, y) = middle(mark.cell);
    let letter: String = mark.name.chars().take(1).collect::<String>().to_uppercase();
    html! {
        g {
            title { (for_page(&mark.name)) }
            circle.sign cx=(px(x)) cy=(px(y)) r="8.5" {}
            text.tick x=(px(x)) y=(px(y + 4.0)) text-anchor="middle" { (for_page(&letter)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_not_drawn() {
        let world = Paths {
            width: 3,
            height: 2,
            walls: vec![[1, 0], [9, 9]],
            marks: vec![Mark { cell: [2, 1], name: "<coin>".into() }, Mark { cell: [3, 1], name: "lost".into() }],
            paths: vec![Path { name: "agent".into(), cells: vec![[0, 0], [0, 1], [70, 70]] }],
        };
        let page = paths("t", &world).into_string();
        assert_eq!((page.matches("<rect").count(), page.matches("<circle").count()), (1, 1));
        assert!(page.contains("M7.5 7.5L7.5 31.5\"") && page.contains("&lt;coin&gt;"), "{page}");
    }
}
