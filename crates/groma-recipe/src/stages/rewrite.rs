//! Makes rows of other rows, and leaves them to train on or to ask.

use std::path::Path;

use groma_align::read_findings;
use groma_data::{BadRows, Fields, OnBadRow, Row, RowProblem, Rows};
use groma_run::{EventKind, Finished, Recorder, Seed, counted};
use serde_json::{Value, json};

use crate::data_file::write_file;
use crate::outside::{MADE, outside};
use crate::recipe::Recipe;
use crate::records::Rewrite;
use crate::resolve::Resolve;
use crate::rows::read_rows;
use crate::runner::Runner;
use crate::stage_work::StageWork;
use crate::{Error, Reading, said};

impl StageWork for Rewrite {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        drop(groma_align::Rewrite::find(&self.rewrite)?.with(&self.settings)?);
        let seed = Seed::new(recipe.seed).named(&self.name);
        let found = match outside(recipe, &self.name, &self.data, resolve)? {
            Some(path) => counted(rewrite_rows(self, &path, seed)?.0.len() as u64, "row"),
            None => MADE.into(),
        };
        Ok(vec![format!("{}: {} of {} ({found})", self.name, self.rewrite, self.data)])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let data = runner.data(&self.name, &self.data)?;
        let key = runner.key(&self.name).config(&json!({ "stage": self, "seed": runner.recipe.seed }))?;
        runner
            .stage(key.input("data", data.digest), false, |runner, recorder| self.rewrite(runner, recorder, &data.path))
    }
}

impl Rewrite {
    fn rewrite(&self, runner: &Runner, recorder: &Recorder, path: &Path) -> Result<Finished, Error> {
        let seed = Seed::new(runner.recipe.seed).named(&self.name);
        let (made, read) = rewrite_rows(self, path, seed)?;
        let (rows, written) = (counted(read.rows.len() as u64, "row"), counted(made.len() as u64, "row"));
        let findings = read_findings(&read);
        said::say(&*runner.work.progress, &self.name, &findings);
        findings.into_iter().for_each(|finding| recorder.finding(finding));
        recorder.message(EventKind::Note, &format!("{written} of {rows}"));
        let file = runner.recipe.place(&self.name, &Rewrite::output());
        let lines: String = made.iter().map(|row| format!("{}\n", Value::Object(row.fields()))).collect();
        write_file(&runner.directory.inside(&file)?, lines.as_bytes())?;
        Ok(Finished { outputs: vec![file], result: json!({ "rows": made.len() }), ..Finished::default() })
    }
}

/// What is made of the rows of a file, and how they were read; rows of which nothing can be made are bad rows like any other.
///
/// # Errors
/// Those of reading and of settings, and too many bad rows.
pub fn rewrite_rows(stage: &Rewrite, path: &Path, seed: Seed) -> Result<(Vec<Row>, Rows), Error> {
    let way = groma_align::Rewrite::find(&stage.rewrite)?;
    let made = way.with(&stage.settings)?;
    let mut read = read_rows(path, way.data, stage.limit, seed, &Reading::default())?;
    let (mut all, mut bad): (Vec<Row>, BadRows) = (Vec::new(), read.bad.clone());
    for row in &read.rows {
        match made(row) {
            Ok(rows) => all.extend(rows),
            Err(why) => bad.push(RowProblem::of(row, why)),
        }
    }
    bad.check(OnBadRow::default())?;
    read.bad = bad;
    Ok((all, read))
}
