//! Where the hub and its cache are, from the usual environment variables.

use std::path::{Path, PathBuf};
use std::time::Duration;

use groma_run::Secret as Token;
use ureq::http::Uri;

use crate::error::{Error, Result};

const ENDPOINT: &str = "https://huggingface.co";

/// How to reach the hub.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The hub's address, without a slash at its end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// The cache (`HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`).
    pub cache: PathBuf,
    /// The token (`HF_TOKEN`, else the file `HF_TOKEN_PATH`, else `HF_HOME/token`).
    pub token: Option<Token>,
    /// Whether the network must not be used (`HF_HUB_OFFLINE`).
    pub offline: bool,
    /// How long to wait for a connection, an answer, or the next bytes.
    pub patience: Duration,
    /// How long to wait before the second attempt; twice that before the third, and so on.
    pub retry_wait: Duration,
    /// Attempts for each request.
    pub attempts: u32,
}

impl Settings {
    /// From the environment of the process.
    ///
    /// # Errors
    /// [`Error::Setting`] for a variable whose value cannot be used.
    pub fn from_environment() -> Result<Self> {
        Self::from_lookup(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
    }

    /// From any source of named values; a missing variable is None.
    ///
    /// # Errors
    /// As for [`Settings::from_environment`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let home = home(&lookup)?;
        let cache = lookup("HF_HUB_CACHE").or_else(|| lookup("HUGGINGFACE_HUB_CACHE"));
        Ok(Settings {
            endpoint: checked_endpoint(lookup("HF_ENDPOINT").as_deref().unwrap_or(ENDPOINT))?,
            cache: cache.map_or_else(|| home.join("hub"), PathBuf::from),
            token: token(&lookup, &home)?,
            offline: flag(&lookup, "HF_HUB_OFFLINE")?,
            patience: Duration::from_secs(60),
            retry_wait: Duration::from_millis(500),
            attempts: 3,
        })
    }

    /// The hub's host, with its port, for messages.
    pub(crate) fn authority(&self) -> &str {
        let after_scheme = self.endpoint.split_once("://").map_or(&*self.endpoint, |(_, rest)| rest);
        after_scheme.split('/').next().unwrap_or(after_scheme)
    }
}

fn home(lookup: &impl Fn(&str) -> Option<String>) -> Result<PathBuf> {
    if let Some(home) = lookup("HF_HOME") {
        return Ok(PathBuf::from(home));
    }
    if let Some(cache) = lookup("XDG_CACHE_HOME") {
        return Ok(Path::new(&cache).join("huggingface"));
    }
    let user = lookup("HOME").or_else(|| lookup("USERPROFILE"));
    user.map(|user| Path::new(&user).join(".cache").join("huggingface")).ok_or_else(|| Error::Setting {
        name: "HF_HOME",
        why: "neither it nor HOME is set, so there is no place for the cache".to_owned(),
    })
}

/// The hub's address without a slash at its end, if it can be used.
pub(crate) fn checked_endpoint(value: &str) -> Result<String> {
    let wrong = |why: &str| Err(Error::Setting { name: "HF_ENDPOINT", why: why.to_owned() });
    let value = value.trim().trim_end_matches('/');
    let Ok(uri) = value.parse::<Uri>() else { return wrong("it is no address") };
    let Some(authority) = uri.authority() else { return wrong("it must be https://HOST") };
    if authority.as_str().contains('@') {
        return wrong("it holds a user name or password");
    }
    match uri.scheme_str() {
        _ if uri.query().is_some() => wrong("it holds a query"),
        Some("https") => Ok(value.to_owned()),
        Some("http") if Uri::host(&uri).is_some_and(is_loopback) => Ok(value.to_owned()),
        Some("http") => wrong("plain http is accepted for this machine only; use https"),
        _ => wrong("it must begin with https://"),
    }
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The largest file with a token that is read, in bytes.
const TOKEN_FILE_BYTES: u64 = 64 << 10;

fn token(lookup: &impl Fn(&str) -> Option<String>, home: &Path) -> Result<Option<Token>> {
    let invalid = |name| Error::Setting { name, why: "its value is no token".to_owned() };
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
        if let Some(value) = lookup(name) {
            return Token::new(&value).map(Some).ok_or_else(|| invalid(name));
        }
    }
    let path = lookup("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
    match groma_run::read_text(&path, TOKEN_FILE_BYTES) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Token::new(&text).map(Some).ok_or_else(|| invalid("HF_TOKEN_PATH")),
        Err(_) => Ok(None),
    }
}

fn flag(lookup: &impl Fn(&str) -> Option<String>, name: &'static str) -> Result<bool> {
    match lookup(name).map(|value| value.trim().to_ascii_lowercase()).as_deref() {
        None | Some("0" | "off" | "no" | "false") => Ok(false),
        Some("1" | "on" | "yes" | "true") => Ok(true),
        Some(_) => Err(Error::Setting { name, why: "expected 1 or 0".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(values: &[(&str, &str)]) -> Result<Settings> {
        let values: Vec<(String, String)> = values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Settings::from_lookup(|name| values.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()))
    }

    #[test]
    fn places_follow_the_usual_order() {
        let cache = |values: &[(&str, &str)]| settings(values).unwrap().cache;
        let home = ("HOME", "/u");
        assert_eq!(cache(&[home]), Path::new("/u/.cache/huggingface/hub"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/c")]), Path::new("/c/huggingface/hub"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/c"), ("HF_HOME", "/h")]), Path::new("/h/hub"));
        assert_eq!(cache(&[home, ("HF_HOME", "/h"), ("HF_HUB_CACHE", "/x")]), Path::new("/x"));
        assert!(matches!(settings(&[]), Err(Error::Setting { name: "HF_HOME", .. })));
        assert_eq!(settings(&[home]).unwrap().endpoint, ENDPOINT);
    }

    #[test]
    fn tokens_come_from_the_variable_or_the_files() {
        let directory = tempfile::TempDir::new().unwrap();
        let (home, other) = (directory.path().to_str().unwrap(), directory.path().join("other"));
        std::fs::write(directory.path().join("token"), "from_home\n").unwrap();
        std::fs::write(&other, "from_path\n").unwrap();
        let other = other.to_str().unwrap();
        let token = |values: &[(&str, &str)]| settings(values).unwrap().token;
        assert_eq!(token(&[("HF_HOME", home)]), Token::new("from_home"));
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN_PATH", other)]), Token::new("from_path"));
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN", "from_env")]), Token::new("from_env"));
        assert_eq!(token(&[("HF_HOME", "/nowhere")]), None);
        let error = settings(&[("HF_HOME", home), ("HF_TOKEN", "secret value")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
        let shown = format!("{:?}", settings(&[("HF_HOME", home), ("HF_TOKEN", "sesame")]).unwrap());
        assert!(shown.contains("Secret(hidden)") && !shown.contains("sesame"), "{shown}");
    }

    #[test]
    fn endpoints_and_flags_are_checked() {
        let home = ("HOME", "/u");
        for (value, expected) in [
            ("https://mirror.example/", "https://mirror.example"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:1/sub", "http://localhost:1/sub"),
        ] {
            assert_eq!(settings(&[home, ("HF_ENDPOINT", value)]).unwrap().endpoint, expected);
        }
        for value in ["http://mirror.example", "ftp://x", "mirror", "https://u:p@x", "https://x?y=1", "file:///x", "::"]
        {
            assert!(matches!(settings(&[home, ("HF_ENDPOINT", value)]), Err(Error::Setting { .. })), "{value}");
        }
        for (value, expected) in [("1", true), ("ON", true), ("true", true), ("0", false), ("no", false)] {
            assert_eq!(settings(&[home, ("HF_HUB_OFFLINE", value)]).unwrap().offline, expected);
        }
        assert!(settings(&[home, ("HF_HUB_OFFLINE", "maybe")]).is_err());
    }
}
