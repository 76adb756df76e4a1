//! `groma eval`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::Args;

use super::decoding::Decoding;
use super::defence::defences;
use super::numbers::at_least;
use super::serving::Serving;

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
    #[command(flatten)]
    pub(crate) decoding: Decoding,
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
