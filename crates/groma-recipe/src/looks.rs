//! Stages that look at a model on both sides of its training.

use groma_align::Method;

use crate::Error;
use crate::recipe::Recipe;
use crate::stage::Stage;

impl Recipe {
    /// Adds the stage `NAME-before` ahead of the first training of a model that answers, and `NAME-after` behind the last; or `NAME`
    /// alone at the end, where nothing of this kind trains. `stage` makes one of its name and that of the stage before, if there is
    /// one; it is to look at the latest model.
    ///
    /// # Errors
    /// A training stage whose method is not known.
    pub fn look(&mut self, name: &str, stage: &dyn Fn(&str, Option<&str>) -> Stage) -> Result<(), Error> {
        let mut trains = Vec::new();
        for (place, train) in
            self.stages.iter().enumerate().filter_map(|(place, stage)| Some((place, stage.as_train()?)))
        {
            if Method::require(&train.method)?.predicts() {
                trains.push(place);
            }
        }
        if let (Some(&first), Some(&last)) = (trains.first(), trains.last()) {
            let (before, after) = (format!("{name}-before"), format!("{name}-after"));
            self.stages.insert(last + 1, stage(&after, Some(&before)));
            self.stages.insert(first, stage(&before, None));
        } else {
            self.stages.push(stage(name, None));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Attack;

    fn looked_at(trains: &[(&str, &str)]) -> Recipe {
        let stage = |(name, method): &(&str, &str)| {
            format!("[[stage]]\nkind = 'train'\nname = '{name}'\nmethod = '{method}'\ndata = 'rows.jsonl'\n")
        };
        let stages: String = trains.iter().map(stage).collect();
        let mut recipe = match trains {
            [] => Recipe::new("r", "model", Vec::new()),
            _ => Recipe::parse("r", &format!("name = 'r'\nmodel = 'model'\n{stages}"), &[]).unwrap(),
        };
        let attack = |name: &str, earlier: Option<&str>| {
            Stage::Attack(Attack { against: earlier.map(str::to_owned), ..Attack::new(name, vec!["none".into()]) })
        };
        recipe.look("attack", &attack).unwrap();
        recipe
    }

    #[test]
    fn looks_stand_on_both_sides_of_all_training_of_models_that_answer() {
        let recipe = looked_at(&[("first", "reward"), ("sft", "sft"), ("dpo", "dpo"), ("last", "reward")]);
        let names: Vec<&str> = recipe.stages.iter().map(Stage::name).collect();
        assert_eq!(names, ["first", "attack-before", "sft", "dpo", "attack-after", "last"]);
        let Stage::Attack(after) = &recipe.stages[4] else { panic!("not an attack") };
        assert_eq!(after.against.as_deref(), Some("attack-before"));
    }

    #[test]
    fn a_model_that_is_not_trained_is_looked_at_once() {
        let recipe = looked_at(&[]);
        assert_eq!(recipe.stages.iter().map(Stage::name).collect::<Vec<_>>(), ["attack"]);
    }
}
