//! From rows to examples: tokens, masks by position, truncation; with findings for what is not as it should be.

use crate::encode::{Continuation, Encode};
use crate::findings::{Check, Findings};
use crate::forest::Sequence;
use crate::methods::sft::SftSettings;
use crate::training::{Boundary, OnFinding, Truncation};
use crate::{DataShape, Error, Example, LengthStatistics, Settings};
use groma_data::{Completion, Content, LanguageModelling, Preference};
use groma_run::{Digest, Finding, Severity};
use std::collections::BTreeMap;

/// Rows of one of the shapes that methods read.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// Texts or conversations.
    LanguageModelling(&'a [LanguageModelling]),
    /// Prompts with an answer.
    Completions(&'a [Completion]),
    /// Prompts with a preferred and another answer.
    Preferences(&'a [Preference]),
}

impl Rows<'_> {
    fn shape(&self) -> (DataShape, &'static str, usize) {
        match self {
            Rows::LanguageModelling(rows) => (DataShape::LanguageModelling, "language-modelling", rows.len()),
            Rows::Completions(rows) => (DataShape::PromptCompletion, "prompt-completion", rows.len()),
            Rows::Preferences(rows) => (DataShape::Preference, "preference", rows.len()),
        }
    }
}

/// What a model can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Longest sequence, in tokens.
    pub max_positions: usize,
}

/// Examples, and what was found on the way.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What can be trained on, in the order of the rows.
    pub examples: Vec<Example>,
    /// Findings that do not stop the run.
    pub findings: Vec<Finding>,
    /// How long the examples are.
    pub lengths: LengthStatistics,
    /// Digest of the examples.
    pub digest: Digest,
}

/// Prepares rows for a method.
///
/// # Errors
/// If the method cannot use the rows' shape, a text cannot be encoded, a serious finding stops the run (see the setting
/// `preflight`), or no row is left.
pub fn prepare(settings: &Settings, rows: Rows, encoder: &dyn Encode, limits: Limits) -> Result<Prepared, Error> {
    let (shape, found, total) = rows.shape();
    if !settings.method.data.contains(&shape) {
        let expected = settings.method.data.iter().map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(" or ");
        return Err(Error::DataShape { method: settings.method.id, found, expected });
    }
    let mut preparation = Preparation::new(settings, encoder, limits)?;
    let examples = preparation.examples(rows)?;
    preparation.check_all(&examples);
    finish(settings, preparation.findings, examples, total)
}

fn finish(settings: &Settings, findings: Findings, examples: Vec<Example>, total: usize) -> Result<Prepared, Error> {
    let findings = findings.records(total as u64);
    let serious: Vec<Finding> = findings.iter().filter(|f| f.severity == Severity::Error).cloned().collect();
    let mismatch = serious.iter().any(|finding| finding.check == Check::VocabularyMismatch.id());
    if mismatch || (!serious.is_empty() && settings.training.preflight == OnFinding::Stop) {
        return Err(Error::Preflight { findings: serious });
    }
    if examples.is_empty() {
        return Err(Error::NoRows { total, findings });
    }
    let (lengths, digest) = (LengthStatistics::of(&examples), crate::example::digest(&examples));
    Ok(Prepared { examples, findings, lengths, digest })
}

struct Preparation<'a> {
    settings: &'a Settings,
    encoder: &'a dyn Encode,
    vocab_size: usize,
    max_length: usize,
    completion_only_loss: Option<bool>,
    assistant_only_loss: bool,
    findings: Findings,
}

impl<'a> Preparation<'a> {
    fn new(settings: &'a Settings, encoder: &'a dyn Encode, limits: Limits) -> Result<Self, Error> {
        let max_length = settings.training.max_length.unwrap_or(usize::MAX).min(limits.max_positions);
        let (completion_only_loss, assistant_only_loss) = match settings.method.id {
            "sft" => SftSettings::new(settings).map(|sft| (sft.completion_only_loss, sft.assistant_only_loss))?,
            _ => (None, false),
        };
        let findings = Findings::default();
        Ok(Preparation {
            settings,
            encoder,
            vocab_size: limits.vocab_size,
            max_length,
            completion_only_loss,
            assistant_only_loss,
            findings,
        })
    }

    fn examples(&mut self, rows: Rows) -> Result<Vec<Example>, Error> {
        let mut examples = Vec::new();
        match rows {
            Rows::LanguageModelling(rows) => {
                for row in rows {
                    examples.extend(self.text(row).map_err(|source| at(&row.location, source))?);
                }
            }
            Rows::Completions(rows) => {
                for row in rows {
                    examples.extend(self.completion(row).map_err(|source| at(&row.location, source))?);
                }
            }
            Rows::Preferences(rows) => {
                for row in rows {
                    examples.extend(self.preference(row).map_err(|source| at(&row.location, source))?);
                }
            }
        }
        Ok(examples)
    }

    fn text(&mut self, row: &LanguageModelling) -> groma_model::Result<Option<Example>> {
        let place = row.location.to_string();
        let sequence = match &row.content {
            Content::Text(text) => {
                let ids = self.encoder.document(text)?;
                Sequence { supervised: vec![true; ids.len()], ids }
            }
            Content::Messages(messages) => {
                let conversation = self.encoder.conversation(messages, self.assistant_only_loss)?;
                let supervised = self.conversation_mask(&conversation, &place);
                Sequence { ids: conversation.ids, supervised }
            }
        };
        Ok(self.single(sequence, place))
    }

    fn conversation_mask(&mut self, conversation: &crate::Conversation, place: &str) -> Vec<bool> {
        let all = || vec![true; conversation.ids.len()];
        match &conversation.assistant {
            _ if !self.assistant_only_loss => all(),
            Some(mask) => mask.clone(),
            None => {
                self.findings.add(Check::NoAssistantMarks, Severity::Error, place);
                vec![false; conversation.ids.len()]
            }
        }
    }

    fn completion(&mut self, row: &Completion) -> groma_model::Result<Option<Example>> {
        let place = row.location.to_string();
        let joints = self.joints(&row.prompt, &[&row.completion], &place)?;
        let Some(joint) = joints.into_iter().next() else { return Ok(None) };
        let mut sequence = Sequence::completion(&joint.ids[..joint.prompt], &joint.ids[joint.prompt..]);
        if self.completion_only_loss == Some(false) {
            sequence.supervised.fill(true);
        }
        Ok(self.single(sequence, place))
    }

    fn single(&mut self, mut sequence: Sequence, place: String) -> Option<Example> {
        let had_supervised = sequence.scored_count() > 0;
        if !self.truncate(&mut [&mut sequence], had_supervised, &place) {
            return None;
        }
        self.check_sequence(&sequence, &place);
        Some(Example { place, sequence, rejected: None, margin: None })
    }

    fn preference(&mut self, row: &Preference) -> groma_model::Result<Option<Example>> {
        let place = row.location.to_string();
        let mut joints = self.joints(&row.prompt, &[&row.chosen, &row.rejected], &place)?.into_iter();
        let (Some(chosen), Some(rejected)) = (joints.next(), joints.next()) else { return Ok(None) };
        if chosen.ids == rejected.ids {
            self.findings.add(Check::IdenticalPair, Severity::Warning, &place);
            return Ok(None);
        }
        let sequence =
            |joint: Continuation| Sequence::completion(&joint.ids[..joint.prompt], &joint.ids[joint.prompt..]);
        let (mut chosen, mut rejected) = (sequence(chosen), sequence(rejected));
        let had_supervised = chosen.scored_count() > 0 && rejected.scored_count() > 0;
        if !self.truncate(&mut [&mut chosen, &mut rejected], had_supervised, &place) {
            return Ok(None);
        }
        if chosen.ids == rejected.ids {
            self.findings.add(Check::TruncationEqualises, Severity::Warning, &place);
            return Ok(None);
        }
        self.check_sequence(&chosen, &place);
        Ok(Some(Example { place, sequence: chosen, rejected: Some(rejected), margin: row.margin }))
    }

    /// Applies `truncation_mode`; `false`: the row is left out.
    fn truncate(&mut self, sequences: &mut [&mut Sequence], had_supervised: bool, place: &str) -> bool {
        if !had_supervised {
            self.findings.add(Check::NoSupervisedToken, Severity::Error, place);
            return false;
        }
        if sequences.iter().all(|sequence| sequence.ids.len() <= self.max_length) {
            return true;
        }
        match self.settings.training.truncation_mode {
            Truncation::KeepStart => {
                for sequence in sequences.iter_mut() {
                    sequence.ids.truncate(self.max_length);
                    sequence.supervised.truncate(self.max_length);
                }
                let left = sequences.iter().all(|sequence| sequence.scored_count() > 0);
                let check = if left { Check::Truncated } else { Check::TruncationEmpties };
                self.findings.add(check, Severity::Warning, place);
                left
            }
            Truncation::Drop => {
                self.findings.add(Check::TooLong, Severity::Warning, place);
                false
            }
            Truncation::Error => {
                self.findings.add(Check::TooLong, Severity::Error, place);
                false
            }
        }
    }

    /// Tokens of the prompt with each completion; all agree on where the prompt ends.
    fn joints(
        &mut self,
        prompt: &Content,
        completions: &[&Content],
        place: &str,
    ) -> groma_model::Result<Vec<Continuation>> {
        let boundary = self.settings.training.boundary;
        let encoded = completions.iter().map(|completion| self.encoder.continuation(prompt, completion, boundary));
        let mut joints = encoded.collect::<groma_model::Result<Vec<_>>>()?;
        let shared = joints.iter().map(|joint| joint.prompt).min().unwrap_or(0);
        joints.iter_mut().for_each(|joint| joint.prompt = shared);
        let merged = joints.iter().any(|joint| joint.merged);
        match boundary {
            Boundary::Error if merged => self.findings.add(Check::BoundaryMerge, Severity::Error, place),
            Boundary::Diverge if merged => self.findings.add(Check::BoundaryMerge, Severity::Warning, place),
            _ => {}
        }
        Ok(joints)
    }

    fn check_sequence(&mut self, sequence: &Sequence, place: &str) {
        if let (Some(bos), [first, second, ..]) = (self.encoder.bos(), &sequence.ids[..])
            && *first == bos
            && *second == bos
        {
            self.findings.add(Check::DoubledBos, Severity::Error, place);
        }
        let stops = self.encoder.stops();
        let learned = |id: &u32, counts: &bool| *counts && stops.contains(id);
        if !stops.is_empty() && !sequence.ids.iter().zip(&sequence.supervised).any(|(id, counts)| learned(id, counts)) {
            self.findings.add(Check::UntrainedStop, Severity::Warning, place);
        }
    }

    /// Checks that look at all rows together.
    fn check_all(&mut self, examples: &[Example]) {
        if !examples.is_empty() && self.findings.count(Check::UntrainedStop) == examples.len() as u64 {
            self.findings.raise(Check::UntrainedStop, Severity::Error);
        }
        let beyond = |ids: &[u32]| ids.iter().any(|&id| id as usize >= self.vocab_size);
        let outside: Vec<String> = examples
            .iter()
            .filter(|example| example.pair().iter().any(|sequence| beyond(&sequence.ids)))
            .map(|example| example.place.clone())
            .collect();
        for place in &outside {
            self.findings.add(Check::VocabularyMismatch, Severity::Error, place);
        }
        if outside.is_empty() && self.encoder.vocab_size() > self.vocab_size {
            self.findings.add(Check::VocabularyMismatch, Severity::Warning, "tokenizer");
        }
        for place in contradictions(examples) {
            self.findings.add(Check::ContradictoryPairs, Severity::Warning, &place);
        }
    }
}

/// Places of pairs whose reverse is among the rows.
fn contradictions(examples: &[Example]) -> Vec<String> {
    let pairs: BTreeMap<(&[u32], &[u32]), &str> = examples
        .iter()
        .filter_map(|e| Some(((&e.sequence.ids[..], &e.rejected.as_ref()?.ids[..]), e.place.as_str())))
        .collect();
    let reversed = pairs.iter().filter(|((chosen, rejected), _)| pairs.contains_key(&(rejected, chosen)));
    reversed.map(|(_, place)| (*place).to_owned()).collect()
}

fn at(location: &groma_data::Location, source: groma_model::Error) -> Error {
    Error::Row { place: location.to_string(), source }
}
