//! The command line: every command, flag and example, as data for clap; the flags of a command in a file of their own.

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

mod attack;
mod chat;
mod check;
mod columns;
mod compare;
mod completions;
mod decoding;
mod defence;
mod eval;
mod global;
mod inner;
mod inspect;
mod methods;
mod numbers;
mod organism;
mod oversee;
mod report;
mod rewrite;
mod run;
mod runs;
mod score;
mod serving;
mod train;

pub(crate) use attack::Attack;
pub(crate) use chat::Chat;
pub(crate) use check::Check;
pub(crate) use compare::Compare;
pub(crate) use completions::Completions;
pub(crate) use decoding::Decoding;
pub(crate) use eval::Eval;
pub(crate) use global::{Global, ProgressKind};
pub(crate) use inner::Inner;
pub(crate) use inspect::Inspect;
pub(crate) use methods::Methods;
pub(crate) use organism::Organism;
pub(crate) use oversee::Oversee;
pub(crate) use report::Report;
pub(crate) use rewrite::Rewrite;
pub(crate) use run::Run;
pub(crate) use runs::Runs;
pub(crate) use score::Score;
pub(crate) use serving::Serving;
pub(crate) use train::{LogForm, Train};

use clap::{Parser, Subcommand};

/// Align a language model, and show what changed.
#[derive(Debug, Parser)]
#[command(name = "groma", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Begin with `groma run`: it builds a small world and a model of it, aligns the model and writes a report."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Do a recipe: measure, align, measure again, report.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Train a model by one method.
    #[command(
        after_help = "Example:\n  groma train dpo --model my-model --data pairs.jsonl --output aligned --set beta=0.2 --log tensorboard\n\nSettings of a method: groma train METHOD --help"
    )]
    Train(Train),
    /// Measure a model.
    #[command(
        after_help = "Examples:\n  groma eval --list\n  groma eval --model my-model --task perplexity=text.txt --task arc-easy=arc_easy.jsonl\n  groma eval --model http://localhost:8000/v1#my-model --task xstest=xstest_prompts.csv --cache answers"
    )]
    Eval(Eval),
    /// Look inside a model with an instrument: lens, patch, probe, direction, sae.
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(Inspect),
    /// Attack a model of your own, to see what it grants and to harden it.
    #[command(
        after_help = "Examples:\n  groma attack --list\n  groma attack --model my-model --attack templates --goals goals.jsonl\n  groma attack --model my-model --attack gcg --goals goals.jsonl --set gcg.steps=100 --queries 20000\n  groma attack --model my-model --attack extraction --attack membership --texts texts.jsonl\n\nA goal is a row with `prompt`, and as far as known `target` (how an answer begins that grants it) and\n`truth` (what answers do); AdvBench's goal,target is read too."
    )]
    Attack(Attack),
    /// Oversee models by a protocol: debate, a constitution, weak labels.
    #[command(
        after_help = "Examples:\n  groma oversee --list\n  groma oversee debate\n  groma oversee debate --model my-model --role judge=my-judge --data right-and-wrong.jsonl\n  groma oversee weak-to-strong --set seeds=10"
    )]
    Oversee(Oversee),
    /// Do an experiment on what agents and models really learn.
    #[command(
        after_help = "Examples:\n  groma inner --list\n  groma inner goal-misgeneralisation\n  groma inner over-optimisation --set 'n=[1, 16, 256]'"
    )]
    Inner(Inner),
    /// Log-probabilities of the tokens of a text.
    #[command(after_help = "Example:\n  echo 'Once upon a time' | groma score --model my-model --text - --json")]
    Score(Score),
    /// Talk to a model.
    #[command(
        after_help = "Examples:\n  groma chat --model runs/loop/model\n  groma chat --model http://localhost:8000/v1#my-model"
    )]
    Chat(Chat),
    /// Compare two runs or more.
    #[command(
        after_help = "Examples:\n  groma compare runs/loop runs/loop-beta-0.3\n  groma compare runs/loop runs/loop-beta-0.3 runs/loop-beta-1 --html comparison.html"
    )]
    Compare(Compare),
    /// List runs; with --verify, hold all that they left against its digests.
    #[command(after_help = "Examples:\n  groma runs\n  groma runs runs/loop --verify")]
    Runs(Runs),
    /// Write the report of a run again, and print its table.
    #[command(after_help = "Example:\n  groma report runs/loop")]
    Report(Report),
    /// Check a recipe before a long run, or show what rows of data become.
    #[command(
        after_help = "Examples:\n  groma check my-recipe.toml\n  groma check --data pairs.jsonl --model my-model"
    )]
    Check(Check),
    /// List training methods, or show one with all its settings.
    #[command(after_help = "Examples:\n  groma methods\n  groma methods dpo")]
    Methods(Methods),
    /// Make rows of other rows: chains of hindsight, control tokens, chains of edits ... to train on by `sft`.
    #[command(
        after_help = "Examples:\n  groma rewrite --list\n  groma rewrite hindsight --data pairs.jsonl --output chains.jsonl\n  groma rewrite control-tokens --data pairs.jsonl --output tagged.jsonl --set good=\"[good] \" --set bad=\"[bad] \""
    )]
    Rewrite(Rewrite),
    /// Write the built-in organism as files, with flaws of known size where wanted.
    #[command(
        after_help = "Examples:\n  groma organism --export village\n  groma organism --plant secret=8,trigger=0.02,bias=0.3 --export planted\n  groma organism --plant secret=8,trigger=0.02,bias=0.3 --twin --export twin\n  groma organism --list-plants"
    )]
    Organism(Organism),
    /// Say what this machine offers and what is missing.
    #[command(after_help = "Example:\n  groma doctor --json")]
    Doctor,
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  groma completions bash > ~/.local/share/bash-completion/completions/groma")]
    Completions(Completions),
}

const INSPECT_EXAMPLES: &str = "Examples:
  groma inspect --list
  groma inspect lens --model my-model --data questions.jsonl
  groma inspect patch --model my-model --data clean.jsonl --against corrupt.jsonl
  groma inspect direction --model my-model --data harmful.jsonl --against harmless.jsonl --texts text.txt

Rows are of prompt and completion, or questions with a column `gold`. Of rows of two classes, --data are the
first and --against the second. Every instrument brings its null control.";

const RUN_EXAMPLES: &str = "Examples:
  groma run                                   the built-in organism, offline, in minutes
  groma run --model my-model --preferences pairs.jsonl --eval perplexity=text.txt
  groma run --model my-model --preferences pairs.jsonl --attack gcg --goals goals.jsonl
  groma run --model my-model --eval mmlu --inspect direction=harmful.jsonl,harmless.jsonl
  groma run overoptimisation                  learned proxies of a known reward, pushed too far
  groma run spin                              rounds of learning from its own answers (also iterative-dpo, self-rewarding)
  groma run --set stage.dpo.settings.beta=0.3 --name village-beta-0.3
  groma run --print-recipe > my-recipe.toml && groma run my-recipe.toml

Running the same command again does only what is missing.

Exit codes: 0 done, 1 a gate failed (with --gate) or an alarm ended a training (stop_on_alarm),
2 usage, 3 some answers of a server are missing, 4 nothing ran, 5 stopped on a non-finite loss,
6 out of resources, 130 interrupted and resumable.";
