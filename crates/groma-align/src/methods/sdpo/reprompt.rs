//! What the model is told of each completion when it is its own teacher: a completion of the same prompt that succeeded, feedback, or
//! both.

use crate::collect::Collector;
use crate::group::{Group, Member};
use crate::known::{CONTEXT, asked_with};
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::template::{PROMPT_PLACE, filled};
use crate::{Error, Hyperparameters, Metrics};
use groma_data::Content;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

const SOLUTION: &str = "{solution}";
const FEEDBACK: &str = "{feedback}";
const ATTEMPT: &str = "{successful_previous_attempt}";
const RAW_FEEDBACK: &str = "{feedback_raw}";
const TEMPLATE: &str = "reprompt_template";
const SOLUTION_TEMPLATE: &str = "solution_template";
const FEEDBACK_TEMPLATE: &str = "feedback_template";
const INCLUDE: &str = "include_environment_feedback";
const SUCCESSFUL: &str = "use_successful_as_teacher";
const THINKS: &str = "<think>";
const HAS_THOUGHT: &str = "</think>";

/// Hyperparameters of what a teacher is told.
pub(super) const PARAMETERS: &[Parameter] = &[
    parameter(
        SUCCESSFUL,
        Kind::Boolean,
        "true",
        None,
        "Show the teacher a completion of the same prompt that succeeded.",
    ),
    parameter("success_reward_threshold", Kind::Float, "1.0", None, "The reward from which on a completion succeeded."),
    parameter(
        "dont_reprompt_on_self_success",
        Kind::Boolean,
        "true",
        None,
        "Show no completion itself; one that alone succeeded is not learned from then.",
    ),
    parameter(
        INCLUDE,
        Kind::Boolean,
        "false",
        None,
        "Show the teacher what the row's column privileged_context says, as feedback.",
    ),
    parameter(
        "environment_feedback_only_without_solution",
        Kind::Boolean,
        "false",
        None,
        "Show feedback where no completion succeeded, alone.",
    ),
    parameter(
        "remove_thinking_from_demonstration",
        Kind::Boolean,
        "false",
        None,
        "Leave out of a completion that is shown what stands between <think> and </think>.",
    ),
    parameter(
        TEMPLATE,
        Kind::Text,
        "\"{prompt}{solution}{feedback}\\n\\nCorrectly solve the original question.\\n\"",
        None,
        "The teacher's prompt; of a conversation, its last turn of the user.",
    ),
    parameter(
        SOLUTION_TEMPLATE,
        Kind::Text,
        "\"\\nCorrect solution:\\n\\n{successful_previous_attempt}\\n\\n\"",
        None,
        "What stands for {solution} where a completion is shown.",
    ),
    parameter(
        FEEDBACK_TEMPLATE,
        Kind::Text,
        "\"\\nThe following is feedback from your unsuccessful earlier attempt:\\n\\n{feedback_raw}\\n\\n\"",
        None,
        "What stands for {feedback} where there is some.",
    ),
    parameter(
        "max_reprompt_len",
        Kind::Integer,
        "10240",
        Some(Range::at_least(1.0)),
        "Tokens of the teacher's prompt, at most; what is too long loses its beginning.",
    ),
];

/// What is logged: how many groups have a completion that succeeded, to how many completions one is shown, for how many there is
/// feedback, and how many the teacher is asked about, with feedback and at all.
pub(super) const METRICS: &[&str] = &[
    "self_distillation/success_group_fraction",
    "self_distillation/success_sample_fraction",
    "self_distillation/feedback_available_fraction",
    "self_distillation/feedback_used_fraction",
    "self_distillation/reprompt_sample_fraction",
];

/// Values of the parameters.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Reprompt {
    use_successful_as_teacher: bool,
    success_reward_threshold: f64,
    dont_reprompt_on_self_success: bool,
    include_environment_feedback: bool,
    environment_feedback_only_without_solution: bool,
    remove_thinking_from_demonstration: bool,
    reprompt_template: String,
    solution_template: String,
    feedback_template: String,
    max_reprompt_len: usize,
}

/// What is shown beside a completion: one that succeeded, by its place in the group, and whether there is feedback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    solution: Option<usize>,
    feedback: bool,
}

impl Reprompt {
    /// # Errors
    /// Templates without their places, and a teacher who would be told nothing.
    pub(super) fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let reprompt: Reprompt = settings.typed()?;
        let Reprompt { reprompt_template, solution_template, feedback_template, .. } = &reprompt;
        let places = [
            (TEMPLATE, reprompt_template, PROMPT_PLACE, true),
            (TEMPLATE, reprompt_template, SOLUTION, reprompt.use_successful_as_teacher),
            (TEMPLATE, reprompt_template, FEEDBACK, reprompt.include_environment_feedback),
            (SOLUTION_TEMPLATE, solution_template, ATTEMPT, reprompt.use_successful_as_teacher),
            (FEEDBACK_TEMPLATE, feedback_template, RAW_FEEDBACK, reprompt.include_environment_feedback),
        ];
        for (name, template, place, needed) in places {
            if needed && !template.contains(place) {
                return Err(settings.invalid(name, format!("must hold {place}")));
            }
        }
        if !reprompt.use_successful_as_teacher && !reprompt.include_environment_feedback {
            return Err(settings.invalid(SUCCESSFUL, format!("leaves nothing to show the teacher without {INCLUDE}")));
        }
        Ok(reprompt)
    }

    /// Tokens of the teacher's prompt, at most, where completions have so many: texts have no more tokens than bytes.
    pub(super) fn longest(&self, prompt: &Group, completion: usize) -> usize {
        let feedback = self.feedback(prompt).map_or(0, |text| self.feedback_template.len() + text.len());
        let solution = if self.use_successful_as_teacher { self.solution_template.len() + completion } else { 0 };
        (prompt.tokens() + self.reprompt_template.len() + solution + feedback).min(self.max_reprompt_len)
    }

    /// Puts what the teacher reads into members of groups, of whose prompts so many tokens are; of those that nothing is known of,
    /// nothing.
    ///
    /// # Errors
    /// Those of the encoder.
    pub(super) fn tell<'g>(
        &self,
        collector: &mut Collector<'_>,
        groups: impl Iterator<Item = (&'g mut Group, usize)>,
    ) -> Result<(), Error> {
        for (group, prompt) in groups {
            let shown = self.shown(group);
            self.measure(collector.metrics, group, &shown);
            let mut read = BTreeMap::new();
            for (index, shown) in shown.into_iter().enumerate().filter(|(_, shown)| *shown != Shown::default()) {
                let ids = match read.get(&shown) {
                    Some(ids) => ids,
                    None => read.entry(shown).or_insert(self.encoded(collector, group, prompt, shown)?),
                };
                let member = &mut group.members[index];
                let completion = member.sequence.ids.len() - prompt;
                let room = collector.model.spec().max_positions.saturating_sub(completion);
                member.context = ids[ids.len().saturating_sub(room)..].to_vec();
            }
        }
        Ok(())
    }

    /// What is shown beside each completion of a group.
    fn shown(&self, group: &Group) -> Vec<Shown> {
        let succeeded: Vec<usize> = self.succeeded(group).collect();
        let usable = self.feedback(group).is_some();
        let of = |index: usize| {
            let mut others = succeeded.iter().filter(|&&other| !self.dont_reprompt_on_self_success || other != index);
            let solution = others.next().copied().filter(|_| self.use_successful_as_teacher);
            let wanted = !self.environment_feedback_only_without_solution || solution.is_none();
            Shown { solution, feedback: usable && wanted }
        };
        (0..group.members.len()).map(of).collect()
    }

    fn succeeded(&self, group: &Group) -> impl Iterator<Item = usize> {
        let enough = |member: &Member| member.reward.is_some_and(|reward| reward >= self.success_reward_threshold);
        group.members.iter().enumerate().filter(move |(_, member)| enough(member)).map(|(index, _)| index)
    }

    /// What a row says as feedback, where that is shown.
    fn feedback<'g>(&self, group: &'g Group) -> Option<&'g str> {
        feedback(group).filter(|_| self.include_environment_feedback)
    }

    /// The teacher's prompt as tokens.
    fn encoded(
        &self,
        collector: &Collector<'_>,
        group: &Group,
        prompt: usize,
        shown: Shown,
    ) -> Result<Vec<u32>, Error> {
        let voice = collector.voice()?;
        let wrong = |problem| Error::Role { role: "teacher", problem: format!("{}: {problem}", group.place) };
        let content = self.content(voice.decode, (group, prompt), shown).map_err(wrong)?;
        let ids = voice.encoder.prompt(&content)?;
        Ok(ids[ids.len().saturating_sub(self.max_reprompt_len)..].to_vec())
    }

    /// The teacher's prompt, of a group whose prompt has so many tokens.
    ///
    /// # Errors
    /// In words, where the group's prompt does not end with the user.
    fn content(
        &self,
        decode: &dyn Fn(&[u32]) -> String,
        (group, prompt): (&Group, usize),
        shown: Shown,
    ) -> Result<Content, String> {
        let solution = shown.solution.map(|index| {
            let text = decode(&group.members[index].sequence.ids[prompt..]);
            let text = if self.remove_thinking_from_demonstration { without_thoughts(&text) } else { text };
            filled(&self.solution_template, &[(ATTEMPT, &text)])
        });
        let feedback = feedback(group).filter(|_| shown.feedback);
        let feedback = feedback.map(|text| filled(&self.feedback_template, &[(RAW_FEEDBACK, text)]));
        let (solution, feedback) = (solution.unwrap_or_default(), feedback.unwrap_or_default());
        let question = Content::from_value("prompt", group.columns.get("prompt").cloned().unwrap_or(Value::Null))?;
        asked_with(&question, &|text| {
            filled(&self.reprompt_template, &[(PROMPT_PLACE, text), (SOLUTION, &solution), (FEEDBACK, &feedback)])
        })
    }

    fn measure(&self, metrics: &mut Metrics, group: &Group, shown: &[Shown]) {
        let count = shown.len() as f64;
        let of = |test: &dyn Fn(&Shown) -> bool| shown.iter().filter(|shown| test(shown)).count() as f64;
        let available = if feedback(group).is_some() { count } else { 0.0 };
        let succeeded = if self.succeeded(group).next().is_some() { 1.0 } else { 0.0 };
        let found = [
            (succeeded, 1.0),
            (of(&|shown| shown.solution.is_some()), count),
            (available, count),
            (of(&|shown| shown.feedback), count),
            (of(&|shown| *shown != Shown::default()), count),
        ];
        METRICS.iter().zip(found).for_each(|(name, (sum, weight))| metrics.add(name, sum, weight));
    }
}

/// What a row says as feedback.
fn feedback(group: &Group) -> Option<&str> {
    group.columns.get(CONTEXT).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// A text without what stands between the marks of thinking, trimmed; a thought without an end stays.
fn without_thoughts(text: &str) -> String {
    let (mut whole, mut rest) = (String::new(), text);
    while let Some(begin) = rest.find(THINKS) {
        let Some(length) = rest[begin..].find(HAS_THOUGHT) else { break };
        whole += &rest[..begin];
        rest = &rest[begin + length + HAS_THOUGHT.len()..];
    }
    (whole + rest).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::Sequence;
    use crate::{Method, Settings};
    use serde_json::json;

    fn reprompt(more: &Value) -> Result<Reprompt, Error> {
        let mut given = more.as_object().unwrap().clone();
        given.extend(json!({"reward_funcs": "length", "num_generations": 4}).as_object().unwrap().clone());
        let settings = Settings::resolve(Method::find("sdpo").unwrap(), &given)?;
        Reprompt::new(&settings)
    }

    /// Whom TRL's builder of contexts shows what, and in which words (`scripts/make_sdpo_fixture.py`).
    #[test]
    fn the_teacher_reads_what_trl_lets_him_read() {
        let fixture: Value = serde_json::from_str(include_str!("../../../fixtures/sdpo.json")).unwrap();
        let texts: Vec<String> = serde_json::from_value(fixture["completions"].clone()).unwrap();
        let decode = |ids: &[u32]| texts[ids[0] as usize].clone();
        for case in fixture["prompts"].as_array().unwrap() {
            let reprompt = reprompt(&case["settings"]).unwrap();
            let rewards = case["rewards"].as_array().unwrap().iter().zip(0..);
            let member = |(reward, token): (&Value, u32)| Member {
                reward: reward.as_f64(),
                ..Member::new(Sequence::completion(&[7, 8], &[token]))
            };
            let columns = json!({"prompt": "what?", "privileged_context": case["feedback"]});
            let columns = columns.as_object().unwrap().clone();
            let group = Group { members: rewards.map(member).collect(), columns, ..Group::default() };
            let shown = reprompt.shown(&group);
            let read = |shown: &Shown| {
                let content = || reprompt.content(&decode, (&group, 2), *shown).unwrap().plain();
                (*shown != Shown::default()).then(content)
            };
            let found: Vec<Option<String>> = shown.iter().map(read).collect();
            assert_eq!(json!(found), case["texts"], "{}", case["settings"]);
            let mut metrics = Metrics::default();
            reprompt.measure(&mut metrics, &group, &shown);
            assert_eq!(json!(metrics.values("")), case["metrics"], "{}", case["settings"]);
            let longest = reprompt.longest(&Group { members: group.members[..1].to_vec(), ..group.clone() }, 40);
            assert!(found.iter().flatten().all(|text| text.len() <= longest + "what?".len()), "{}", case["settings"]);
        }
    }

    #[test]
    fn templates_have_their_places_and_a_teacher_is_told_something() {
        let refused = |given: Value| reprompt(&given).map(|_| ()).unwrap_err().to_string();
        assert!(refused(json!({"reprompt_template": "{prompt}"})).contains("{solution}"));
        assert!(refused(json!({"solution_template": "so:"})).contains("{successful_previous_attempt}"));
        let fed = json!({"include_environment_feedback": true, "feedback_template": "no"});
        assert!(refused(fed).contains("{feedback_raw}"));
        assert!(refused(json!({"use_successful_as_teacher": false})).contains("include_environment_feedback"));
    }
}
