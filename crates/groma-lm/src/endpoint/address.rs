//! Where a model is served.

use std::net::IpAddr;

use ureq::http::Uri;

/// What a server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Both kinds, each for what it is good for.
    Both,
    /// `chat/completions` alone.
    Chat,
    /// `completions` alone.
    Completions,
}

/// A model on a server: `URL#NAME`, e.g. `http://localhost:8000/v1#my-model`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address below which the server answers, without a slash at its end.
    pub(crate) base: String,
    /// The model's name there.
    pub(crate) model: String,
    pub(crate) api: Api,
}

/// How a model on a server is written.
const MODEL: &str = "URL#NAME, e.g. http://localhost:8000/v1#my-model";
/// How a server of rewards is written.
const REWARD: &str = "a URL, e.g. http://localhost:5000/get_reward";

/// A text that begins like the address of a server and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what} on a server: {why}; expected {expected}")]
pub struct AddressError {
    /// The text, without what may be a secret.
    text: String,
    /// What is wrong.
    why: &'static str,
    /// What it should have been.
    what: &'static str,
    /// How such a thing is written.
    expected: &'static str,
}

impl Address {
    /// Whether a text is meant as one: it begins with `http://` or `https://`.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("http://") || text.starts_with("https://")
    }

    /// Reads `URL#NAME`. A URL that ends in `/chat/completions` or `/completions` asks for that alone.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (url, model) = text.split_once('#').unwrap_or((text, ""));
        let wrong = |why| Err(AddressError { text: without_user(text), why, what: "model", expected: MODEL });
        let url = url.trim_end_matches('/');
        let (base, api) = match (url.strip_suffix("/chat/completions"), url.strip_suffix("/completions")) {
            (Some(base), _) => (base, Api::Chat),
            (None, Some(base)) => (base, Api::Completions),
            (None, None) => (url, Api::Both),
        };
        match problem(base) {
            Some(why) => wrong(why),
            None if model.is_empty() => wrong("it does not name the model"),
            None => Ok(Address { base: base.trim_end_matches('/').to_owned(), model: model.to_owned(), api }),
        }
    }

    /// Reads the address of something that is asked at one path, as its place and that path.
    ///
    /// # Errors
    /// [`AddressError`].
    pub(super) fn with_path(text: &str) -> Result<(Self, String), AddressError> {
        let wrong = |why| Err(AddressError { text: without_user(text), why, what: "reward", expected: REWARD });
        match problem(text) {
            Some(why) => wrong(why),
            None if text.contains('#') => wrong("it names a model"),
            None => {
                let host = text.find("://").map_or(0, |scheme| scheme + 3);
                let (base, path) = text[host..].split_once('/').unwrap_or((&text[host..], ""));
                let base = format!("{}{base}", &text[..host]);
                Ok((Address { base, model: String::new(), api: Api::Both }, path.to_owned()))
            }
        }
    }

    /// The model's name on the server.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Host and port, for messages.
    pub(crate) fn authority(&self) -> &str {
        let after_scheme = self.base.split_once("://").map_or(&*self.base, |(_, rest)| rest);
        after_scheme.split('/').next().unwrap_or(after_scheme)
    }

    /// Whether a key may be sent there: over https, or to this machine or a host of the network that it is in.
    pub(crate) fn may_see_key(&self) -> bool {
        self.base.starts_with("https://") || is_near(&self.base)
    }

    /// Whether the host is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        host_of(&self.base).is_some_and(|host| {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }
}

/// What is wrong with the URL of a server, if anything is.
fn problem(url: &str) -> Option<&'static str> {
    let Ok(uri) = url.parse::<Uri>() else { return Some("its URL cannot be read") };
    match uri.authority().filter(|_| uri.scheme().is_some()) {
        _ if !Address::is_meant(url) => Some("it does not begin with http:// or https://"),
        None => Some("it names no host"),
        Some(authority) if authority.as_str().contains('@') => {
            Some("it holds a user name or password; keys come from the environment")
        }
        Some(authority) if authority.port_u16().is_none() && Some(authority.as_str()) != Uri::host(&uri) => {
            Some("its port is no number")
        }
        _ => uri.query().map(|_| "it holds a query"),
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = match self.api {
            Api::Both => "",
            Api::Chat => "/chat/completions",
            Api::Completions => "/completions",
        };
        write!(f, "{}{path}#{}", self.base, self.model)
    }
}

fn host_of(url: &str) -> Option<String> {
    let uri = url.parse::<Uri>().ok()?;
    Some(Uri::host(&uri)?.trim_start_matches('[').trim_end_matches(']').to_owned())
}

fn is_near(url: &str) -> bool {
    let Some(host) = host_of(url) else { return false };
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        Ok(IpAddr::V6(v6)) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        Err(_) => !host.contains('.') || host.ends_with(".local"),
    }
}

fn without_user(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}...{}", &text[..scheme + 3], &text[at..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let parse = |text: &str| Address::parse(text).map(|address| (address.base, address.model, address.api));
        let both = parse("http://localhost:8000/v1/#org/name:7b");
        assert_eq!(both, Ok(("http://localhost:8000/v1".into(), "org/name:7b".into(), Api::Both)));
        assert_eq!(parse("https://h/v1/chat/completions#m").unwrap().2, Api::Chat);
        let raw = parse("https://h/v1/completions#m");
        assert_eq!(raw, Ok(("https://h/v1".into(), "m".into(), Api::Completions)));
        for wrong in ["http://h/v1", "http://#m", "http://h/v1?key=1#m", "http://u:hush@h/v1#m", "h#m", "http://h:x#m"]
        {
            let error = Address::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("URL#NAME") && !error.contains("hush"), "{error}");
        }
        let text = "https://h/v1/chat/completions#m";
        assert_eq!(Address::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn what_is_asked_at_one_path_is_a_place_and_the_path() {
        let parse = |text: &str| Address::with_path(text).map(|(address, path)| (address.base, path));
        let both = |base: &str, path: &str| Ok((base.to_owned(), path.to_owned()));
        assert_eq!(parse("http://localhost:5000/get_reward"), both("http://localhost:5000", "get_reward"));
        assert_eq!(parse("https://h/a/b/"), both("https://h", "a/b/"));
        assert_eq!(parse("http://h:1"), both("http://h:1", ""));
        for wrong in ["h/get_reward", "http://", "http://h/r?key=1", "http://u:hush@h/r", "http://h/r#m", "ftp://h/r"] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains("get_reward") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn keys_do_not_go_in_the_clear() {
        let may = |url: &str| Address::parse(&format!("{url}/v1#m")).unwrap().may_see_key();
        for near in
            ["https://api.example.com", "http://127.0.0.1:1", "http://[::1]:1", "http://gpu:8000", "http://10.0.0.2"]
        {
            assert!(may(near), "{near}");
        }
        for far in ["http://api.example.com", "http://8.8.8.8"] {
            assert!(!may(far), "{far}");
        }
    }
}
