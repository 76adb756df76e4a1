//! A secret that does not show itself.

use std::fmt;

/// A key or token. It has no `Display`, and its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes visible ASCII characters; white space around them is dropped. None for anything else.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let valid = !text.is_empty() && text.len() <= 4096 && text.bytes().all(|byte| byte.is_ascii_graphic());
        valid.then(|| Secret(text.to_owned()))
    }

    /// The value of an `Authorization` header.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A text of somebody who may know the secret, without it.
    pub fn scrub(&self, text: &str) -> String {
        text.replace(&self.0, "[secret]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_shown() {
        let secret = Secret::new(" hf_secret\n").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(hidden)");
        assert_eq!(secret.authorization(), "Bearer hf_secret");
        assert_eq!(secret.scrub("key hf_secret is wrong"), "key [secret] is wrong");
        for text in ["", " ", "a b", "a\nb", "é", &"x".repeat(5000)] {
            assert!(Secret::new(text).is_none());
        }
    }
}
