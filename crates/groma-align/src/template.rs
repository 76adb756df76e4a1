//! Templates: texts with places for others.

/// Where a template has the prompt.
pub(crate) const PROMPT_PLACE: &str = "{prompt}";

/// A template with texts in their places; what stands in the texts is no place.
pub(crate) fn filled(template: &str, texts: &[(&str, &str)]) -> String {
    let (mut whole, mut rest) = (String::new(), template);
    let next = |rest: &str| {
        let found = texts.iter().filter_map(|(place, text)| Some((rest.find(place)?, place.len(), *text)));
        found.min_by_key(|(at, ..)| *at)
    };
    while let Some((at, length, text)) = next(rest) {
        whole += &rest[..at];
        whole += text;
        rest = &rest[at + length..];
    }
    whole + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_look_like_places_are_none() {
        let texts = [("{prompt}", "a {feedback} {prompt}"), ("{feedback}", "b")];
        assert_eq!(
            filled("<{prompt}|{feedback}|{prompt}|{other}", &texts),
            "<a {feedback} {prompt}|b|a {feedback} {prompt}|{other}"
        );
    }
}
