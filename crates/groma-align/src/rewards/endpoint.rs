//! What a server says that a completion is worth: any program that answers over HTTP, such as OpenRLHF's remote reward models
//! (Hu et al. 2024, arXiv 2405.11143), whose wire format it is; see [`groma_lm::RewardServer`].
//!
//! A request that fails for the moment, or whose answer cannot be used (another number of rewards, one that is no finite number),
//! is repeated. What then still has no answer is unscored: it is counted (`rewards/endpoint/unscored`), and nothing is learned of
//! it. Where nothing was ever answered, the address is wrong or the server down, and training stops.

use super::reward::{Answer, Remote, Reward, Rollout};
use super::rule::Rule;
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::{Error, Hyperparameters};
use groma_data::Content;
use groma_lm::{EndpointOptions, Failure, Rated, RewardServer};
use groma_run::{Cancel, Secret};
use serde::Deserialize;
use serde_json::Value;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub(super) const RULE: Rule = Rule {
    id: "endpoint",
    title: "A server's reward",
    paper: "arXiv:2405.11143",
    doc: "What a server answers over HTTP, asked as OpenRLHF asks remote reward models; no value where it does not answer.",
    parameters: &[
        Parameter {
            name: URL,
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "Where completions are posted to, e.g. http://localhost:5000/get_reward. Must be given.",
        },
        Parameter {
            name: "reward_url_batch",
            kind: Kind::Integer,
            default: "32",
            range: Some(Range::at_least(1.0)),
            doc: "Completions in a request, at most.",
        },
        Parameter {
            name: "reward_url_retries",
            kind: Kind::Integer,
            default: "5",
            range: Some(Range::at_least(0.0)),
            doc: "How often a request is repeated that failed for the moment, or whose answer cannot be used.",
        },
        Parameter {
            name: "reward_url_timeout",
            kind: Kind::Float,
            default: "180",
            range: Some(Range::above(0.0)),
            doc: "How long an answer may take, in seconds.",
        },
        Parameter {
            name: KEY,
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "The environment variable that holds the server's key; none is sent where null.",
        },
    ],
    wants: |_| None,
    build: |settings, _| Ok(Box::new(Server::new(settings)?)),
};

/// The largest answer, in bytes.
const LARGEST: u64 = 8 << 20;
const URL: &str = "reward_url";
const KEY: &str = "reward_url_key_env";

/// Values of the parameters above.
#[derive(Deserialize)]
struct Raw {
    reward_url: Option<String>,
    reward_url_batch: usize,
    reward_url_retries: u32,
    reward_url_timeout: f64,
    reward_url_key_env: Option<String>,
}

struct Server {
    server: RewardServer,
    /// Whether it ever answered.
    answered: AtomicBool,
}

impl Server {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        let Some(url) = raw.reward_url else {
            return Err(settings.invalid(URL, "must be given with reward_funcs endpoint: where completions are rated"));
        };
        let timeout = Duration::try_from_secs_f64(raw.reward_url_timeout)
            .map_err(|error| settings.invalid("reward_url_timeout", error.to_string()))?;
        let key_hint = match &raw.reward_url_key_env {
            Some(name) => format!("set {name}"),
            None => format!("name the environment variable that holds it in {KEY}"),
        };
        let key = raw.reward_url_key_env.map(|name| key(settings, &name)).transpose()?;
        let options = EndpointOptions {
            key,
            key_hint,
            max_retries: raw.reward_url_retries,
            timeout,
            max_answer_bytes: LARGEST,
            ..EndpointOptions::default()
        };
        let server = RewardServer::new(&url, raw.reward_url_batch, options);
        let server = server.map_err(|error| settings.invalid(URL, error.to_string()))?;
        Ok(Server { server, answered: AtomicBool::new(false) })
    }
}

fn key(settings: &Hyperparameters, name: &str) -> Result<Secret, Error> {
    let key = std::env::var(name).ok().and_then(|text| Secret::new(&text));
    key.ok_or_else(|| settings.invalid(KEY, "names an environment variable that holds no key: set it"))
}

/// A completion as the server is asked of it.
fn rated<'r>(rollout: &Rollout<'r>) -> Result<Rated<'r>, Error> {
    let prompt = rollout.columns.get("prompt").cloned().unwrap_or_default();
    let prompt = Content::from_value("prompt", prompt).map_err(role)?.plain();
    let label = rollout.answer().unwrap_or(&Value::Null);
    Ok(Rated { prompt, completion: rollout.completion, label, row: rollout.columns })
}

fn role(problem: String) -> Error {
    Error::Role { role: Role::Reward.name(), problem }
}

impl Reward for Server {
    /// # Errors
    /// Those of [`Remote::read`].
    fn score(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        self.ask(rollouts, cancel)
    }

    fn remote(&self) -> Option<&dyn Remote> {
        Some(self)
    }
}

impl Remote for Server {
    fn answers(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Answer>, Error> {
        let wanted = rollouts.iter().map(rated).collect::<Result<Vec<_>, Error>>()?;
        Ok(self.server.rate(&wanted, cancel))
    }

    /// # Errors
    /// A request to stop; [`Error::Role`] where nothing was ever answered.
    fn read(&self, answers: &[Answer]) -> Result<Vec<Option<f64>>, Error> {
        if answers.contains(&Err(Failure::Interrupted)) {
            return Err(groma_run::Error::Interrupted.into());
        }
        let now = answers.iter().any(Result::is_ok);
        let ever = self.answered.fetch_or(now, Relaxed) || now;
        match answers.iter().find_map(|answer| answer.as_ref().err()) {
            Some(failure) if !ever => Err(role(format!("the server of rewards rated nothing: {failure}"))),
            _ => Ok(answers.iter().map(|answer| answer.clone().ok().flatten()).collect()),
        }
    }
}
