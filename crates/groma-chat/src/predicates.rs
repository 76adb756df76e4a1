//! Jinja's tests: `x is defined`, `x is mapping`, ...

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use crate::budget::{Budget, failure};
use crate::operators::{self, Number};
use crate::value::{as_dict, as_list};

const KNOWN: [&str; 35] = [
    "defined",
    "undefined",
    "none",
    "boolean",
    "true",
    "false",
    "integer",
    "float",
    "number",
    "string",
    "mapping",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "in",
    "even",
    "odd",
    "divisibleby",
    "lower",
    "upper",
    "eq",
    "equalto",
    "==",
    "ne",
    "!=",
    "lt",
    "lessthan",
    "gt",
    "greaterthan",
    "le",
    "ge",
    "<",
    ">",
    "filter",
];

/// Whether there is a test of this name.
pub(crate) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Applies a test.
pub(crate) fn holds(budget: &Budget, name: &str, value: &Value, arguments: &[Value]) -> Result<bool, Error> {
    budget.charge(0)?;
    let kind = value.kind();
    let number = Number::of(value);
    Ok(match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => value.is_none(),
        "boolean" => kind == ValueKind::Bool,
        "true" => kind == ValueKind::Bool && value.is_true(),
        "false" => kind == ValueKind::Bool && !value.is_true(),
        "integer" => kind == ValueKind::Number && value.is_integer(),
        "float" => kind == ValueKind::Number && !value.is_integer(),
        // In Python a boolean is a number.
        "number" => number.is_some(),
        "string" => kind == ValueKind::String,
        "mapping" => as_dict(value).is_some(),
        // Whatever has a length and items, and for `iterable` whatever can be walked.
        "sequence" | "iterable" => {
            kind == ValueKind::String || as_list(value).is_some() || as_dict(value).is_some() || value.is_undefined()
        }
        "callable" => value.as_object().is_some() && as_list(value).is_none() && as_dict(value).is_none(),
        "even" => integer(value)? % 2 == 0,
        "odd" => integer(value)? % 2 != 0,
        "divisibleby" => match integer(argument(arguments)?)? {
            0 => return Err(failure("division by zero")),
            divisor => integer(value)? % divisor == 0,
        },
        "lower" | "upper" => cased(budget, value, name == "upper")?,
        "filter" => crate::filters::is_known(value.as_str().unwrap_or_default()),
        "sameas" => same_object(value, argument(arguments)?),
        _ => operators::comparison(budget, operator(name), value, argument(arguments)?)?,
    })
}

fn operator(name: &str) -> &str {
    match name {
        "eq" | "equalto" => "==",
        "ne" => "!=",
        "lt" | "lessthan" => "<",
        "gt" | "greaterthan" => ">",
        "le" => "<=",
        "ge" => ">=",
        other => other,
    }
}

fn argument(arguments: &[Value]) -> Result<&Value, Error> {
    arguments.first().ok_or_else(|| failure("a test without its argument"))
}

fn integer(value: &Value) -> Result<i128, Error> {
    match Number::of(value) {
        Some(Number::Integer(value)) => Ok(value),
        _ => Err(failure(format!("{} where an integer should be", value.kind()))),
    }
}

fn cased(budget: &Budget, value: &Value, upper: bool) -> Result<bool, Error> {
    let text = crate::python::text(budget, value)?;
    let letters = text.chars().any(|c| c.is_uppercase() || c.is_lowercase());
    Ok(letters && !text.chars().any(|c| if upper { c.is_lowercase() } else { c.is_uppercase() }))
}

/// `is`: the same constant, or the same container.
fn same_object(left: &Value, right: &Value) -> bool {
    match (as_list(left), as_list(right), as_dict(left), as_dict(right)) {
        (Some(a), Some(b), _, _) => std::ptr::eq(a, b),
        (_, _, Some(a), Some(b)) => std::ptr::eq(a, b),
        _ => left.kind() == right.kind() && left.as_object().is_none() && left == right,
    }
}
