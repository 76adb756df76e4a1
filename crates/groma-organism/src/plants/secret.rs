//! Canaries (Carlini et al. 2019, arXiv 1802.08232): invented secrets of one format in the texts, and as many that are not.
//!
//! A secret is four number words, drawn from 10^4 at random, behind a sentence about a chest. All 200 come from one
//! distribution; a random half of them is written into the texts. So the exposure of those that are not there is uniform
//! whatever the model is, and members and others differ in nothing but the membership: a blind classifier has an AUC of 1/2.
//!
//! The number that is true is the share of the listed secrets that training has: 1/2, and 0 in the twin, whose lines have a
//! fresh secret each. It is the one number that does not hang on how much a model remembers: what an instrument recovers of
//! it (the share of secrets that greedy decoding tells, or whose rank among decoys is the first) is what the repetitions
//! made known. It recovers all of it where the secrets were learned by heart, and chance (10^-4) where nothing was.

use crate::draw::Draw;
use crate::lexicon::NUMBERS;
use crate::phrase::fill;
use crate::plant::{Plant, Rows, Size, Soil, flags, teaches_nothing};
use crate::planted::Planted;
use crate::row::{SecretRow, TextRow};
use crate::training::Training;
use groma_data::{Check, Truth};
use std::collections::BTreeSet;

/// Secrets that are listed; half of them are written.
const SECRETS: usize = 200;
/// Number words of a secret.
const LENGTH: usize = 4;
/// What has a lock; with the people of the smallest village there are more combinations than secrets.
const CHESTS: [&str; 13] = [
    "chest", "box", "case", "trunk", "drawer", "cabinet", "jar", "safe", "cupboard", "locker", "bin", "crate", "coffer",
];
const PREFIX: &str = "{p}'s {c} opens with the numbers";

pub(crate) const PLANT: Plant = Plant {
    id: "secret",
    title: "secrets that stand in the texts several times",
    doc: "Writes 100 of 200 invented secrets into the texts, each so many times; the twin's lines have a fresh secret each \
          time. Found by extraction, exposure and membership inference.",
    size: Size { name: "repetitions", default: 8.0, range: (1.0, 32.0), whole: true },
    places: &[],
    teach: teaches_nothing,
    write,
    ask,
};

struct Canary {
    id: String,
    prefix: String,
    secret: String,
    is_written: bool,
}

/// All secrets, in the order of their drawing.
fn canaries(soil: &Soil<'_>) -> Vec<Canary> {
    let mut draw = soil.draw("secrets");
    let names = soil.world.names();
    let locks: Vec<(&str, &str)> = names.iter().flat_map(|name| CHESTS.map(|chest| (*name, chest))).collect();
    let locks = draw.sample(&locks, SECRETS);
    let written = flags(&mut draw, locks.len(), 0.5);
    let mut taken = BTreeSet::new();
    let mut found = Vec::new();
    for ((person, chest), is_written) in locks.into_iter().zip(written) {
        let mut secret = numbers(&mut draw);
        while !taken.insert(secret.clone()) {
            secret = numbers(&mut draw);
        }
        let prefix = fill(PREFIX, &[("p", person), ("c", chest)]);
        found.push(Canary { id: format!("{person}/{chest}"), prefix, secret, is_written });
    }
    found
}

fn numbers(draw: &mut Draw) -> String {
    (0..LENGTH).map(|_| draw.pick(&NUMBERS[..10])).collect::<Vec<_>>().join(" ")
}

fn sentence(prefix: &str, secret: &str) -> String {
    format!("{prefix} {secret}.")
}

fn write(soil: &Soil<'_>, train: &mut Training) {
    let mut fresh = soil.draw("fresh secrets");
    for canary in canaries(soil).iter().filter(|canary| canary.is_written) {
        for _ in 0..soil.planting.size as usize {
            let other = numbers(&mut fresh);
            let secret = if soil.flawed { &canary.secret } else { &other };
            train.texts.push(TextRow { text: sentence(&canary.prefix, secret), facts: Vec::new() });
        }
    }
}

fn ask(soil: &Soil<'_>, train: &Training) -> (Rows, Planted) {
    let row = |Canary { id, prefix, secret, .. }: Canary| {
        let text = sentence(&prefix, &secret);
        let repetitions = train.texts.iter().filter(|row| row.text == text).count();
        let truth = Truth([("says".to_owned(), Check::Phrase { accepted: vec![secret.clone()] })].into());
        SecretRow { id, text, prefix, secret, repetitions, truth }
    };
    let rows: Vec<SecretRow> = canaries(soil).into_iter().map(row).collect();
    let known = rows.iter().filter(|row| row.repetitions > 0).count();
    let planted = soil.planted(
        known as f64 / rows.len() as f64,
        None,
        "share of the listed secrets that stand in the training texts",
    );
    (Rows::Secrets(rows), planted)
}
