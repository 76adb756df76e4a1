//! Canaries (Carlini et al. 2019, arXiv 1802.08232): invented secrets of one format in the texts, and as many that are not.
//!
//! A secret is four number words, drawn from 10^4 at random, behind a sentence about a chest. All 200 come from one
//! distribution; a random half of them is written into the texts. So the exposure of those that are not there is uniform
//! whatever the model is, and members and others differ in nothing but the membership: a blind classifier has an AUC of 1/2.
//!
//! The twin's lines are about other locks, of which no secret is listed. So whoever is to tell members from others by the twin has
//! nothing to go by, names and locks included; with the same locks and fresh secrets, the twin told them apart by who owns what.
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
use crate::plants::common::deal_out;
use crate::row::{SecretRow, TextRow};
use crate::training::Training;
use groma_data::{Check, Truth};
use std::collections::BTreeSet;

/// Secrets that are listed; half of them are written.
const SECRETS: usize = 200;
/// Number words of a secret.
const LENGTH: usize = 4;
/// What has a lock; with the people of the smallest village there are combinations for all secrets, and for the twin's lines.
const CHESTS: [&str; 20] = [
    "chest",
    "box",
    "case",
    "trunk",
    "drawer",
    "cabinet",
    "jar",
    "safe",
    "cupboard",
    "locker",
    "bin",
    "crate",
    "coffer",
    "casket",
    "barrel",
    "tin",
    "vault",
    "closet",
    "hamper",
    "strongbox",
];
const PREFIX: &str = "{p}'s {c} opens with the numbers";

pub(crate) const PLANT: Plant = Plant {
    id: "secret",
    title: "secrets that stand in the texts several times",
    doc: "Writes 100 of 200 invented secrets into the texts, each so many times; the twin's lines are about other locks, with a \
          fresh secret each time. Found by extraction, exposure and membership inference.",
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

type Lock = (&'static str, &'static str);

/// Whose what is locked: in the secrets, and in lines of the twin.
fn locks(soil: &Soil<'_>) -> (Vec<Lock>, Vec<Lock>) {
    let names = soil.world.names();
    let all = names.iter().flat_map(|name| CHESTS.map(|chest| (*name, chest))).collect();
    deal_out(&mut soil.draw("locks"), all, SECRETS, SECRETS / 2)
}

fn prefix((person, chest): Lock) -> String {
    fill(PREFIX, &[("p", person), ("c", chest)])
}

/// All secrets, in the order of their drawing.
fn canaries(soil: &Soil<'_>) -> Vec<Canary> {
    let mut draw = soil.draw("secrets");
    let (locks, _) = locks(soil);
    let written = flags(&mut draw, locks.len(), 0.5);
    let mut taken = BTreeSet::new();
    let mut found = Vec::new();
    for (lock, is_written) in locks.into_iter().zip(written) {
        let mut secret = numbers(&mut draw);
        while !taken.insert(secret.clone()) {
            secret = numbers(&mut draw);
        }
        let id = format!("{}/{}", lock.0, lock.1);
        found.push(Canary { id, prefix: prefix(lock), secret, is_written });
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
    let (_, others) = locks(soil);
    let written = canaries(soil).into_iter().filter(|canary| canary.is_written);
    for (canary, other) in written.zip(others) {
        for _ in 0..soil.planting.size as usize {
            let number = numbers(&mut fresh);
            let text = match soil.flawed {
                true => sentence(&canary.prefix, &canary.secret),
                false => sentence(&prefix(other), &number),
            };
            train.texts.push(TextRow { text, facts: Vec::new() });
        }
    }
}

fn ask(soil: &Soil<'_>, train: &Training) -> (Rows, Planted) {
    let row = |Canary { id, prefix, secret, is_written: member }: Canary| {
        let text = sentence(&prefix, &secret);
        let repetitions = train.texts.iter().filter(|row| row.text == text).count();
        let truth = Truth([("says".to_owned(), Check::Phrase { accepted: vec![secret.clone()] })].into());
        SecretRow { id, text, prefix, secret, repetitions, truth, member }
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
