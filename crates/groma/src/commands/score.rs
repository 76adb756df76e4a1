//! `groma score`: token log-probabilities of a text, or what a reward model gives it, for scripts.

use std::io::Read;
use std::process::ExitCode;

use groma_model::rewards::rewards;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::tokenizer::Specials;
use groma_model::{Tokenizer, Transformer, View, base_checkpoint, open_tokenizer, open_transformer};
use serde_json::json;

use super::resolve;
use crate::cli::Score;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, print_json};

/// Longest input, in bytes.
const MAX_BYTES: u64 = 64 << 20;

pub(crate) fn run(flags: &Score, context: &Context) -> Result<ExitCode> {
    let text = read(&flags.text)?;
    resolve::base(&flags.model, flags.base.as_deref(), &*context.work.progress)?;
    let (directory, _) = resolve::model(&flags.model, &*context.work.progress)?;
    let checkpoint = base_checkpoint(&directory)?;
    let tokenizer = open_tokenizer(&directory, &checkpoint)?;
    resolve::say_reading(&tokenizer, context);
    let ids = if flags.ids { parse_ids(&text)? } else { encode(&tokenizer, &text)? };
    let Some((first, rest)) = ids.split_first() else {
        return Err(Failure::usage("the text holds no token", "give at least two tokens; the first has no score"));
    };
    let spec = checkpoint.spec().for_length(ids.len());
    let transformer = open_transformer(&directory, &checkpoint, spec, context.work.backend.clone())?;
    if !transformer.spec().predicts() {
        return show_values(&transformer, &tokenizer, &ids, context);
    }
    let request = ScoreRequest { context: vec![*first], continuation: rest.to_vec() };
    let cancel = &context.work.cancel;
    let scores = score(&transformer, &[request], &ScoreOptions::default(), &mut |_| !cancel.is_requested())?;
    let logps = scores.first().map_or(&[][..], |score| &score.logps);
    let sum: f64 = logps.iter().map(|&logp| f64::from(logp)).sum();
    let token = |id: u32| tokenizer.token(id).unwrap_or_default();
    if context.json {
        let rows: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(i, &id)| json!({ "id": id, "token": token(id), "logp": i.checked_sub(1).map(|i| logps[i]) }))
            .collect();
        let loss = if logps.is_empty() { None } else { Some(-sum / logps.len() as f64) };
        print_json(&json!({ "tokens": rows, "sum_logp": sum, "loss": loss, "scored_tokens": logps.len() }))?;
    } else {
        for (i, &id) in ids.iter().enumerate() {
            let logp = i.checked_sub(1).map_or("-".into(), |i| format!("{:.6}", logps[i]));
            print(&format!("{id}\t{logp}\t{}\n", groma_report::for_terminal(&token(id))));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a model that predicts nothing says of a whole text: a reward, or the scores of labels.
fn show_values(transformer: &Transformer, tokenizer: &Tokenizer, ids: &[u32], context: &Context) -> Result<ExitCode> {
    let cancel = &context.work.cancel;
    let found = rewards(transformer, &[ids], View::plain(), &mut |_| !cancel.is_requested())?;
    let values = found.first().map_or(&[][..], Vec::as_slice);
    let token = |id: u32| tokenizer.token(id).unwrap_or_default();
    let names = transformer.spec().attributes();
    if context.json {
        let rows: Vec<_> = ids.iter().map(|&id| json!({ "id": id, "token": token(id) })).collect();
        // Of several attributes, their mean.
        let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
        let reward = Some(mean).filter(|_| transformer.spec().rewards());
        let attributes: serde_json::Map<_, _> =
            names.iter().cloned().zip(values.iter().map(|&value| value.into())).collect();
        print_json(&json!({ "tokens": rows, "values": values, "reward": reward, "attributes": attributes }))?;
    } else {
        let name = if transformer.spec().rewards() { "reward" } else { "label" };
        for (label, value) in values.iter().enumerate() {
            let label = match names.get(label) {
                Some(name) => format!(" {}", groma_report::for_terminal(name)),
                None if values.len() > 1 => format!(" {label}"),
                None => String::new(),
            };
            print(&format!("{name}{label}\t{value:.6}\t{}\n", groma_run::counted(ids.len(), "token")));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    Ok(tokenizer.encode(text, Specials::AsConfigured).map_err(groma_model::Error::from)?)
}

fn read(name: &str) -> Result<String> {
    let mut text = String::new();
    let result = match name {
        "-" => std::io::stdin().lock().take(MAX_BYTES + 1).read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text)),
    };
    result.map_err(|error| {
        Failure::usage(format!("cannot read {name}: {error}"), "give a UTF-8 text file, or - for standard input")
    })?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(format!("{name} is longer than {MAX_BYTES} bytes"), "score a shorter text"));
    }
    Ok(text)
}

fn parse_ids(text: &str) -> Result<Vec<u32>> {
    let parse = |word: &str| {
        word.parse().map_err(|_| {
            let word: String = word.chars().take(40).collect();
            Failure::usage(format!("`{word}` is no token id"), "with --ids, give numbers separated by white space")
        })
    };
    text.split_whitespace().map(parse).collect()
}
