//! Transcripts in the layout of Anthropic's hh-rlhf: `\n\nHuman: ...\n\nAssistant: ...`.

use groma_chat::Message;

const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";

/// Whether a text begins like a transcript.
pub(crate) fn is_transcript(text: &str) -> bool {
    text.starts_with(HUMAN) || text.starts_with(ASSISTANT)
}

/// The turns of a transcript, their contents trimmed.
///
/// # Errors
/// What does not begin with a turn.
pub fn parse_transcript(text: &str) -> Result<Vec<Message>, String> {
    if !is_transcript(text) {
        return Err("the transcript does not begin with a `Human:` or `Assistant:` turn".to_owned());
    }
    let mut turns = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (role, body) = match rest.strip_prefix(HUMAN) {
            Some(body) => ("user", body),
            None => ("assistant", rest.strip_prefix(ASSISTANT).unwrap_or(rest)),
        };
        let end = [HUMAN, ASSISTANT].iter().filter_map(|marker| body.find(marker)).min().unwrap_or(body.len());
        turns.push(Message::new(role, body[..end].trim()));
        rest = &body[end..];
    }
    Ok(turns)
}

/// A pair of transcripts as (prompt, chosen answer, rejected answer): all turns but the last must agree, and the last
/// must be the assistant's.
pub(crate) fn split_pair(chosen: &str, rejected: &str) -> Result<(Vec<Message>, Message, Message), String> {
    let parsed = |name: &str, text| parse_transcript(text).map_err(|why| format!("`{name}`: {why}"));
    let (mut prompt, mut other) = (parsed("chosen", chosen)?, parsed("rejected", rejected)?);
    if prompt.len() != other.len() {
        return Err(format!("the transcripts have {} and {} turns, so no common prompt", prompt.len(), other.len()));
    }
    let (chosen, rejected) = (last_answer("chosen", prompt.pop())?, last_answer("rejected", other.pop())?);
    if let Some(turn) = prompt.iter().zip(&other).position(|(a, b)| a != b) {
        return Err(format!("the transcripts differ before the last turn (turn {}), so no common prompt", turn + 1));
    }
    if prompt.is_empty() {
        return Err("the transcripts hold an answer but no prompt".to_owned());
    }
    Ok((prompt, chosen, rejected))
}

fn last_answer(name: &str, turn: Option<Message>) -> Result<Message, String> {
    match turn {
        Some(turn) if turn.role == "assistant" => Ok(turn),
        _ => Err(format!("`{name}` does not end with a turn of the assistant")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_parsed() {
        let turns =
            parse_transcript("\n\nHuman: Hi\n\nthere\n\nAssistant: Hello: \n\nHuman:\n\nAssistant: Yes").unwrap();
        let expected = [("user", "Hi\n\nthere"), ("assistant", "Hello:"), ("user", ""), ("assistant", "Yes")];
        assert_eq!(turns, expected.map(|(role, content)| Message::new(role, content)));
        assert!(parse_transcript("Human: hi").is_err());
        assert!(parse_transcript("").is_err());
    }

    #[test]
    fn pairs_share_their_prompt() {
        let (prompt, chosen, rejected) =
            split_pair("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: a\n\nAssistant: c").unwrap();
        assert_eq!(prompt, [Message::new("user", "a")]);
        assert_eq!((&*chosen.content, &*rejected.content), ("b", "c"));
        for (a, b, why) in [
            ("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: x\n\nAssistant: c", "differ before the last turn (turn 1)"),
            ("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: a", "2 and 1 turns"),
            ("\n\nHuman: a\n\nHuman: b", "\n\nHuman: a\n\nHuman: c", "`chosen` does not end"),
            ("\n\nAssistant: b", "\n\nAssistant: c", "no prompt"),
            ("hello", "\n\nHuman: a", "`chosen`: the transcript does not begin"),
        ] {
            let error = split_pair(a, b).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
