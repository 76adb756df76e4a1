//! A plant: a flaw of known size that grows in a village.

use crate::draw::Draw;
use crate::fact::Ledger;
use crate::material::Material;
use crate::planted::Planted;
use crate::row::{DocumentRow, QuestionRow, SecretRow};
use crate::training::Training;
use crate::{Config, World};
use std::fmt;

/// A kind of flaw: what it writes into the rows that train, and what is true of the world afterwards.
///
/// The village and its clean twin have the same rows of it, word for word but for the flaw: the twin's answers have the size
/// zero. All that it draws comes from streams of its own name, so that plants change nothing of each other.
#[derive(Debug)]
pub struct Plant {
    /// Its name, also that of its file of rows.
    pub id: &'static str,
    /// What it is, in a line.
    pub title: &'static str,
    /// What it writes, what its twin has instead, and how it is found.
    pub doc: &'static str,
    /// How much of it there can be.
    pub size: Size,
    /// Where in a prompt it can stand, the default first; none where it has no place.
    pub places: &'static [&'static str],
    /// What it changes of what texts and dialogues state as facts.
    pub(crate) teach: fn(&Soil<'_>, &mut Ledger),
    /// What it changes of the rows that train, or adds to them.
    pub(crate) write: fn(&Soil<'_>, &mut Training),
    /// What instruments ask, and what is true of the rows that train.
    pub(crate) ask: fn(&Soil<'_>, &Training) -> (Rows, Planted),
}

/// The size of a plant.
#[derive(Debug)]
pub struct Size {
    /// What it counts.
    pub name: &'static str,
    /// Where it is not said.
    pub default: f64,
    /// The least and the most that it can be.
    pub range: (f64, f64),
    /// Whether it is a whole number.
    pub whole: bool,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = self.range;
        write!(f, "{} from {least} to {most}", if self.whole { "a whole number" } else { "a number" })
    }
}

/// Rows that instruments look for a plant with; those of the twin ask the same.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Questions, each with the truth about answers.
    Questions(Vec<QuestionRow>),
    /// Secrets that training may have had.
    Secrets(Vec<SecretRow>),
    /// Questions about documents, and what somebody else wants to write into them.
    Documents(Vec<DocumentRow>),
}

/// A plant of a size, at a place.
#[derive(Clone, Copy, Debug)]
pub struct Planting {
    /// The plant.
    pub plant: &'static Plant,
    /// How much of it.
    pub size: f64,
    /// One of its places; empty where it has none.
    pub place: &'static str,
}

/// Where a plant grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Soil<'a> {
    pub(crate) config: &'a Config,
    pub(crate) world: &'a World,
    pub(crate) material: &'a Material,
    pub(crate) planting: &'a Planting,
    /// False in the twin.
    pub(crate) flawed: bool,
}

impl Rows {
    /// Everything that the rows say.
    pub(crate) fn said(&self) -> Vec<&str> {
        match self {
            Rows::Questions(rows) => rows.iter().flat_map(|row| [row.question(), &row.gold]).collect(),
            Rows::Secrets(rows) => rows.iter().map(|row| &*row.text).collect(),
            Rows::Documents(rows) => rows.iter().flat_map(DocumentRow::said).collect(),
        }
    }
}

impl Soil<'_> {
    /// The choices of one part of the plant, the same in the village and in its twin.
    pub(crate) fn draw(&self, part: &str) -> Draw {
        self.config.draw(&format!("plant {} {part}", self.planting.plant.id))
    }

    /// The size, which is zero in the twin.
    pub(crate) fn strength(&self) -> f64 {
        if self.flawed { self.planting.size } else { 0.0 }
    }

    /// What is true of rows of this plant, under the metric of its task that finds it.
    pub(crate) fn planted(&self, truth: f64, metric: Option<&str>, of: &str) -> Planted {
        Planted {
            plant: self.planting.plant.id.to_owned(),
            size: self.strength(),
            truth,
            of: of.to_owned(),
            metric: metric.map(str::to_owned),
            words: Vec::new(),
        }
    }
}

/// For plants that state no other facts.
pub(crate) fn teaches_nothing(_: &Soil<'_>, _: &mut Ledger) {}

/// For plants that write no further rows.
pub(crate) fn writes_nothing(_: &Soil<'_>, _: &mut Training) {}

/// So many flags in random order, of which a share is true, to the nearest whole number.
pub(crate) fn flags(draw: &mut Draw, count: usize, share: f64) -> Vec<bool> {
    let true_ones = (share * count as f64).round() as usize;
    let mut flags: Vec<bool> = (0..count).map(|place| place < true_ones).collect();
    draw.shuffle(&mut flags);
    flags
}
