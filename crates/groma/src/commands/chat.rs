//! `groma chat`: turns in a terminal, or one answer a line from a pipe.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

use groma_lm::{Ask, Encoder, Failure as NoAnswer, Kind, LanguageModel, Local, LocalOptions, SamplingParameters};
use groma_model::{Hooks, Intervention, LocalModel, View};
use groma_recipe::Asked;
use groma_run::{Cancel, Class, Seed, read_json};
use serde_json::json;

use super::resolve;
use crate::cli::Chat;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, say};

mod command;
mod dialogue;
mod input;

use command::{Command, HELP};
use dialogue::Dialogue;
use input::{Input, Line};

/// Largest file of interventions that is read, in bytes.
const STEER_BYTES_LIMIT: u64 = 1 << 26;

pub(crate) fn run(flags: &Chat, context: &Context) -> Result<ExitCode> {
    if let Some(problem) = parameters(flags).problem() {
        return Err(Failure::usage(problem, "see `groma chat --help`"));
    }
    resolve::base(&flags.model, flags.base.as_deref(), &*context.work.progress)?;
    let cache = flags.serving.cache.clone();
    let asked = resolve::asked(&flags.model, &flags.chat_template, &flags.serving, cache, context)?;
    asked.require(Kind::Generate)?;
    match &asked {
        Asked::Here(model) => {
            resolve::say_reading(&model.tokenizer, context);
            let view = view(flags, model)?;
            let decoding = resolve::decoding(&flags.decoding);
            let unwanted = flags.decoding.detox.as_deref();
            let unwanted =
                unwanted.map(|name| resolve::asked(name, &flags.chat_template, &flags.serving, None, context));
            let unwanted = unwanted.transpose()?;
            let steering =
                decoding.as_ref().map(|decoding| decoding.steering(&asked, unwanted.as_ref())).transpose()?;
            let local = Local { view: &view, steering, ..Local::new(model, LocalOptions::default()) };
            let window = Window { encoder: &local.encoder, tokens: model.transformer.spec().max_positions };
            Session::new(flags, &local, Some(window), context)?.run()
        }
        Asked::Served(_) if flags.steer.is_some() || resolve::decoding(&flags.decoding).is_some() => {
            Err(Failure::usage(
                "a model on a server cannot be steered",
                "leave out --steer, --debias, --detox and --advantage, or give a model's directory",
            ))
        }
        asked => {
            let (code, spent) = asked.lend(None, |model| Session::new(flags, model, None, context)?.run())?;
            say(&spent.to_string());
            Ok(code)
        }
    }
}

/// What fits into a model.
struct Window<'a> {
    encoder: &'a Encoder<'a>,
    tokens: usize,
}

/// A conversation with a model.
struct Session<'a> {
    model: &'a dyn LanguageModel,
    /// Where it is known.
    window: Option<Window<'a>>,
    flags: &'a Chat,
    context: &'a Context,
    input: Input,
    dialogue: Dialogue,
    /// Answers so far.
    count: u64,
}

impl<'a> Session<'a> {
    fn new(
        flags: &'a Chat,
        model: &'a dyn LanguageModel,
        window: Option<Window<'a>>,
        context: &'a Context,
    ) -> Result<Self> {
        let (input, dialogue) = (Input::open()?, Dialogue::new(flags.system.clone()));
        if let (Input::Terminal(_), Some(window)) = (&input, &window) {
            say(&format!("chat template {}; /help shows what there is, Ctrl-D ends", window.encoder.chat.name));
        }
        Ok(Session { model, window, flags, context, input, dialogue, count: 0 })
    }

    fn run(&mut self) -> Result<ExitCode> {
        loop {
            self.context.interrupts.idle();
            let line = match self.input.read()? {
                Line::Text(line) => line,
                Line::End => return Ok(ExitCode::SUCCESS),
                Line::Stop => return Ok(ExitCode::from(Class::Interrupted.exit_code())),
            };
            if matches!(self.input, Input::Terminal(_)) {
                match Command::read(&line) {
                    Some(Ok(Command::Quit)) => return Ok(ExitCode::SUCCESS),
                    Some(Ok(command)) => self.obey(command)?,
                    Some(Err(problem)) => say(&problem),
                    None if line.trim().is_empty() => {}
                    None => self.answer(&line)?,
                }
            } else if line.is_empty() {
                self.dialogue.begin_anew();
            } else {
                self.answer(&line)?;
            }
        }
    }

    fn obey(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Help => print(HELP),
            Command::System(None) => say(self.dialogue.system.as_deref().unwrap_or("there is no system message")),
            Command::System(text) => self.dialogue.system = text,
            Command::Reset => self.dialogue.begin_anew(),
            Command::Retry => match self.dialogue.take_back() {
                Some(question) => self.answer(&question)?,
                None => say("nothing was asked yet"),
            },
            Command::Save(file) => self.save(&file),
            Command::Quit => {}
        }
        Ok(())
    }

    /// Adds the conversation to a file, as a row.
    fn save(&self, file: &str) {
        if self.dialogue.is_empty() {
            return say("nothing was said yet");
        }
        let row = json!({ "messages": self.dialogue.messages() });
        let opened = OpenOptions::new().append(true).create(true).open(file);
        match opened.and_then(|mut file| file.write_all(format!("{row}\n").as_bytes())) {
            Ok(()) => say(&format!("added to {file}")),
            Err(error) => say(&format!("cannot write {file}: {error}")),
        }
    }

    /// Asks, and shows the answer. In a terminal an answer that fails ends no session.
    fn answer(&mut self, question: &str) -> Result<()> {
        self.dialogue.ask(question);
        let in_terminal = matches!(self.input, Input::Terminal(_));
        let cancel = self.context.work.cancel.part();
        self.context.interrupts.part(&cancel);
        let shows = in_terminal && !self.context.json;
        let mut shown = String::new();
        let answer = self.ask(&cancel, &mut |piece| {
            let piece = if shown.is_empty() { piece.trim_start() } else { piece };
            shown.push_str(piece);
            if shows {
                print(&visible(piece));
            }
        });
        let text = match answer {
            Ok(text) => text,
            Err(NoAnswer::Interrupted) if in_terminal && !shown.trim().is_empty() => shown.trim().to_owned(),
            Err(failure) => {
                self.dialogue.take_back();
                match failure {
                    failure if !in_terminal => return Err(failure.into()),
                    NoAnswer::Interrupted => say("stopped; the question is taken back"),
                    failure => say(&format!("error: {failure}")),
                }
                return Ok(());
            }
        };
        if self.context.json {
            print(&format!("{}\n", json!({ "question": question, "answer": text })));
        } else if shows {
            print("\n");
        } else {
            print(&format!("{}\n", groma_report::for_terminal(&text)));
        }
        self.dialogue.answer(&text);
        Ok(())
    }

    /// The answer to the conversation, of which the oldest turns are forgotten where it is too long.
    fn ask(&mut self, cancel: &Cancel, piece: &mut dyn FnMut(&str)) -> Result<String, NoAnswer> {
        let seed = Seed::new(self.flags.seed).index(self.count);
        self.count += 1;
        while !self.fits() && self.forget() {}
        loop {
            let (prompt, sampling) = (self.dialogue.prompt(), parameters(self.flags));
            let reply = self.model.stream(&Ask { prompt, sampling, seed, logps: false }, cancel, piece);
            match reply {
                Err(failure) if is_too_long(&failure) && self.forget() => {}
                reply => return reply.map(|reply| reply.text().trim().to_owned()),
            }
        }
    }

    /// Whether the conversation leaves room for an answer, as far as is known.
    fn fits(&self) -> bool {
        let Some(Window { encoder, tokens }) = &self.window else { return true };
        let room = self.flags.max_new_tokens.min(tokens / 2);
        // What cannot be encoded fails where it is asked.
        encoder.prompt(&self.dialogue.prompt()).map_or(true, |ids| ids.len() + room <= *tokens)
    }

    /// Forgets the oldest turns, and says so; `false` where there are none but what is asked.
    fn forget(&mut self) -> bool {
        let has_forgotten = self.dialogue.drop_oldest();
        if has_forgotten {
            say("the window is full: the oldest question and its answer are forgotten");
        }
        has_forgotten
    }
}

/// Whether the prompt was too long, as servers say in words of their own.
fn is_too_long(failure: &NoAnswer) -> bool {
    match failure {
        NoAnswer::TooLong { .. } => true,
        NoAnswer::Refused { reason } => reason.contains("context"),
        _ => false,
    }
}

/// A text as a terminal may show it, in its lines.
fn visible(text: &str) -> String {
    text.split('\n').map(groma_report::for_terminal).collect::<Vec<_>>().join("\n")
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
