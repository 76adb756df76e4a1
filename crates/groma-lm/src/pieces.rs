//! A text as it is made, piece by piece.

/// Hands out a growing text, and holds back what may turn out to be the beginning of a stop string.
pub(crate) struct Pieces<'a> {
    stops: &'a [String],
    text: String,
    /// Bytes that were handed out.
    done: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(stops: &'a [String]) -> Self {
        Pieces { stops, text: String::new(), done: 0 }
    }

    /// Adds a piece; gives what is certain to stay.
    pub(crate) fn push(&mut self, piece: &str) -> &str {
        self.text.push_str(piece);
        let certain = self.certain();
        &self.text[std::mem::replace(&mut self.done, certain)..certain]
    }

    /// What is left once the whole is known; nothing, where it is another text than was made.
    pub(crate) fn rest<'b>(&self, whole: &'b str) -> &'b str {
        whole.strip_prefix(&self.text[..self.done]).unwrap_or_default()
    }

    /// Where the first stop string begins that is there, or may be at the end; never before what was handed out.
    fn certain(&self) -> usize {
        let mut places = self.text.char_indices().map(|(at, _)| at).filter(|&at| at >= self.done);
        let may_begin = |at: &usize| {
            let rest = &self.text[*at..];
            let mut stops = self.stops.iter().filter(|stop| !stop.is_empty());
            stops.any(|stop| stop.starts_with(rest) || rest.starts_with(stop.as_str()))
        };
        places.find(may_begin).unwrap_or(self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_stop_string_is_handed_out() {
        let stops = ["<end>".to_owned(), String::new()];
        let mut pieces = Pieces::new(&stops);
        let said: Vec<String> =
            ["Hö", " <", "b", "> <e", "nd> more"].iter().map(|piece| pieces.push(piece).to_owned()).collect();
        assert_eq!(said, ["Hö", " ", "<b", "> ", ""]);
        assert_eq!(pieces.rest("Hö <b> "), "");
        let mut pieces = Pieces::new(&stops);
        assert_eq!(pieces.push("a <"), "a ");
        assert_eq!(pieces.rest("a <"), "<");
        assert_eq!(pieces.rest("another"), "");
    }
}
