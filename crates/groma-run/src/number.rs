//! Floating-point numbers in JSON, which has no word for NaN and infinity.
//!
//! serde_json writes them as `null` and cannot read that back, and elsewhere `null` has turned into 0. Here they are the
//! strings `"NaN"`, `"Infinity"` and `"-Infinity"`, as JavaScript and Python spell them, and come back as what they were.
//! Use with `#[serde(with = "groma_run::number")]`, or the modules for options and maps.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A number that survives JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if value.is_nan() => serializer.serialize_str("NaN"),
            value if value > 0.0 => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\"")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "NaN" => Ok(Number(f64::NAN)),
                    "Infinity" => Ok(Number(f64::INFINITY)),
                    "-Infinity" => Ok(Number(f64::NEG_INFINITY)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// Writes an `f64`.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Number(*value).serialize(serializer)
}

/// Reads an `f64`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Number::deserialize(deserializer).map(|number| number.0)
}

/// For fields of type `Option<f64>`; add `#[serde(default)]`.
pub mod option {
    use super::{Deserialize, Deserializer, Number, Serialize, Serializer};

    /// Writes an optional number.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Number).serialize(serializer)
    }

    /// Reads an optional number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Number>::deserialize(deserializer)?.map(|number| number.0))
    }
}

/// For fields of type `BTreeMap<String, f64>`.
pub mod map {
    use super::{Deserialize, Deserializer, Number, Serializer};
    use std::collections::BTreeMap;

    /// Writes a map of numbers.
    pub fn serialize<S: Serializer>(map: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(key, value)| (key, Number(*value))))
    }

    /// Reads a map of numbers.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let map = BTreeMap::<String, Number>::deserialize(deserializer)?;
        Ok(map.into_iter().map(|(key, number)| (key, number.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Serialize, Deserialize)]
    struct Row {
        #[serde(with = "super")]
        value: f64,
        #[serde(default, with = "super::option", skip_serializing_if = "Option::is_none")]
        maybe: Option<f64>,
        #[serde(with = "super::map")]
        all: BTreeMap<String, f64>,
    }

    fn same(a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    proptest! {
        #[test]
        fn every_number_comes_back(value in any::<f64>(), maybe in proptest::option::of(any::<f64>())) {
            let row = Row { value, maybe, all: BTreeMap::from([("x".to_owned(), value)]) };
            let text = serde_json::to_string(&row).unwrap();
            let back: Row = serde_json::from_str(&text).unwrap();
            prop_assert!(same(back.value, value), "{text}");
            prop_assert!(same(back.all["x"], value), "{text}");
            prop_assert_eq!(back.maybe.is_some(), maybe.is_some());
            prop_assert!(same(back.maybe.unwrap_or(0.0), maybe.unwrap_or(0.0)), "{}", text);
        }
    }

    #[test]
    fn what_is_not_finite_is_spelt_out_and_null_is_refused() {
        for (value, text) in [(f64::NAN, "\"NaN\""), (f64::INFINITY, "\"Infinity\""), (-f64::INFINITY, "\"-Infinity\"")]
        {
            assert_eq!(serde_json::to_string(&Number(value)).unwrap(), text);
            assert!(same(serde_json::from_str::<Number>(text).unwrap().0, value));
        }
        for text in ["null", "\"nan\"", "true", "[]"] {
            assert!(serde_json::from_str::<Number>(text).is_err());
        }
    }
}
