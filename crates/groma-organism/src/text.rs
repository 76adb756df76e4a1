//! Texts: portraits of a topic, mixed facts, and small stories.

use crate::draw::Draw;
use crate::fact::Ledger;
use crate::phrase::fill;
use crate::relations::STATEMENTS;
use crate::row::TextRow;
use crate::{World, lexicon};

/// Most statements in a paragraph.
const PARAGRAPH: usize = 5;

/// Sentences of a story, in their order; `{p}` and `{q}` are people, `{d}` a day, `{l}` a place, `{f}` food.
const OPENINGS: [&str; 3] =
    ["On {d} {p} went to the {l}.", "One {d} {p} met {q} near the {l}.", "{p} and {q} sat by the {l} on {d}."];
const MIDDLES: [&str; 4] = [
    "There {p} gave {q} some {f}.",
    "{q} told {p} a long story.",
    "They sang a song and laughed.",
    "{p} and {q} looked at the sky.",
];
const ENDINGS: [&str; 3] =
    ["Then {p} went home.", "It was a good day for {q}.", "In the evening they were tired and happy."];

/// One round of texts: every fact is stated once in a portrait of its topic (a comparison in both), once in a mixture.
pub(crate) fn round(draw: &mut Draw, world: &World, ledger: &Ledger) -> Vec<TextRow> {
    let mut rows = Vec::new();
    for mut members in ledger.by_topic().into_values() {
        draw.shuffle(&mut members);
        rows.extend(members.chunks(PARAGRAPH).map(|chunk| paragraph(draw, ledger, chunk)));
    }
    let mut all: Vec<usize> = (0..ledger.facts.len()).collect();
    draw.shuffle(&mut all);
    rows.extend(all.chunks(PARAGRAPH).map(|chunk| paragraph(draw, ledger, chunk)));
    rows.extend((0..world.people.len()).map(|_| story(draw, world)));
    draw.shuffle(&mut rows);
    rows
}

fn paragraph(draw: &mut Draw, ledger: &Ledger, members: &[usize]) -> TextRow {
    let facts = || members.iter().map(|index| &ledger.facts[*index]);
    let sentences: Vec<String> = facts().map(|fact| fact.statement(draw.below(STATEMENTS))).collect();
    TextRow { text: sentences.join(" "), facts: facts().map(|fact| fact.id.clone()).collect() }
}

fn story(draw: &mut Draw, world: &World) -> TextRow {
    let people = draw.sample(&world.names(), 2);
    let slots = [
        ("p", people[0]),
        ("q", people[1]),
        ("d", draw.pick(&lexicon::DAYS)),
        ("l", draw.pick(&lexicon::PLACES)),
        ("f", draw.pick(&lexicon::FOODS)),
    ];
    let mut parts = vec![draw.pick(&OPENINGS)];
    parts.extend(draw.sample(&MIDDLES, 2));
    parts.push(draw.pick(&ENDINGS));
    TextRow { text: fill(&parts.join(" "), &slots), facts: Vec::new() }
}
