//! Findings about rows: counted, the first few named.

use groma_data::{BadRows, Rows};
use groma_run::{Finding, Severity, counted, is_or_are};
use std::collections::BTreeMap;

/// Places that a finding names.
const PLACES_SHOWN: usize = 10;

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Nothing in the row is learned from.
    NoSupervisedToken,
    /// Chosen and rejected are the same tokens.
    IdenticalPair,
    /// Two rows prefer opposite completions of one prompt.
    ContradictoryPairs,
    /// Tokens merge across the end of the prompt.
    BoundaryMerge,
    /// The text begins twice.
    DoubledBos,
    /// No token that ends a text or turn is learned.
    UntrainedStop,
    /// Cut at `max_length`.
    Truncated,
    /// Cut so that no completion is left.
    TruncationEmpties,
    /// Cut so that chosen and rejected are the same.
    TruncationEqualises,
    /// Longer than `max_length` and left out, or an error, as configured.
    TooLong,
    /// A prompt that leaves no room for a completion.
    PromptTooLong,
    /// The template does not mark what the assistant says.
    NoAssistantMarks,
    /// The row has tools, or calls of them, and the template shows none.
    UnseenTools,
    /// Some rule that rewards has nothing to say of answers to the row.
    Unjudged,
    /// The tokenizer has more ids than the embedding has rows.
    VocabularyMismatch,
}

impl Check {
    /// Its name in files.
    pub fn id(self) -> &'static str {
        match self {
            Check::NoSupervisedToken => "no-supervised-token",
            Check::IdenticalPair => "identical-pairs",
            Check::ContradictoryPairs => "contradictory-pairs",
            Check::BoundaryMerge => "boundary-merge",
            Check::DoubledBos => "doubled-bos",
            Check::UntrainedStop => "untrained-stop",
            Check::Truncated => "truncated",
            Check::TruncationEmpties => "truncation-empties-completion",
            Check::TruncationEqualises => "truncation-equalises-pair",
            Check::TooLong => "too-long",
            Check::PromptTooLong => "prompt-too-long",
            Check::NoAssistantMarks => "no-assistant-marks",
            Check::UnseenTools => "unseen-tools",
            Check::Unjudged => "unjudged",
            Check::VocabularyMismatch => "vocabulary-mismatch",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Check::NoSupervisedToken => "nothing in the row is learned from; it is left out",
            Check::IdenticalPair => "chosen and rejected are the same tokens; the pair is left out",
            Check::ContradictoryPairs => "another row prefers the opposite completion of the same prompt",
            Check::BoundaryMerge => {
                "tokens merge across the end of the prompt, so that training would see another context than inference"
            }
            Check::DoubledBos => "the text begins with two BOS tokens",
            Check::UntrainedStop => "no token that ends a text or a turn is learned, so that answers would not end",
            Check::Truncated => "the row was cut at max_length",
            Check::TruncationEmpties => "the prompt alone fills max_length; the row is left out",
            Check::TruncationEqualises => "cut at max_length, chosen and rejected are the same; the pair is left out",
            Check::TooLong => "the row is longer than max_length; it is left out",
            Check::PromptTooLong => "the prompt is empty or leaves no room for a completion; it is left out",
            Check::NoAssistantMarks => "the chat template does not mark what the assistant says",
            Check::UnseenTools => "tools, or calls of them, that the chat template does not show; they would be lost",
            Check::Unjudged => {
                "a rule of rewards or costs has nothing to say of answers, as a column is missing that it reads"
            }
            Check::VocabularyMismatch => "the tokenizer has ids beyond the model's embedding",
        }
    }

    fn remedy(self) -> Option<&'static str> {
        match self {
            Check::NoSupervisedToken => Some("look at the chat template's generation marks and at the rows named"),
            Check::BoundaryMerge => {
                Some("end prompts on a token boundary, or set boundary = \"separate\" or \"diverge\"")
            }
            Check::DoubledBos => Some("take BOS out of the texts or of the chat template"),
            Check::UntrainedStop => {
                Some("use a chat template that ends turns inside the assistant's part, or raise max_length")
            }
            Check::Truncated
            | Check::TruncationEmpties
            | Check::TruncationEqualises
            | Check::TooLong
            | Check::PromptTooLong => Some("raise max_length, or shorten the rows"),
            Check::NoAssistantMarks => Some("use a template with generation marks, or set assistant_only_loss = false"),
            Check::UnseenTools => {
                Some("use a chat template that shows tools, or `--drop tools` where they are not to be learned from")
            }
            Check::Unjudged => {
                Some("add what `reward_funcs` and `cost_funcs` read of rows, or leave the rows named out")
            }
            Check::VocabularyMismatch => Some("use the tokenizer that belongs to the model"),
            Check::IdenticalPair | Check::ContradictoryPairs => None,
        }
    }
}

/// The finding of rows that could not be read, or that the tokenizer or the chat template refused.
pub(crate) fn left_out(bad: &BadRows) -> Option<Finding> {
    let first = bad.shown.first()?;
    Some(Finding {
        check: "bad-rows".into(),
        severity: Severity::Warning,
        count: bad.count,
        total: bad.total,
        message: format!(
            "{} of {} cannot be used and {} left out; the first: {}",
            bad.count,
            counted(bad.total, "row"),
            is_or_are(bad.count),
            first.why
        ),
        places: bad.shown.iter().map(|problem| problem.location.to_string()).collect(),
        remedy: Some("repair the rows named".into()),
    })
}

/// What was found in reading the rows of a file: those left out, and what was done with others.
pub fn read_findings(rows: &Rows) -> Vec<Finding> {
    left_out(&rows.bad).into_iter().chain(notes(rows)).collect()
}

/// What was done with the rows of a file in reading them.
pub(crate) fn notes(rows: &Rows) -> Vec<Finding> {
    let total = rows.rows.len() as u64;
    let note = |(note, count): (&String, &u64)| Finding {
        check: "reading".into(),
        severity: Severity::Note,
        count: *count,
        total,
        message: format!("{count} of {}: {note}", counted(total, "row")),
        places: Vec::new(),
        remedy: None,
    };
    rows.notes.iter().map(note).collect()
}

#[derive(Clone, Debug)]
struct Tally {
    severity: Severity,
    count: u64,
    places: Vec<String>,
}

/// Findings in the making.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    tallies: BTreeMap<Check, Tally>,
}

impl Findings {
    /// Counts a row, and names it if it is one of the first.
    pub fn add(&mut self, check: Check, severity: Severity, place: &str) {
        let tally = self.tallies.entry(check).or_insert(Tally { severity, count: 0, places: Vec::new() });
        tally.severity = tally.severity.max(severity);
        tally.count += 1;
        if tally.places.len() < PLACES_SHOWN {
            tally.places.push(place.to_owned());
        }
    }

    /// How many rows a check concerns.
    pub fn count(&self, check: Check) -> u64 {
        self.tallies.get(&check).map_or(0, |tally| tally.count)
    }

    /// Makes a check graver.
    pub(crate) fn raise(&mut self, check: Check, severity: Severity) {
        if let Some(tally) = self.tallies.get_mut(&check) {
            tally.severity = tally.severity.max(severity);
        }
    }

    /// As records; `total`: rows that were looked at.
    pub fn records(&self, total: u64) -> Vec<Finding> {
        let record = |(check, tally): (&Check, &Tally)| Finding {
            check: check.id().into(),
            severity: tally.severity,
            count: tally.count,
            total,
            message: format!("{} of {}: {}", tally.count, counted(total, "row"), check.message()),
            places: tally.places.clone(),
            remedy: check.remedy().map(str::to_owned),
        };
        self.tallies.iter().map(record).collect()
    }
}
