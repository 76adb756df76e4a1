//! From rows to groups: tokens, masks by position, truncation; with findings for what is not as it should be.

use crate::columns::{self, check_columns};
use crate::encode::{Continuation, Encode};
use crate::findings::{Check, Findings};
use crate::group::{Group, Member};
use crate::known::Known;
use crate::method::Masks;
use crate::rewrites::tagged;
use crate::sequence::Sequence;
use crate::training::{Boundary, OnFinding, Truncation};
use crate::{Error, LengthStatistics, Settings};
use groma_data::{Answer, BadRows, Content, OnBadRow, Row, RowProblem, Rows, Shape, Turns};
use groma_model::Spec;
use groma_run::{Classify, Digest, Finding, Severity};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a model can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Longest sequence, in tokens.
    pub max_positions: usize,
}

impl Limits {
    /// Those of a model.
    pub fn of(spec: &Spec) -> Self {
        Limits { vocab_size: spec.vocab_size, max_positions: spec.max_positions }
    }
}

/// Groups, and what was found on the way.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What can be trained on, in the order of the rows.
    pub groups: Vec<Group>,
    /// Findings that do not stop the run.
    pub findings: Vec<Finding>,
    /// How long they are.
    pub lengths: LengthStatistics,
    /// Digest of the groups.
    pub digest: Digest,
}

/// Descriptions of tools, as templates are given them.
const TOOLS: &str = "tools";
/// The field of a message that calls them.
const CALLS: &str = "tool_calls";

/// Whether a field says anything.
fn says(value: &Value) -> bool {
    !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
}

/// Prepares rows for a method.
///
/// # Errors
/// If the method cannot use the rows' shape or columns (see [`check_columns`]), too many rows cannot be encoded, a serious finding stops the run (see the
/// setting `preflight`), or no row is left.
pub fn prepare(settings: &Settings, rows: &[Row], encoder: &dyn Encode, limits: Limits) -> Result<Prepared, Error> {
    check_shapes(settings, rows)?;
    check_columns(settings, rows.iter())?;
    prepare_after(settings, rows, BadRows::of(rows.len()), encoder, limits)
}

/// Prepares the rows of a file for a method. Rows that the tokenizer or the chat template refuses are bad rows like those
/// that could not be read, and together they may be as many as [`OnBadRow`] says.
///
/// # Errors
/// As [`prepare`], but for columns that no row has: [`check_columns`] looks for them, across all files that are learned from.
pub fn prepare_read(settings: &Settings, rows: &Rows, encoder: &dyn Encode, limits: Limits) -> Result<Prepared, Error> {
    check_shapes(settings, &rows.rows)?;
    let mut prepared = prepare_after(settings, &rows.rows, rows.bad.clone(), encoder, limits)?;
    prepared.findings.extend(crate::findings::notes(rows));
    Ok(prepared)
}

/// # Errors
/// [`Error::DataShape`].
fn check_shapes(settings: &Settings, rows: &[Row]) -> Result<(), Error> {
    let method = settings.method;
    match rows.iter().find(|row| !method.data.contains(&row.shape)) {
        Some(row) => {
            let expected = method.data.iter().map(|shape| shape.name()).collect::<Vec<_>>().join(" or ");
            Err(Error::DataShape { method: method.id, found: row.shape.name(), expected })
        }
        None => Ok(()),
    }
}

/// `bad`: those that were left out before.
fn prepare_after(
    settings: &Settings,
    rows: &[Row],
    mut bad: BadRows,
    encoder: &dyn Encode,
    limits: Limits,
) -> Result<Prepared, Error> {
    let mut preparation = Preparation::new(settings, encoder, limits)?;
    columns::count_unjudged(settings, rows, &mut preparation.findings)?;
    let mut groups = Vec::with_capacity(rows.len());
    let mut hint = None;
    for row in rows {
        let known = Known::of(row, &preparation.masks).map_err(|why| (why, None));
        let group = known.and_then(|known| {
            let group = preparation.known(row, known, &row.location.to_string());
            group.map_err(|error| (error.to_string(), error.hint()))
        });
        match group {
            Ok(group) => groups.extend(group),
            Err((why, advice)) => {
                hint = hint.or(advice);
                bad.push(RowProblem::of(row, why));
            }
        }
    }
    if let Err(source) = bad.check(OnBadRow::default()) {
        return Err(Error::BadRows { source: Box::new(source), hint });
    }
    let groups = (settings.method.arrange)(groups, preparation.max_length);
    preparation.check_all(&groups);
    let mut findings = preparation.findings.records(rows.len() as u64);
    findings.extend(crate::findings::left_out(&bad));
    finish(settings, findings, groups, rows.len())
}

fn finish(settings: &Settings, findings: Vec<Finding>, groups: Vec<Group>, total: usize) -> Result<Prepared, Error> {
    let serious: Vec<Finding> = findings.iter().filter(|f| f.severity == Severity::Error).cloned().collect();
    let mismatch = serious.iter().any(|finding| finding.check == Check::VocabularyMismatch.id());
    if mismatch || (!serious.is_empty() && settings.training.preflight == OnFinding::Stop) {
        return Err(Error::Preflight { findings: serious });
    }
    if groups.is_empty() {
        return Err(Error::NoRows { total, findings });
    }
    let (lengths, digest) = (LengthStatistics::of(&groups), crate::group::digest(&groups));
    Ok(Prepared { groups, findings, lengths, digest })
}

/// What a reward, or a teacher with tokens of its own, reads of a row.
fn columns(row: &Row) -> Map<String, Value> {
    let mut columns = row.other.clone();
    columns.insert("prompt".to_owned(), row.question().to_value());
    columns
}

struct Preparation<'a> {
    settings: &'a Settings,
    encoder: &'a dyn Encode,
    vocab_size: usize,
    max_length: usize,
    masks: Masks,
    /// Whether somebody will ask for the rows' columns and prompts.
    keeps_columns: bool,
    findings: Findings,
}

impl<'a> Preparation<'a> {
    fn new(settings: &'a Settings, encoder: &'a dyn Encode, limits: Limits) -> Result<Self, Error> {
        let max_length = settings.training.max_length.unwrap_or(usize::MAX).min(limits.max_positions);
        let (masks, findings) = ((settings.method.masks)(settings)?, Findings::default());
        let keeps_columns = settings.method.samples() || settings.translates();
        let vocab_size = limits.vocab_size;
        Ok(Preparation { settings, encoder, vocab_size, max_length, masks, keeps_columns, findings })
    }

    /// A row as tokens, with what its other columns say.
    fn known(&mut self, row: &Row, known: Known, place: &str) -> groma_model::Result<Option<Group>> {
        let Some(mut group) = self.group(row, place)? else { return Ok(None) };
        let context = known.teacher_prompt.map(|prompt| self.encoder.prompt(&prompt)).transpose()?.unwrap_or_default();
        if context.len() >= self.max_length {
            self.findings.add(Check::PromptTooLong, Severity::Warning, place);
            return Ok(None);
        }
        for member in &mut group.members {
            member.attributes.clone_from(&known.attributes);
            member.context.clone_from(&context);
        }
        Ok(Some(group))
    }

    /// A row as tokens; `None`: it is left out, and why is among the findings.
    fn group(&mut self, row: &Row, place: &str) -> groma_model::Result<Option<Group>> {
        if self.loses_tools(row) {
            self.findings.add(Check::UnseenTools, Severity::Error, place);
        }
        let sequences = match row.shape {
            Shape::PromptOnly => return self.prompt(row, place),
            Shape::LanguageModelling => vec![self.text(row, place)?],
            Shape::Stepwise => return self.steps(row, place),
            _ => self.answers(row, place)?,
        };
        Ok(self.members(row, sequences, place))
    }

    /// Whether a row has tools, or calls of them, that the template leaves out.
    fn loses_tools(&self, row: &Row) -> bool {
        let contents = row.prompt.iter().chain(row.answers.iter().map(|answer| &answer.content));
        let lost = |turns: &Turns| {
            let has = |name: &str| turns.iter().any(|message| message.extra.get(name).is_some_and(says));
            let tools = turns.tools.as_ref().is_some_and(|tools| !tools.is_empty());
            (tools && !self.encoder.shows(TOOLS)) || (has(CALLS) && !self.encoder.shows(CALLS))
        };
        contents.filter_map(|content| if let Content::Messages(turns) = content { Some(turns) } else { None }).any(lost)
    }

    /// Sequences of a row with what the row knows of them, once they pass the checks.
    fn members(&mut self, row: &Row, mut sequences: Vec<Sequence>, place: &str) -> Option<Group> {
        let pair = row.shape == Shape::Preference;
        if pair && all_equal(&sequences) {
            self.findings.add(Check::IdenticalPair, Severity::Warning, place);
            return None;
        }
        if !self.truncate(&mut sequences, place) {
            return None;
        }
        if pair && all_equal(&sequences) {
            self.findings.add(Check::TruncationEqualises, Severity::Warning, place);
            return None;
        }
        if let Some(first) = sequences.first() {
            self.check_sequence(first, place);
        }
        let known = |(sequence, answer): (Sequence, &Answer)| Member {
            label: answer.label,
            score: answer.score,
            ..Member::new(sequence)
        };
        let mut members: Vec<Member> = sequences.into_iter().zip(&row.answers).map(known).collect();
        if let Some(first) = members.first_mut() {
            first.margin = row.margin;
        }
        let columns = if self.keeps_columns { columns(row) } else { Map::new() };
        Some(Group { place: place.to_owned(), members, columns })
    }

    fn text(&mut self, row: &Row, place: &str) -> groma_model::Result<Sequence> {
        let content = row.answer(0).unwrap_or(row.question());
        Ok(match content {
            Content::Text(text) => {
                let ids = self.encoder.document(text)?;
                Sequence { supervised: vec![true; ids.len()], ids }
            }
            Content::Messages(turns) => {
                // Weights say which of the assistant's messages are learned, and so that nothing else is.
                let weighed = turns.iter().any(|message| message.is_assistant() && !message.is_learned());
                let answers = self.masks.assistant_only || weighed;
                let conversation = self.encoder.conversation(turns, answers)?;
                let supervised = self.conversation_mask(&conversation, answers, place);
                Sequence { ids: conversation.ids, supervised }
            }
        })
    }

    fn conversation_mask(&mut self, conversation: &crate::Conversation, answers: bool, place: &str) -> Vec<bool> {
        match &conversation.assistant {
            _ if !answers => vec![true; conversation.ids.len()],
            Some(mask) => mask.clone(),
            None => {
                self.findings.add(Check::NoAssistantMarks, Severity::Error, place);
                vec![false; conversation.ids.len()]
            }
        }
    }

    /// The prompt with each answer.
    fn answers(&mut self, row: &Row, place: &str) -> groma_model::Result<Vec<Sequence>> {
        let answers: Vec<&Content> = row.answers.iter().map(|answer| &answer.content).collect();
        let joints = self.joints(row.question(), &answers, place)?;
        let sequence = |joint: Continuation| {
            let mut sequence = Sequence::completion(&joint.ids[..joint.prompt], &joint.ids[joint.prompt..]);
            match joint.learned {
                _ if self.masks.completion_only == Some(false) => sequence.supervised.fill(true),
                Some(learned) => sequence.supervised = learned,
                None => {}
            }
            sequence
        };
        Ok(joints.into_iter().map(sequence).collect())
    }

    /// The prompt with all steps behind each other, and where each ends.
    fn steps(&mut self, row: &Row, place: &str) -> groma_model::Result<Option<Group>> {
        let mut text = String::new();
        let mut ends = Vec::with_capacity(row.answers.len());
        let mut joints = Vec::new();
        for step in &row.answers {
            text.push_str(&step.content.plain());
            if !text.ends_with(&self.masks.step_separator) {
                text.push_str(&self.masks.step_separator);
            }
            joints = self.joints(row.question(), &[&Content::Text(text.clone())], place)?;
            // The token that ends a text stands behind the last step alone.
            ends.push((joints.first().map_or(0, |joint| joint.ids.len() - 1), step.label == Some(true)));
        }
        let Some(joint) = joints.into_iter().next() else { return Ok(None) };
        let sequence = Sequence::completion(&joint.ids[..joint.prompt], &joint.ids[joint.prompt..]);
        let group = self.members(&Row { answers: row.answers[..1].to_vec(), ..row.clone() }, vec![sequence], place);
        Ok(group.map(|mut group| {
            for member in &mut group.members {
                let whole = |&&(end, _): &&(usize, bool)| end <= member.sequence.ids.len();
                (member.label, member.steps) = (None, ends.iter().filter(whole).copied().collect());
            }
            group
        }))
    }

    /// A prompt, to which the model in training finds completions.
    fn prompt(&mut self, row: &Row, place: &str) -> groma_model::Result<Option<Group>> {
        let tagged = self.masks.tags.iter().map(|tag| tagged(row.question(), tag));
        let asked = std::iter::once(row.question().clone()).chain(tagged).map(|prompt| self.encoder.prompt(&prompt));
        let asked = asked.collect::<groma_model::Result<Vec<_>>>()?;
        if asked.iter().any(|ids| ids.is_empty() || ids.len() >= self.max_length) {
            self.findings.add(Check::PromptTooLong, Severity::Warning, place);
            return Ok(None);
        }
        let sequence = |ids: Vec<u32>| Sequence { supervised: vec![false; ids.len()], ids };
        let members: Vec<Member> = asked.into_iter().map(|ids| Member::new(sequence(ids))).collect();
        if let Some(plain) = members.first() {
            self.check_bos(&plain.sequence, place);
        }
        Ok(Some(Group { place: place.to_owned(), members, columns: columns(row) }))
    }

    /// Applies `truncation_mode`; `false`: the row is left out.
    fn truncate(&mut self, sequences: &mut [Sequence], place: &str) -> bool {
        if sequences.iter().any(|sequence| sequence.scored_count() == 0) {
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
        self.check_bos(sequence, place);
        let stops = self.encoder.stops();
        let learned = |id: &u32, counts: &bool| *counts && stops.contains(id);
        if !stops.is_empty() && !sequence.ids.iter().zip(&sequence.supervised).any(|(id, counts)| learned(id, counts)) {
            self.findings.add(Check::UntrainedStop, Severity::Warning, place);
        }
    }

    fn check_bos(&mut self, sequence: &Sequence, place: &str) {
        if let (Some(bos), [first, second, ..]) = (self.encoder.bos(), &sequence.ids[..])
            && *first == bos
            && *second == bos
        {
            self.findings.add(Check::DoubledBos, Severity::Error, place);
        }
    }

    /// Checks that look at all rows together.
    fn check_all(&mut self, groups: &[Group]) {
        if !groups.is_empty() && self.findings.count(Check::UntrainedStop) == groups.len() as u64 {
            self.findings.raise(Check::UntrainedStop, Severity::Error);
        }
        let beyond = |ids: &[u32]| ids.iter().any(|&id| id as usize >= self.vocab_size);
        let outside: Vec<String> = groups
            .iter()
            .filter(|group| group.sequences().any(|sequence| beyond(&sequence.ids)))
            .map(|group| group.place.clone())
            .collect();
        for place in &outside {
            self.findings.add(Check::VocabularyMismatch, Severity::Error, place);
        }
        if outside.is_empty() && self.encoder.vocab_size() > self.vocab_size {
            self.findings.add(Check::VocabularyMismatch, Severity::Warning, "tokenizer");
        }
        for place in contradictions(groups) {
            self.findings.add(Check::ContradictoryPairs, Severity::Warning, &place);
        }
    }
}

/// Places of pairs whose reverse is among the rows.
fn contradictions(groups: &[Group]) -> Vec<String> {
    let pair = |group: &Group| match &group.members[..] {
        [chosen, rejected] if group.sides() == [1.0, -1.0] => {
            Some((chosen.sequence.ids.clone(), rejected.sequence.ids.clone()))
        }
        _ => None,
    };
    let pairs: BTreeMap<(Vec<u32>, Vec<u32>), &str> =
        groups.iter().filter_map(|group| Some((pair(group)?, group.place.as_str()))).collect();
    let reversed =
        pairs.iter().filter(|((chosen, rejected), _)| pairs.contains_key(&(rejected.clone(), chosen.clone())));
    reversed.map(|(_, place)| (*place).to_owned()).collect()
}

fn all_equal(sequences: &[Sequence]) -> bool {
    sequences.windows(2).all(|pair| pair[0].ids == pair[1].ids)
}
