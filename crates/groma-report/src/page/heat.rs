//! A number for each row and column, as colour: a table, so that it is read, copied and scrolled as one.

use crate::format;
use crate::text::{clip, for_page};
use groma_run::figure::Heat;
use maud::{Markup, html};

/// Rows and columns that are drawn.
const MOST: usize = 128;
/// Characters of a name, and of a text in a cell.
const NAME_CHARS: usize = 16;
/// Steps of colour on either side of zero; the style sheet has a class for each.
const STEPS: f64 = 8.0;

/// The picture; colours are relative to the largest number.
pub(super) fn heat(title: &str, heat: &Heat) -> Markup {
    let numbers = || heat.values.iter().flatten().map(|number| number.0).filter(|number| number.is_finite());
    let largest = numbers().fold(0.0, |largest: f64, number| largest.max(number.abs()));
    let (rows, columns) = (heat.rows.len().min(MOST), heat.columns.len().min(MOST));
    let left_out = heat.rows.len() - rows + heat.columns.len() - columns;
    html! {
        div.scroll { table.heat aria-label=(for_page(title)) {
            thead { tr {
                th scope="col" { (for_page(&heat.row_axis)) " \\ " (for_page(&heat.column_axis)) }
                @for name in &heat.columns[..columns] { th scope="col" { (short(name)) } }
            } }
            tbody {
                @for (row, name) in heat.rows[..rows].iter().enumerate() {
                    tr {
                        th scope="row" { (short(name)) }
                        @for column in 0..columns { (cell(heat, row, column, largest)) }
                    }
                }
            }
        } }
        @if largest > 0.0 {
            p.quiet { "Full colour is " (format::value(largest, heat.unit)) "; below zero the colour is the other." }
        }
        @if left_out > 0 { p.quiet { (left_out) " more rows or columns are in events.jsonl." } }
    }
}

fn short(text: &str) -> String {
    for_page(clip(text, NAME_CHARS).0)
}

fn cell(heat: &Heat, row: usize, column: usize, largest: f64) -> Markup {
    let number = heat.values.get(row).and_then(|row| row.get(column)).map(|number| number.0);
    let text = heat.texts.get(row).and_then(|row| row.get(column));
    let Some(number) = number.filter(|number| number.is_finite()) else {
        return html! { td { @if let Some(text) = text { (short(text)) } } };
    };
    let step = if largest > 0.0 { (number.abs() / largest * STEPS).round() as u8 } else { 0 };
    let sign = if number < 0.0 { 'n' } else { 'p' };
    html! {
        td class=(format!("{sign}{step}")) title=(format::value(number, heat.unit)) {
            @if let Some(text) = text { (short(text)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_by_the_largest_and_text_is_text() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let drawn = Heat {
            texts: vec![names(&["<b>", "x"])],
            ..Heat::of(["layer", "token"], names(&["0", "1"]), names(&["a", "b"]), &[vec![4.0, -1.0], vec![f64::NAN]])
        };
        let page = heat("t", &drawn).into_string();
        assert!(page.contains("class=\"p8\"") && page.contains("class=\"n2\""), "{page}");
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"));
        // A row that is too short leaves its cells blank.
        assert_eq!(page.matches("<td").count(), 4);
    }
}
