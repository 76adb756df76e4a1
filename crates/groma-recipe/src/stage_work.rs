//! How a stage is checked and done.

use crate::Error;
use crate::recipe::Recipe;
use crate::resolve::Resolve;
use crate::runner::Runner;

/// What every kind of stage does.
pub(crate) trait StageWork {
    /// What can be known of it before it is done, a line for each part.
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error>;

    fn run(&self, runner: &mut Runner) -> Result<(), Error>;
}
