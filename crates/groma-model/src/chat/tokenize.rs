//! Conversations as tokens, with the answers told apart.

use std::ops::Range;

use super::error::{Result, TemplateError};
use super::marks::Unmarked;
use super::{Message, Options, Template};
use crate::tokenizer::{Encoded, Specials, Tokenizer};

/// What a control token spelled in a message becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentTokens {
    /// Text: nobody who writes a message can end a turn or begin another.
    #[default]
    Plain,
    /// The control token, as in transformers.
    Control,
}

/// What to do where one token covers the end of a prompt and the beginning of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// An error.
    #[default]
    Refuse,
    /// Tokens never pass the border: what a model is given at generation is what it was trained on.
    Separate,
}

/// How a conversation becomes tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenOptions {
    /// What the template is given. `bos_token` and the like are taken from the tokenizer where they are not here.
    pub template: Options,
    /// Control tokens spelled in messages.
    pub content: ContentTokens,
    /// Merges over the border of an answer.
    pub boundary: Boundary,
    /// Begins with the BOS that the tokenizer adds to plain text, where the template writes none.
    pub ensure_bos: bool,
}

/// A conversation as tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenizedChat {
    /// The rendered text.
    pub text: String,
    /// Token ids.
    pub ids: Vec<u32>,
    /// For each token, its bytes in the text.
    pub offsets: Vec<Range<usize>>,
    /// For each token, whether it is part of an answer, the token that ends the answer included.
    pub assistant_mask: Vec<bool>,
    /// Where tokens were kept from passing a border; see [`Boundary::Separate`].
    pub separated: bool,
}

/// A prompt and what follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptCompletion {
    /// Ids of the prompt, with the beginning of an answer.
    pub prompt: Vec<u32>,
    /// Ids of the answer; `prompt` and `completion` together are the whole.
    pub completion: Vec<u32>,
    /// One token would have covered both, and they were kept apart; see [`Boundary::Separate`].
    pub separated: bool,
}

impl Template {
    /// Renders a conversation to tokens and says which of them are answers.
    ///
    /// With `{% generation %}` marks, answers are what they mark. Without, the answer of message `k` is what is added between
    /// rendering the messages before it, with the beginning of an answer, and rendering it too; white space after the control
    /// token that ends it is not part of it.
    ///
    /// # Errors
    /// Those of [`Template::render`] and the tokenizer; a template without marks that changes earlier text when messages are
    /// added; a token over the border of an answer, unless `boundary` allows it.
    pub fn render_tokens(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        options: &TokenOptions,
    ) -> Result<TokenizedChat, crate::Error> {
        let rendering = Rendering { template: self, tokenizer, options, given: given(tokenizer, options) };
        let whole = rendering.render(messages, options.template.add_generation_prompt)?;
        let answers = if self.has_generation_marks() {
            whole.assistant.clone()
        } else {
            rendering.answers_by_prefix(messages, &whole.text)?
        };
        let borders: Vec<usize> = answers.iter().flat_map(|range| [range.start, range.end]).collect();
        let (encoded, separated) = rendering.encode(&whole, &borders)?;
        let mut assistant_mask = vec![false; encoded.ids.len()];
        for answer in &answers {
            let within = |offset: &Range<usize>| {
                answer.start <= offset.start && offset.end <= answer.end && offset.start < offset.end
            };
            let mut inside: Vec<usize> = (0..encoded.ids.len()).filter(|at| within(&encoded.offsets[*at])).collect();
            if !self.has_generation_marks() {
                rendering.drop_space_after_end(&mut inside, &encoded, &whole.text);
            }
            inside.into_iter().for_each(|at| assistant_mask[at] = true);
        }
        let Encoded { mut ids, mut offsets } = encoded;
        if let Some(bos) = rendering.missing_bos(&ids)? {
            ids.insert(0, bos);
            offsets.insert(0, 0..0);
            assistant_mask.insert(0, false);
        }
        Ok(TokenizedChat { text: whole.text, ids, offsets, assistant_mask, separated })
    }

    /// Renders a prompt and an answer to it, for preference data: `prompt` is what generation would be given, and with
    /// `completion` after it, the whole conversation.
    ///
    /// # Errors
    /// As [`Template::render_tokens`]; the template must render the prompt to the beginning of the whole.
    pub fn prompt_and_completion(
        &self,
        tokenizer: &Tokenizer,
        prompt: &[Message],
        completion: &[Message],
        options: &TokenOptions,
    ) -> Result<PromptCompletion, crate::Error> {
        if prompt.is_empty() || completion.is_empty() {
            let problem = "a prompt and a completion need a message each".into();
            return Err(TemplateError::Conversation { problem }.into());
        }
        let rendering = Rendering { template: self, tokenizer, options, given: given(tokenizer, options) };
        let continues = prompt.last().is_some_and(Message::is_assistant);
        let before = rendering.render(prompt, !continues)?;
        let messages: Vec<Message> = prompt.iter().chain(completion).cloned().collect();
        let whole = rendering.render(&messages, false)?;
        if !whole.text.starts_with(&before.text) {
            let condition = format!(
                "the whole conversation does not begin with its prompt ({})",
                first_difference(&before.text, &whole.text)
            );
            return Err(TemplateError::NotPrefixPreserving { condition }.into());
        }
        let border = before.text.len();
        let (Encoded { mut ids, offsets }, separated) = rendering.encode(&whole, &[border])?;
        let mut split = offsets.iter().take_while(|offset| offset.end <= border).count();
        if let Some(bos) = rendering.missing_bos(&ids)? {
            ids.insert(0, bos);
            split += 1;
        }
        let completion = ids.split_off(split);
        Ok(PromptCompletion { prompt: ids, completion, separated })
    }
}

/// A prompt and a completion that are plain text, as in data without roles; the EOS is added to the completion where it does
/// not end with it. The prompt begins as the tokenizer is configured.
///
/// # Errors
/// Those of the tokenizer; a token over the border unless `boundary` allows it.
pub fn prompt_and_completion_text(
    tokenizer: &Tokenizer,
    prompt: &str,
    completion: &str,
    content: ContentTokens,
    boundary: Boundary,
) -> Result<PromptCompletion, crate::Error> {
    let options = TokenOptions { content, boundary, ensure_bos: true, ..TokenOptions::default() };
    let text = format!("{prompt}{completion}");
    let everything = 0..text.len();
    let spelled = if content == ContentTokens::Plain { vec![everything] } else { Vec::new() };
    let whole = Unmarked { text, spelled, ..Unmarked::default() };
    let border = prompt.len();
    let (Encoded { mut ids, offsets }, separated) = encode(tokenizer, &whole, &[border], &options)?;
    let mut split = offsets.iter().take_while(|offset| offset.end <= border).count();
    if let Some(bos) = missing_bos(tokenizer, &ids)? {
        ids.insert(0, bos);
        split += 1;
    }
    let mut completion = ids.split_off(split);
    if let Some(eos) = tokenizer.eos().filter(|eos| completion.last() != Some(eos)) {
        completion.push(eos);
    }
    Ok(PromptCompletion { prompt: ids, completion, separated })
}

fn given(tokenizer: &Tokenizer, options: &TokenOptions) -> Options {
    let mut given = options.template.clone();
    for (name, value) in tokenizer.template_variables() {
        given.variables.entry(name).or_insert(value);
    }
    given
}

/// One conversation on its way to tokens.
struct Rendering<'a> {
    template: &'a Template,
    tokenizer: &'a Tokenizer,
    options: &'a TokenOptions,
    given: Options,
}

impl Rendering<'_> {
    fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Unmarked> {
        let given = Options { add_generation_prompt, ..self.given.clone() };
        let spelled = match self.options.content {
            ContentTokens::Plain => self.spelled_in(messages),
            ContentTokens::Control => Vec::new(),
        };
        self.template.run(messages, &given, &spelled)
    }

    /// Control tokens that occur in what the caller passes.
    fn spelled_in(&self, messages: &[Message]) -> Vec<String> {
        let tools = self.given.tools.iter().chain(&self.given.documents).flatten();
        let mut texts = Vec::new();
        messages.iter().map(Message::to_json).for_each(|message| strings(&message, &mut texts));
        tools.for_each(|value| strings(value, &mut texts));
        let occurs = |token: &String| texts.iter().any(|text| text.contains(token.as_str()));
        self.tokenizer.control_texts().into_iter().filter(occurs).collect()
    }

    fn encode(&self, whole: &Unmarked, borders: &[usize]) -> Result<(Encoded, bool), crate::Error> {
        encode(self.tokenizer, whole, borders, self.options)
    }

    fn missing_bos(&self, ids: &[u32]) -> Result<Option<u32>, crate::Error> {
        if self.options.ensure_bos { missing_bos(self.tokenizer, ids) } else { Ok(None) }
    }

    /// The bytes of each answer, by rendering what comes before it.
    fn answers_by_prefix(&self, messages: &[Message], whole: &str) -> Result<Vec<Range<usize>>> {
        let mut answers: Vec<Range<usize>> = Vec::new();
        for (at, _) in messages.iter().enumerate().filter(|(_, message)| message.is_assistant()) {
            if at == 0 {
                let condition = "an answer without a message before it has no prompt".to_owned();
                return Err(TemplateError::NotPrefixPreserving { condition });
            }
            let prompt = self.render(&messages[..at], true)?.text;
            let answered = self.render(&messages[..=at], false)?.text;
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

    /// Leaves out the tokens after the control token that ends an answer where they are white space.
    fn drop_space_after_end(&self, inside: &mut Vec<usize>, encoded: &Encoded, text: &str) {
        let end = inside.iter().rposition(|at| self.tokenizer.is_control(encoded.ids[*at]));
        if let Some(end) = end {
            let is_space = |at: &usize| text[encoded.offsets[*at].clone()].chars().all(char::is_whitespace);
            if inside[end + 1..].iter().all(is_space) {
                inside.truncate(end + 1);
            }
        }
    }
}

fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| strings(item, found)),
        _ => {}
    }
}

/// Encodes with no token over a border; where one would be, by the policy.
fn encode(
    tokenizer: &Tokenizer,
    whole: &Unmarked,
    borders: &[usize],
    options: &TokenOptions,
) -> Result<(Encoded, bool), crate::Error> {
    let free = tokenizer.encode_parts(&whole.text, &whole.spelled, &[])?;
    let apart = tokenizer.encode_parts(&whole.text, &whole.spelled, borders)?;
    if free.ids == apart.ids {
        return Ok((apart, false));
    }
    match options.boundary {
        Boundary::Separate => Ok((apart, true)),
        Boundary::Refuse => Err(merge(whole, borders, &free).into()),
    }
}

/// The first border that the tokens of the whole text do not respect.
fn merge(whole: &Unmarked, borders: &[usize], free: &Encoded) -> TemplateError {
    let over = |border: &usize| {
        let token = free.offsets.iter().find(|offset| offset.start < *border && *border < offset.end)?;
        Some((*border, whole.text[token.clone()].to_owned()))
    };
    let passed = borders.iter().enumerate().find_map(|(at, border)| over(border).map(|found| (at, found)));
    // Without a token over a border, the text after it changed how the text before it is cut.
    let (at, (byte, token)) = passed.unwrap_or_else(|| (0, (borders.first().copied().unwrap_or(0), String::new())));
    let (before, after) = if at % 2 == 0 { ("prompt", "answer") } else { ("answer", "text after it") };
    TemplateError::BoundaryMerge { before, after, byte, token }
}

/// The BOS that the tokenizer adds to plain text, where these ids do not begin with it.
fn missing_bos(tokenizer: &Tokenizer, ids: &[u32]) -> Result<Option<u32>, crate::Error> {
    let Some(bos) = tokenizer.bos() else { return Ok(None) };
    let adds = tokenizer.encode("a", Specials::AsConfigured)?.first() == Some(&bos);
    Ok(Some(bos).filter(|bos| adds && ids.first() != Some(bos)))
}

fn first_difference(part: &str, whole: &str) -> String {
    let common = part.chars().zip(whole.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum::<usize>();
    let excerpt = |text: &str| text[common..].chars().take(24).collect::<String>();
    format!("they differ from byte {common}: {:?} and {:?}", excerpt(part), excerpt(whole))
}
