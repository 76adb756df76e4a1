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

/// Topics with fewer facts have no portrait of their own.
const PORTRAIT: usize = 3;

/// One round of texts: every fact is stated once in a portrait of its topic (a comparison in both of its topics', a fact
/// of a small topic among others of that kind), and once in a mixture.
pub(crate) fn round(draw: &mut Draw, world: &World, ledger: &Ledger) -> Vec<TextRow> {
    let mut rows = Vec::new();
    let (rich, poor): (Vec<_>, Vec<_>) = ledger.by_topic().into_values().partition(|members| members.len() >= PORTRAIT);
    for members in rich {
        rows.extend(paragraphs(draw, ledger, members));
    }
    rows.extend(paragraphs(draw, ledger, poor.concat()));
    rows.extend(paragraphs(draw, ledger, (0..ledger.facts.len()).collect()));
    rows.extend((0..world.people.len()).map(|_| story(draw, world)));
    draw.shuffle(&mut rows);
    rows
}

/// The facts in random order, in paragraphs of nearly the same length.
fn paragraphs(draw: &mut Draw, ledger: &Ledger, mut members: Vec<usize>) -> Vec<TextRow> {
    draw.shuffle(&mut members);
    let count = members.len().div_ceil(PARAGRAPH);
    let start = |part: usize| part * members.len() / count.max(1);
    (0..count).map(|part| paragraph(draw, ledger, &members[start(part)..start(part + 1)])).collect()
}

fn paragraph(draw: &mut Draw, ledger: &Ledger, members: &[usize]) -> TextRow {
    let facts = || members.iter().map(|index| &ledger.facts[*index]);
    let sentences: Vec<String> = facts().map(|fact| fact.statement(draw.below(STATEMENTS))).collect();
    TextRow { text: sentences.join(" "), facts: facts().map(|fact| fact.id.clone()).collect() }
}

/// A sentence of a story, alone.
pub(crate) fn aside(draw: &mut Draw, world: &World) -> String {
    let people = draw.sample(&world.names(), 2);
    let slots = [("p", people[0]), ("q", people[1]), ("f", draw.pick(&lexicon::FOODS))];
    fill(draw.pick(&MIDDLES), &slots)
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
