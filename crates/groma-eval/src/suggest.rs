//! What was probably meant.

/// Names that are closer than this are suggested (Jaro-Winkler).
const SIMILAR: f64 = 0.6;

/// The known name that is closest to a wrong one, if one is close.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let closeness = known.into_iter().map(|name| (strsim::jaro_winkler(name, wrong), name));
    let best = closeness.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(closeness, _)| *closeness > SIMILAR).map(|(_, name)| name)
}

/// The end of a message about a wrong name: what was probably meant, or else what there is.
pub(crate) fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(wrong, known.clone()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; there are {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}
