//! Patterns of names.

/// Whether a text is the parts of the pattern, in their order, with anything where the stars are.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let (Some((first, _)), Some((_, last))) = (pattern.split_once('*'), pattern.rsplit_once('*')) else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    let inner = pattern.get(first.len() + 1..pattern.len() - last.len()).unwrap_or_default();
    for part in inner.split('*').filter(|part| !part.is_empty()) {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tasks;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text) in
            [("arc-*", "arc-easy"), ("*", "x"), ("*qa-*1", "truthfulqa-mc1"), ("a*b*c", "abbc"), ("ab*", "ab")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("arc-*", "marc-easy"), ("a*a", "a"), ("*b*c", "acb"), ("a*b*b", "ab")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        let tasks = Tasks::built_in().unwrap();
        let matching = |pattern: &str| tasks.matching(pattern);
        let ids: Vec<&str> = matching("arc-*").unwrap().iter().map(|task| task.id.as_str()).collect();
        assert_eq!(ids, ["arc-easy", "arc-challenge"]);
        assert_eq!(matching("ARC_Easy").unwrap()[0].id, "arc-easy");
        assert!(matching("zz*").is_err());
    }
}
