//! A panel for each pillar: its numbers and its pictures.

use super::{drawings, factors};
use crate::text::for_page;
use groma_run::{Event, Figure, Measurement, Pillar, RunRecords};
use maud::{Markup, html};

/// The pillars that have a panel of their own, in their order, with name and title.
const PANELS: [(Pillar, &str, &str); 4] = [
    (Pillar::Attack, "attack", "Attacked"),
    (Pillar::Interpretability, "inspect", "Looked inside"),
    (Pillar::Oversight, "oversee", "Overseen"),
    (Pillar::Inner, "inner", "What was really learned"),
];
/// Pictures of one panel that are shown.
const MOST_FIGURES: usize = 24;

/// Name, title and content of each panel that has any.
pub(super) fn panels(records: &RunRecords) -> Vec<(&'static str, &'static str, Markup)> {
    let panel = |(pillar, name, title): &(Pillar, &'static str, &'static str)| {
        let measured: Vec<&Measurement> = records.measurements.iter().filter(|row| row.pillar == *pillar).collect();
        let figures: Vec<&Figure> = figures(&records.events).filter(|figure| figure.pillar == *pillar).collect();
        let has_any = !measured.is_empty() || !figures.is_empty();
        has_any.then(|| (*name, *title, panel(&measured, &figures)))
    };
    PANELS.iter().filter_map(panel).collect()
}

fn figures(events: &[Event]) -> impl Iterator<Item = &Figure> {
    events.iter().filter_map(|event| event.figure.as_ref())
}

fn panel(measured: &[&Measurement], figures: &[&Figure]) -> Markup {
    html! {
        div.panel { (factors::all(measured)) }
        @if !figures.is_empty() {
            div.drawings { @for figure in figures.iter().take(MOST_FIGURES) { (drawings::figure(figure)) } }
            @if figures.len() > MOST_FIGURES { p.quiet { (figures.len() - MOST_FIGURES) " more pictures are in events.jsonl." } }
        }
        (notes(measured))
    }
}

/// What was said of single numbers, each sentence once.
fn notes(measured: &[&Measurement]) -> Markup {
    let mut notes: Vec<String> = Vec::new();
    for row in measured {
        let Some(note) = &row.note else { continue };
        let note = format!("{}: {}", for_page(&row.task), for_page(note));
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    super::sections::sentences(&notes)
}
