//! Decoding that is steered: away from what is unwanted, by what a model says when it is told to show it, or by another model; or
//! towards what the model itself finds worth more.

use groma_chat::Turns;
use groma_data::Content;
use groma_model::guidance::{ByAdvantage, Guide, Rule, SelfDebias, SelfDetox};
use groma_model::{Transformer, View};

use crate::{Encoder, Failure};

/// How answers of a local model are steered.
#[derive(Clone, Copy, Debug)]
pub enum Steering<'a> {
    /// Against attributes that the model is told to show (see [`SelfDebias`]), each in words.
    Debias {
        /// With what strength.
        rule: SelfDebias,
        /// E.g. `rude, disrespectful or unreasonable language`.
        attributes: &'a [String],
    },
    /// Against a model of the unwanted, of the same vocabulary (see [`SelfDetox`]).
    Detox {
        /// With what strength.
        rule: SelfDetox,
        /// Asked the same questions.
        unwanted: &'a Transformer,
    },
    /// Towards what the model's heads find next tokens worth (see [`ByAdvantage`]).
    Worth {
        /// With what strength.
        rule: ByAdvantage,
    },
}

impl<'a> Steering<'a> {
    pub(crate) fn rule(&self) -> &dyn Rule {
        match self {
            Steering::Debias { rule, .. } => rule,
            Steering::Detox { rule, .. } => rule,
            Steering::Worth { rule } => rule,
        }
    }

    /// The tokens that each guide reads in the place of a prompt.
    ///
    /// # Errors
    /// Where one cannot be encoded, or is too long.
    pub(crate) fn prompts(
        &self,
        encoder: &Encoder<'_>,
        prompt: &Content,
        limit: usize,
    ) -> Result<Vec<Vec<u32>>, Failure> {
        let asked = match self {
            Steering::Debias { attributes, .. } => attributes.iter().map(|text| telling(prompt, text)).collect(),
            Steering::Detox { .. } => vec![prompt.clone()],
            Steering::Worth { .. } => Vec::new(),
        };
        let encode = |content: &Content| {
            let ids = encoder.prompt(content).map_err(Failure::prompt)?;
            let fits = !ids.is_empty() && ids.len() < limit;
            if fits { Ok(ids) } else { Err(Failure::TooLong { tokens: ids.len(), limit }) }
        };
        asked.iter().map(encode).collect()
    }

    /// The guides of a call, by what each reads of each prompt.
    pub(crate) fn guides<'b>(&self, own: (&'b Transformer, &'b View), prompts: &'b [Vec<Vec<u32>>]) -> Vec<Guide<'b>>
    where
        'a: 'b,
    {
        let (transformer, view) = match self {
            Steering::Debias { .. } | Steering::Worth { .. } => own,
            Steering::Detox { unwanted, .. } => (*unwanted, View::plain()),
        };
        prompts.iter().map(|prompts| Guide { transformer, view, prompts }).collect()
    }

    /// In a few words, for how a number came about.
    pub(crate) fn words(&self) -> String {
        match self {
            Steering::Debias { rule, attributes } => {
                format!(
                    "self-debiased against {} (decay {})",
                    groma_run::counted(attributes.len() as u64, "attribute"),
                    rule.decay
                )
            }
            Steering::Detox { rule, .. } => {
                let of = if rule.top_k == 0 { "all".to_owned() } else { format!("the {} likeliest", rule.top_k) };
                format!("re-ranked against another model, {of} tokens, weight {}", rule.weight)
            }
            Steering::Worth { rule } => format!("weighed by what tokens are worth, beta {}", rule.beta),
        }
    }
}

/// A prompt whose answer is to show an attribute: the wording of Schick et al. 2021, in a conversation before what the user said
/// last.
fn telling(prompt: &Content, attribute: &str) -> Content {
    let told = |text: &str| format!("The following text contains {attribute}:\n{text}");
    match prompt {
        Content::Text(text) => Content::Text(told(text)),
        Content::Messages(turns) => {
            let mut messages = turns.messages.clone();
            if let Some(last) = messages.iter_mut().rev().find(|message| message.role == "user") {
                last.content = told(&last.content);
            }
            Content::Messages(Turns { messages, ..turns.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_data::Message;

    #[test]
    fn the_last_question_is_told_what_to_show() {
        assert_eq!(
            telling(&Content::Text("x".into()), "rude words").plain(),
            "The following text contains rude words:\nx"
        );
        let turns = [("user", "a"), ("assistant", "b"), ("user", "c")];
        let turns: Vec<Message> = turns.iter().map(|(role, text)| Message::new(*role, *text)).collect();
        let Content::Messages(told) = telling(&turns.into(), "rude words") else { panic!("turns stay turns") };
        let texts: Vec<&str> = told.messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(texts, ["a", "b", "The following text contains rude words:\nc"]);
    }
}
