//! Invented histories, for the tests of the checkers.

use std::ops::Range;

use dynomesh_agent::demo::digest::Digest;
use dynomesh_agent::demo::journal::{Arrival, Ending, Event, Outcome as End};
use dynomesh_core::time::Span;
use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};

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
        self.line(id, Event::End(ending(n)))
    }

    /// The dyno's process starts.
    pub(crate) fn listen(self, id: &str) -> Self {
        self.line(id, Event::Listen { address: "127.0.0.1:1".parse().unwrap(), pid: 1 })
    }

    /// The dyno begins a request at this millisecond, with whatever is said of it.
    pub(crate) fn start_at(self, id: &str, ms: u64, told: impl FnOnce(&mut Arrival)) -> Self {
        let mut start = arrival(self.dynos[&DynoId::new(id).unwrap()].lines.len() as u64, "", None);
        told(&mut start);
        self.line_at(id, ms, Event::Start(start))
    }

    /// The dyno ends request `n` at this millisecond, with whatever is said of it.
    pub(crate) fn end_at(self, id: &str, n: u64, ms: u64, told: impl FnOnce(&mut Ending)) -> Self {
        let mut end = ending(n);
        told(&mut end);
        self.line_at(id, ms, Event::End(end))
    }

    /// The dyno runs a request from one millisecond to another.
    pub(crate) fn asks(self, id: &str, n: u64, method: &str, key: &str, ms: Range<u64>) -> Self {
        let told = |start: &mut Arrival| (start.n, start.method, start.key) = (n, method.into(), Some(key.into()));
        self.start_at(id, ms.start, told).end_at(id, n, ms.end, |_| ())
    }

    /// A client asked, and knew after a second what came of it.
    pub(crate) fn asked(mut self, method: Method, key: &str, outcome: Outcome) -> Self {
        self.exchanges.push(Exchange { method, outcome, ended: at(1_000), ..exchange(key) });
        self
    }

    /// The next line of the dyno, a nanosecond after the one before.
    fn line(self, id: &str, event: Event) -> Self {
        let boot_ns = self.dynos[&DynoId::new(id).unwrap()].lines.len() as u64;
        self.line_after(id, boot_ns, event)
    }

    fn line_at(self, id: &str, ms: u64, event: Event) -> Self {
        self.line_after(id, ms * 1_000_000, event)
    }

    fn line_after(mut self, id: &str, boot_ns: u64, event: Event) -> Self {
        let dyno = DynoId::new(id).unwrap();
        let lines = &mut self.dynos.get_mut(&dyno).expect("a dyno of this history").lines;
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
    let status = if error.is_some() { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
    Answer { status, headers, len: 0, digest: Digest::default(), text: String::new(), difference: None }
}

/// A GET that was never sent.
pub(crate) fn exchange(key: &str) -> Exchange {
    let (at, path, deadline) = (Time::ZERO, "/".to_owned(), Span::from_secs(60));
    let (method, sent, outcome) = (Method::GET, Digest::default(), Outcome::Refused);
    Exchange { key: key.into(), method, path, due: at, begun: at, ended: at, deadline, sent, edge: None, repeats: None, outcome }
}

/// The end of a request without a body that was answered without one.
pub(crate) fn ending(n: u64) -> Ending {
    Ending { n, outcome: End::Done, status: Some(200), received: Some(Digest::default()), sent: Some(Digest::default()) }
}

fn arrival(n: u64, key: &str, from: Option<(&str, u64)>) -> Arrival {
    Arrival {
        n,
        method: "POST".into(),
        path: "/".into(),
        key: Some(key.to_owned()).filter(|key| !key.is_empty()),
        block: from.map(|(block, _)| block.to_owned()),
        epoch: from.map(|(_, epoch)| epoch),
        in_flight: 1,
        ..Arrival::default()
    }
}

/// A time of an invented history.
pub(crate) fn at(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}
