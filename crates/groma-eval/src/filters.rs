//! Named changes of texts that a benchmark asks for and that no template says well.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::suggest::closest;

/// A named change of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    id: &'static str,
    pub(crate) of: fn(&str) -> String,
}

const FILTERS: &[Filter] = &[Filter { id: "wikihow", of: wikihow }];

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = FILTERS.iter().find(|filter| filter.id == name).copied();
        let names = FILTERS.iter().map(|filter| filter.id);
        found.ok_or_else(|| D::Error::custom(format!("there is no filter `{name}`{}", closest(&name, names))))
    }
}

/// Removes the marks that WikiHow articles left in HellaSwag: ` [title]` becomes a full stop, other bracketed text goes, and
/// then two spaces become one, in a single pass.
fn wikihow(text: &str) -> String {
    without_brackets(&text.trim().replace(" [title]", ". ")).replace("  ", " ")
}

fn without_brackets(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        kept.push_str(before);
        match after.split_once(']') {
            Some((inside, behind)) if !inside.contains('\n') => rest = behind,
            _ => {
                kept.push('[');
                rest = after;
            }
        }
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_wikihow_go() {
        assert_eq!(wikihow(" a [title] b [step] c  "), "a. b c");
        assert_eq!(wikihow("x [header] How [to]  go"), "x How  go");
        assert_eq!(wikihow("a [b\nc] [d"), "a [b\nc] [d");
    }
}
