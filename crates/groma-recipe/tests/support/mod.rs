//! Runs a recipe's text in a directory of its own.

use std::sync::Arc;

use groma_kernels::Cpu;
use groma_recipe::{Error, Inputs, Recipe, Resolve, Summary, Work, run};
use groma_run::{Cancel, RunDirectory, Silent};

pub(crate) fn done(text: &str) -> Result<(Summary, tempfile::TempDir), Error> {
    let recipe = Recipe::parse("test", text, &[])?;
    let nowhere = |name: &str| -> Result<_, Error> { panic!("{name} is to be made by the run") };
    let inputs = Inputs { resolve: Resolve { model: &nowhere, data: &nowhere }, command: Vec::new() };
    let directory = tempfile::tempdir().unwrap();
    let run_directory = RunDirectory::create_or_resume(&directory.path().join("run"))?;
    let work = Work {
        backend: Arc::new(Cpu::new()),
        progress: Arc::new(Silent),
        cancel: Cancel::default(),
        threads: 1,
        across_machines: false,
    };
    groma_recipe::check(&recipe, inputs.resolve)?;
    let summary = run(&recipe, &inputs, &run_directory, &work)?;
    Ok((summary, directory))
}

/// What is wrong with a recipe, before anything is done.
pub(crate) fn refused(text: &str) -> String {
    let nowhere = |name: &str| -> Result<_, Error> { panic!("{name} is to be made by the run") };
    let resolve = Resolve { model: &nowhere, data: &nowhere };
    let recipe = Recipe::parse("test", text, &[]);
    recipe.and_then(|recipe| groma_recipe::check(&recipe, resolve).map(|_| ())).unwrap_err().to_string()
}
