//! The guarded functions that a rewritten template calls, and the variables that it sees.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueOrKwargs, from_args};
use minijinja::{Error, Output, State, Value};

use crate::arguments::Arguments;
use crate::budget::{Budget, failure, refusal};
use crate::error::TemplateError;
use crate::time::Moment;
use crate::value::{as_dict, check_plain, dict, list};
use crate::{filters, methods, operators, predicates, python};

/// Longest `range`.
const MAX_RANGE: i64 = 100_000;

/// What a rendering needs beside its variables.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) budget: Budget,
    pub(crate) now: Option<Moment>,
}

/// The functions; the name is how the rewritten template calls them.
#[derive(Clone, Copy, Debug)]
enum Function {
    Arithmetic,
    Concatenate,
    Compare,
    Negate,
    Item,
    Slice,
    List,
    Tuple,
    Dict,
    Method,
    Filter,
    Test,
    Iterate,
    Keep,
    Range,
    NewDict,
    Namespace,
    Raise,
    Strftime,
}

const FUNCTIONS: [(&str, Function); 19] = [
    ("__math", Function::Arithmetic),
    ("__cat", Function::Concatenate),
    ("__cmp", Function::Compare),
    ("__neg", Function::Negate),
    ("__item", Function::Item),
    ("__slice", Function::Slice),
    ("__list", Function::List),
    ("__tuple", Function::Tuple),
    ("__dict", Function::Dict),
    ("__method", Function::Method),
    ("__filter", Function::Filter),
    ("__test", Function::Test),
    ("__iter", Function::Iterate),
    ("__keep", Function::Keep),
    ("range", Function::Range),
    ("dict", Function::NewDict),
    ("namespace", Function::Namespace),
    ("raise_exception", Function::Raise),
    ("strftime_now", Function::Strftime),
];

/// Whether a template finds a function of this name.
pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|(function, _)| *function == name)
}

/// A function with the context of its rendering.
#[derive(Debug)]
struct Guard {
    function: Function,
    context: Arc<Context>,
}

/// The variables of one rendering, functions included.
#[derive(Debug)]
pub(crate) struct Variables(BTreeMap<String, Value>);

impl Variables {
    pub(crate) fn new(context: &Arc<Context>, mut variables: BTreeMap<String, Value>) -> Self {
        for (name, function) in FUNCTIONS {
            let guard = Guard { function, context: Arc::clone(context) };
            variables.entry(name.to_owned()).or_insert_with(|| Value::from_object(guard));
        }
        Self(variables)
    }
}

impl Object for Variables {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

impl Object for Guard {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, values: &[Value]) -> Result<Value, Error> {
        self.function.call(&self.context, values)
    }
}

/// Writes a value as Python's `str` does, and counts it.
pub(crate) fn format(output: &mut Output, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let guard = state.lookup("__cat").ok_or_else(|| failure("the context is missing"))?;
    let guard = guard.downcast_object_ref::<Guard>().ok_or_else(|| failure("the context is missing"))?;
    let text = python::text(&guard.context.budget, value)?;
    output.write_str(&text).map_err(|_| failure("the output cannot be written"))
}

fn two<'a>(values: &'a [Value], callee: &str) -> Result<(&'a Value, &'a Value, &'a [Value]), Error> {
    match values {
        [first, second, rest @ ..] => Ok((first, second, rest)),
        _ => Err(failure(format!("too few arguments of `{callee}`"))),
    }
}

fn name_and_value(values: &[Value]) -> Result<(&str, &Value, &[Value]), Error> {
    let (name, value, rest) = two(values, "filter")?;
    Ok((name.as_str().unwrap_or_default(), value, rest))
}

impl Function {
    fn call(self, context: &Context, values: &[Value]) -> Result<Value, Error> {
        let budget = &context.budget;
        match self {
            Function::Arithmetic => operators::arithmetic(budget, values),
            Function::Concatenate => operators::concatenated(budget, values),
            Function::Compare => operators::compared(budget, values),
            Function::Negate => operators::negated(values.first().unwrap_or(&Value::UNDEFINED)),
            Function::Item => {
                let (container, key, _) = two(values, "item")?;
                operators::item(budget, container, key)
            }
            Function::Slice => match values {
                [container, start, stop, step] => operators::slice(budget, container, [start, stop, step]),
                _ => Err(failure("a slice has three bounds")),
            },
            Function::List => list(budget, values.to_vec(), false),
            Function::Tuple => list(budget, values.to_vec(), true),
            Function::Dict => {
                let pair = |pair: &[Value]| (pair[0].clone(), pair[1].clone());
                dict(budget, values.chunks_exact(2).map(pair).collect())
            }
            Function::Method => {
                let (value, name, rest) = two(values, "method")?;
                methods::call(budget, value, name.as_str().unwrap_or_default(), rest)
            }
            Function::Filter => {
                let (name, value, rest) = name_and_value(values)?;
                filters::apply(budget, name, value, rest)
            }
            Function::Test => {
                let (name, value, rest) = name_and_value(values)?;
                predicates::holds(budget, name, value, rest).map(Value::from)
            }
            Function::Iterate => methods::iterable(budget, values.first().unwrap_or(&Value::UNDEFINED)),
            Function::Keep => filters::kept(values.first().unwrap_or(&Value::UNDEFINED)),
            Function::Range => range(budget, values),
            Function::NewDict => dict_of(budget, values),
            Function::Namespace => namespace(budget, values),
            Function::Raise => raise(budget, values),
            Function::Strftime => strftime(context, values),
        }
    }
}

fn range(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("range", values)?;
    arguments.finish(3, &[])?;
    let bound = |place| arguments.integer(place, "");
    let (start, stop) = match (bound(0)?, bound(1)?) {
        (Some(start), Some(stop)) => (start, stop),
        (Some(stop), None) => (0, stop),
        _ => return Err(failure("`range` needs an integer")),
    };
    let step = bound(2)?.unwrap_or(1);
    if step == 0 {
        return Err(failure("`range` with step 0"));
    }
    let span = i128::from(stop) - i128::from(start);
    let count =
        if (span > 0) == (step > 0) { span.unsigned_abs().div_ceil(u128::from(step.unsigned_abs())) } else { 0 };
    let count = i64::try_from(count).ok().filter(|count| *count <= MAX_RANGE).ok_or_else(|| {
        refusal(TemplateError::Limit {
            what: "numbers in a range",
            limit: usize::try_from(MAX_RANGE).unwrap_or(usize::MAX),
        })
    })?;
    budget.charge(usize::try_from(count).unwrap_or(0).saturating_mul(size_of::<Value>()))?;
    list(budget, (0..count).map(|place| Value::from(start + place * step)).collect(), false)
}

/// Keyword arguments, or one mapping, as pairs.
fn given_pairs(values: &[Value]) -> Result<Vec<(Value, Value)>, Error> {
    let mut pairs = Vec::new();
    for value in values {
        if let Some(dict) = as_dict(value) {
            pairs.extend(dict.entries.iter().cloned());
        } else if value.is_kwargs() {
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                pairs.push((key, item));
            }
        } else {
            return Err(failure("a mapping or keyword arguments are expected"));
        }
    }
    Ok(pairs)
}

fn dict_of(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    dict(budget, given_pairs(values)?)
}

/// minijinja's namespace, the one object that `set` can change. It may hold plain values only, so that it cannot hold itself.
fn namespace(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let pairs = given_pairs(values)?;
    budget.charge(pairs.len().saturating_mul(size_of::<Value>()))?;
    pairs.iter().try_for_each(|(_, value)| check_plain(value))?;
    let (defaults,): (Option<ValueOrKwargs>,) = from_args(values)?;
    minijinja::functions::namespace(defaults)
}

fn raise(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let message = python::text(budget, values.first().unwrap_or(&Value::UNDEFINED))?;
    Err(refusal(TemplateError::Raised { message }))
}

fn strftime(context: &Context, values: &[Value]) -> Result<Value, Error> {
    let format = values.first().and_then(Value::as_str).ok_or_else(|| failure("`strftime_now` needs a format"))?;
    let now = context.now.ok_or_else(|| refusal(TemplateError::NoClock))?;
    context.budget.charge(format.len().saturating_mul(8))?;
    now.strftime(format).map(Value::from).map_err(refusal)
}
