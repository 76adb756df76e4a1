//! Requests to the hub: bounded in time, in size and in where they may lead.

use std::io::Read;
use std::time::Instant;

use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

use crate::error::{Error, Result};
use crate::id::{HubId, is_commit};
use crate::private::is_private;
use crate::settings::{Settings, is_loopback};

/// Redirects that one request may follow.
const MAX_REDIRECTS: usize = 5;
/// Bytes of an answer that is not a file.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// A small answer as a whole may take so many times what a part of it may.
const ANSWER_PATIENCE: u32 = 10;

/// Which of the hub's kinds of repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    Dataset,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Model => "model",
            Kind::Dataset => "dataset",
        }
    }

    /// The repository as hf-hub names it, at a revision.
    pub(crate) fn repo(self, id: &HubId, revision: &str) -> hf_hub::Repo {
        let kind = match self {
            Kind::Model => hf_hub::RepoType::Model,
            Kind::Dataset => hf_hub::RepoType::Dataset,
        };
        hf_hub::Repo::with_revision(id.repository(), kind, revision.to_owned())
    }
}

/// What is asked for, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: &'a HubId,
}

/// An answer with a body, and what the hub said about the file on the way.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The commit that the hub named.
    pub(crate) commit: Option<String>,
    /// The name under which the cache keeps the content.
    pub(crate) etag: Option<String>,
    /// The size that the hub announced.
    pub(crate) announced_bytes: Option<u64>,
    /// The bytes of this body.
    pub(crate) length: Option<u64>,
    /// Where in the file this body begins.
    pub(crate) start: u64,
    pub(crate) body: Body,
}

/// A client of one hub.
pub(crate) struct Client {
    agent: Agent,
    pub(crate) settings: Settings,
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Self {
        let patience = Some(settings.patience);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_send_request(patience)
            .timeout_recv_response(patience)
            .timeout_per_read(patience)
            .user_agent(concat!("groma/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity");
        if is_loopback(settings.authority().rsplit_once(':').map_or(settings.authority(), |(host, _)| host)) {
            config = config.proxy(None);
        }
        Client { agent: config.build().new_agent(), settings }
    }

    /// Tries a request again after transient failures.
    pub(crate) fn retried<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut wait = self.settings.retry_wait;
        for _ in 1..self.settings.attempts {
            match attempt() {
                Err(error) if error.is_transient() => std::thread::sleep(wait),
                outcome => return outcome,
            }
            wait *= 2;
        }
        attempt()
    }

    /// A small JSON answer of the hub itself.
    pub(crate) fn small(&self, path: &str, wanted: Wanted<'_>) -> Result<Vec<u8>> {
        let answer = self.get(&format!("{}/{path}", self.settings.endpoint), 0, wanted)?;
        self.read_small(answer, wanted)
    }

    fn read_small(&self, answer: Answer, wanted: Wanted<'_>) -> Result<Vec<u8>> {
        let (mut bytes, mut piece, begun) = (Vec::new(), vec![0; 1 << 16], Instant::now());
        let mut reader = answer.body.into_with_config().limit(u64::MAX).reader().take(MAX_ANSWER_BYTES + 1);
        loop {
            let read = reader.read(&mut piece).map_err(|error| self.unreachable(&error))?;
            bytes.extend(&piece[..read]);
            if bytes.len() as u64 > MAX_ANSWER_BYTES {
                return Err(self.suspicious(wanted, "it is larger than 64 MiB"));
            }
            if read == 0 {
                return Ok(bytes);
            }
            // Each read has its own limit; a byte at a time would keep to that for ever.
            if begun.elapsed() > self.settings.patience.saturating_mul(ANSWER_PATIENCE) {
                return Err(self.unreachable(&"its answer comes too slowly"));
            }
        }
    }

    /// Requests an address of the hub from byte `start` on, and follows its redirects.
    pub(crate) fn get(&self, address: &str, start: u64, wanted: Wanted<'_>) -> Result<Answer> {
        let mut address = self.parse(address, wanted)?;
        let (mut commit, mut etag, mut announced_bytes) = (None, None, None);
        for _ in 0..=MAX_REDIRECTS {
            let ours = self.is_hub(&address);
            let response = self.request(&address, start, ours)?;
            let headers = response.headers();
            if ours {
                commit = commit.or_else(|| text(headers, "x-repo-commit"));
                let linked = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
                etag = etag.or(linked);
                announced_bytes = announced_bytes.or_else(|| text(headers, "x-linked-size")?.parse().ok());
            }
            if response.status().is_redirection() {
                address = self.redirected(&address, &response, wanted)?;
                continue;
            }
            let status = response.status().as_u16();
            if !matches!(status, 200 | 206) {
                return Err(self.refusal(status, headers, ours, wanted));
            }
            let commit = commit.map(|commit| self.checked_commit(commit, wanted)).transpose()?;
            let etag = etag.map(|etag| self.checked_etag(&etag, wanted)).transpose()?;
            let length = text(headers, "content-length").and_then(|length| length.parse().ok());
            let start = if status == 206 { range_start(headers).unwrap_or(start) } else { 0 };
            return Ok(Answer { status, commit, etag, announced_bytes, length, start, body: response.into_body() });
        }
        Err(self.suspicious(wanted, "it redirects too often"))
    }

    fn parse(&self, address: &str, wanted: Wanted<'_>) -> Result<Uri> {
        address.parse().map_err(|_| self.suspicious(wanted, "it leads to something that is no address"))
    }

    /// Whether an address is of the hub itself, which alone may see the token.
    fn is_hub(&self, address: &Uri) -> bool {
        let Ok(hub) = self.settings.endpoint.parse::<Uri>() else { return false };
        (address.scheme(), address.authority()) == (hub.scheme(), hub.authority())
    }

    fn request(&self, address: &Uri, start: u64, ours: bool) -> Result<Response<Body>> {
        let mut request = self.agent.get(address);
        if let Some(token) = self.settings.token.as_ref().filter(|_| ours) {
            request = request.header("authorization", token.authorization());
        }
        if start > 0 {
            request = request.header("range", format!("bytes={start}-"));
        }
        request.call().map_err(|error| self.unreachable(&error))
    }

    /// Where a redirect leads: never from https to http, and to a private address only from that address.
    fn redirected(&self, from: &Uri, response: &Response<Body>, wanted: Wanted<'_>) -> Result<Uri> {
        let Some(location) = text(response.headers(), "location") else {
            return Err(self.suspicious(wanted, "it redirects to nowhere"));
        };
        let base = |path: &str| {
            let (scheme, authority) =
                (from.scheme_str().unwrap_or("https"), from.authority().map_or("", |a| a.as_str()));
            format!("{scheme}://{authority}{path}")
        };
        let to = if location.starts_with("//") {
            self.parse(&format!("{}:{location}", from.scheme_str().unwrap_or("https")), wanted)?
        } else if location.starts_with('/') {
            self.parse(&base(&location), wanted)?
        } else {
            self.parse(&location, wanted)?
        };
        let (Some(host), Some(scheme)) = (Uri::host(&to), to.scheme_str()) else {
            return Err(self.suspicious(wanted, "it redirects to something that is no address"));
        };
        let same_host = Some(host) == Uri::host(from);
        if scheme != "https" && !(scheme == "http" && from.scheme_str() == Some("http")) {
            return Err(self.suspicious(wanted, "it redirects to an address that is not https"));
        }
        if is_private(host) && !same_host {
            return Err(self.suspicious(wanted, "it redirects to a private address"));
        }
        Ok(to)
    }

    fn checked_commit(&self, commit: String, wanted: Wanted<'_>) -> Result<String> {
        if is_commit(&commit) { Ok(commit) } else { Err(self.suspicious(wanted, "its commit is no commit")) }
    }

    fn checked_etag(&self, etag: &str, wanted: Wanted<'_>) -> Result<String> {
        let etag = etag.trim_start_matches("W/").trim_matches('"');
        let plain = etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if plain && (1..=128).contains(&etag.len()) {
            return Ok(etag.to_owned());
        }
        Err(self.suspicious(wanted, "its ETag cannot be a file name"))
    }

    /// The error for a status, told apart by the hub's own codes.
    fn refusal(&self, status: u16, headers: &HeaderMap, ours: bool, wanted: Wanted<'_>) -> Error {
        let repository = wanted.id.repository();
        let code = text(headers, "x-error-code").unwrap_or_default();
        let prefix = if wanted.kind == Kind::Dataset { "datasets/" } else { "" };
        let page = format!("{}/{prefix}{repository}", self.settings.endpoint);
        let has_token = self.settings.token.is_some();
        match (status, &*code) {
            (401 | 403, "GatedRepo") if ours => Error::Gated { id: repository, page },
            (401 | 403, _) if ours && has_token => Error::TokenRefused { id: repository },
            (404, "RevisionNotFound") => {
                Error::NoRevision { id: repository, revision: wanted.id.revision().to_owned() }
            }
            (404, "EntryNotFound") => Error::NoFile { id: repository, what: "such file".to_owned() },
            (401 | 403 | 404, _) if ours => {
                let viewer = if has_token { "the given token" } else { "somebody without a token" };
                Error::NotFound { kind: wanted.kind.name(), id: repository, viewer }
            }
            _ => Error::Answer { host: self.settings.authority().to_owned(), status, id: repository },
        }
    }

    pub(crate) fn suspicious(&self, wanted: Wanted<'_>, why: impl Into<String>) -> Error {
        Error::Suspicious { host: self.settings.authority().to_owned(), id: wanted.id.repository(), why: why.into() }
    }

    pub(crate) fn unreachable(&self, error: &impl std::fmt::Display) -> Error {
        Error::Unreachable { host: self.settings.authority().to_owned(), why: error.to_string(), cached: None }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The first byte of a partial answer: `bytes 100-199/200`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    text(headers, "content-range")?.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
