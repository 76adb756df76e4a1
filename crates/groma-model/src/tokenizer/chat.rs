//! Conversations as tokens, with the answers told apart.

use std::ops::Range;

use groma_chat::{Message, Options, Rendered, Template, TemplateError};

use super::{Encoded, Specials, Tokenizer};

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
    /// For each token of the completion, whether it is part of an answer and to be learned: not so what tools and users say
    /// in it, nor white space after the token that ends it. All of plain text is.
    pub learned: Vec<bool>,
    /// One token would have covered both, and they were kept apart; see [`Boundary::Separate`].
    pub separated: bool,
}

impl Tokenizer {
    /// Renders a conversation to tokens and says which of them are answers (see [`Template::render_answers`]). Where the
    /// template has no `{% generation %}` marks, white space after the control token that ends an answer is not part of it.
    ///
    /// # Errors
    /// Those of the template and the tokenizer; a token over the border of an answer, unless `boundary` allows it.
    pub fn conversation(
        &self,
        template: &Template,
        messages: &[Message],
        options: &TokenOptions,
    ) -> Result<TokenizedChat, crate::Error> {
        let whole = template.render_answers(messages, &self.given(options))?;
        self.tokenized(whole, template.has_generation_marks(), options)
    }

    /// The same tokens, whether or not the template lets the answers be told apart; where it does not, nothing is one.
    ///
    /// # Errors
    /// Those of the template and the tokenizer; a token over the border of an answer, unless `boundary` allows it.
    pub fn any_conversation(
        &self,
        template: &Template,
        messages: &[Message],
        options: &TokenOptions,
    ) -> Result<TokenizedChat, crate::Error> {
        let whole = template.render_any(messages, &self.given(options))?;
        self.tokenized(whole, template.has_generation_marks(), options)
    }

    pub(super) fn tokenized(
        &self,
        whole: Rendered,
        marked: bool,
        options: &TokenOptions,
    ) -> Result<TokenizedChat, crate::Error> {
        let (encoded, separated) = self.encode_apart(&whole, &borders(&whole), options.boundary)?;
        let mut assistant_mask = self.answer_mask(&whole, &encoded, marked);
        let Encoded { mut ids, mut offsets } = encoded;
        if let Some(bos) = self.missing_bos(&ids, options)? {
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
    /// As [`Tokenizer::conversation`]; the template must render the prompt to the beginning of the whole.
    pub fn prompt_and_completion(
        &self,
        template: &Template,
        prompt: &[Message],
        completion: &[Message],
        options: &TokenOptions,
    ) -> Result<PromptCompletion, crate::Error> {
        let (whole, border) = template.prompt_and_completion(prompt, completion, &self.given(options))?;
        self.encode_split(&whole, border, template.has_generation_marks(), options)
    }

    /// A prompt and a completion that are plain text, as in data without roles; the EOS is added to the completion where it
    /// does not end with it. The prompt begins as the tokenizer is configured.
    ///
    /// # Errors
    /// Those of the tokenizer; a token over the border unless `boundary` allows it.
    pub fn prompt_and_completion_text(
        &self,
        prompt: &str,
        completion: &str,
        content: ContentTokens,
        boundary: Boundary,
    ) -> Result<PromptCompletion, crate::Error> {
        let options = TokenOptions { content, boundary, ensure_bos: true, ..TokenOptions::default() };
        let text = format!("{prompt}{completion}");
        let everything = 0..text.len();
        let spelled = if content == ContentTokens::Plain { vec![everything] } else { Vec::new() };
        let answer = prompt.len()..text.len();
        let whole = Rendered { text, spelled, assistant: vec![answer], ..Rendered::default() };
        let mut parts = self.encode_split(&whole, prompt.len(), true, &options)?;
        parts.completion.extend(self.eos().filter(|eos| parts.completion.last() != Some(eos)));
        parts.learned = vec![true; parts.completion.len()];
        Ok(parts)
    }

    /// What the template is given: with this tokenizer's variables, and the control tokens to tell apart.
    pub(super) fn given(&self, options: &TokenOptions) -> Options {
        let mut given = options.template.clone();
        for (name, value) in self.template_variables() {
            given.variables.entry(name).or_insert(value);
        }
        if options.content == ContentTokens::Plain {
            given.control_tokens = self.control_texts();
        }
        given
    }

    /// `marked`: the answers are as the template marks them.
    fn encode_split(
        &self,
        whole: &Rendered,
        border: usize,
        marked: bool,
        options: &TokenOptions,
    ) -> Result<PromptCompletion, crate::Error> {
        let mut borders = borders(whole);
        borders.push(border);
        borders.sort_unstable();
        let (encoded, separated) = self.encode_apart(whole, &borders, options.boundary)?;
        let mut learned = self.answer_mask(whole, &encoded, marked);
        let Encoded { mut ids, offsets } = encoded;
        let mut split = offsets.iter().take_while(|offset| offset.end <= border).count();
        learned.drain(..split);
        if let Some(bos) = self.missing_bos(&ids, options)? {
            ids.insert(0, bos);
            split += 1;
        }
        let completion = ids.split_off(split);
        Ok(PromptCompletion { prompt: ids, completion, learned, separated })
    }

    /// For each token, whether it is part of an answer. Where answers are not `marked`, white space after the control token
    /// that ends one is not.
    fn answer_mask(&self, whole: &Rendered, encoded: &Encoded, marked: bool) -> Vec<bool> {
        let mut mask = vec![false; encoded.ids.len()];
        for answer in &whole.assistant {
            let within = |offset: &Range<usize>| {
                answer.start <= offset.start && offset.end <= answer.end && offset.start < offset.end
            };
            let mut inside: Vec<usize> = (0..encoded.ids.len()).filter(|at| within(&encoded.offsets[*at])).collect();
            if !marked {
                self.drop_space_after_end(&mut inside, encoded, &whole.text);
            }
            inside.into_iter().for_each(|at| mask[at] = true);
        }
        mask
    }

    /// Encodes with no token over a border; where one would be, by the policy.
    fn encode_apart(
        &self,
        whole: &Rendered,
        borders: &[usize],
        boundary: Boundary,
    ) -> Result<(Encoded, bool), crate::Error> {
        let free = self.encode_parts(&whole.text, &whole.spelled, &[])?;
        if borders.is_empty() {
            return Ok((free, false));
        }
        let apart = self.encode_parts(&whole.text, &whole.spelled, borders)?;
        if free.ids == apart.ids {
            return Ok((apart, false));
        }
        match boundary {
            Boundary::Separate => Ok((apart, true)),
            Boundary::Refuse => Err(merge(whole, borders, &free).into()),
        }
    }

    /// Leaves out the tokens after the control token that ends an answer where they are white space.
    fn drop_space_after_end(&self, inside: &mut Vec<usize>, encoded: &Encoded, text: &str) {
        let end = inside.iter().rposition(|at| self.is_control(encoded.ids[*at]));
        if let Some(end) = end {
            let is_space = |at: &usize| text[encoded.offsets[*at].clone()].chars().all(char::is_whitespace);
            if inside[end + 1..].iter().all(is_space) {
                inside.truncate(end + 1);
            }
        }
    }

    /// The BOS that the tokenizer adds to plain text, where these ids do not begin with it and are to.
    fn missing_bos(&self, ids: &[u32], options: &TokenOptions) -> Result<Option<u32>, crate::Error> {
        let bos = self.bos().filter(|bos| options.ensure_bos && ids.first() != Some(bos));
        let Some(bos) = bos else { return Ok(None) };
        let adds = self.encode("a", Specials::AsConfigured)?.first() == Some(&bos);
        Ok(Some(bos).filter(|_| adds))
    }
}

/// Where answers begin and end, learned or not, in the order of the text.
fn borders(whole: &Rendered) -> Vec<usize> {
    let answers = whole.assistant.iter().chain(&whole.unlearned);
    let mut borders: Vec<usize> = answers.flat_map(|range| [range.start, range.end]).collect();
    borders.sort_unstable();
    borders
}

/// The first border that the tokens of the whole text do not respect.
fn merge(whole: &Rendered, borders: &[usize], free: &Encoded) -> TemplateError {
    let over = |border: &usize| {
        let token = free.offsets.iter().find(|offset| offset.start < *border && *border < offset.end)?;
        Some((*border, whole.text[token.clone()].to_owned()))
    };
    // Without a token over a border, the text after it changed how the text before it is cut.
    let (byte, token) =
        borders.iter().find_map(over).unwrap_or_else(|| (borders.first().copied().unwrap_or(0), String::new()));
    let ends = whole.assistant.iter().any(|answer| answer.start < byte && answer.end == byte);
    let (before, after) = if ends { ("answer", "text after it") } else { ("prompt", "answer") };
    TemplateError::BoundaryMerge { before, after, byte, token }
}
