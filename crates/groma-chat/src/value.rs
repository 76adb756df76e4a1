//! Lists and mappings of templates, which know how large and how deep they are.
//!
//! A list that holds another one twice is small in memory and large to walk. So each container carries the number of values
//! and bytes in it as if nothing were shared; both this and the nesting are limited where a container is made, and then
//! comparing, printing or hashing any value is bounded.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, Value};

use crate::budget::{Budget, failure, refusal};
use crate::error::TemplateError;

/// Deepest nesting of lists and mappings.
pub(crate) const MAX_DEPTH: usize = 64;
/// What a place in a container costs.
const PLACE_BYTES: usize = 48;
/// What walking over a value costs beside its text.
const STEP_BYTES: usize = 16;

/// A list or tuple.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) items: Vec<Value>,
    pub(crate) is_tuple: bool,
    weight: usize,
    depth: usize,
}

/// A mapping that keeps the order of its entries.
#[derive(Debug)]
pub(crate) struct Dict {
    pub(crate) entries: Vec<(Value, Value)>,
    places: HashMap<Key, usize>,
    weight: usize,
    depth: usize,
}

/// A key of a mapping; in Python, `1`, `1.0` and `True` are one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Text(Arc<str>),
    Integer(i128),
    None,
}

impl Key {
    pub(crate) fn of(value: &Value) -> Option<Key> {
        match value.kind() {
            ValueKind::String => value.to_str().map(Key::Text),
            ValueKind::Bool => Some(Key::Integer(i128::from(value.is_true()))),
            ValueKind::Number => i128::try_from(value.clone()).ok().map(Key::Integer),
            ValueKind::None => Some(Key::None),
            _ => None,
        }
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }
}

impl Object for Dict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(&Key::of(key)?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.get(&Key::Text(key.into())).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.entries.iter().map(|(key, _)| key.clone()).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.entries.len())
    }
}

impl Dict {
    pub(crate) fn get(&self, key: &Key) -> Option<&Value> {
        self.places.get(key).map(|place| &self.entries[*place].1)
    }
}

/// A value as a list, where it is one.
pub(crate) fn as_list(value: &Value) -> Option<&List> {
    value.downcast_object_ref()
}

/// A value as a mapping, where it is one.
pub(crate) fn as_dict(value: &Value) -> Option<&Dict> {
    value.downcast_object_ref()
}

/// What it costs to walk a value.
pub(crate) fn weight(value: &Value) -> usize {
    let inner = match (value.as_str(), as_list(value), as_dict(value)) {
        (Some(text), _, _) => text.len(),
        (_, Some(list), _) => list.weight,
        (_, _, Some(dict)) => dict.weight,
        _ => 0,
    };
    inner.saturating_add(STEP_BYTES)
}

fn depth(value: &Value) -> usize {
    as_list(value).map(|list| list.depth).or_else(|| as_dict(value).map(|dict| dict.depth)).unwrap_or(0)
}

/// Whether a value may be kept in a container: plain data, and neither a namespace nor a macro, which could hold the container.
pub(crate) fn check_plain(value: &Value) -> Result<(), Error> {
    if value.as_object().is_some() && as_list(value).is_none() && as_dict(value).is_none() {
        return Err(failure("only plain values can be kept in a list, a mapping or a namespace"));
    }
    Ok(())
}

fn measure<'a>(budget: &Budget, values: impl Iterator<Item = &'a Value>) -> Result<(usize, usize), Error> {
    let (mut total, mut deepest, mut count) = (0_usize, 0, 0_usize);
    for value in values {
        check_plain(value)?;
        total = total.saturating_add(weight(value));
        deepest = deepest.max(depth(value));
        count += 1;
    }
    if deepest >= MAX_DEPTH {
        return Err(refusal(TemplateError::Limit { what: "nested lists and mappings", limit: MAX_DEPTH }));
    }
    // The container is charged; its whole weight only has to be possible.
    budget.charge(count.saturating_mul(PLACE_BYTES))?;
    budget.allow(total)?;
    Ok((total, deepest + 1))
}

/// A list or tuple of values.
pub(crate) fn list(budget: &Budget, items: Vec<Value>, is_tuple: bool) -> Result<Value, Error> {
    let (weight, depth) = measure(budget, items.iter())?;
    Ok(Value::from_object(List { items, is_tuple, weight, depth }))
}

/// A mapping; of equal keys the last value counts, at the place of the first.
pub(crate) fn dict(budget: &Budget, pairs: Vec<(Value, Value)>) -> Result<Value, Error> {
    let (weight, depth) = measure(budget, pairs.iter().flat_map(|(key, value)| [key, value]))?;
    let mut entries: Vec<(Value, Value)> = Vec::with_capacity(pairs.len());
    let mut places = HashMap::with_capacity(pairs.len());
    for (key, value) in pairs {
        let place = Key::of(&key).ok_or_else(|| failure("a key of a mapping must be a string, an integer or none"))?;
        match places.get(&place) {
            Some(&old) => {
                let entry: &mut (Value, Value) = &mut entries[old];
                entry.1 = value;
            }
            None => {
                places.insert(place, entries.len());
                entries.push((key, value));
            }
        }
    }
    Ok(Value::from_object(Dict { entries, places, weight, depth }))
}

/// A value of JSON.
pub(crate) fn from_json(budget: &Budget, value: &serde_json::Value) -> Result<Value, Error> {
    Ok(match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(value) => Value::from(*value),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => Value::from(value),
            (_, Some(value), _) => Value::from(value),
            (_, _, Some(value)) => Value::from(value),
            _ => return Err(failure("a number out of range")),
        },
        serde_json::Value::Array(items) => {
            let items = items.iter().map(|item| from_json(budget, item)).collect::<Result<_, _>>()?;
            list(budget, items, false)?
        }
        serde_json::Value::Object(fields) => {
            let pair = |(key, value): (&String, &serde_json::Value)| {
                Ok::<_, Error>((Value::from(key.as_str()), from_json(budget, value)?))
            };
            let pairs = fields.iter().map(pair).collect::<Result<_, _>>()?;
            dict(budget, pairs)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharing_does_not_hide_size_or_depth() {
        let budget = Budget::new(0);
        let mut value = list(&budget, vec![Value::from("abc")], false).unwrap();
        let failed = (0..100).find(|_| match list(&budget, vec![value.clone(), value.clone()], false) {
            Ok(doubled) => {
                value = doubled;
                false
            }
            Err(_) => true,
        });
        assert!(failed.is_some_and(|round| round < 25));
        let mut value = list(&budget, vec![], false).unwrap();
        let failed = (0..100).find(|_| match list(&budget, vec![value.clone()], false) {
            Ok(deeper) => {
                value = deeper;
                false
            }
            Err(_) => true,
        });
        assert_eq!(failed, Some(MAX_DEPTH - 1));
    }

    #[test]
    fn mappings_keep_order_and_the_last_value() {
        let budget = Budget::new(0);
        let json = serde_json::json!({"b": 1, "a": [true, null, 1.5]});
        let value = from_json(&budget, &json).unwrap();
        let dict = as_dict(&value).unwrap();
        assert_eq!(dict.entries[0].0.as_str(), Some("b"));
        assert!(as_list(dict.get(&Key::Text("a".into())).unwrap()).is_some());
        let pairs = vec![
            (Value::from("x"), Value::from(1)),
            (Value::from("y"), Value::from(2)),
            (Value::from("x"), Value::from(3)),
        ];
        let value = super::dict(&budget, pairs).unwrap();
        let dict = as_dict(&value).unwrap();
        assert_eq!(dict.entries.len(), 2);
        assert_eq!(dict.get(&Key::Text("x".into())).and_then(Value::as_i64), Some(3));
    }
}
