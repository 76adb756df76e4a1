//! `groma chat`: turns in a terminal, or one answer a line from a pipe.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use groma_data::{Content, Message};
use groma_lm::{Ask, Control, LanguageModel, Local, LocalOptions, Reply, SamplingParameters};
use groma_model::{Hooks, Intervention, LocalModel, View};
use groma_run::{Seed, Silent, read_json};
use serde_json::json;

use super::resolve;
use crate::cli::Chat;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, say};

/// Largest file of interventions that is read, in bytes.
const STEER_BYTES_LIMIT: u64 = 1 << 26;

pub(crate) fn run(flags: &Chat, context: &Context) -> Result<ExitCode> {
    let parameters = parameters(flags);
    if let Some(problem) = parameters.problem() {
        return Err(Failure::usage(problem, "see `groma chat --help`"));
    }
    let mut model = resolve::open(&flags.model, &flags.chat_template, context)?;
    model.freeze();
    let view = view(flags, &model)?;
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        say(&format!("chat template {}; an empty line begins anew, Ctrl-D ends", model.chat.name));
    }
    let local = Local { view: &view, ..Local::new(&model, LocalOptions::default()) };
    let mut turns = beginning(flags);
    let mut count = 0;
    loop {
        if interactive {
            print("> ");
        }
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let read =
            read.map_err(|error| Failure::usage(format!("cannot read the question: {error}"), "give UTF-8 text"))?;
        if read == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let line = line.trim_end_matches(['\n', '\r']);
        if line.is_empty() {
            turns = beginning(flags);
            continue;
        }
        turns.push(Message::new("user", line));
        let prompt = Content::Messages(turns.clone());
        let seed = Seed::new(flags.seed).index(count);
        let text = answer(&local, Ask { prompt, sampling: parameters.clone(), seed, logps: false }, context)?;
        count += 1;
        show(line, &text, context.json);
        turns.push(Message::new("assistant", text));
    }
}

fn parameters(flags: &Chat) -> SamplingParameters {
    SamplingParameters {
        max_new_tokens: flags.max_new_tokens,
        temperature: flags.temperature,
        top_p: flags.top_p,
        top_k: flags.top_k,
        min_p: flags.min_p,
        repetition_penalty: flags.repetition_penalty,
        ..SamplingParameters::default()
    }
}

/// The model as it is, or with the interventions of a file.
fn view(flags: &Chat, model: &LocalModel) -> Result<View> {
    let Some(path) = &flags.steer else { return Ok(View::default()) };
    let interventions: Vec<Intervention> = read_json(path, STEER_BYTES_LIMIT)?;
    let hooks = interventions.into_iter().fold(Hooks::new(), Hooks::intervene);
    hooks.check(model.transformer.spec())?;
    Ok(hooks.into())
}

fn beginning(flags: &Chat) -> Vec<Message> {
    flags.system.iter().map(|system| Message::new("system", system)).collect()
}

fn answer(model: &dyn LanguageModel, ask: Ask, context: &Context) -> Result<String> {
    let control = Control { progress: &Silent, cancel: &context.work.cancel };
    let replies = model.generate(&[ask], control).into_iter();
    let reply = replies.collect::<Result<Vec<_>, _>>()?;
    Ok(reply.first().map_or("", Reply::text).trim().to_owned())
}

fn show(question: &str, answer: &str, as_json: bool) {
    if as_json {
        print(&format!("{}\n", json!({ "question": question, "answer": answer })));
    } else {
        print(&format!("{}\n", groma_report::for_terminal(answer)));
    }
}
