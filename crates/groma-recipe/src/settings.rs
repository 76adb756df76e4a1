//! The settings of all training stages, checked at once.

use groma_align::{Method, Settings};

use crate::Error;
use crate::misread;
use crate::recipe::Recipe;
use crate::stage::Stage;

/// Checks the settings of all training stages at once: each key that a method does not have, or not so, with its line in the
/// recipe's text.
///
/// # Errors
/// [`Error::Recipe`] with all of them.
pub fn check_settings(recipe: &Recipe, name: &str, text: &str) -> Result<(), Error> {
    let mut found = Vec::new();
    for (index, stage) in recipe.stages.iter().enumerate() {
        let Stage::Train(train) = stage else { continue };
        let method = Method::require(&train.method)?;
        let mut given = train.settings.clone();
        while let Err(error) = Settings::resolve(method, &given) {
            let (groma_align::Error::UnknownSetting { name: key, .. } | groma_align::Error::Setting { name: key, .. }) =
                &error
            else {
                break;
            };
            let path: Vec<String> = ["stage", &index.to_string(), "settings"].map(str::to_owned).into();
            let path: Vec<String> = path.into_iter().chain(key.split('.').map(str::to_owned)).collect();
            found.push(format!("{}: {error}", misread::place(text, &path)));
            let outer = key.split('.').next().unwrap_or_default();
            if given.remove(key).or_else(|| given.remove(outer)).is_none() {
                break;
            }
        }
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(Error::Recipe { name: name.into(), problem: found.join("\n") }),
    }
}
