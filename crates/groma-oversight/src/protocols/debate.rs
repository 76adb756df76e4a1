//! Debate: two models argue, and a judge who could not answer alone decides between them.

mod argued;
mod claim;
mod exact;
mod games;
mod play;
mod settings;

use crate::{Protocol, Role};
use groma_align::{Kind, Parameter, Range};
use groma_data::Shape;
use settings::Settings;

/// Lists are at most so long, and formulas have at most so many rows.
const MOST_PARTS: usize = 4096;

pub(crate) static RECORD: Protocol = Protocol {
    id: "debate",
    title: "two debaters, and a judge who can check one step",
    paper: "Irving, Christiano and Amodei 2018 (arXiv 1805.00899); checked steps: Barnes and Christiano 2020",
    doc: "Without rows: games whose truth can be computed. One debater defends a claim by breaking it into parts, the other \
          disputes one of them, and so on until a part is left that the judge can check; he is right with a set probability. \
          Who tells the truth takes each role in turn. In theory the truth wins as often as the judge is right; a single \
          consultant, of whose argument one random step is checked, is the control. With rows (of a prompt, the right answer \
          and a wrong one): two models argue for the answers in turn, each answer once in either place, and a model judges what \
          they said; the same judge without a debate is the control. Differs from the paper in that statements follow one \
          another and nothing is trained.",
    roles: &[
        Role { name: "debater", doc: "argues for the first answer, and for both where there is no opponent" },
        Role { name: "opponent", doc: "argues for the second answer; the debater, where not given" },
        Role { name: "judge", doc: "reads what was said and decides" },
    ],
    data: &[Shape::Preference],
    poses: true,
    parameters: &[
        Parameter {
            name: "games",
            kind: Kind::Words,
            default: "[\"sum\", \"order\", \"formula\"]",
            range: None,
            doc: "Without rows: what is played for (sum of a list, whether a list is in order, whether a quantified formula holds).",
        },
        Parameter {
            name: "questions",
            kind: Kind::Integer,
            default: "300",
            range: Some(Range::closed(1.0, 1e5)),
            doc: "Without rows: questions of each game and accuracy; each is debated twice.",
        },
        Parameter {
            name: "size",
            kind: Kind::Integer,
            default: "16",
            range: Some(Range::closed(4.0, MOST_PARTS as f64)),
            doc: "Without rows: length of the lists, and rows of the formulas' tables; a power of two.",
        },
        Parameter {
            name: "judge_accuracy",
            kind: Kind::Floats,
            default: "[0.5, 0.7, 0.9, 1.0]",
            range: Some(Range::closed(0.0, 1.0)),
            doc: "Without rows: how often the judge is right about the step that he checks; 0.5 is a blind one.",
        },
        Parameter {
            name: "turns",
            kind: Kind::Integer,
            default: "2",
            range: Some(Range::closed(1.0, 16.0)),
            doc: "With rows: statements of each debater.",
        },
        Parameter {
            name: "max_new_tokens",
            kind: Kind::Integer,
            default: "200",
            range: Some(Range::closed(1.0, 1e5)),
            doc: "With rows: longest statement and longest verdict, in tokens.",
        },
    ],
    rows: &["preferences"],
    carry_out: |table| {
        let settings: Settings = table.typed()?;
        if table.rows.is_empty() { exact::carry_out(table, &settings) } else { argued::carry_out(table, &settings) }
    },
};
