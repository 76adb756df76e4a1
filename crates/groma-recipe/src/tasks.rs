//! What the measuring stages of a recipe measure.

use crate::Error;
use crate::recipe::Recipe;
use crate::records::{Measure, TaskConfig};
use crate::stage::Stage;

impl Recipe {
    /// The tasks of a measuring stage, which must have names of their own in the results.
    pub(crate) fn tasks(&self, stage: &Measure) -> Result<Vec<TaskConfig>, Error> {
        let found = stage.tasks(self.default_tasks())?;
        for (place, second) in found.iter().enumerate() {
            let name = second.result_name();
            let Some(first) = found[..place].iter().find(|config| config.result_name() == name) else { continue };
            let problem = format!(
                "stage `{}` measures two tasks called `{name}`, on {} and on {}: give one of them a `name` of its own",
                stage.name, first.data, second.data,
            );
            return Err(Error::Recipe { name: self.name.clone(), problem });
        }
        Ok(found)
    }

    /// The names, in the results, of what its measuring stages measure, each once.
    pub fn measured(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for stage in self.stages.iter().filter_map(Stage::as_measure) {
            for config in self.tasks(stage)? {
                let name = config.result_name().to_owned();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_with_two_tasks_of_one_name_is_told_so() {
        let stage = Measure {
            tasks: vec![TaskConfig::new("perplexity", "a.txt"), TaskConfig::new("perplexity", "b.txt")],
            ..Measure::new("before")
        };
        let recipe = Recipe::new("r", "m", vec![Stage::Measure(stage.clone())]);
        let error = recipe.tasks(&stage).unwrap_err().to_string();
        assert!(error.contains("two tasks called `perplexity`, on a.txt and on b.txt"), "{error}");
    }
}
