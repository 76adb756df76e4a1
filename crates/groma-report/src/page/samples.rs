//! What the model said before and after, side by side.

use crate::Options;
use crate::format::{self, counted};
use crate::text::{clip, for_page};
use groma_run::{RunRecords, Sample, Side};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// The samples that a page shows.
pub(super) struct Shown {
    /// Of each file: its name, its rows, and the rows that are shown.
    files: Vec<File>,
    /// Files that could not be read, in sentences.
    pub(super) warnings: Vec<String>,
}

struct File {
    name: String,
    rows: u64,
    samples: Vec<Sample>,
}

/// Reads the samples, of each file those first in which most changed, under the caps of `options`.
pub(super) fn read(records: &RunRecords, options: &Options) -> Shown {
    let mut shown = Shown { files: Vec::new(), warnings: Vec::new() };
    let compared: Vec<String> = records.sample_files().into_iter().map(str::to_owned).collect();
    let said = if compared.is_empty() { said_files(records) } else { Vec::new() };
    for name in compared.iter().chain(&said) {
        match read_file(records, name, options) {
            Ok((file, warning)) => {
                shown.files.push(file);
                shown.warnings.extend(warning);
            }
            Err(error) => shown.warnings.push(format!("{name} cannot be shown: {error}")),
        }
    }
    cap_bytes(&mut shown.files, options.samples_bytes);
    shown
}

/// Where no two subjects are side by side: what each one said.
fn said_files(records: &RunRecords) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in &records.measurements {
        let name = groma_run::said_file(&row.subject, &row.task);
        if !names.contains(&name) && records.path.join(&name).is_file() {
            names.push(name);
        }
    }
    names
}

fn read_file(records: &RunRecords, name: &str, options: &Options) -> Result<(File, Option<String>), groma_run::Error> {
    let mut ranks = [Vec::new(), Vec::new(), Vec::new()];
    let (mut rows, mut bad, mut first) = (0, 0, None);
    for sample in records.samples(name)? {
        rows += 1;
        match sample {
            Ok(sample) => {
                let rank = &mut ranks[rank(&sample)];
                if rank.len() < options.samples_a_task {
                    rank.push(sample);
                }
            }
            Err(error) => {
                bad += 1;
                first.get_or_insert(error.to_string());
            }
        }
    }
    let samples = ranks.into_iter().flatten().take(options.samples_a_task).collect();
    let warning = first.map(|first| format!("{name}: {} cannot be read; the first: {first}", counted(bad, "row")));
    Ok((File { name: name.to_owned(), rows, samples }, warning))
}

/// 0 where a property changed, 1 where the text did, 2 where nothing did.
fn rank(sample: &Sample) -> usize {
    match (&sample.before, &sample.after) {
        (Some(before), Some(after)) if before.flags != after.flags => 0,
        (Some(before), Some(after)) if before.text == after.text => 2,
        _ => 1,
    }
}

fn bytes(sample: &Sample) -> usize {
    const MARKUP: usize = 900;
    let side = |side: &Option<Side>| side.as_ref().map_or(0, |side| side.text.len().min(4 * TEXT_CHARS));
    sample.prompt.len().min(4 * TEXT_CHARS) + side(&sample.before) + side(&sample.after) + MARKUP
}

/// Takes samples away from the largest file first until all fit.
fn cap_bytes(files: &mut [File], most: usize) {
    let size = |file: &File| file.samples.iter().map(bytes).sum::<usize>();
    let mut sizes: Vec<usize> = files.iter().map(size).collect();
    while sizes.iter().sum::<usize>() > most {
        let Some(largest) = (0..sizes.len()).max_by_key(|&i| sizes[i]) else { return };
        let Some(dropped) = files[largest].samples.pop() else { return };
        sizes[largest] -= bytes(&dropped);
    }
}

/// Characters of a prompt or an answer that are shown.
const TEXT_CHARS: usize = 2000;
/// Labels, flags and scores of one answer that are shown.
const MOST_BADGES: usize = 12;

impl Shown {
    /// Whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.files.iter().all(|file| file.samples.is_empty())
    }

    /// How many samples are shown.
    pub(super) fn len(&self) -> usize {
        self.files.iter().map(|file| file.samples.len()).sum()
    }

    /// Whether any sample has two sides.
    pub(super) fn compares(&self) -> bool {
        self.files.iter().flat_map(|file| &file.samples).any(|sample| sample.after.is_some())
    }

    /// The samples, with their filters; `left` and `right` are the names of the sides.
    pub(super) fn markup(&self, left: &str, right: &str) -> Markup {
        let samples: Vec<_> = self.files.iter().flat_map(|file| &file.samples).collect();
        let compares = self.compares();
        let tasks: Vec<&str> = samples.iter().map(|s| s.task.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
        html! {
            (self.counts())
            (filters(&tasks, &samples, self.len()))
            div #samples {
                @for sample in samples {
                    (card(sample, tasks.iter().position(|task| *task == sample.task).unwrap_or(0), left, compares.then_some(right)))
                }
            }
            p #none.quiet hidden { "No sample matches." }
            nav #pages hidden aria-label="Pages of samples" {
                button type="button" name="back" { "← Earlier" }
                output #page {}
                button type="button" name="on" { "Later →" }
            }
            p.quiet.paper { "On paper only the first few are printed; the page itself has " (counted(self.len() as u64, "sample")) "." }
        }
    }

    fn counts(&self) -> Markup {
        html! {
            p.quiet {
                @if self.compares() { "Those where something changed come first. " }
                @for file in self.files.iter().filter(|file| file.samples.len() as u64 != file.rows) {
                    (file.samples.len()) " of " (format::count(file.rows)) " shown, all are in "
                    code { (for_page(&file.name)) } ". "
                }
            }
        }
    }
}

/// Hidden until the script, which they need, shows them.
fn filters(tasks: &[&str], samples: &[&Sample], total: usize) -> Markup {
    let has_refusals =
        samples.iter().any(|s| flag(&s.before, "refused").is_some() || flag(&s.after, "refused").is_some());
    html! {
        form #filters hidden {
            label { "Task " select name="task" {
                option value="" { "all" }
                @for (place, task) in tasks.iter().enumerate() { option value=(place) { (for_page(task)) } }
            } }
            label { "Show " select name="show" {
                option value="" { "all" }
                option value="changed" { "changed" }
                option value="same" { "unchanged" }
                @if has_refusals {
                    option value="newly" { "newly refused" }
                    option value="nolonger" { "no longer refused" }
                    option value="refused" { "refused after" }
                }
            } }
            label.search { "Text " input type="search" name="text" placeholder="in prompt or answers" autocomplete="off"; }
            output #shown { (counted(total as u64, "sample")) }
        }
    }
}

fn flag(side: &Option<Side>, name: &str) -> Option<bool> {
    side.as_ref()?.flags.get(name).copied()
}

fn card(sample: &Sample, task: usize, left: &str, right: Option<&str>) -> Markup {
    let changed = right.is_some() && rank(sample) < 2;
    let refused = |side: &Option<Side>| flag(side, "refused").unwrap_or(false);
    html! {
        article.sample data-task=(task) data-changed=(changed)
            data-refused-before=(refused(&sample.before)) data-refused-after=(refused(&sample.after)) {
            header {
                span.task { (for_page(&sample.task)) } " " span.id { (for_page(clip(&sample.id, 80).0)) }
                @for label in sample.labels.iter().take(MOST_BADGES) { " " span.badge { (for_page(label)) } }
            }
            div.prompt dir="auto" { (text(&sample.prompt)) }
            div.sides {
                (side(&sample.before, left, "before"))
                @if let Some(right) = right { (side(&sample.after, right, "after")) }
            }
            @if let Some(reference) = &sample.reference {
                div.reference { span.label { "In the data" } div dir="auto" { (text(reference)) } }
            }
        }
    }
}

fn side(side: &Option<Side>, name: &str, class: &str) -> Markup {
    html! {
        section class=(format!("side {class}")) {
            div.label {
                (for_page(name))
                @if let Some(side) = side {
                    @for (flag, _) in side.flags.iter().filter(|(_, on)| **on).take(MOST_BADGES) {
                        " " span.badge.on { (for_page(flag)) }
                    }
                    @for (score, value) in side.scores.iter().take(MOST_BADGES) {
                        " " span.badge { (for_page(score)) " " (format::plain(*value)) }
                    }
                }
            }
            @match side {
                None => p.quiet { "no answer was sampled" },
                Some(side) => {
                    @if let Some(error) = &side.error { p.quiet { "failed: " (for_page(error)) } }
                    div.answer dir="auto" { (text(&side.text)) }
                    @if side.truncated { p.quiet { "cut off at the length limit" } }
                },
            }
        }
    }
}

/// What a model wrote, or what it was given: clipped, and never markup.
pub(super) fn text(text: &str) -> Markup {
    let (shown, more) = clip(text, TEXT_CHARS);
    html! {
        @if shown.is_empty() { span.quiet { "(empty)" } }
        (for_page(shown))
        @if more { span.quiet { " … (" (format::count(text.chars().count() as u64)) " characters)" } }
    }
}
