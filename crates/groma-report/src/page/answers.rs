//! What a model in training answered to the same prompts at step after step.

use super::samples::text;
use crate::Options;
use crate::format;
use crate::text::{clip, for_page};
use groma_run::{RunRecords, TrainingSample};
use maud::{Markup, html};

/// Characters of a prompt or an answer that are shown.
const TEXT_CHARS: usize = 1000;
/// Characters of a prompt in its heading.
const HEADING_CHARS: usize = 120;
/// Prompts of one stage that are shown.
const MOST_PROMPTS: usize = 50;

/// The answers of one training stage.
pub(super) struct Answers {
    /// The stage.
    pub(super) stage: String,
    file: String,
    /// The answers of each prompt, by step.
    prompts: Vec<Vec<TrainingSample>>,
    left_out: u64,
}

/// Reads the answers of all training stages, under the cap of `options`; with what could not be read, in sentences.
pub(super) fn read(records: &RunRecords, options: &Options) -> (Vec<Answers>, Vec<String>) {
    let files = records.training_sample_files();
    let most = options.samples_bytes / 4 / files.len().max(1);
    let (mut all, mut warnings) = (Vec::new(), Vec::new());
    for (stage, file) in files {
        match read_file(records, stage, file, most) {
            Ok(answers) => all.push(answers),
            Err(error) => warnings.push(format!("{file} cannot be shown: {error}")),
        }
    }
    (all, warnings)
}

fn read_file(records: &RunRecords, stage: &str, file: &str, most: usize) -> Result<Answers, groma_run::Error> {
    let mut answers = Answers { stage: stage.to_owned(), file: file.to_owned(), prompts: Vec::new(), left_out: 0 };
    let mut bytes = 0;
    for sample in records.training_samples(file)? {
        let sample = sample?;
        bytes += size(&sample);
        if bytes > most || !answers.take(sample) {
            answers.left_out += 1;
        }
    }
    Ok(answers)
}

/// About what a sample takes on the page, in bytes.
fn size(sample: &TrainingSample) -> usize {
    const MARKUP: usize = 150;
    let shown = |text: &str| text.len().min(4 * TEXT_CHARS);
    shown(&sample.text) + shown(&sample.prompt) / 8 + MARKUP
}

impl Answers {
    /// Adds an answer to those of its prompt; `false` where there are too many prompts.
    fn take(&mut self, sample: TrainingSample) -> bool {
        match self.prompts.iter().position(|answers| answers[0].id == sample.id) {
            Some(place) => self.prompts[place].push(sample),
            None if self.prompts.len() < MOST_PROMPTS => self.prompts.push(vec![sample]),
            None => return false,
        }
        true
    }

    /// Whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }

    /// One part a prompt, that opens; the first is open.
    pub(super) fn markup(&self) -> Markup {
        html! {
            p.quiet {
                "Answers to held-out prompts by the model as it was after so many steps; 0 is before training. "
                @if self.left_out > 0 {
                    (format::count(self.left_out)) " more answers are in " code { (for_page(&self.file)) } "."
                }
            }
            @for (number, answers) in self.prompts.iter().enumerate() {
                details open[number == 0] {
                    summary { (for_page(clip(answers[0].prompt.trim(), HEADING_CHARS).0)) }
                    article.sample { (prompt(answers)) }
                }
            }
        }
    }
}

fn prompt(answers: &[TrainingSample]) -> Markup {
    let first = &answers[0];
    html! {
        div.prompt dir="auto" { (text(&first.prompt)) }
        table.plain {
            thead { tr { th.number scope="col" { "Step" } th scope="col" { "Answer" } } }
            tbody {
                @for (place, answer) in answers.iter().enumerate() {
                    @let repeated = place > 0 && answers[place - 1].text == answer.text;
                    tr {
                        td.number { (format::count(answer.step)) }
                        td { @if repeated { span.quiet { "the same" } } @else { (one(answer)) } }
                    }
                }
            }
        }
        @if let Some(reference) = &first.reference {
            div.reference { span.label { "In the data" } div dir="auto" { (text(reference)) } }
        }
    }
}

fn one(answer: &TrainingSample) -> Markup {
    html! {
        div.answer dir="auto" { (text(&answer.text)) }
        @if answer.truncated { span.quiet { "cut off at the length limit" } }
    }
}
