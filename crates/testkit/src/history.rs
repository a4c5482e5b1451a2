//! What happened, as clients and dynos saw it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;

use dynomesh_agent::demo::journal::{self, Line};
use dynomesh_core::id::DynoId;
use dynomesh_core::time::{Span, Time};
use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};

/// Both sides of a test.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What clients asked and were answered, in the order they were done.
    pub exchanges: Vec<Exchange>,
    /// What each dyno wrote down, in the order it did.
    pub dynos: BTreeMap<DynoId, Diary>,
}

/// What one dyno saw.
#[derive(Debug, Clone, Default)]
pub struct Diary {
    /// Requests it may have in flight.
    pub max_conns: u32,
    /// Its journal.
    pub lines: Vec<Line>,
}

/// A request as its client saw it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The name the client gave it, which the dyno writes down.
    pub key: String,
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// When it was due. Latency counts from here, so that a slow answer does not excuse the requests behind it.
    pub due: Time,
    /// When it was begun.
    pub begun: Time,
    /// When its outcome was clear.
    pub ended: Time,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a client knows of its request in the end.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its head.
    pub headers: HeaderMap,
    /// Length of its body.
    pub len: u64,
    /// The start of its body, at most [`crate::client::TEXT_MAX`] bytes.
    pub text: String,
    /// The first place where the body differs from the content that was expected, if such was.
    pub difference: Option<u64>,
}

// === impl History ===

impl History {
    /// Reads the journal of a dyno and adds it.
    pub fn add_dyno(&mut self, id: DynoId, max_conns: u32, journal: &Path) -> io::Result<()> {
        let lines = journal::read(journal)?;
        self.dynos.insert(id, Diary { max_conns, lines });
        Ok(())
    }

    /// The part of each journal that was written at `from` or later.
    pub fn since(mut self, from: Time) -> Self {
        for diary in self.dynos.values_mut() {
            diary.lines.retain(|line| line.boot_ns >= from.as_nanos());
        }
        self.exchanges.retain(|exchange| exchange.begun >= from);
        self
    }

    /// How often dynos began the request that its client named `key`.
    pub fn runs(&self, key: &str) -> usize {
        let lines = self.dynos.values().flat_map(|diary| &diary.lines);
        lines.filter(|line| matches!(&line.event, journal::Event::Start(start) if start.key.as_deref() == Some(key))).count()
    }
}

impl Diary {
    /// The blocks that sent the dyno requests.
    pub fn blocks(&self) -> BTreeSet<&str> {
        let block = |line| match line {
            &Line { event: journal::Event::Start(ref start), .. } => start.block.as_deref(),
            _ => None,
        };
        self.lines.iter().filter_map(block).collect()
    }
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

/// Invented histories, for the tests of the checkers.
#[cfg(test)]
pub(crate) mod invented {
    use dynomesh_agent::demo::journal::{Arrival, Ending, Event, Outcome as End};

    use super::*;

    impl History {
        /// A dyno that may have `max_conns` requests in flight and saw nothing yet.
        pub(crate) fn dyno(mut self, id: &str, max_conns: u32) -> Self {
            self.dynos.insert(DynoId::new(id).unwrap(), Diary { max_conns, lines: Vec::new() });
            self
        }

        /// The dyno begins request `n`, named by its key, from `block` under `epoch`.
        pub(crate) fn start(self, id: &str, n: u64, key: &str, from: Option<(&str, u64)>) -> Self {
            self.line(id, Event::Start(arrival(n, key, from)))
        }

        /// The dyno ends request `n`.
        pub(crate) fn end(self, id: &str, n: u64) -> Self {
            self.line(id, Event::End(Ending { arrival: arrival(n, "", None), outcome: End::Done, status: Some(200) }))
        }

        /// The dyno's process starts.
        pub(crate) fn listen(self, id: &str) -> Self {
            self.line(id, Event::Listen { address: "127.0.0.1:1".parse().unwrap(), pid: 1 })
        }

        /// A client asked.
        pub(crate) fn asked(mut self, method: Method, key: &str, outcome: Outcome) -> Self {
            let at = Time::ZERO;
            self.exchanges.push(Exchange { key: key.into(), method, path: "/".into(), due: at, begun: at, ended: at, outcome });
            self
        }

        fn line(mut self, id: &str, event: Event) -> Self {
            let dyno = DynoId::new(id).unwrap();
            let lines = &mut self.dynos.get_mut(&dyno).expect("a dyno of this history").lines;
            let boot_ns = lines.len() as u64;
            lines.push(Line { boot_ns, wall_ns: boot_ns, dyno, event });
            self
        }
    }

    /// An answer of the app, or with `error` one of the mesh.
    pub(crate) fn answer(error: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(error) = error {
            headers.insert("x-dynomesh-error", error.parse().unwrap());
        }
        Answer { status: StatusCode::OK, headers, len: 0, text: String::new(), difference: None }
    }

    fn arrival(n: u64, key: &str, from: Option<(&str, u64)>) -> Arrival {
        Arrival {
            n,
            method: "POST".into(),
            path: "/".into(),
            request: None,
            key: Some(key.to_owned()).filter(|key| !key.is_empty()),
            block: from.map(|(block, _)| block.to_owned()),
            epoch: from.map(|(_, epoch)| epoch),
            in_flight: 1,
            overlaps: 0,
        }
    }
}
