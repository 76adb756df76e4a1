//! Carries out a protocol of oversight, and leaves what was said, what was found and rows to train on.

use std::collections::BTreeMap;
use std::path::Path;

use groma_data::{ReadOptions, Row, ShapeOptions, read};
use groma_lm::{Control, LanguageModel, Spent};
use groma_oversight::{Cost, Outcome, Protocol, Table};
use groma_run::{Finished, Recorder, Seed};
use serde_json::{Value, json};

use crate::Error;
use crate::asked::Asked;
use crate::data_file::{DataFile, write_file};
use crate::model::Model;
use crate::output::{Output, OutputKind};
use crate::outside::{MADE, outside};
use crate::recipe::Recipe;
use crate::records::Oversee;
use crate::resolve::Resolve;
use crate::runner::Runner;
use crate::stage_work::StageWork;

/// The models that sit at a table.
type Seats<'a> = BTreeMap<&'static str, &'a dyn LanguageModel>;

impl StageWork for Oversee {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        let protocol = Protocol::find(&self.protocol)?;
        protocol.settings(&self.settings)?;
        self.check_fields(protocol).map_err(|problem| Error::Recipe { name: recipe.name.clone(), problem })?;
        let found = match &self.data {
            None => "questions of its own".into(),
            Some(name) => match outside(recipe, &self.name, name, resolve)? {
                Some(path) => groma_run::counted(rows(protocol, self, &path, recipe.seed)?.len() as u64, "row"),
                None => MADE.into(),
            },
        };
        Ok(vec![format!("{}: {} ({found})", self.name, protocol.id)])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let protocol = Protocol::find(&self.protocol)?;
        let seats = self.seats().into_iter().map(|(role, name)| Ok((role, runner.model(&self.name, name)?)));
        let seats = seats.collect::<Result<Vec<(&'static str, Model)>, Error>>()?;
        let data = self.data.as_deref().map(|name| runner.data(&self.name, name)).transpose()?;
        let config = json!({ "stage": self, "template": runner.recipe.chat_template, "seed": runner.recipe.seed });
        let mut key = runner.key(&self.name).config(&config)?;
        for (role, model) in &seats {
            key = key.input(role, model.digest);
        }
        if let Some(data) = &data {
            key = key.input("data", data.digest);
        }
        let computes = seats.is_empty() || seats.iter().any(|(_, model)| model.is_here());
        runner.stage(key, computes, |runner, recorder| {
            self.carry_out(runner, recorder, (protocol, &seats), data.as_ref())
        })
    }
}

impl Oversee {
    /// What does not go together, in words.
    fn check_fields(&self, protocol: &Protocol) -> Result<(), String> {
        let fail = |problem: String| Err(format!("stage `{}`: {problem}", self.name));
        let roles: Vec<&str> = protocol.roles.iter().map(|role| role.name).collect();
        if let Some(unknown) = self.roles.keys().find(|name| !roles.contains(&name.as_str())) {
            let there = if roles.is_empty() { "none".to_owned() } else { roles.join(", ") };
            return fail(format!("the protocol `{}` has no role `{unknown}`; there are: {there}", protocol.id));
        }
        match &self.data {
            Some(_) if protocol.data.is_empty() => fail(format!("the protocol `{}` reads no rows", protocol.id)),
            None if !protocol.poses => {
                fail(format!("the protocol `{}` is about rows: name them as `data`", protocol.id))
            }
            None if !(self.roles.is_empty() && self.model.is_none()) => fail(format!(
                "without `data` the protocol `{}` poses questions of its own, and no model takes part",
                protocol.id
            )),
            _ => Ok(()),
        }
    }

    fn carry_out(
        &self,
        runner: &mut Runner,
        recorder: &Recorder,
        (protocol, seats): (&'static Protocol, &[(&'static str, Model)]),
        data: Option<&DataFile>,
    ) -> Result<Finished, Error> {
        let mut asked: Vec<(&'static str, Asked)> = Vec::new();
        for (role, model) in seats {
            asked.push((role, runner.ask(model)?));
        }
        asked.iter().for_each(|(_, asked)| runner.note_asked(asked));
        let found = data.map(|data| rows(protocol, self, &data.path, runner.recipe.seed)).transpose()?;
        let found = found.unwrap_or_default();
        let progress = &*runner.work.progress;
        progress.begin(&self.name, None, "step");
        let at_table = |seats: Seats<'_>| {
            let table = Table {
                protocol,
                settings: protocol.settings(&self.settings)?,
                seats,
                rows: &found,
                subject: &self.name,
                seed: Seed::new(runner.recipe.seed).named(&self.name),
                backend: runner.work.backend.clone(),
                control: Control { progress, cancel: &runner.work.cancel },
            };
            Ok::<_, Error>((protocol.carry_out)(&table)?)
        };
        let mut spent = Vec::new();
        let outcome = seated(&asked, Seats::new(), &mut spent, &at_table)?;
        runner.work.cancel.check()?;
        progress.finish(&groma_run::counted(outcome.results.measurements.len() as u64, "number"));
        self.leave(runner, recorder, (protocol, outcome), spent)
    }

    /// Writes all that a protocol leaves.
    fn leave(
        &self,
        runner: &Runner,
        recorder: &Recorder,
        (protocol, mut outcome): (&Protocol, Outcome),
        spent: Vec<(&'static str, Spent)>,
    ) -> Result<Finished, Error> {
        let mut cost = Cost::default();
        outcome.transcripts.iter().for_each(|transcript| cost += transcript.cost);
        let failures = outcome.transcripts.iter().filter(|transcript| transcript.failure.is_some()).count();
        let transcripts: Vec<Value> = outcome.transcripts.iter().map(|transcript| json!(transcript)).collect();
        let mut files = vec![(Oversee::TRANSCRIPTS, transcripts)];
        files.extend(protocol.rows.iter().map(|name| (*name, outcome.rows.remove(name).unwrap_or_default())));
        let mut outputs = Vec::new();
        for (name, rows) in files {
            let file = runner.recipe.place(&self.name, &Output::new(name, OutputKind::Rows));
            let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
            write_file(&runner.directory.inside(&file)?, lines.as_bytes())?;
            outputs.push(file);
        }
        recorder.results(outcome.results)?;
        let mut result = json!({ "cost": cost, "failures": failures });
        let spent: Vec<_> = spent.into_iter().filter(|(_, spent)| *spent != Spent::default()).collect();
        if !spent.is_empty() {
            result["spent"] = spent.into_iter().map(|(role, spent)| (role.to_owned(), json!(spent))).collect();
        }
        let tokens = cost.usage.prompt_tokens + cost.usage.completion_tokens;
        Ok(Finished { tokens, outputs, result, unanswered: outcome.unanswered, ..Finished::default() })
    }
}

/// Lends all models, one after the other, and then does the work.
fn seated<T>(
    asked: &[(&'static str, Asked)],
    seats: Seats<'_>,
    spent: &mut Vec<(&'static str, Spent)>,
    work: &dyn Fn(Seats<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(((role, first), others)) = asked.split_first() else { return work(seats) };
    let role = *role;
    let (done, own) = first.lend(None, |model| {
        let mut seats: Seats<'_> = seats.iter().map(|(role, model)| (*role, *model)).collect();
        seats.insert(role, model);
        seated(others, seats, spent, work)
    })?;
    spent.push((role, own));
    Ok(done)
}

fn rows(protocol: &Protocol, stage: &Oversee, path: &Path, seed: u64) -> Result<Vec<Row>, Error> {
    let table = read(path, &ReadOptions::default())?.limited(stage.limit, Seed::new(seed).named(&stage.name));
    Ok(table.into_rows(&ShapeOptions::default(), protocol.data)?.rows)
}
