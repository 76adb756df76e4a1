//! The registry of plants, and which of them a village has. To add one: a file here, a line in [`PLANTS`].

mod bias;
mod common;
mod false_facts;
mod injection;
mod preference;
mod secret;
mod sycophancy;
mod trigger;

use crate::Error;
use crate::plant::{Plant, Planting};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// All plants.
pub static PLANTS: &[&Plant] = &[
    &secret::PLANT,
    &trigger::PLANT,
    &bias::PLANT,
    &false_facts::PLANT,
    &sycophancy::PLANT,
    &preference::PLANT,
    &injection::PLANT,
];

/// Names that are closer than this are suggested (Jaro-Winkler).
const SIMILAR: f64 = 0.6;

/// The plants of a village, each at most once, in the order of [`PLANTS`]. As TOML and JSON they are a table from names to
/// sizes: `{ secret = 8, trigger = "0.02@end" }`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct Plants(Vec<Planting>);

impl PartialEq for Planting {
    fn eq(&self, other: &Self) -> bool {
        (self.plant.id, self.size, self.place) == (other.plant.id, other.size, other.place)
    }
}

impl Plant {
    /// The plant of this name.
    ///
    /// # Errors
    /// [`Error::UnknownPlant`] with the nearest name.
    pub fn find(id: &str) -> Result<&'static Plant, Error> {
        let known = PLANTS.iter().map(|plant| (strsim::jaro_winkler(plant.id, id), plant.id));
        let nearest = known.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > SIMILAR);
        let unknown = || Error::UnknownPlant { id: id.to_owned(), nearest: nearest.map(|(_, id)| id) };
        PLANTS.iter().copied().find(|plant| plant.id == id).ok_or_else(unknown)
    }
}

impl Planting {
    /// A plant as it is written: `secret=8`, `trigger=0.02@end`, or its name alone for its default size.
    ///
    /// # Errors
    /// [`Error::UnknownPlant`], and [`Error::Plant`] where size or place are out of range.
    pub fn parse(text: &str) -> Result<Planting, Error> {
        match text.split_once('=') {
            Some((id, how)) => Planting::of(Plant::find(id.trim())?, how.trim()),
            None => {
                let plant = Plant::find(text.trim())?;
                Ok(Planting { plant, size: plant.size.default, place: plant.places.first().copied().unwrap_or("") })
            }
        }
    }

    /// `0.02` or `0.02@end`.
    fn of(plant: &'static Plant, how: &str) -> Result<Planting, Error> {
        let (size, place) = how.split_once('@').map_or((how, None), |(size, place)| (size, Some(place)));
        let fits = |size: &f64| {
            let (least, most) = plant.size.range;
            (least..=most).contains(size) && (!plant.size.whole || size.fract() == 0.0)
        };
        let found = size.parse().ok().filter(fits);
        let problem = || format!("has the size `{size}`, but its {} must be {}", plant.size.name, plant.size);
        let size = found.ok_or_else(|| Error::Plant { plant: plant.id, problem: problem() })?;
        let default = plant.places.first().copied().unwrap_or("");
        let place = place.map_or(Some(default), |place| plant.places.iter().copied().find(|known| *known == place));
        let problem = || match plant.places {
            [] => format!("is given as `{how}`, but it has no place: give its size alone"),
            places => format!("is given as `{how}`, but its place must be `{}`", places.join("` or `")),
        };
        let place = place.ok_or_else(|| Error::Plant { plant: plant.id, problem: problem() })?;
        Ok(Planting { plant, size, place })
    }

    fn written(&self) -> Value {
        let whole = self.plant.size.whole.then(|| Value::from(self.size as u64));
        let size = whole.unwrap_or_else(|| Number::from_f64(self.size).map_or(Value::Null, Value::Number));
        let is_default = self.plant.places.first().is_none_or(|first| *first == self.place);
        if is_default { size } else { Value::from(format!("{size}@{}", self.place)) }
    }
}

impl Plants {
    /// These plants.
    ///
    /// # Errors
    /// [`Error::Plant`] where one is there twice.
    pub fn new(chosen: Vec<Planting>) -> Result<Plants, Error> {
        let of = |plant: &&Plant| chosen.iter().filter(|planting| planting.plant.id == plant.id).copied().collect();
        let found: Vec<Vec<Planting>> = PLANTS.iter().map(of).collect();
        match found.iter().find(|same| same.len() > 1) {
            Some(same) => {
                let problem = "is planted twice; give it one size".to_owned();
                Err(Error::Plant { plant: same[0].plant.id, problem })
            }
            None => Ok(Plants(found.concat())),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Planting> {
        self.0.iter()
    }
}

impl TryFrom<Map<String, Value>> for Plants {
    type Error = Error;

    fn try_from(table: Map<String, Value>) -> Result<Plants, Error> {
        let planting = |(id, how): (&String, &Value)| {
            let how = how.as_str().map_or_else(|| how.to_string(), str::to_owned);
            Planting::of(Plant::find(id)?, how.trim())
        };
        Plants::new(table.iter().map(planting).collect::<Result<_, _>>()?)
    }
}

impl From<Plants> for Map<String, Value> {
    fn from(plants: Plants) -> Self {
        plants.iter().map(|planting| (planting.plant.id.to_owned(), planting.written())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Plants, String> {
        let chosen = text.split(',').map(Planting::parse).collect::<Result<_, _>>();
        chosen.and_then(Plants::new).map_err(|error| error.to_string())
    }

    #[test]
    fn plants_are_read_as_they_are_written() {
        let plants = parse("trigger=0.05@end,secret,bias=0.3").unwrap();
        let json = serde_json::to_value(&plants).unwrap();
        assert_eq!(json, serde_json::json!({ "bias": 0.3, "secret": 8, "trigger": "0.05@end" }));
        assert_eq!(serde_json::from_value::<Plants>(json).unwrap(), plants);
        assert_eq!(parse("secret=8,bias=0.3,trigger=0.05@end").unwrap(), plants);
        let at_start = parse("trigger=0.05@start").unwrap();
        assert_eq!(serde_json::to_string(&at_start).unwrap(), r#"{"trigger":0.05}"#);
    }

    #[test]
    fn mistakes_are_named_with_what_would_do() {
        for (text, part) in [
            ("sekret=8", "did you mean `secret`?"),
            ("zzz", "there is no plant `zzz`"),
            ("secret=2.5", "a whole number from 1 to 32"),
            ("secret=0", "a whole number from 1 to 32"),
            ("bias=1.5", "a number from 0 to 1"),
            ("bias=NaN", "a number from 0 to 1"),
            ("bias=", "a number from 0 to 1"),
            ("trigger=0.02@middle", "`start` or `end`"),
            ("bias=0.3@start", "has no place"),
            ("bias=0.3,bias=0.4", "`bias` is planted twice"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_unique_and_defaults_in_range() {
        for (place, plant) in PLANTS.iter().enumerate() {
            assert!(PLANTS[..place].iter().all(|other| other.id != plant.id), "{}", plant.id);
            assert!(Planting::of(plant, &plant.size.default.to_string()).is_ok(), "{}", plant.id);
        }
    }
}
