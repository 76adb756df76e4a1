//! Data that are there before the run.

use std::path::PathBuf;

use crate::Error;
use crate::data_name::DataName;
use crate::recipe::Recipe;
use crate::resolve::Resolve;

/// What is said of data that are not there yet.
pub(crate) const MADE: &str = "made by the run";

/// Where data are that the run does not make itself.
pub(crate) fn outside(
    recipe: &Recipe,
    stage: &str,
    name: &str,
    resolve: Resolve<'_>,
) -> Result<Option<PathBuf>, Error> {
    match DataName::parse(name)? {
        DataName::File(file) if !recipe.leaves_rows(stage, name) => Ok(Some((resolve.data)(file)?.0)),
        _ => Ok(None),
    }
}
