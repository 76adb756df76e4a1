//! Operators with Python's meaning.

use std::cmp::Ordering;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use crate::budget::{Budget, failure};
use crate::python;
use crate::value::{Key, as_dict, as_list, list, weight};

/// A number: booleans are integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    pub(crate) fn of(value: &Value) -> Option<Number> {
        match value.kind() {
            ValueKind::Bool => Some(Number::Integer(i128::from(value.is_true()))),
            ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok().map(Number::Integer),
            ValueKind::Number => f64::try_from(value.clone()).ok().map(Number::Float),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "Python rounds in the same way")]
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Number::Integer(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    pub(crate) fn into_value(self) -> Result<Value, Error> {
        match self {
            Number::Integer(value) => {
                i64::try_from(value).map(Value::from).map_err(|_| failure("an integer beyond 64 bits"))
            }
            Number::Float(value) => Ok(Value::from(value)),
        }
    }
}

fn mismatch(operator: &str, left: &Value, right: &Value) -> Error {
    let kind = if left.is_undefined() || right.is_undefined() {
        ErrorKind::UndefinedError
    } else {
        ErrorKind::InvalidOperation
    };
    Error::new(kind, format!("`{operator}` between {} and {}", left.kind(), right.kind()))
}

/// `a + b - c`: operands and operators alternate; from left to right.
pub(crate) fn arithmetic(budget: &Budget, terms: &[Value]) -> Result<Value, Error> {
    let (first, rest) = terms.split_first().ok_or_else(|| failure("an operator without operands"))?;
    let mut total = first.clone();
    for pair in rest.chunks_exact(2) {
        total = binary(budget, pair[0].as_str().unwrap_or_default(), &total, &pair[1])?;
    }
    Ok(total)
}

fn binary(budget: &Budget, operator: &str, left: &Value, right: &Value) -> Result<Value, Error> {
    budget.charge(0)?;
    if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
        return numeric(operator, a, b)?.into_value();
    }
    match operator {
        "+" => add(budget, left, right),
        "*" => match (Number::of(left), Number::of(right)) {
            (None, Some(Number::Integer(times))) => repeat(budget, left, times),
            (Some(Number::Integer(times)), None) => repeat(budget, right, times),
            _ => Err(mismatch("*", left, right)),
        },
        _ => Err(mismatch(operator, left, right)),
    }
}

fn add(budget: &Budget, left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        budget.charge(a.len() + b.len())?;
        return Ok(Value::from(format!("{a}{b}")));
    }
    match (as_list(left), as_list(right)) {
        (Some(a), Some(b)) if a.is_tuple == b.is_tuple => {
            budget.charge((a.items.len() + b.items.len()) * size_of::<Value>())?;
            list(budget, a.items.iter().chain(&b.items).cloned().collect(), a.is_tuple)
        }
        _ => Err(mismatch("+", left, right)),
    }
}

fn repeat(budget: &Budget, value: &Value, times: i128) -> Result<Value, Error> {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    if let Some(text) = value.as_str() {
        budget.charge(text.len().saturating_mul(times))?;
        return Ok(Value::from(text.repeat(times)));
    }
    let source = as_list(value).ok_or_else(|| mismatch("*", value, &Value::from(1)))?;
    budget.charge(source.items.len().saturating_mul(times).saturating_mul(size_of::<Value>()))?;
    let count = source.items.len().saturating_mul(times);
    let items = source.items.iter().cycle().take(count).cloned().collect();
    list(budget, items, source.is_tuple)
}

fn numeric(operator: &str, left: Number, right: Number) -> Result<Number, Error> {
    let overflow = || failure("an integer beyond 64 bits");
    if let (Number::Integer(a), Number::Integer(b)) = (left, right) {
        let exact = match operator {
            "+" => Some(a.checked_add(b)),
            "-" => Some(a.checked_sub(b)),
            "*" => Some(a.checked_mul(b)),
            "//" | "%" if b == 0 => return Err(failure("division by zero")),
            "//" => Some(
                a.checked_div_euclid(b)
                    .map(|quotient| if b < 0 && a.rem_euclid(b) != 0 { quotient - 1 } else { quotient }),
            ),
            "%" => Some(a.checked_rem(b).map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })),
            "**" if b >= 0 => Some(u32::try_from(b).ok().and_then(|b| a.checked_pow(b))),
            _ => None,
        };
        if let Some(exact) = exact {
            return exact.map(Number::Integer).ok_or_else(overflow);
        }
    }
    let (a, b) = (left.as_f64(), right.as_f64());
    if matches!(operator, "/" | "//" | "%") && b == 0.0 {
        return Err(failure("division by zero"));
    }
    Ok(Number::Float(match operator {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => (a / b).floor(),
        "%" => a - b * (a / b).floor(),
        _ => a.powf(b),
    }))
}

/// `-x`.
pub(crate) fn negated(value: &Value) -> Result<Value, Error> {
    match Number::of(value) {
        Some(Number::Integer(value)) => Number::Integer(-value).into_value(),
        Some(Number::Float(value)) => Ok(Value::from(-value)),
        None => Err(failure(format!("`-` of {}", value.kind()))),
    }
}

/// `a ~ b ~ c`.
pub(crate) fn concatenated(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let mut all = String::new();
    for value in values {
        all.push_str(&python::text(budget, value)?);
    }
    budget.charge(all.len())?;
    Ok(Value::from(all))
}

/// `a < b <= c`: operands and operators alternate.
pub(crate) fn compared(budget: &Budget, terms: &[Value]) -> Result<Value, Error> {
    for window in terms.windows(3).step_by(2) {
        let operator = window[1].as_str().unwrap_or_default();
        if !comparison(budget, operator, &window[0], &window[2])? {
            return Ok(Value::from(false));
        }
    }
    Ok(Value::from(true))
}

/// One comparison.
pub(crate) fn comparison(budget: &Budget, operator: &str, left: &Value, right: &Value) -> Result<bool, Error> {
    match operator {
        "==" => equal(budget, left, right),
        "!=" => Ok(!equal(budget, left, right)?),
        "in" => contains(budget, right, left),
        "not in" => Ok(!contains(budget, right, left)?),
        _ => {
            let order = order(budget, left, right)?;
            Ok(match operator {
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                _ => order.is_ge(),
            })
        }
    }
}

/// `a == b`.
pub(crate) fn equal(budget: &Budget, left: &Value, right: &Value) -> Result<bool, Error> {
    budget.charge(weight(left).min(weight(right)))?;
    Ok(same(left, right))
}

fn same(left: &Value, right: &Value) -> bool {
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        return a == b;
    }
    match (Number::of(left), Number::of(right)) {
        (Some(Number::Integer(a)), Some(Number::Integer(b))) => return a == b,
        (Some(a), Some(b)) => return a.as_f64() == b.as_f64(),
        _ => {}
    }
    if let (Some(a), Some(b)) = (as_list(left), as_list(right)) {
        let pairs = a.items.iter().zip(&b.items);
        return a.is_tuple == b.is_tuple
            && a.items.len() == b.items.len()
            && pairs.into_iter().all(|(a, b)| same(a, b));
    }
    if let (Some(a), Some(b)) = (as_dict(left), as_dict(right)) {
        let found = |key: &Value| Key::of(key).and_then(|key| b.get(&key));
        return a.entries.len() == b.entries.len()
            && a.entries.iter().all(|(key, value)| found(key).is_some_and(|other| same(value, other)));
    }
    left.kind() == right.kind() && (left.is_none() || left.is_undefined())
}

/// The order of two numbers, strings or lists.
pub(crate) fn order(budget: &Budget, left: &Value, right: &Value) -> Result<Ordering, Error> {
    budget.charge(weight(left).min(weight(right)))?;
    ordered(left, right).ok_or_else(|| mismatch("<", left, right))
}

fn ordered(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        return Some(a.cmp(b));
    }
    match (Number::of(left), Number::of(right)) {
        (Some(Number::Integer(a)), Some(Number::Integer(b))) => return Some(a.cmp(&b)),
        (Some(a), Some(b)) => return Some(a.as_f64().total_cmp(&b.as_f64())),
        _ => {}
    }
    let (a, b) = (as_list(left)?, as_list(right)?);
    for (a, b) in a.items.iter().zip(&b.items) {
        if !same(a, b) {
            return ordered(a, b);
        }
    }
    Some(a.items.len().cmp(&b.items.len()))
}

/// `item in container`.
pub(crate) fn contains(budget: &Budget, container: &Value, item: &Value) -> Result<bool, Error> {
    if let Some(text) = container.as_str() {
        budget.charge(text.len())?;
        let part = item.as_str().ok_or_else(|| mismatch("in", item, container))?;
        return Ok(text.contains(part));
    }
    if let Some(list) = as_list(container) {
        budget.charge(list.items.len())?;
        for other in &list.items {
            if equal(budget, other, item)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    if let Some(dict) = as_dict(container) {
        budget.charge(weight(item))?;
        return Ok(Key::of(item).is_some_and(|key| dict.get(&key).is_some()));
    }
    if container.is_undefined() { Ok(false) } else { Err(mismatch("in", item, container)) }
}

/// `container[key]`; undefined where there is no such item.
pub(crate) fn item(budget: &Budget, container: &Value, key: &Value) -> Result<Value, Error> {
    budget.charge(key.as_str().map_or(0, str::len))?;
    if container.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "an item of an undefined value"));
    }
    if let Some(dict) = as_dict(container) {
        return Ok(Key::of(key).and_then(|key| dict.get(&key)).cloned().unwrap_or(Value::UNDEFINED));
    }
    let Some(Number::Integer(index)) = Number::of(key) else {
        // A namespace has attributes only.
        let attribute = key.as_str().filter(|_| as_list(container).is_none() && container.as_str().is_none());
        return Ok(attribute.and_then(|name| container.get_attr(name).ok()).unwrap_or(Value::UNDEFINED));
    };
    let place = |length: usize| {
        let length = i128::try_from(length).unwrap_or(i128::MAX);
        usize::try_from(if index < 0 { index + length } else { index }).ok()
    };
    if let Some(list) = as_list(container) {
        return Ok(place(list.items.len()).and_then(|at| list.items.get(at)).cloned().unwrap_or(Value::UNDEFINED));
    }
    let Some(text) = container.as_str() else { return Ok(Value::UNDEFINED) };
    budget.charge(text.len())?;
    let found = place(text.chars().count()).and_then(|at| text.chars().nth(at));
    Ok(found.map_or(Value::UNDEFINED, |character| Value::from(character.to_string())))
}

/// `container[start:stop:step]`.
pub(crate) fn slice(budget: &Budget, container: &Value, bounds: [&Value; 3]) -> Result<Value, Error> {
    if let Some(text) = container.as_str() {
        budget.charge(text.len().saturating_mul(4))?;
        let characters: Vec<char> = text.chars().collect();
        let chosen: String = places(characters.len(), bounds)?.into_iter().map(|at| characters[at]).collect();
        return Ok(Value::from(chosen));
    }
    if container.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "a slice of an undefined value"));
    }
    let source = as_list(container).ok_or_else(|| failure(format!("a slice of {}", container.kind())))?;
    budget.charge(source.items.len().saturating_mul(size_of::<Value>()))?;
    let chosen = places(source.items.len(), bounds)?.into_iter().map(|at| source.items[at].clone()).collect();
    list(budget, chosen, source.is_tuple)
}

/// The indices of a slice, by Python's rules.
fn places(length: usize, [start, stop, step]: [&Value; 3]) -> Result<Vec<usize>, Error> {
    let length = i128::try_from(length).unwrap_or(i128::MAX);
    let bound = |value: &Value| match Number::of(value) {
        Some(Number::Integer(value)) => Ok(Some(value)),
        None if value.is_none() => Ok(None),
        _ => Err(failure("the bounds of a slice must be integers or none")),
    };
    let step = bound(step)?.unwrap_or(1);
    if step == 0 {
        return Err(failure("a slice with step 0"));
    }
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |value: i128| if value < 0 { (value + length).max(low) } else { value.min(high) };
    let start = bound(start)?.map_or(if step > 0 { low } else { high }, clamp);
    let stop = bound(stop)?.map_or(if step > 0 { high } else { low }, clamp);
    let mut places = Vec::new();
    let mut at = start;
    while if step > 0 { at < stop } else { at > stop } {
        places.extend(usize::try_from(at).ok());
        at = at.saturating_add(step);
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sliced(text: &str, bounds: [Option<i64>; 3]) -> String {
        let values = bounds.map(|bound| bound.map_or(Value::from(()), Value::from));
        let value = slice(&Budget::new(0), &Value::from(text), [&values[0], &values[1], &values[2]]).unwrap();
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn slices_as_python_does() {
        assert_eq!(sliced("abcdef", [Some(1), Some(-1), None]), "bcde");
        assert_eq!(sliced("abcdef", [None, None, Some(-1)]), "fedcba");
        assert_eq!(sliced("abcdef", [Some(4), Some(1), Some(-2)]), "ec");
        assert_eq!(sliced("abcdef", [Some(-100), Some(100), Some(5)]), "af");
        assert_eq!(sliced("abcdef", [Some(3), Some(2), None]), "");
        assert_eq!(sliced("éà", [Some(1), None, None]), "à");
    }

    #[test]
    fn arithmetic_as_python_does() {
        let budget = Budget::new(0);
        let result = |a: Value, operator: &str, b: Value| arithmetic(&budget, &[a, Value::from(operator), b]).unwrap();
        for (a, operator, b, expected) in [
            (7, "//", 2, 3),
            (-7, "//", 2, -4),
            (7, "//", -2, -4),
            (-7, "//", -2, 3),
            (7, "%", -3, -2),
            (-7, "%", 3, 2),
            (2, "**", 10, 1024),
            (2, "-", 5, -3),
        ] {
            assert_eq!(result(Value::from(a), operator, Value::from(b)).as_i64(), Some(expected), "{a} {operator} {b}");
        }
        assert_eq!(python::number(&result(Value::from(4), "/", Value::from(2))), "2.0");
        assert_eq!(result(Value::from("ab"), "*", Value::from(2)).as_str(), Some("abab"));
        assert!(arithmetic(&budget, &[Value::from(2), Value::from("**"), Value::from(1000)]).is_err());
        assert!(arithmetic(&budget, &[Value::from("a"), Value::from("+"), Value::from(1)]).is_err());
    }

    #[test]
    fn comparisons_as_python_does() {
        let budget = Budget::new(0);
        let holds = |a: Value, operator: &str, b: Value| comparison(&budget, operator, &a, &b).unwrap();
        assert!(holds(Value::from(true), "==", Value::from(1)));
        assert!(holds(Value::from(1), "==", Value::from(1.0)));
        assert!(holds(Value::from("1"), "!=", Value::from(1)));
        assert!(holds(Value::UNDEFINED, "!=", Value::from(())));
        assert!(holds(Value::from("b"), "in", Value::from("abc")));
        assert!(holds(Value::from("b"), "not in", Value::UNDEFINED));
        assert!(comparison(&budget, "<", &Value::from("a"), &Value::from(1)).is_err());
    }
}
