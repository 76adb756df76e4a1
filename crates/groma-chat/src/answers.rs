//! Which bytes of a rendered conversation are answers.

use std::ops::Range;

use crate::error::{Result, TemplateError};
use crate::{Message, Options, Rendered, Template, WEIGHT};
use groma_run::counted;

impl Template {
    /// Renders a conversation and says which bytes of it are answers.
    ///
    /// With `{% generation %}` marks, answers are what they mark. Without, the answer of message `k` is what is added between
    /// rendering the messages before it, with the beginning of an answer, and rendering it too. Answers that are not to be
    /// learned ([`Message::is_learned`]) are kept apart.
    ///
    /// # Errors
    /// Those of [`Template::render`]; a template without marks that changes earlier text when messages are added; weights
    /// where the template does not mark each answer.
    pub fn render_answers(&self, messages: &[Message], options: &Options) -> Result<Rendered> {
        let whole = self.render(messages, options)?;
        if self.has_generation_marks() {
            return weighed(whole, messages);
        }
        let answers = self.answers_by_prefix(messages, 0, options, &whole.text)?;
        Ok(told(whole, messages, answers))
    }

    /// Renders a conversation; answers are told apart where they can be.
    ///
    /// # Errors
    /// Those of [`Template::render`].
    pub fn render_any(&self, messages: &[Message], options: &Options) -> Result<Rendered> {
        self.render_answers(messages, options).or_else(|_| self.render(messages, options))
    }

    /// Renders a prompt and an answer to it, for preference data, and says where the prompt ends, in bytes: up to there it is
    /// what generation would be given. Answers are told apart as by [`Template::render_answers`]; those in the prompt need not
    /// be.
    ///
    /// # Errors
    /// As [`Template::render`]; the template must render the prompt to the beginning of the whole.
    pub fn prompt_and_completion(
        &self,
        prompt: &[Message],
        completion: &[Message],
        options: &Options,
    ) -> Result<(Rendered, usize)> {
        if prompt.is_empty() || completion.is_empty() {
            let problem = "a prompt and a completion need a message each".into();
            return Err(TemplateError::Asked { problem });
        }
        let continues = prompt.last().is_some_and(Message::is_assistant);
        let before = self.render_with(prompt, options, !continues)?;
        let messages: Vec<Message> = prompt.iter().chain(completion).cloned().collect();
        let whole = self.render_with(&messages, options, false)?;
        if !whole.text.starts_with(&before.text) {
            let condition = format!(
                "the whole conversation does not begin with its prompt ({})",
                first_difference(&before.text, &whole.text)
            );
            return Err(TemplateError::NotPrefixPreserving { condition });
        }
        if self.has_generation_marks() {
            return Ok((weighed(whole, &messages)?, before.text.len()));
        }
        let answers = |from| self.answers_by_prefix(&messages, from, options, &whole.text);
        let answers = answers(0).or_else(|_| answers(prompt.len()))?;
        Ok((told(whole, &messages, answers), before.text.len()))
    }

    fn render_with(&self, messages: &[Message], options: &Options, add_generation_prompt: bool) -> Result<Rendered> {
        self.render(messages, &Options { add_generation_prompt, ..options.clone() })
    }

    /// Which messages from `from` on are answers, with the bytes of each, by rendering what comes before it.
    fn answers_by_prefix(
        &self,
        messages: &[Message],
        from: usize,
        options: &Options,
        whole: &str,
    ) -> Result<Vec<(usize, Range<usize>)>> {
        let mut answers = Vec::new();
        for (at, _) in messages.iter().enumerate().skip(from).filter(|(_, message)| message.is_assistant()) {
            if at == 0 {
                let condition = "an answer without a message before it has no prompt".to_owned();
                return Err(TemplateError::NotPrefixPreserving { condition });
            }
            let prompt = self.render_with(&messages[..at], options, true)?.text;
            let answered = self.render_with(&messages[..=at], options, false)?.text;
            let failed = |what: &str, part: &str, of: &str| TemplateError::NotPrefixPreserving {
                condition: format!("{what} message {} ({})", at + 1, first_difference(part, of)),
            };
            if !answered.starts_with(&prompt) {
                return Err(failed("the prompt is not the beginning of the text up to", &prompt, &answered));
            }
            if !whole.starts_with(&answered) {
                return Err(failed("the whole text does not begin with the text up to", &answered, whole));
            }
            answers.push((at, prompt.len()..answered.len()));
        }
        Ok(answers)
    }
}

/// A rendered conversation with the answers of these messages.
fn told(mut whole: Rendered, messages: &[Message], answers: Vec<(usize, Range<usize>)>) -> Rendered {
    let (learned, unlearned): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(message, _)| messages[*message].is_learned());
    let ranges = |answers: Vec<(usize, Range<usize>)>| answers.into_iter().map(|(_, range)| range).collect();
    (whole.assistant, whole.unlearned) = (ranges(learned), ranges(unlearned));
    whole
}

/// A rendered conversation whose answers are marked; those that are not to be learned are known where each answer is marked
/// once.
fn weighed(mut whole: Rendered, messages: &[Message]) -> Result<Rendered> {
    let spoken = || messages.iter().enumerate().filter(|(_, message)| message.is_assistant()).map(|(at, _)| at);
    if spoken().all(|at| messages[at].is_learned()) {
        return Ok(whole);
    }
    let answers = std::mem::take(&mut whole.assistant);
    if spoken().count() != answers.len() {
        let (spoken, marked) = (spoken().count(), answers.len());
        let problem = format!(
            "`{WEIGHT}` of a message cannot be kept: the chat template marks {} for {}",
            counted(marked, "part"),
            counted(spoken, "answer"),
        );
        return Err(TemplateError::Asked { problem });
    }
    Ok(told(whole, messages, spoken().zip(answers).collect()))
}

fn first_difference(part: &str, whole: &str) -> String {
    let common = part.chars().zip(whole.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum::<usize>();
    let excerpt = |text: &str| text[common..].chars().take(24).collect::<String>();
    format!("they differ from byte {common}: {:?} and {:?}", excerpt(part), excerpt(whole))
}
