//! Requests to a server: bounded in time, in size and in number, and repeated where that can help.

use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use groma_run::{Cancel, Digest, Seed};
use serde_json::Value;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

use super::address::Address;
use super::options::EndpointOptions;
use super::pace::{NAP, Pace};
use crate::{Failure, Usage};

/// Redirects that one request may follow.
const MAX_REDIRECTS: usize = 3;
/// Lines of an answer that are read before they are taken.
const LINES_AHEAD: usize = 64;
/// Of what a server says, so much is repeated.
const SHOWN_CHARACTERS: usize = 200;

/// What a server was asked for and told that it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Spent {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that were not, or not usably.
    pub failed: u64,
    /// Tokens of usable answers, as far as the server tells.
    pub usage: Usage,
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Spent { answered, failed, usage: Usage { prompt_tokens, completion_tokens } } = self;
        write!(f, "the server answered {}, failed {failed}; ", groma_run::counted(*answered, "request"))?;
        write!(f, "{} in, {completion_tokens} out", groma_run::counted(*prompt_tokens, "token"))
    }
}

/// Why a request failed, and when the server wants the next.
pub(super) struct Trouble {
    failure: Failure,
    after: Option<Duration>,
    /// Part of the answer was handed out, so that another cannot take its place.
    is_final: bool,
}

impl Trouble {
    /// That of an answer of which something was handed out, or nothing.
    pub(super) fn amid(failure: Failure, is_final: bool) -> Self {
        Trouble { failure, after: None, is_final }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::amid(failure, false)
    }
}

/// A client of one server.
#[derive(Debug)]
pub(super) struct Transport {
    agent: Agent,
    base: String,
    host: String,
    may_see_key: bool,
    options: EndpointOptions,
    pace: Pace,
    spent: Mutex<Spent>,
    /// Requests in a row that failed to the end; from `concurrency` of them on nothing is repeated.
    given_up: AtomicU64,
    /// Why nothing is asked any more: the very first answers refused the key.
    locked: OnceLock<Failure>,
}

impl Transport {
    pub(super) fn new(address: &Address, options: EndpointOptions) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_global(Some(options.timeout))
            .max_idle_connections_per_host(options.concurrency)
            .user_agent(concat!("groma/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity");
        if address.is_loopback() {
            config = config.proxy(None);
        }
        Transport {
            agent: config.build().new_agent(),
            base: address.base.clone(),
            host: address.authority().to_owned(),
            may_see_key: address.may_see_key(),
            pace: Pace::new(options.clock.clone(), options.requests_per_minute),
            options,
            spent: Mutex::default(),
            given_up: AtomicU64::new(0),
            locked: OnceLock::new(),
        }
    }

    pub(super) fn spent(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spend(&self, usage: Usage) {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).usage += usage;
    }

    /// Time that only moves forward.
    pub(super) fn elapsed(&self) -> Duration {
        self.options.clock.elapsed()
    }

    /// A text of the server, without the key.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.options.key.as_ref().map_or_else(|| text.to_owned(), |key| key.scrub(text))
    }

    /// Posts a body until the answer can be read, or nothing can be hoped for.
    pub(super) fn post<T>(
        &self,
        path: &str,
        body: &Value,
        cancel: &Cancel,
        read: impl Fn(&[u8]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.exchange(path, body, cancel, &mut |response| Ok(read(&self.whole(response, cancel)?)?))
    }

    /// Posts a body until the answer can be taken, or nothing can be hoped for.
    pub(super) fn exchange<T>(
        &self,
        path: &str,
        body: &Value,
        cancel: &Cancel,
        take: &mut dyn FnMut(Response<Body>) -> Result<T, Trouble>,
    ) -> Result<T, Failure> {
        let body = body.to_string();
        let jitter = Seed::new(0).named(&Digest::of_bytes(body.as_bytes()).to_string());
        for attempt in 0.. {
            if let Some(failure) = self.locked.get() {
                return Err(failure.clone());
            }
            if !self.pace.turn(cancel) {
                return Err(Failure::Interrupted);
            }
            let answer = self.attempt(path, &body, cancel).and_then(&mut *take);
            if let Err(Trouble { failure: Failure::Interrupted, .. }) = &answer {
                return Err(Failure::Interrupted);
            }
            self.count(answer.is_ok());
            let Trouble { failure, after, is_final } = match answer {
                Ok(answer) => {
                    self.given_up.store(0, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(trouble) => trouble,
            };
            if !failure.can_retry() || is_final {
                return Err(failure);
            }
            let given_up = self.given_up.load(Ordering::Relaxed) >= self.options.concurrency as u64;
            if attempt >= self.options.max_retries || given_up {
                self.given_up.fetch_add(1, Ordering::Relaxed);
                return Err(failure);
            }
            let wait = match after {
                Some(after) => {
                    let after = after.min(self.options.max_wait);
                    self.pace.hold(after);
                    after
                }
                None => self.backoff(attempt, jitter),
            };
            if !self.pace.wait(wait, cancel) {
                return Err(Failure::Interrupted);
            }
        }
        Err(Failure::Interrupted)
    }

    fn count(&self, answered: bool) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.answered += u64::from(answered);
        spent.failed += u64::from(!answered);
    }

    /// Twice as long each time, less up to a half, so that threads do not come back all at once.
    fn backoff(&self, attempt: u32, jitter: Seed) -> Duration {
        let full = self.options.retry_wait.saturating_mul(1 << attempt.min(20)).min(self.options.max_wait);
        let drawn = jitter.index(attempt.into()).bits() as f64 / u64::MAX as f64;
        full.mul_f64(1.0 - drawn / 2.0)
    }

    /// The head of an answer that is no redirect.
    fn attempt(&self, path: &str, body: &str, cancel: &Cancel) -> Result<Response<Body>, Trouble> {
        let mut address = format!("{}/{path}", self.base);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request(&address, body, cancel)?;
            let status = response.status().as_u16();
            if matches!(status, 301 | 302 | 303 | 307 | 308) {
                address = self.redirected(&address, status, response.headers())?;
                continue;
            }
            return Ok(response);
        }
        Err(refused(format!("{} redirects too often", self.host)).into())
    }

    /// The body of a good answer.
    pub(super) fn whole(&self, response: Response<Body>, cancel: &Cancel) -> Result<Vec<u8>, Trouble> {
        let status = response.status().as_u16();
        let after = retry_after(response.headers(), self.pace.clock().now());
        let bytes = self.body(response, cancel)?;
        self.checked(status, after, bytes)
    }

    /// Whether a good answer comes piece by piece.
    pub(super) fn is_stream(response: &Response<Body>) -> bool {
        let kind = text(response.headers(), "content-type").unwrap_or_default();
        response.status().is_success() && kind.starts_with("text/event-stream")
    }

    /// The lines of an answer, while more are wanted. Between them a stop is heard at once.
    pub(super) fn lines(
        &self,
        response: Response<Body>,
        cancel: &Cancel,
        line: &mut dyn FnMut(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let body = response.into_body().into_with_config().limit(u64::MAX).reader().take(self.options.max_answer_bytes);
        let (sender, lines) = sync_channel(LINES_AHEAD);
        // It ends with the answer, or with the first line that nobody takes.
        self.spawn(move || drop(BufReader::new(body).lines().try_for_each(|line| sender.send(line))))?;
        loop {
            match lines.recv_timeout(NAP) {
                _ if cancel.is_requested() => return Err(Failure::Interrupted),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(Err(error)) => return Err(self.unavailable(format!("the answer broke off ({error})"))),
                Ok(Ok(text)) if !line(&text)? => return Ok(()),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// How much of the beginning of a text may be shown before the rest is known: a key in it must be seen whole.
    pub(super) fn certain(&self, text: &str) -> usize {
        match self.options.key {
            Some(_) => text.trim_end_matches(|c: char| c.is_ascii_graphic()).len(),
            None => text.len(),
        }
    }

    fn request(&self, address: &str, body: &str, cancel: &Cancel) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.post(address).header("content-type", "application/json");
        if let Some(key) = self.options.key.as_ref().filter(|_| self.may_see_key) {
            request = request.header("authorization", key.authorization());
        }
        let body = body.to_owned();
        let response = self.unless_stopped(cancel, move || request.send(body))?;
        response.map_err(|error| self.unanswered(&error))
    }

    fn body(&self, response: Response<Body>, cancel: &Cancel) -> Result<Vec<u8>, Failure> {
        let limit = self.options.max_answer_bytes;
        let mut reader = response.into_body().into_with_config().limit(u64::MAX).reader().take(limit + 1);
        let read = self.unless_stopped(cancel, move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        })?;
        let bytes = read.map_err(|error| self.unavailable(format!("the answer broke off ({error})")))?;
        if bytes.len() as u64 > limit {
            return Err(refused(format!("the answer of {} is larger than {limit} bytes", self.host)));
        }
        Ok(bytes)
    }

    /// What waits for a server, on a thread of its own, so that a stop is heard meanwhile; what is then left of it ends with its time
    /// limit.
    ///
    /// # Errors
    /// [`Failure::Interrupted`]; [`Failure::Unavailable`] where there is no thread for it, and where that ends without an answer.
    fn unless_stopped<T: Send + 'static>(
        &self,
        cancel: &Cancel,
        wait: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, answers) = sync_channel(1);
        self.spawn(move || drop(sender.send(wait())))?;
        loop {
            match answers.recv_timeout(NAP) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) if cancel.is_requested() => return Err(Failure::Interrupted),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.unavailable("the thread that waited for it died".to_owned()));
                }
            }
        }
    }

    /// Does work on a thread of its own, for which nobody waits.
    fn spawn(&self, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        let spawned = std::thread::Builder::new().spawn(work);
        spawned.map(drop).map_err(|error| {
            self.unavailable(format!("no thread can be started to wait for it ({error}); ask fewer at once"))
        })
    }

    /// Where a redirect leads: the same host by the same scheme, with the body sent again, or nowhere.
    fn redirected(&self, from: &str, status: u16, headers: &HeaderMap) -> Result<String, Failure> {
        let location = text(headers, "location").unwrap_or_default();
        let origin = |uri: &Uri| Some((uri.scheme()?.clone(), uri.authority()?.clone()));
        let base = from.parse::<Uri>().ok().and_then(|uri| origin(&uri));
        let to = match (&base, location.strip_prefix('/')) {
            (Some((scheme, host)), Some(path)) if !path.starts_with('/') => format!("{scheme}://{host}/{path}"),
            _ => location,
        };
        let stays = to.parse::<Uri>().ok().and_then(|uri| origin(&uri)).is_some_and(|to| Some(to) == base);
        if stays && matches!(status, 307 | 308) {
            return Ok(to);
        }
        Err(refused(format!(
            "{} redirects to another place ({}), which is not followed; name that address",
            self.host,
            self.shown(&to)
        )))
    }

    /// The body of a good answer; an error for any other.
    fn checked(&self, status: u16, after: Option<Duration>, bytes: Vec<u8>) -> Result<Vec<u8>, Trouble> {
        let parsed = serde_json::from_slice::<Value>(&bytes).ok();
        let error = parsed.as_ref().and_then(|value| value.get("error")).filter(|error| !error.is_null());
        if (200..300).contains(&status) && error.is_none() {
            return Ok(bytes);
        }
        // Some servers put the status of another behind them into a good answer.
        let inner = error.and_then(|error| error.get("code")).and_then(Value::as_u64);
        let status = if (200..300).contains(&status) { inner.unwrap_or(500) as u16 } else { status };
        let said = parsed.as_ref().and_then(message).map_or(String::new(), |text| format!(": {}", self.shown(text)));
        let answered = format!("{} answered {status}{said}", self.host);
        let is_out_of_money = error.and_then(|error| error.get("code")) == Some(&Value::from("insufficient_quota"));
        let failure = match status {
            401 | 403 => self.key_refused(&answered),
            408 | 409 | 425 | 429 | 500.. if !is_out_of_money => Failure::Unavailable { reason: answered },
            404 => refused(format!("{answered} (is the model's name right, and does the server offer this?)")),
            _ => refused(answered),
        };
        Err(Trouble { failure, after, is_final: false })
    }

    /// The key is wrong. Where nothing was ever answered, nothing will be.
    fn key_refused(&self, answered: &str) -> Failure {
        let advice = match (&self.options.key, self.may_see_key) {
            (None, _) => format!("no key was given; {}", self.options.key_hint),
            (Some(_), false) => "the key is not sent over plain http to a public host; use https".to_owned(),
            (Some(_), true) => "the key was refused".to_owned(),
        };
        let failure = refused(format!("{answered} ({advice})"));
        if self.spent().answered == 0 {
            return self.locked.get_or_init(|| failure).clone();
        }
        failure
    }

    fn unanswered(&self, error: &ureq::Error) -> Failure {
        use ureq::Error;
        // A server that does not speak TLS sends what TLS takes for invalid data.
        let is_tls = match error {
            Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
            other => matches!(other, Error::Tls(_) | Error::Rustls(_) | Error::BadUri(_) | Error::Http(_)),
        };
        if is_tls {
            return refused(format!("{} cannot be reached: {}", self.host, self.shown(&error.to_string())));
        }
        self.unavailable(error.to_string())
    }

    fn unavailable(&self, why: String) -> Failure {
        Failure::Unavailable { reason: format!("{} did not answer: {}", self.host, self.shown(&why)) }
    }

    /// The beginning of what somebody else says, on one line and without the key.
    fn shown(&self, text: &str) -> String {
        let text = self.scrub(text);
        let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        clean.take(SHOWN_CHARACTERS).collect::<String>().trim().to_owned()
    }
}

fn refused(reason: String) -> Failure {
    Failure::Refused { reason }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// What an error says, in the forms that are usual.
fn message(answer: &Value) -> Option<&str> {
    let error = answer.get("error").unwrap_or(answer);
    let places = [error.get("message"), error.get("detail"), Some(error)];
    places.into_iter().flatten().find_map(Value::as_str)
}

/// When the server wants the next request: `Retry-After` in seconds or as a date, or OpenAI's header in milliseconds.
fn retry_after(headers: &HeaderMap, now: groma_run::Timestamp) -> Option<Duration> {
    if let Some(milliseconds) = text(headers, "retry-after-ms").and_then(|text| text.trim().parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let text = text(headers, "retry-after")?;
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Duration::try_from(date.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_dies_is_no_stop() {
        let address = Address::parse("http://localhost:9/v1#m").unwrap();
        let transport = Transport::new(&address, EndpointOptions::default());
        let cancel = Cancel::default();
        assert_eq!(transport.unless_stopped(&cancel, || 7), Ok(7));
        let died = transport.unless_stopped(&cancel, || -> u8 { panic!("on purpose") });
        assert!(matches!(&died, Err(Failure::Unavailable { reason }) if reason.contains("died")), "{died:?}");
        cancel.request();
        let (never, waits) = sync_channel::<()>(0);
        assert_eq!(transport.unless_stopped(&cancel, move || waits.recv().is_ok()), Err(Failure::Interrupted));
        drop(never);
    }

    #[test]
    fn waits_that_servers_ask_for() {
        let now: groma_run::Timestamp = "2026-01-02T03:04:00Z".parse().unwrap();
        let after = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(after("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(after("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(after("retry-after", "Fri, 02 Jan 2026 03:04:09 GMT"), Some(Duration::from_secs(9)));
        assert_eq!(after("retry-after-ms", "20"), Some(Duration::from_millis(20)));
        for odd in ["-1", "soon", "NaN", "inf", "Fri, 02 Jan 2026 03:03:00 GMT"] {
            assert_eq!(after("retry-after", odd), None, "{odd}");
        }
    }
}
