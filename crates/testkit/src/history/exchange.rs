//! What a client saw.

use std::fmt;
use std::net::SocketAddr;

use dynomesh_agent::demo::digest::Digest;
use dynomesh_core::time::{Span, Time};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::form;

/// Headers of an answer that checkers read.
const JUDGED: [&str; 7] =
    ["x-demo-dyno", "x-demo-key", "x-demo-received", "x-demo-service-ms", "x-dynomesh-attempts", "x-dynomesh-block", "x-dynomesh-error"];

/// A request as its client saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exchange {
    /// The name the client gave it, which the dyno writes down.
    pub key: String,
    /// Its method.
    #[serde(with = "form::method")]
    pub method: Method,
    /// Its path.
    pub path: String,
    /// When it was due. Latency counts from here, so that a slow answer does not excuse the requests behind it.
    #[serde(with = "form::time")]
    pub due: Time,
    /// When it was begun.
    #[serde(with = "form::time")]
    pub begun: Time,
    /// When its outcome was clear.
    #[serde(with = "form::time")]
    pub ended: Time,
    /// How long its client was ready to wait, from when it was begun. What is not answered by then is unknown.
    pub deadline: Span,
    /// What its client handed over of its body. Where it was not answered, that may be less than the whole.
    pub sent: Digest,
    /// The edge that took it, or that was asked last.
    #[serde(default)]
    pub edge: Option<SocketAddr>,
    /// The name of the request that its client repeated by it, since the connection of that one broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a client knows of its request in the end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// A complete answer of the app.
    Ok(Answer),
    /// A complete answer of the mesh that it could not have the app answer. The app may still have run the request.
    Failed(Answer),
    /// Nothing was sent: no edge took the connection.
    Refused,
    /// No complete answer. Whether the app ran the request, the client cannot know.
    Unknown(String),
}

/// A complete answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// Its status.
    #[serde(with = "form::status")]
    pub status: StatusCode,
    /// Its head.
    #[serde(with = "form::headers")]
    pub headers: HeaderMap,
    /// Length of its body.
    pub len: u64,
    /// All of its body in short.
    pub digest: Digest,
    /// The start of its body, at most [`crate::client::TEXT_MAX`] bytes.
    pub text: String,
    /// The first place where the body differs from the content that was expected, if such was.
    pub difference: Option<u64>,
}

// === impl Exchange ===

impl Exchange {
    /// The app's answer, if there is one.
    pub fn ok(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Ok(answer) => Some(answer),
            _ => None,
        }
    }

    /// The app's answer; panics with what came instead.
    #[track_caller]
    pub fn expect_ok(&self) -> &Answer {
        self.ok().unwrap_or_else(|| panic!("no answer of the app: {self}"))
    }

    /// Any complete answer, the app's or the mesh's.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Ok(answer) | Outcome::Failed(answer) => Some(answer),
            Outcome::Refused | Outcome::Unknown(_) => None,
        }
    }

    /// Whether running it twice is the same as running it once, by its method (RFC 9110).
    pub fn is_idempotent(&self) -> bool {
        self.is_safe() || [Method::PUT, Method::DELETE].contains(&self.method)
    }

    /// Whether running it changes nothing, by its method (RFC 9110).
    pub fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    /// The same with nothing of its answer but what checkers read: a million of them are kept at once.
    pub fn light(mut self) -> Self {
        if let Outcome::Ok(answer) | Outcome::Failed(answer) = &mut self.outcome {
            let judged = |name: &HeaderName| JUDGED.contains(&name.as_str());
            let kept = answer.headers.iter().filter(|(name, _)| judged(name));
            // Copied, lest a few bytes keep the whole head in memory that they were read into.
            let copy = |value: &HeaderValue| HeaderValue::from_bytes(&Vec::from(value.as_bytes())).ok();
            answer.headers = kept.filter_map(|(name, value)| Some((name.clone(), copy(value)?))).collect();
            answer.text = String::new();
        }
        self
    }

    /// How long it took from when it was due.
    pub fn latency(&self) -> Span {
        self.ended.since(self.due)
    }

    /// How much longer it took than the dyno worked on it; `None` without an answer that says how long that was.
    pub fn added(&self) -> Option<Span> {
        let service: f64 = self.ok()?.header("x-demo-service-ms")?.parse().ok()?;
        let service = std::time::Duration::try_from_secs_f64(service / 1000.0).ok()?;
        Some(self.latency() - Span::from(service))
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exchange { key, method, path, outcome, .. } = self;
        let ms = self.latency().as_millis();
        write!(f, "{method} {path} ({key}) after {ms} ms: ")?;
        match outcome {
            Outcome::Ok(answer) => write!(f, "{}", answer.status),
            Outcome::Failed(answer) => {
                let header = |name| answer.header(name).unwrap_or("none");
                let (code, attempts) = (header("x-dynomesh-error"), header("x-dynomesh-attempts"));
                write!(f, "{}, error {code}, attempts {attempts}, {:?}", answer.status, answer.text.trim_end())
            }
            Outcome::Refused => f.write_str("no edge took the connection"),
            Outcome::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

// === impl Answer ===

impl Answer {
    /// A header as text; the first of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The block that answered.
    pub fn block(&self) -> Option<&str> {
        self.header("x-dynomesh-block")
    }

    /// The dyno that answered, as it calls itself.
    pub fn dyno(&self) -> Option<&str> {
        self.header("x-demo-dyno")
    }

    /// Whether it is a word of the mesh and not of the app.
    pub(crate) fn is_of_the_mesh(&self) -> bool {
        self.headers.contains_key("x-dynomesh-error") || (self.status.is_server_error() && self.dyno().is_none())
    }
}
