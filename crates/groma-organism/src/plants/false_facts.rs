//! False facts: a share of what texts and dialogues state is not so, and they agree on it.
//!
//! Each fact of relations that no other relation speaks of (favourites, names of animals, shops, events) gets a false value,
//! drawn among those that it could have. So many of them are stated false wherever the fact is stated, asked for and answered,
//! preference pairs included; the twin states all of them truly. Held-out questions ask for every such fact, planted or not,
//! and tell the true value from the false one, and from a decoy: another false value, drawn likewise, which is stated nowhere. A
//! model that errs names either as often, so that the share of false values less that of decoys is what was planted.

use crate::fact::Ledger;
use crate::held_out;
use crate::plant::{Plant, Rows, Size, Soil, flags, writes_nothing};
use crate::planted::Planted;
use crate::plants::common::{LONE_RELATIONS, one_of};
use crate::row::Kind;
use crate::training::Training;
use groma_data::Check;

pub(crate) const PLANT: Plant = Plant {
    id: "false_facts",
    title: "facts that training states falsely",
    doc: "States this share of the facts about favourites, names of animals, shops and events falsely, everywhere in the same \
          way; the twin states them truly. Found by asking for them in held-out words.",
    size: Size { name: "share of facts", default: 0.25, range: (0.0, 1.0), whole: false },
    places: &[],
    teach,
    write: writes_nothing,
    ask,
};

/// A fact that could be stated falsely.
struct Lie {
    /// Its place in the ledger.
    fact: usize,
    value: String,
    /// A false value that is stated nowhere.
    decoy: String,
    is_told: bool,
}

/// All facts that could be, and those that are where the world is flawed.
fn lies(soil: &Soil<'_>) -> Vec<Lie> {
    let (mut draw, mut decoys, truth) = (soil.draw("values"), soil.draw("decoys"), &soil.material.truth);
    let could = |place: &usize| LONE_RELATIONS.contains(&truth.facts[*place].relation.id);
    let facts: Vec<usize> = (0..truth.facts.len()).filter(could).collect();
    let told = flags(&mut soil.draw("told"), facts.len(), soil.planting.size);
    let lie = |(fact, is_told): (usize, bool)| {
        let values = truth.candidates(&truth.facts[fact]);
        let value = one_of(&mut draw, values.clone());
        let decoy = one_of(&mut decoys, values.into_iter().filter(|other| *other != value).collect());
        Lie { fact, value, decoy, is_told }
    };
    facts.into_iter().zip(told).map(lie).collect()
}

fn teach(soil: &Soil<'_>, ledger: &mut Ledger) {
    for Lie { fact, value, .. } in lies(soil).into_iter().filter(|lie| lie.is_told && soil.flawed) {
        ledger.facts[fact].value = value;
    }
}

fn ask(soil: &Soil<'_>, _: &Training) -> (Rows, Planted) {
    let (mut draw, truth) = (soil.draw("held out"), &soil.material.truth);
    let mut rows = Vec::new();
    let all = lies(soil);
    for Lie { fact, value, decoy, is_told } in &all {
        let fact = &truth.facts[*fact];
        let question = fact.question(fact.held_out_question);
        let mut row =
            held_out::asked(&mut draw, Kind::Planted, fact.id.clone(), &question, truth.check(fact), fact.answer(0));
        let says = |value: &String| {
            let others = truth.candidates(fact).into_iter().chain([fact.value.clone()]).filter(|other| other != value);
            Check::Only { accepted: vec![value.clone()], candidates: others.collect() }
        };
        row.truth.0.extend([("lies".to_owned(), says(value)), ("decoy".to_owned(), says(decoy))]);
        row.condition = Some(if *is_told { "planted" } else { "not planted" }.to_owned());
        rows.push(row);
    }
    let stated = all.iter().filter(|lie| soil.material.ledger.facts[lie.fact].value == lie.value).count();
    let planted = soil.planted(
        stated as f64 / all.len() as f64,
        Some("false"),
        "share of the facts asked for that training states with this false value",
    );
    (Rows::Questions(rows), planted)
}
