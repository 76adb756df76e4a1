//! The command line: every command, flag and example, as data for clap.

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use groma_attack::{ATTACKS, DEFENCES};
use groma_kernels::Precision;

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

/// Flags of all commands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Write one JSON document to standard output.
    #[arg(help_heading = "Output", long, global = true)]
    pub(crate) json: bool,
    /// How progress is shown on standard error.
    #[arg(help_heading = "Execution", long, global = true, value_enum, default_value_t = ProgressKind::Auto)]
    pub(crate) progress: ProgressKind,
    /// Threads that models use; all cores by default. Results do not depend on it.
    #[arg(help_heading = "Execution", long, global = true, value_parser = within(1_u16, 1024))]
    pub(crate) threads: Option<u16>,
    /// Numbers that matrix products are computed in: f32 or bf16 (faster where the processor has AMX or AVX-512 BF16;
    /// sums and weights stay f32).
    #[arg(help_heading = "Execution", long, global = true, default_value_t = Precision::F32, hide_possible_values = true)]
    pub(crate) precision: Precision,
    /// Go on with what another machine began, though its instructions give other bits; manifest and report say so.
    #[arg(help_heading = "Execution", long, global = true)]
    pub(crate) across_machines: bool,
}

/// Forms of training metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// events.out.tfevents.groma
    Tensorboard,
    /// metrics.csv
    Csv,
    /// run-groma.wandb, for `wandb sync` and `wandb leet`
    Wandb,
}

/// Ways to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// A bar in a terminal; elsewhere a line every ten seconds.
    Auto,
    /// A bar.
    Bar,
    /// A line every ten seconds, and one at the end of each stage.
    Plain,
    /// Nothing.
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Do a recipe: measure, align, measure again, report.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Train a model by one method.
    #[command(
        after_help = "Example:\n  groma train dpo --model my-model --data pairs.jsonl --output aligned --set beta=0.2 --log tensorboard"
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
  groma run --set stage.dpo.settings.beta=0.3 --name village-beta-0.3
  groma run --print-recipe > my-recipe.toml && groma run my-recipe.toml

Running the same command again does only what is missing.

Exit codes: 0 done, 1 a gate failed (with --gate), 2 usage, 3 some answers of a server are missing,
4 nothing ran, 5 stopped on a non-finite loss, 6 out of resources,
130 interrupted and resumable.";

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Run {
    /// A recipe file; the built-in one where not given.
    pub(crate) recipe: Option<PathBuf>,
    /// The model to align: a directory in Hugging Face layout, or a hub id (owner/name[@revision]).
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID")]
    pub(crate) model: Option<String>,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID", requires = "model")]
    pub(crate) base: Option<String>,
    /// Preference pairs: a file (JSONL, JSON, CSV, Parquet; .gz, .zst), or a hub id (owner/name[@revision]:file).
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) preferences: Option<String>,
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// Measure this task too, before and after; see `groma eval --list`. May be repeated.
    #[arg(help_heading = "Data", long = "eval", value_name = "TASK=FILE")]
    pub(crate) tasks: Vec<String>,
    /// Chat template: auto, or a built-in one (chatml, llama2, llama3, zephyr, alpaca, user-bot, human-assistant); with
    /// @DATE after it (auto@2024-07-26) it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME")]
    pub(crate) chat_template: Option<String>,
    /// Name of the run directory below --runs.
    #[arg(help_heading = "Output", long)]
    pub(crate) name: Option<String>,
    /// Where run directories are.
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Replace a finished run of this name that had other settings; without it, such a run is left and a number added to the name.
    #[arg(long)]
    pub(crate) force: bool,
    /// Change a value of the recipe, e.g. seed=7 or stage.dpo.settings.beta=0.3. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Let the models in training answer held-out prompts every so many steps, for the report.
    #[arg(help_heading = "Execution", long, value_name = "STEPS", value_parser = at_least(1_u64))]
    pub(crate) sample_steps: Option<u64>,
    /// How many prompts, with --sample-steps.
    #[arg(help_heading = "Execution", long, value_name = "COUNT", requires = "sample_steps", value_parser = at_least(1_u64))]
    pub(crate) sample_prompts: Option<u64>,
    /// Print the resolved recipe and stop.
    #[arg(help_heading = "Output", long)]
    pub(crate) print_recipe: bool,
    /// Without a recipe: align and measure the built-in organism alone, in a minute; no plants, no twin, no attack.
    #[arg(help_heading = "Execution", long, conflicts_with_all = ["recipe", "model", "preferences"])]
    pub(crate) quick: bool,
    /// End with exit code 1 where a condition of a gate of the recipe does not hold.
    #[arg(help_heading = "Execution", long)]
    pub(crate) gate: bool,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Train {
    /// Id of the method; see `groma methods`.
    pub(crate) method: String,
    /// The model: a directory, or a hub id.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID")]
    pub(crate) model: String,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub(crate) base: Option<String>,
    /// Training rows: a file, or a hub id with file.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) data: String,
    /// Held-out rows, for eval_steps and --sample-steps.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) eval_data: Option<String>,
    /// Directory for the trained model; its checkpoints are kept beside it until it is whole.
    #[arg(help_heading = "Output", long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// Use at most so many rows.
    #[arg(help_heading = "Data", long, value_parser = at_least(1_usize))]
    pub(crate) limit: Option<usize>,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// A setting of the method, e.g. beta=0.2 or lora.r=16. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Let the model in training answer held-out prompts every so many steps; the answers are in samples.jsonl.zst of the
    /// output.
    #[arg(help_heading = "Execution", long, value_name = "STEPS", requires = "eval_data", value_parser = at_least(1_u64))]
    pub(crate) sample_steps: Option<u64>,
    /// How many prompts, with --sample-steps.
    #[arg(help_heading = "Execution", long, value_name = "COUNT", requires = "sample_steps", value_parser = at_least(1_u64))]
    pub(crate) sample_prompts: Option<u64>,
    /// Write the training metrics in these forms too, beside metrics.jsonl in the output: an event file of TensorBoard, a
    /// table, an offline run of W&B. While the training goes on, they are beside its checkpoints.
    #[arg(help_heading = "Output", long, value_name = "FORM,...", value_enum, value_delimiter = ',')]
    pub(crate) log: Vec<LogForm>,
    /// Replace the model that is at the output, once the new one is whole.
    #[arg(help_heading = "Output", long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) serving: Serving,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Eval {
    /// The model or adapter: a directory, a hub id, or a model on an OpenAI-compatible server.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME", required_unless_present = "list")]
    pub(crate) model: Option<String>,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID", requires = "model")]
    pub(crate) base: Option<String>,
    /// A task (its name, a pattern of names with *, or its own TOML file) and the file that it reads, unless the task says
    /// which. May be repeated.
    #[arg(help_heading = "Data", long = "task", value_name = "TASK[=FILE]", required_unless_present = "list")]
    pub(crate) tasks: Vec<String>,
    /// List the tasks and stop; with --task NAME, say all about it.
    #[arg(help_heading = "Output", long)]
    pub(crate) list: bool,
    /// A directory with tasks of your own, one TOML file each.
    #[arg(help_heading = "Data", long, value_name = "DIR")]
    pub(crate) task_dir: Option<PathBuf>,
    /// The model that judges answers, as for --model: those of tasks that ask one (judged-pair, judged-rating), and whether
    /// answers refuse, in place of rules (refusal, over-refusal, xstest).
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME")]
    pub(crate) judge: Option<String>,
    /// Longest verdict of the judge, in tokens.
    #[arg(help_heading = "Model", long, default_value_t = 512, value_parser = at_least(1_usize))]
    pub(crate) judge_max_new_tokens: usize,
    /// Ask the model for answers through a defence.
    #[arg(help_heading = "Model", long, value_name = "NAME", long_help = defences())]
    pub(crate) defence: Option<String>,
    /// A setting of the defence, e.g. copies=20. May be repeated.
    #[arg(help_heading = "Model", long, value_name = "KEY=VALUE", requires = "defence")]
    pub(crate) defence_set: Vec<String>,
    /// Worked examples before each question of a multiple-choice task.
    #[arg(help_heading = "Data", long, value_name = "N", default_value_t = 0, value_parser = at_least(0_usize))]
    pub(crate) num_fewshot: usize,
    /// Where a task's worked examples are, unless in a directory `dev` beside its questions. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "TASK=FILE")]
    pub(crate) fewshot_data: Vec<String>,
    /// Of a task with subjects, these only.
    #[arg(help_heading = "Data", long, value_name = "NAME,...", value_delimiter = ',')]
    pub(crate) subjects: Vec<String>,
    /// Measure at most so many items of each task.
    #[arg(help_heading = "Data", long, value_parser = at_least(1_usize))]
    pub(crate) limit: Option<usize>,
    /// Longest text that the model reads, in tokens, where that is to be shorter than its own limit.
    #[arg(help_heading = "Model", long, value_name = "TOKENS", value_parser = at_least(1_usize))]
    pub(crate) max_length: Option<usize>,
    /// Longest answer, in tokens.
    #[arg(help_heading = "Model", long, default_value_t = 128, value_parser = at_least(1_usize))]
    pub(crate) max_new_tokens: usize,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// Seed of intervals, null controls and limits.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    /// Where run directories are: samples, numbers and a report are kept in one of them.
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Replace a finished run of this name that had other settings; without it, such a run is left and a number added to the name.
    #[arg(long)]
    pub(crate) force: bool,
    /// Name of the run directory; without it, one for this model and these settings.
    #[arg(help_heading = "Output", long)]
    pub(crate) name: Option<String>,
    /// Write the results in lm-evaluation-harness's form too, with its names, below this directory: results_DATE.json,
    /// samples_TASK_DATE.jsonl and results_DATE.md.
    #[arg(help_heading = "Output", long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Print all numbers of each task too, and those of each group of its items.
    #[arg(help_heading = "Output", long)]
    pub(crate) breakdown: bool,
    /// Print the score of every item too (with --json).
    #[arg(help_heading = "Output", long, requires = "json")]
    pub(crate) items: bool,
    #[command(flatten)]
    pub(crate) serving: Serving,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Inspect {
    /// The instrument; see `groma inspect --list`.
    #[arg(required_unless_present = "list")]
    pub(crate) instrument: Option<String>,
    /// The model or adapter: a directory, or a hub id.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID", required_unless_present = "list")]
    pub(crate) model: Option<String>,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID", requires = "model")]
    pub(crate) base: Option<String>,
    /// List the instruments and stop; with one named, say all about it.
    #[arg(help_heading = "Output", long)]
    pub(crate) list: bool,
    /// The rows that are looked at; of two classes the first.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID", required_unless_present = "list")]
    pub(crate) data: Option<String>,
    /// Of --data, only rows whose column has this value. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "COLUMN=VALUE", requires = "data")]
    pub(crate) only: Vec<String>,
    /// The rows of the second class.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) against: Option<String>,
    /// Of --against, only rows whose column has this value. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "COLUMN=VALUE", requires = "against")]
    pub(crate) against_only: Vec<String>,
    /// Held-out rows of the first class, where those are to be other rows.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID", requires = "test_against")]
    pub(crate) test: Option<String>,
    /// Of --test, only rows whose column has this value. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "COLUMN=VALUE", requires = "test")]
    pub(crate) test_only: Vec<String>,
    /// Held-out rows of the second class.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID", requires = "test")]
    pub(crate) test_against: Option<String>,
    /// Of --test-against, only rows whose column has this value. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "COLUMN=VALUE", requires = "test_against")]
    pub(crate) test_against_only: Vec<String>,
    /// Texts on which the cost of a change is measured, or from which a dictionary is learned.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) texts: Option<String>,
    /// Use at most so many rows of each, drawn by the seed.
    #[arg(help_heading = "Data", long, value_parser = at_least(1_usize))]
    pub(crate) limit: Option<usize>,
    /// The column by which rows belong together, so that held-out rows share no value of it with others.
    #[arg(help_heading = "Data", long, value_name = "COLUMN")]
    pub(crate) cluster: Option<String>,
    /// A setting of the instrument, e.g. pairs=32. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// Seed of what is drawn: null controls, held-out rows, intervals.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    /// Where run directories are: numbers, pictures and a report are kept in one of them.
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Replace a finished run of this name that had other settings; without it, such a run is left and a number added to the name.
    #[arg(long)]
    pub(crate) force: bool,
    /// Name of the run directory; without it, one for this model and these settings.
    #[arg(help_heading = "Output", long)]
    pub(crate) name: Option<String>,
    /// Print all numbers, those of every head and part among them.
    #[arg(help_heading = "Output", long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Attack {
    /// The model or adapter: a directory, a hub id, or a model on an OpenAI-compatible server, which attacks by gradients cannot
    /// use.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME", required_unless_present = "list")]
    pub(crate) model: Option<String>,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID", requires = "model")]
    pub(crate) base: Option<String>,
    /// An attack; the controls are always among them. May be repeated.
    #[arg(help_heading = "Data", long = "attack", value_name = "NAME", required_unless_present = "list", long_help = attacks())]
    pub(crate) attacks: Vec<String>,
    /// What is wanted of the model: a file of rows, or a hub id with file.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID", required_unless_present_any = ["list", "texts"])]
    pub(crate) goals: Option<String>,
    /// What training may have had, for attacks on privacy: rows with `text`, and as far as known `prefix`, `secret`, and `member` or
    /// `repetitions`.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) texts: Option<String>,
    /// A model that did not train on those texts, to hold their likelihood against.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME", requires = "texts")]
    pub(crate) reference: Option<String>,
    /// List the attacks and stop.
    #[arg(help_heading = "Output", long)]
    pub(crate) list: bool,
    /// Use at most so many goals and texts, drawn by the seed.
    #[arg(help_heading = "Data", long, value_parser = at_least(1_usize))]
    pub(crate) limit: Option<usize>,
    /// How an answer begins that grants a goal, where its row does not say it.
    #[arg(help_heading = "Data", long, value_name = "TEXT")]
    pub(crate) target: Option<String>,
    /// A setting of an attack, e.g. gcg.steps=100. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "ATTACK.KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Questions that each attack may put for each goal: replies, and texts whose likelihood or gradient is taken.
    #[arg(help_heading = "Budget", long, value_name = "N", value_parser = at_least(1_u64))]
    pub(crate) queries: Option<u64>,
    /// Tokens that the model may work through for each goal.
    #[arg(help_heading = "Budget", long, value_name = "N", value_parser = at_least(1_u64))]
    pub(crate) tokens: Option<u64>,
    /// Seconds that each attack may take for each goal; where they end it, another machine ends it elsewhere.
    #[arg(help_heading = "Budget", long, value_name = "S", value_parser = amount)]
    pub(crate) seconds: Option<f64>,
    /// Ask the model for answers through a defence, which attacks then adapt to.
    #[arg(help_heading = "Model", long, value_name = "NAME", long_help = defences())]
    pub(crate) defence: Option<String>,
    /// A setting of the defence, e.g. copies=20. May be repeated.
    #[arg(help_heading = "Model", long, value_name = "KEY=VALUE", requires = "defence")]
    pub(crate) defence_set: Vec<String>,
    /// The model that judges answers, in place of the rows' truth: as for --model.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME")]
    pub(crate) judge: Option<String>,
    /// Longest verdict of the judge, in tokens.
    #[arg(help_heading = "Model", long, default_value_t = 512, value_parser = at_least(1_usize))]
    pub(crate) judge_max_new_tokens: usize,
    /// Longest answer, in tokens.
    #[arg(help_heading = "Model", long, default_value_t = 64, value_parser = at_least(1_usize))]
    pub(crate) max_new_tokens: usize,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// Write inputs and answers into the log of hits as they are; without it their lengths and digests alone.
    #[arg(help_heading = "Output", long)]
    pub(crate) show_hits: bool,
    /// Seed of all that is drawn.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    /// Where run directories are: numbers, pictures, rows to harden the model with and a report are kept in one of them.
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Replace a finished run of this name that had other settings; without it, such a run is left and a number added to the name.
    #[arg(long)]
    pub(crate) force: bool,
    /// Name of the run directory; without it, one for this model and these settings.
    #[arg(help_heading = "Output", long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) serving: Serving,
}

/// The help of `--attack`: what there is.
fn attacks() -> String {
    let described = ATTACKS.iter().map(|attack| format!("- {}: {} ({})", attack.id, attack.doc, attack.paper));
    let described: Vec<String> = described.collect();
    format!("An attack; the controls are always among them. May be repeated. There are:\n{}", described.join("\n"))
}

/// The help of `--defence`: what there is.
fn defences() -> String {
    let described = DEFENCES.iter().map(|defence| format!("- {}: {} ({})", defence.id, defence.doc, defence.paper));
    let described: Vec<String> = described.collect();
    format!("Ask the model for answers through a defence:\n{}", described.join("\n"))
}

/// How a model on a server is asked; of no meaning for one on this machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Models on a server (URL#NAME)")]
pub(crate) struct Serving {
    /// The environment variable that holds the key.
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY")]
    pub(crate) api_key_env: String,
    /// Requests at the same time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = within(1_u16, 1024))]
    pub(crate) concurrency: u16,
    /// How often a request is repeated that failed for the moment.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least(0_u32))]
    pub(crate) max_retries: u32,
    /// How long an answer may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = at_least(1_u64))]
    pub(crate) timeout: u64,
    /// Requests a minute, at most.
    #[arg(long, value_name = "N", value_parser = at_least(1_u32))]
    pub(crate) requests_per_minute: Option<u32>,
    /// The model's tokenizer: with it, scores are those of the same weights on this machine. Without it, only the
    /// likelihood of answers to plain text can be had from a server.
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub(crate) tokenizer: Option<String>,
    /// Keep answers in this directory, and ask only what is not there; in the run directory where not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Add each question and what came of it to this file, a JSON line each.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Put at most so many questions; those beyond have no answer, and are counted as such.
    #[arg(long, value_name = "N", value_parser = at_least(0_u64))]
    pub(crate) budget_requests: Option<u64>,
    /// Stop asking once so many tokens were read and made; what is on its way then is still paid for.
    #[arg(long, value_name = "TOKENS", value_parser = at_least(0_u64))]
    pub(crate) budget_tokens: Option<u64>,
    /// The same in money, by the prices.
    #[arg(long, value_name = "AMOUNT", requires = "price_in", value_parser = amount)]
    pub(crate) budget_money: Option<f64>,
    /// Price of a million tokens that are read, in any currency.
    #[arg(long, value_name = "AMOUNT", requires = "price_out", value_parser = amount)]
    pub(crate) price_in: Option<f64>,
    /// Price of a million tokens that are made.
    #[arg(long, value_name = "AMOUNT", requires = "price_in", value_parser = amount)]
    pub(crate) price_out: Option<f64>,
}

/// A number that is not below `least`.
fn at_least<T: Number>(least: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| number(text, |value| value >= least, &format!("it must be at least {least}"))
}

/// A number between two, both of which it may be.
fn within<T: Number>(least: T, most: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| number(text, |value| value >= least && value <= most, &format!("it must be from {least} to {most}"))
}

/// What [`at_least`] and [`within`] read.
trait Number: std::str::FromStr + PartialOrd + std::fmt::Display + Copy + Send + Sync + 'static {}

impl<T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy + Send + Sync + 'static> Number for T {}

/// A number that fits; one that the type cannot hold, such as a negative count, is told its range like another.
fn number<T: Number>(text: &str, fits: impl Fn(T) -> bool, range: &str) -> Result<T, String> {
    match text.trim().parse::<T>() {
        Ok(value) if fits(value) => Ok(value),
        Ok(_) => Err(range.to_owned()),
        Err(_) => match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() && value.fract() == 0.0 => Err(range.to_owned()),
            Ok(_) => Err(format!("it must be a whole number; {range}")),
            Err(_) => Err(format!("it is no number; {range}")),
        },
    }
}

/// An amount of money.
fn amount(text: &str) -> Result<f64, String> {
    let amount = text.parse().ok().filter(|amount: &f64| amount.is_finite() && *amount >= 0.0);
    amount.ok_or_else(|| "an amount is a number of at least 0".to_owned())
}

impl Serving {
    /// The same in a recipe.
    pub(crate) fn settings(&self) -> groma_recipe::Serving {
        groma_recipe::Serving {
            api_key_env: self.api_key_env.clone(),
            concurrency: self.concurrency,
            max_retries: self.max_retries,
            timeout: self.timeout,
            requests_per_minute: self.requests_per_minute,
            tokenizer: self.tokenizer.clone(),
            cache: self.cache.clone(),
            record: self.record.clone(),
            budget_requests: self.budget_requests,
            budget_tokens: self.budget_tokens,
            budget_money: self.budget_money,
            price_in: self.price_in,
            price_out: self.price_out,
        }
    }
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Oversee {
    /// Id of the protocol; see --list.
    #[arg(required_unless_present = "list")]
    pub(crate) protocol: Option<String>,
    /// List protocols, or show the one that is named with its roles and settings.
    #[arg(help_heading = "Output", long)]
    pub(crate) list: bool,
    /// The model in all roles that --role does not fill: a directory, a hub id, or a model on an OpenAI-compatible server.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME")]
    pub(crate) model: Option<String>,
    /// The model in one role. May be repeated.
    #[arg(help_heading = "Model", long = "role", value_name = "ROLE=MODEL")]
    pub(crate) roles: Vec<String>,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// Rows that the protocol is about, where it reads any.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) data: Option<String>,
    /// Use at most so many rows, drawn by the seed.
    #[arg(help_heading = "Data", long, value_name = "COUNT", value_parser = at_least(1_usize))]
    pub(crate) limit: Option<usize>,
    /// Change a setting of the protocol. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Seed of all chance.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    /// Name of the run directory below --runs.
    #[arg(help_heading = "Output", long)]
    pub(crate) name: Option<String>,
    /// Where run directories are.
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Replace a finished run of this name that had other settings.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) serving: Serving,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Inner {
    /// Id of the experiment; see --list.
    #[arg(required_unless_present = "list")]
    pub(crate) experiment: Option<String>,
    /// List experiments, or show the one that is named with hypothesis, control, metric and settings.
    #[arg(help_heading = "Output", long)]
    pub(crate) list: bool,
    /// Change a setting of the experiment. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Seed of all chance.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    /// Name of the run directory below --runs.
    #[arg(help_heading = "Output", long)]
    pub(crate) name: Option<String>,
    /// Where run directories are.
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Replace a finished run of this name that had other settings.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Score {
    /// The model or adapter: a directory, or a hub id.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID")]
    pub(crate) model: String,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub(crate) base: Option<String>,
    /// A file with the text; - for standard input.
    #[arg(help_heading = "Data", long, value_name = "FILE|-")]
    pub(crate) text: String,
    /// The input holds token ids, separated by white space, instead of text.
    #[arg(help_heading = "Data", long)]
    pub(crate) ids: bool,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Chat {
    /// The model or adapter: a directory, a hub id, or a model on an OpenAI-compatible server.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME")]
    pub(crate) model: String,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub(crate) base: Option<String>,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// What the system message says.
    #[arg(help_heading = "Model", long)]
    pub(crate) system: Option<String>,
    /// Longest answer, in tokens.
    #[arg(help_heading = "Execution", long, default_value_t = 256, value_parser = at_least(1_usize))]
    pub(crate) max_new_tokens: usize,
    /// 0 gives the most likely answer.
    #[arg(help_heading = "Execution", long, default_value_t = 0.7, value_parser = at_least(0.0_f32))]
    pub(crate) temperature: f32,
    /// Keep the most likely tokens that reach this probability together.
    #[arg(help_heading = "Execution", long, default_value_t = 0.95, value_parser = within(0.0_f32, 1.0))]
    pub(crate) top_p: f32,
    /// Keep so many of the most likely tokens; 0 keeps all.
    #[arg(help_heading = "Execution", long, default_value_t = 0, value_parser = at_least(0_usize))]
    pub(crate) top_k: usize,
    /// Keep tokens at least this fraction as likely as the most likely one.
    #[arg(help_heading = "Execution", long, default_value_t = 0.0, value_parser = within(0.0_f32, 1.0))]
    pub(crate) min_p: f32,
    /// Makes tokens that occurred less likely; 1 for none.
    #[arg(help_heading = "Execution", long, default_value_t = 1.0, value_parser = at_least(0.0_f32))]
    pub(crate) repetition_penalty: f32,
    /// Interventions at hook points while the model answers: a JSON list, e.g. [{"point": "blocks.3.hook_resid_post",
    /// "edit": {"add": {"vector": [...], "coefficient": 4}}}]. An address holds sequence, positions ("all", {"from": 7},
    /// {"at": [7]}) and columns.
    #[arg(help_heading = "Execution", long, value_name = "FILE")]
    pub(crate) steer: Option<PathBuf>,
    /// Seed of the samples.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) serving: Serving,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Compare {
    /// Directories of the runs, two or more; changes are from the first.
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Which subject of all; the last one by default.
    #[arg(help_heading = "Data", long)]
    pub(crate) subject: Option<String>,
    /// Write the comparison as a page too.
    #[arg(help_heading = "Output", long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Show so many of each task's changed answers.
    #[arg(help_heading = "Output", long, value_name = "N", default_value_t = 3, value_parser = at_least(0_usize))]
    pub(crate) answers: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Run directories, or directories that hold some.
    #[arg(value_name = "DIR", default_value = "runs")]
    pub(crate) directories: Vec<PathBuf>,
    /// Verify manifests and records by their seals, rows and outputs by their digests. Nothing is changed; exit code 2 where
    /// something is not as it was written.
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Directory of the run.
    pub(crate) run: PathBuf,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Check {
    /// A recipe file.
    #[arg(required_unless_present = "data")]
    pub(crate) recipe: Option<PathBuf>,
    /// Show the first rows of this file: how they are read, and what they become.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID", conflicts_with = "recipe")]
    pub(crate) data: Option<String>,
    /// With --data: show them in this model's tokens, with those that are learned from. Its tokenizer and chat template will
    /// do.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID", requires = "data")]
    pub(crate) model: Option<String>,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID", requires = "model")]
    pub(crate) base: Option<String>,
    /// With --model: the method that is to learn from them; the first that can where not given.
    #[arg(help_heading = "Model", long, value_name = "METHOD", requires = "model")]
    pub(crate) method: Option<String>,
    /// With --model: chat template, as for `groma train`.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto", requires = "model")]
    pub(crate) chat_template: String,
    /// With --data: how many rows.
    #[arg(help_heading = "Data", long, value_name = "COUNT", default_value_t = 3, value_parser = at_least(1_usize))]
    pub(crate) rows: usize,
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// Change a value of the recipe, or with --data a setting of the method. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

/// How the columns of a file are read, where its own names do not say it.
#[derive(Debug, Default, Args)]
pub(crate) struct Columns {
    /// The layout of the rows, e.g. alpaca-text; found by the columns where not given.
    #[arg(help_heading = "Data", long, value_name = "NAME")]
    pub(crate) layout: Option<String>,
    /// Call a column by another name, e.g. prompt=question. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "NEW=OLD")]
    pub(crate) rename: Vec<String>,
    /// Do without a column. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "COLUMN")]
    pub(crate) drop: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Methods {
    /// Show this method.
    pub(crate) method: Option<String>,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Organism {
    /// Directory for its files.
    #[arg(help_heading = "Output", long, value_name = "DIR", required_unless_present = "list_plants")]
    pub(crate) export: Option<PathBuf>,
    /// Flaws that grow in it: PLANT=SIZE, or PLANT alone for its default size; several with commas between them.
    #[arg(help_heading = "World", long = "plant", value_name = "PLANT[=SIZE]", value_delimiter = ',')]
    pub(crate) plants: Vec<String>,
    /// Write the clean twin: the same seed, rows and words without the flaws.
    #[arg(help_heading = "World", long)]
    pub(crate) twin: bool,
    /// List the plants with their sizes, and write nothing.
    #[arg(help_heading = "Output", long, conflicts_with_all = ["export", "plants", "twin"])]
    pub(crate) list_plants: bool,
    /// Seed of the world.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

impl Columns {
    /// As readers take it.
    pub(crate) fn reading(&self) -> groma_recipe::Reading {
        let Columns { layout, rename, drop } = self;
        groma_recipe::Reading { layout: layout.clone(), rename: rename.clone(), drop: drop.clone() }
    }
}
