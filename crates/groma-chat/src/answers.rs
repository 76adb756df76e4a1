//! Which bytes of a rendered conversation are answers.

use std::ops::Range;

use crate::error::{Result, TemplateError};
use crate::{Message, Options, Rendered, Template};

impl Template {
    /// Renders a conversation and says which bytes of it are answers.
    ///
    /// With `{% generation %}` marks, answers are what they mark. Without, the answer of message `k` is what is added between
    /// rendering the messages before it, with the beginning of an answer, and rendering it too.
    ///
    /// # Errors
    /// Those of [`Template::render`]; a template without marks that changes earlier text when messages are added.
    pub fn render_answers(&self, messages: &[Message], options: &Options) -> Result<Rendered> {
        let mut whole = self.render(messages, options)?;
        if !self.has_generation_marks() {
            whole.assistant = self.answers_by_prefix(messages, options, &whole.text)?;
        }
        Ok(whole)
    }

    /// Renders a prompt and an answer to it, for preference data, and says where the prompt ends, in bytes: up to there it is
    /// what generation would be given.
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
        Ok((whole, before.text.len()))
    }

    fn render_with(&self, messages: &[Message], options: &Options, add_generation_prompt: bool) -> Result<Rendered> {
        self.render(messages, &Options { add_generation_prompt, ..options.clone() })
    }

    /// The bytes of each answer, by rendering what comes before it.
    fn answers_by_prefix(&self, messages: &[Message], options: &Options, whole: &str) -> Result<Vec<Range<usize>>> {
        let mut answers: Vec<Range<usize>> = Vec::new();
        for (at, _) in messages.iter().enumerate().filter(|(_, message)| message.is_assistant()) {
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
            answers.push(prompt.len()..answered.len());
        }
        Ok(answers)
    }
}

fn first_difference(part: &str, whole: &str) -> String {
    let common = part.chars().zip(whole.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum::<usize>();
    let excerpt = |text: &str| text[common..].chars().take(24).collect::<String>();
    format!("they differ from byte {common}: {:?} and {:?}", excerpt(part), excerpt(whole))
}
