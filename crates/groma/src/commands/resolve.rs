//! From what a user names to local paths: a path as it is, or a pinned snapshot of a hub id.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use groma_eval::Task;
use groma_hub::{Hub, HubId, Reference, Settings, Snapshot, Transferred};
use groma_kernels::Backend;
use groma_lm::Address;
use groma_model::{AdapterFile, BaseModel, LocalModel, TemplateChoice, Tokenizer};
use groma_recipe::{Asked, Decoding, Resolve};
use groma_run::{Advance, Level, Progress};
use serde_json::{Map, Value};

use crate::cli::Serving;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, say};

/// A local path, and the commit where it came from the hub.
pub(crate) type Resolved = (PathBuf, Option<String>);

/// The directory of a model; of an adapter, its base is on this disk then too, if it can be had.
pub(crate) fn model(text: &str, progress: &dyn Progress) -> Result<Resolved, groma_hub::Error> {
    let resolved = match Reference::resolve(text)? {
        Reference::Local(path) => (path, None),
        Reference::Hub(id) => {
            let snapshot = fetch(&id, progress, Hub::model)?;
            (snapshot.directory, Some(snapshot.commit))
        }
    };
    fetch_base(&resolved.0, progress);
    Ok(resolved)
}

/// Fetches the base of an adapter that names it by hub id, where it is not on this disk. Why it cannot be had is said; that it is
/// missing is an error of whoever opens the adapter.
fn fetch_base(directory: &Path, progress: &dyn Progress) {
    if !AdapterFile::is_in(directory) || AdapterFile::base_directory(directory).is_ok() {
        return;
    }
    let Ok(BaseModel { name: Some(name), revision, .. }) = AdapterFile::base_model(directory) else { return };
    let id = revision.map_or_else(|| name.clone(), |revision| format!("{name}@{revision}"));
    let Ok(Reference::Hub(id)) = Reference::resolve(&id) else { return };
    match fetch(&id, progress, Hub::model) {
        Ok(snapshot) => AdapterFile::set_base(directory, &snapshot.directory),
        Err(error) => say(&format!("the base of {}: {error}", directory.display())),
    }
}

/// Takes the base that was named for an adapter.
///
/// # Errors
/// Where the model is no adapter, or either cannot be had.
pub(crate) fn base(named: &str, base: Option<&str>, progress: &dyn Progress) -> Result<()> {
    let Some(base) = base else { return Ok(()) };
    let no_adapter = || {
        let problem = format!("--base says what an adapter adapts, but {named} is no adapter");
        Failure::usage(problem, "leave out --base")
    };
    if Address::is_meant(named) {
        return Err(no_adapter());
    }
    // Before its own is looked for.
    let directory = match Reference::resolve(named)? {
        Reference::Local(path) => path,
        Reference::Hub(id) => fetch(&id, progress, Hub::model)?.directory,
    };
    if !AdapterFile::is_in(&directory) {
        return Err(no_adapter());
    }
    AdapterFile::set_base(&directory, &model(base, progress)?.0);
    Ok(())
}

/// A file of data.
pub(crate) fn data(text: &str, progress: &dyn Progress) -> Result<Resolved, groma_hub::Error> {
    match Reference::resolve(text)? {
        Reference::Local(path) => Ok((path, None)),
        Reference::Hub(id) => {
            let snapshot = fetch(&id, progress, Hub::dataset)?;
            let file = snapshot.files.into_iter().next().unwrap_or(snapshot.directory);
            Ok((file, Some(snapshot.commit)))
        }
    }
}

/// Lends what finds the names of a recipe.
pub(crate) fn resolving<T>(context: &Context, work: impl FnOnce(Resolve<'_>) -> T) -> T {
    let progress = &*context.work.progress;
    let failed = |error| groma_recipe::Error::Resolve(Box::new(error));
    let find_model = |name: &str| model(name, progress).map_err(failed);
    let find_data = |name: &str| data(name, progress).map_err(failed);
    work(Resolve { model: &find_model, data: &find_data })
}

fn fetch(
    id: &HubId,
    progress: &dyn Progress,
    get: impl Fn(&Hub, &HubId, &mut dyn FnMut(Transferred<'_>)) -> groma_hub::Result<Snapshot>,
) -> groma_hub::Result<Snapshot> {
    let hub = Hub::new(Settings::from_environment()?)?;
    progress.begin(&format!("download {}", id.repository()), None, "MB");
    let mut report = |file: Transferred<'_>| {
        let note = Some(file.file.to_owned());
        progress.advance(&Advance { done: file.bytes >> 20, note, ..Advance::default() });
    };
    let snapshot = get(&hub, id, &mut report)?;
    progress.finish(&format!("commit {}", snapshot.commit));
    Ok(snapshot)
}

/// Opens a model to ask it: weights on this machine, or a model on a server, of which nothing is asked yet and whose answers
/// are kept in `cache`.
pub(crate) fn asked(
    name: &str,
    template: &str,
    serving: &Serving,
    cache: Option<PathBuf>,
    context: &Context,
) -> Result<Asked> {
    let place = |name: &str| model(name, &*context.work.progress).map(|(directory, _)| directory);
    if !Address::is_meant(name) {
        let (template, backend) = (TemplateChoice::parse(template)?, context.work.backend.clone());
        return Ok(Asked::here(&place(name)?, &template, backend)?);
    }
    let address = Address::parse(name).map_err(groma_recipe::Error::from)?;
    let tokenizer = serving.tokenizer.as_deref().map(place).transpose()?;
    Ok(Asked::served(address, tokenizer.as_deref(), template, &serving.settings(), cache)?)
}

/// Says which reading of a tokenizer was taken, where there are two.
pub(crate) fn say_reading(tokenizer: &Tokenizer, context: &Context) {
    if let Some(readings) = tokenizer.readings() {
        context.work.progress.message(Level::Info, &readings.note());
    }
}

/// Opens the model in a directory.
pub(crate) fn open_directory(path: &Path, template: &str, backend: Arc<dyn Backend>) -> Result<LocalModel> {
    Ok(LocalModel::open(path, &TemplateChoice::parse(template)?, backend)?)
}

/// `TASK=FILE` or `TASK`, taken apart.
pub(crate) fn task_and_file(pair: &str) -> Result<(&str, Option<&str>)> {
    match pair.split_once('=') {
        Some((task, file)) if !task.is_empty() && !file.is_empty() => Ok((task, Some(file))),
        None if !pair.is_empty() => Ok((pair, None)),
        _ => {
            Err(Failure::usage(format!("`{pair}` is not of the form TASK=FILE"), "`groma eval --list` shows the tasks"))
        }
    }
}

/// The file that was named, or else the task's own.
pub(crate) fn task_data(task: &Task, file: Option<&str>) -> Result<String> {
    file.map(str::to_owned).or_else(|| task.data.location()).ok_or_else(|| {
        let task = &task.id;
        Failure::usage(format!("the task `{task}` does not say where its data are"), format!("name them: {task}=FILE"))
    })
}

/// `KEY=VALUE` pairs as a table; a value that is no JSON is a text.
pub(crate) fn settings(pairs: &[String]) -> Result<Map<String, Value>> {
    let mut table = Map::new();
    for pair in pairs {
        let (key, text) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`{pair}` is not of the form KEY=VALUE"), "e.g. --set beta=0.2"))?;
        let value = serde_json::from_str(text.trim()).unwrap_or_else(|_| Value::String(text.trim().to_owned()));
        table.insert(key.trim().to_owned(), value);
    }
    Ok(table)
}

/// How answers are decoded, where flags say so.
pub(crate) fn decoding(flags: &crate::cli::Decoding) -> Option<Decoding> {
    let given = !flags.debias.is_empty() || flags.detox.is_some() || flags.advantage.is_some();
    given.then(|| Decoding {
        debias: flags.debias.clone(),
        decay: flags.debias_decay,
        floor: Decoding::FLOOR,
        detox: flags.detox.clone(),
        top_k: flags.detox_top_k,
        weight: flags.detox_weight,
        advantage: flags.advantage,
    })
}

/// The settings of `--sample-steps` and `--sample-prompts`.
pub(crate) fn sampling(steps: Option<u64>, prompts: Option<u64>) -> impl Iterator<Item = (String, Value)> {
    let named = [("sample_steps", steps), ("sample_prompts", prompts)];
    named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))))
}
