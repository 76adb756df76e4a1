//! Where a recipe says something that cannot be read: all such places, each with its key and line.

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::recipe::Recipe;

/// So many problems are told; more of them say no more.
const SHOWN: usize = 20;
/// A recipe with more keys than this is not searched for the one that an error is about.
const KEYS: usize = 2000;

/// A key, from the outermost table on; numbers are indices of arrays.
pub(crate) type Path = Vec<String>;

/// What keeps a table from being a recipe, a line each: `first` is the error of reading it.
pub(crate) fn problems(text: &str, mut table: Table, first: &toml::de::Error) -> String {
    let mut found = Vec::new();
    let mut message = first.message().to_owned();
    while found.len() < SHOWN {
        let Some(path) = culprit(&table, &message) else {
            // Nothing that is there is wrong, so that something is missing: of that the last key's removal is no example.
            if found.is_empty() || !message.starts_with("missing field") {
                found.push(suggest(&message));
            }
            break;
        };
        found.push(format!("{}: {}", place(text, &path), suggest(&message)));
        remove(&mut table, &path);
        match Value::Table(table.clone()).try_into::<Recipe>() {
            Ok(_) => break,
            // What was removed for its type is missed now.
            Err(error) if Some(error.message()) == missing(&path).as_deref() => break,
            Err(error) => message = error.message().to_owned(),
        }
    }
    found.join("\n")
}

fn missing(path: &Path) -> Option<String> {
    path.last().map(|key| format!("missing field `{key}`"))
}

/// The key without which reading fails no more, or otherwise.
fn culprit(table: &Table, message: &str) -> Option<Path> {
    let mut paths = Vec::new();
    keys(&Value::Table(table.clone()), &mut Vec::new(), &mut paths);
    if paths.len() > KEYS || message.starts_with("missing field") {
        return None;
    }
    // The innermost first, so that not a whole stage is blamed for a word in it.
    paths.sort_by_key(|path| std::cmp::Reverse(path.len()));
    let after = |path: &Path| {
        let mut without = table.clone();
        remove(&mut without, path);
        Value::Table(without).try_into::<Recipe>().err().map(|error| error.message().to_owned())
    };
    let named: Vec<(Path, Option<String>)> = paths.into_iter().map(|path| (path.clone(), after(&path))).collect();
    let changes = |(_, found): &&(Path, Option<String>)| found.as_deref() != Some(message);
    // A key that must be there is to blame only where no other is.
    let is_free = |(path, found): &&(Path, Option<String>)| *found != missing(path);
    let found = named.iter().filter(changes).find(is_free).or_else(|| named.iter().find(changes));
    found.map(|(path, _)| path.clone())
}

fn keys(value: &Value, at: &mut Path, found: &mut Vec<Path>) {
    let mut inner = |key: String, value: &Value| {
        at.push(key);
        found.push(at.clone());
        keys(value, at, found);
        at.pop();
    };
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| inner(key.clone(), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| inner(index.to_string(), item)),
        _ => {}
    }
}

fn remove(table: &mut Table, path: &[String]) {
    let Some((last, way)) = path.split_last() else { return };
    let Some((first, way)) = way.split_first() else {
        table.remove(last);
        return;
    };
    let Some(mut at) = table.get_mut(first) else { return };
    for key in way {
        let next = match at {
            Value::Table(table) => table.get_mut(key),
            Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        };
        let Some(next) = next else { return };
        at = next;
    }
    match at {
        Value::Table(table) => drop(table.remove(last)),
        Value::Array(items) => {
            if let Some(index) = last.parse().ok().filter(|index: &usize| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

/// A key with its line in the text of a recipe, where it has one: it may have come from the command line.
pub(crate) fn place(text: &str, path: &[String]) -> String {
    let key = path.join(".");
    match line(text, path) {
        Some(line) => format!("line {line}, `{key}`"),
        None => format!("`{key}`"),
    }
}

fn line(text: &str, path: &[String]) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let (first, way) = path.split_first()?;
    let entry = |table: &DeTable<'_>, key: &str| {
        table.iter().find(|(name, _)| name.get_ref() == key).map(|(name, _)| name.span())
    };
    let mut span = entry(table.get_ref(), first)?;
    let mut at = table.get_ref().iter().find(|(name, _)| name.get_ref() == first)?.1;
    for key in way {
        at = match at.get_ref() {
            DeValue::Table(inner) => {
                span = entry(inner, key)?;
                inner.iter().find(|(name, _)| name.get_ref() == key)?.1
            }
            DeValue::Array(items) => {
                let item = items.get(key.parse::<usize>().ok()?)?;
                span = item.span();
                item
            }
            _ => return None,
        };
    }
    Some(text.get(..span.start)?.matches('\n').count() + 1)
}

/// Adds "did you mean" to serde's message about an unknown field or variant.
fn suggest(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    let Some(wrong) = words.next().filter(|_| message.contains("unknown")) else { return message.trim().into() };
    let best = words.map(|word| (strsim::jaro_winkler(wrong, word), word)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, word)) if likeness > 0.75 => format!("{}; did you mean `{word}`?", message.trim()),
        _ => message.trim().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_cannot_be_read_is_told_with_its_line() {
        let text = "name = 'x'\nmodel = 'm'\nseed = 'many'\nsede = 1\n\n[[stage]]\nkind = 'train'\nname = 'a'\n\
                    method = 'sft'\ndata = 'd'\nmodle = 'b'\n\n[[stage]]\nkind = 'measure'\nname = 'c'\n\n\
                    [[stage.tasks]]\ntask = 'refusal'\ndata = 'd'\nlimit = 'few'\n";
        let error = Recipe::parse("x", text, &[]).unwrap_err().to_string();
        for words in [
            "line 3, `seed`: invalid type",
            "line 4, `sede`: unknown field `sede`",
            "did you mean `seed`?",
            "line 11, `stage.0.modle`: unknown field `modle`",
            "line 20, `stage.1.tasks.0.limit`: invalid type",
        ] {
            assert!(error.contains(words), "no `{words}` in: {error}");
        }
    }

    #[test]
    fn what_the_command_line_says_has_no_line() {
        let text = "name = 'x'\nmodel = 'm'\n[[stage]]\nkind = 'measure'\nname = 'c'\n";
        let error = Recipe::parse("x", text, &["held_out='all'".into()]).unwrap_err().to_string();
        assert!(error.contains("recipe `x`: `held_out`: invalid type"), "{error}");
        let error = Recipe::parse("x", "model = 'm'", &[]).unwrap_err().to_string();
        assert!(error.contains("missing field `name`"), "{error}");
    }

    #[test]
    fn a_text_that_is_no_recipe_at_all_is_refused() {
        for text in ["stage = 3", "name = 3\nmodel = 4\nstage = [1, 2]", "stage = [[[]]]", "[[stage]]\nkind = 3"] {
            assert!(Recipe::parse("x", text, &[]).is_err(), "{text}");
        }
    }
}
