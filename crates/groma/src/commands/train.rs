//! `groma train`: one method, one model, one file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use groma_align::{Method, Settings, check_columns, has_ended};
use groma_lm::Kind;
use groma_recipe::{Asked, CardText, LogForm, Trainable, base_name, check_parts, check_seats, read_rows};
use groma_run::{Claim, Digest, Disk, Finding, Seed, atomic, counted};
use serde_json::json;

use super::eval::say_spent;
use super::resolve;
use crate::cli::{self, Train};
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print_json, say};

pub(crate) fn run(flags: &Train, context: &Context) -> Result<ExitCode> {
    let method = Method::require(&flags.method)?;
    let mut given = resolve::settings(&flags.settings)?;
    given.extend(resolve::sampling(flags.sample_steps, flags.sample_prompts));
    let settings = Settings::resolve(method, &given)?;
    // Held until the model is whole: of two at once, the second learns who the first is.
    let _claim = Claim::take(&flags.output)?;
    let own = [flags.output.clone(), checkpoints(&flags.output)];
    let left = own.iter().map(|path| atomic::recover_target(&Disk::files(), path)).collect::<Result<Vec<_>, _>>()?;
    left.iter().flatten().for_each(|leftover| say(&format!("repaired: {}", super::rows::safe(leftover))));
    // Killed between the new model and the end of what led to it: it is made once more from the last checkpoint, and is the same.
    let again = !flags.overwrite && flags.output.exists() && has_ended(&checkpoints(&flags.output));
    if !again {
        check_output(flags)?;
    }
    let progress = &*context.work.progress;
    let seed = Seed::new(settings.training.seed);
    let reading = flags.columns.reading();
    let rows = |text: &str, limit| -> Result<_> {
        let (path, _) = resolve::data(text, progress)?;
        let rows = read_rows(&path, method.data, limit, seed, &reading)?;
        say(&format!("{text}: {}", super::rows::read_as(&rows)));
        Ok(rows)
    };
    let train = rows(&flags.data, flags.limit)?;
    let held_out = flags.eval_data.as_deref().map(|text| rows(text, None)).transpose()?;
    check_columns(&settings, train.rows.iter())?;
    resolve::base(&flags.model, flags.base.as_deref(), progress)?;
    let (path, _) = resolve::model(&flags.model, progress)?;
    let (asked, here): (Vec<_>, Vec<_>) = settings.seats().into_iter().partition(|(role, _)| role.speaks());
    let paths = here.iter().map(|(_, name)| Ok(resolve::model(name, progress)?.0)).collect::<Result<Vec<_>>>()?;
    let seats = here.iter().zip(&paths).map(|((role, name), path)| (*role, &**name, &**path));
    check_parts(method, &path, seats)?;
    check_seats(&settings, &path, here.iter().zip(&paths).map(|((role, name), path)| (*role, &**name, &**path)))?;
    let open = |path: &PathBuf| resolve::open_directory(path, &flags.chat_template, context.work.backend.clone());
    let model = open(&path)?;
    resolve::say_reading(&model.tokenizer, context);
    let weights = paths.iter().map(open).collect::<Result<Vec<_>>>()?;
    let judge = asked.first().map(|(_, name)| judge(name, flags, context)).transpose()?;
    judge.iter().try_for_each(|(judge, _)| judge.require(Kind::Generate))?;
    let layout = train.layout;
    let forms: Vec<LogForm> = flags.log.iter().map(|form| form.recorded()).collect();
    let trainable = Trainable::new(model, settings, &[train], held_out.as_ref())?.beside(weights, judge).logged(&forms);
    say(&super::rows::template(&trainable.model.chat));
    let template = super::rows::template_record(&trainable.model.chat);
    let held_out = trainable.evaluation.iter().flat_map(|evaluation| &evaluation.findings);
    let findings: Vec<Finding> = trainable.train.findings.iter().chain(held_out).cloned().collect();
    let groups = trainable.train.groups.len();
    findings.iter().for_each(|finding| say(&super::rows::finding(finding)));
    let name = flags.output.file_name().map(|name| name.to_string_lossy().into_owned());
    let card = CardText {
        name: name.unwrap_or_else(|| "model".into()),
        base_model: Some(base_name(&flags.model, &path)),
        data: flags.data.clone(),
    };
    let checkpoints = checkpoints(&flags.output);
    let made = if again { checkpoints.join("model") } else { flags.output.clone() };
    let trained = trainable.run(card, &checkpoints, &made, &context.work, None);
    if again && (trained.is_err() || !is_same(&made, &flags.output)) {
        // Those checkpoints are of another training.
        let _ = std::fs::remove_dir_all(&made);
        return Err(exists_already(&flags.output));
    }
    let (outcome, spent) = trained?;
    say_spent("", &json!({ "spent": spent }));
    outcome.spent.words().iter().for_each(|words| say(words));
    // The model is whole and was read back; what led to it is no longer needed.
    atomic::remove_directory(&Disk::files(), &checkpoints)?;
    if context.json {
        print_json(&json!({
            "output": flags.output, "steps": outcome.steps, "epoch": outcome.epoch, "num_tokens": outcome.num_tokens,
            "train_loss": outcome.train_loss, "metrics": outcome.metrics, "evaluation": outcome.evaluation,
            "alarms": outcome.watched.alarms,
            "resumed_from": outcome.resumed_from, "kernels": outcome.kernels, "rows": groups, "layout": layout, "chat_template": template,
            "findings": findings, "time": outcome.spent.seconds(),
        }))?;
    } else {
        say(&format!(
            "{}, mean loss {:.4}; model in {}",
            counted(outcome.steps, "step"),
            outcome.train_loss,
            flags.output.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

impl cli::LogForm {
    /// The same for who writes it.
    fn recorded(self) -> LogForm {
        match self {
            cli::LogForm::Tensorboard => LogForm::TensorBoard,
            cli::LogForm::Csv => LogForm::Csv,
            cli::LogForm::Wandb => LogForm::Wandb,
        }
    }
}

/// What is at the output is replaced where that was asked for and it is a model.
fn check_output(flags: &Train) -> Result<()> {
    let output = &flags.output;
    if output.symlink_metadata().is_err() {
        return Ok(());
    }
    if !flags.overwrite {
        return Err(exists_already(output));
    }
    if !is_model(output) {
        let what = "it has no weights in safetensors beside a config.json or adapter_config.json";
        return Err(Failure::usage(
            format!("{} is not replaced, as it is no model: {what}", output.display()),
            "choose another --output; --overwrite replaces models alone",
        ));
    }
    Ok(())
}

fn exists_already(output: &Path) -> Failure {
    Failure::usage(
        format!("{} exists already", output.display()),
        "choose another --output, or give --overwrite to replace it once the new model is whole",
    )
}

/// Whether two directories hold the same files.
fn is_same(one: &Path, other: &Path) -> bool {
    let digest = |path: &Path| Digest::of_path(path).ok();
    digest(one).is_some() && digest(one) == digest(other)
}

/// Whether a directory holds a model or an adapter, or nothing.
fn is_model(path: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    let names: Vec<PathBuf> = entries.flatten().map(|entry| entry.file_name().into()).collect();
    let has = |wanted: &str| names.iter().any(|name| name.as_os_str() == wanted);
    let weights = names.iter().any(|name| name.extension().is_some_and(|extension| extension == "safetensors"));
    names.is_empty() || (weights && (has("config.json") || has("adapter_config.json")))
}

/// Who rates, and what decides the ratings.
fn judge(name: &str, flags: &Train, context: &Context) -> Result<(Asked, Digest)> {
    let kept = flags.serving.cache.clone().unwrap_or_else(|| checkpoints(&flags.output).join("answers"));
    let asked = resolve::asked(name, &flags.chat_template, &flags.serving, Some(kept), context)?;
    let digest = match &asked {
        Asked::Here(model) => Digest::of_path(&model.directory)?,
        Asked::Served(_) => Digest::of_bytes(name.as_bytes()),
    };
    Ok((asked, digest))
}

/// Beside the output, under a name that tells whose they are.
fn checkpoints(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".checkpoints");
    output.with_file_name(name)
}
