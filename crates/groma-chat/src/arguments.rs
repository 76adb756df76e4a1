//! Arguments of filters, methods and functions.

use minijinja::value::Kwargs;
use minijinja::{Error, Value};

use crate::budget::failure;
use crate::operators::Number;

/// Positional and keyword arguments of one call.
pub(crate) struct Arguments<'a> {
    callee: &'a str,
    positional: &'a [Value],
    keywords: Option<Kwargs>,
}

impl<'a> Arguments<'a> {
    /// Splits what minijinja passes: keyword arguments are the last value.
    pub(crate) fn new(callee: &'a str, values: &'a [Value]) -> Result<Self, Error> {
        match values.split_last() {
            Some((last, rest)) if last.is_kwargs() => {
                Ok(Self { callee, positional: rest, keywords: Some(Kwargs::try_from(last.clone())?) })
            }
            _ => Ok(Self { callee, positional: values, keywords: None }),
        }
    }

    pub(crate) fn positional(&self) -> &'a [Value] {
        self.positional
    }

    pub(crate) fn keyword(&self, name: &str) -> Option<Value> {
        self.keywords.as_ref()?.get::<Value>(name).ok()
    }

    /// The argument at a place or of a name.
    pub(crate) fn get(&self, place: usize, name: &str) -> Option<Value> {
        self.positional.get(place).cloned().or_else(|| self.keyword(name))
    }

    pub(crate) fn required(&self, place: usize, name: &str) -> Result<Value, Error> {
        self.get(place, name).ok_or_else(|| failure(format!("`{}` needs `{name}`", self.callee)))
    }

    /// A string, or `None` where it is left out or none.
    pub(crate) fn text(&self, place: usize, name: &str) -> Result<Option<String>, Error> {
        match self.get(place, name) {
            None => Ok(None),
            Some(value) if value.is_none() => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(self.wrong(name, "a string")),
            },
        }
    }

    pub(crate) fn required_text(&self, place: usize, name: &str) -> Result<String, Error> {
        self.text(place, name)?.ok_or_else(|| failure(format!("`{}` needs `{name}`", self.callee)))
    }

    pub(crate) fn integer(&self, place: usize, name: &str) -> Result<Option<i64>, Error> {
        match self.get(place, name) {
            None => Ok(None),
            Some(value) if value.is_none() => Ok(None),
            Some(value) => match Number::of(&value) {
                Some(Number::Integer(value)) => Ok(i64::try_from(value).ok()),
                _ => Err(self.wrong(name, "an integer")),
            },
        }
    }

    /// Whether an option is on.
    pub(crate) fn flag(&self, place: usize, name: &str) -> bool {
        self.get(place, name).is_some_and(|value| value.is_true())
    }

    /// Fails where there are arguments that the callee does not have.
    pub(crate) fn finish(&self, most: usize, keywords: &[&str]) -> Result<(), Error> {
        if self.positional.len() > most {
            return Err(failure(format!("too many arguments of `{}`", self.callee)));
        }
        let given =
            self.keywords.as_ref().map(|all| all.args().map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default();
        match given.iter().find(|name| !keywords.contains(&name.as_str())) {
            Some(name) => Err(failure(format!("`{}` has no argument `{name}`", self.callee))),
            None => Ok(()),
        }
    }

    fn wrong(&self, name: &str, expected: &str) -> Error {
        failure(format!("`{name}` of `{}` must be {expected}", self.callee))
    }
}
