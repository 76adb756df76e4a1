//! Recipes read from TOML, with what the command line says otherwise.

use crate::Error;
use crate::data_name::{RESERVED, TWIN, VILLAGE};
use crate::misread;
use crate::recipe::Recipe;

impl Recipe {
    /// Reads a recipe; `overrides` are `key=value` pairs whose values are TOML, such as `stage.1.settings.beta=0.2`.
    ///
    /// # Errors
    /// [`Error::Recipe`] with place and suggestion, [`Error::Override`].
    pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Recipe, Error> {
        let mut table: toml::Table = text
            .parse()
            .map_err(|source: toml::de::Error| Error::Recipe { name: name.into(), problem: source.to_string() })?;
        for pair in overrides {
            set(&mut table, pair)?;
        }
        let recipe: Recipe = toml::Value::Table(table.clone()).try_into().map_err(|source: toml::de::Error| {
            Error::Recipe { name: name.into(), problem: misread::problems(text, table, &source) }
        })?;
        recipe.check(name)?;
        Ok(recipe)
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        let fail = |problem: String| Err(Error::Recipe { name: name.into(), problem });
        if self.stages.is_empty() {
            return fail("has no [[stage]]".into());
        }
        if !(self.held_out > 0.0 && self.held_out < 1.0) {
            return fail(format!("held_out is {}; it must be above 0 and below 1", self.held_out));
        }
        if self.name.is_empty() || groma_run::file_name(&self.name) != self.name {
            return fail(format!("name `{}` cannot be the name of a directory{}", self.name, instead(&self.name)));
        }
        if let Some(problem) = self.serving.problem() {
            return fail(problem);
        }
        if !self.plants.is_empty() && ![VILLAGE, TWIN].iter().any(|name| self.needs_organism(name)) {
            return fail(format!("plants grow in the village, which nothing here reads: set model = \"{VILLAGE}\""));
        }
        let mut seen: Vec<&str> = RESERVED.to_vec();
        for stage in &self.stages {
            if groma_run::file_name(stage.name()) != stage.name() || stage.name().is_empty() {
                return fail(format!(
                    "stage name `{}` cannot be the name of a file{}",
                    stage.name(),
                    instead(stage.name())
                ));
            }
            if seen.contains(&stage.name()) {
                let reserved = RESERVED.join("`, `");
                return fail(format!(
                    "two stages are called `{}`, or one has a reserved name (`{reserved}`)",
                    stage.name()
                ));
            }
            if let Err(problem) = self.check_references(stage) {
                return fail(problem);
            }
            seen.push(stage.name());
        }
        Ok(())
    }
}

/// A name like this one that can be that of a file, in words.
fn instead(name: &str) -> String {
    let may = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let parts: Vec<&str> = name.split(|c| !may(c)).filter(|part| !part.is_empty()).collect();
    let near = parts.join("-");
    let usable = groma_run::file_name(&near) == near && !near.is_empty();
    let example = if usable { format!(", such as `{near}`") } else { String::new() };
    format!("; it may have letters from a to z, digits, `-`, `_` and `.`{example}")
}

/// Sets one key of a table; numbers in the path are indices of arrays.
fn set(table: &mut toml::Table, pair: &str) -> Result<(), Error> {
    let fail = |problem: &str| Error::Override { pair: pair.into(), problem: problem.into() };
    let (path, text) = pair.split_once('=').ok_or_else(|| fail("is not of the form key=value"))?;
    let value = parse_value(text.trim());
    let mut parts: Vec<&str> = path.trim().split('.').collect();
    let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(|| fail("has no key"))?;
    let mut at = table;
    let mut parts = parts.into_iter();
    while let Some(part) = parts.next() {
        let entry = at.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let entry = match entry {
            toml::Value::Array(items) => {
                let index = parts.next().unwrap_or_default();
                let named = items.iter().position(|item| item.get("name").and_then(toml::Value::as_str) == Some(index));
                let at = named.or_else(|| index.parse().ok());
                at.and_then(|at| items.get_mut(at)).ok_or_else(|| fail("names no entry of the list"))?
            }
            other => other,
        };
        at = entry.as_table_mut().ok_or_else(|| fail("leads through a value that is no table"))?;
    }
    at.insert(last.into(), value);
    Ok(())
}

/// A TOML value, or else the text itself.
fn parse_value(text: &str) -> toml::Value {
    let parsed: Option<toml::Table> = format!("value = {text}").parse().ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| toml::Value::String(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{BUILT_IN, VILLAGE as RECIPE};
    use crate::stage::Stage;

    #[test]
    fn built_in_recipes_are_valid() {
        for (name, text) in BUILT_IN {
            let recipe = Recipe::parse(name, text, &[]).unwrap();
            assert_eq!(Recipe::parse(name, &recipe.to_toml().unwrap(), &[]).unwrap(), recipe);
        }
    }

    #[test]
    fn all_recipes_of_the_folder_are_built_in_under_their_names() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes");
        let name = |entry: std::fs::DirEntry| entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
        let mut files: Vec<String> = std::fs::read_dir(folder).unwrap().map(|entry| name(entry.unwrap())).collect();
        let mut built_in: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
        files.sort();
        built_in.sort();
        assert_eq!(files, built_in);
        for (name, text) in BUILT_IN {
            let recipe = Recipe::parse(name, text, &[]).unwrap();
            assert!(recipe.name == *name && !recipe.description.is_empty(), "{name}");
            crate::check_settings(&recipe, name, text).unwrap_or_else(|error| panic!("{name}: {error}"));
            for stage in &recipe.stages {
                if let Stage::Rewrite(stage) = stage {
                    drop(groma_align::Rewrite::find(&stage.rewrite).unwrap().with(&stage.settings).unwrap());
                }
            }
        }
    }

    #[test]
    fn overrides_reach_into_stages() {
        let overrides = ["stage.dpo.settings.beta=0.3".to_owned(), "seed=7".into(), "model=some/where".into()];
        let recipe = Recipe::parse("village", RECIPE, &overrides).unwrap();
        assert_eq!((recipe.seed, recipe.model.as_str()), (7, "some/where"));
        let dpo = recipe.stages.iter().find(|stage| stage.name() == "dpo").unwrap();
        assert!(matches!(dpo, Stage::Train(train) if train.settings["beta"] == 0.3));
        for wrong in ["seed", "=3", "stage.nowhere.method=1", "seed.deeper=1"] {
            assert!(Recipe::parse("village", RECIPE, &[wrong.into()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_named_with_a_suggestion() {
        let error = |text: &str| Recipe::parse("x", text, &[]).unwrap_err().to_string();
        assert!(error("name = 'x'\nmodel = 'm'\nsede = 1").contains("did you mean `seed`?"));
        assert!(error("name = 'x'\nmodel = 'm'").contains("no [[stage]]"));
        let stage = "name='x'\nmodel='m'\n[[stage]]\nkind='train'\nname='a'\nmethod='sft'\ndata='d'\n";
        assert!(error(&format!("{stage}modle='b'")).contains("did you mean `model`?"));
        assert!(error(&format!("{stage}model='b'")).contains("refers to the model `b`"));
        assert!(
            error(&format!("{stage}[[stage]]\nkind='train'\nname='a'\nmethod='sft'\ndata='d'")).contains("two stages")
        );
        assert!(
            error(&format!("{stage}[[stage]]\nkind='compare'\nname='c'\nbefore='x'\nafter='a'"))
                .contains("measurement `x`")
        );
        let planted = |plants: &str| {
            error(&format!("name='x'\nmodel='village'\nplants={plants}\n[[stage]]\nkind='measure'\nname='m'"))
        };
        let unknown = planted("{ sekret = 8 }");
        assert!(unknown.contains("line 3") && unknown.contains("did you mean `secret`?"), "{unknown}");
        assert!(planted("{ bias = 3 }").contains("a number from 0 to 1"));
        assert!(planted("{ trigger = '0.02@middle' }").contains("`start` or `end`"));
        let nowhere = error("name='x'\nmodel='m'\nplants={ bias = 0.3 }\n[[stage]]\nkind='measure'\nname='m'");
        assert!(nowhere.contains("plants grow in the village"), "{nowhere}");
        assert!(error("name = 'a/b'\nmodel = 'm'\n[[stage]]\nkind='measure'\nname='m'").contains("a/b"));
    }
}
