//! Invented histories, for the tests of the checkers.

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

    /// A client asked.
    pub(crate) fn asked(mut self, method: Method, key: &str, outcome: Outcome) -> Self {
        self.exchanges.push(Exchange { method, outcome, ..exchange(key) });
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
    Answer { status: StatusCode::OK, headers, len: 0, digest: Digest::default(), text: String::new(), difference: None }
}

/// A GET that was never sent.
pub(crate) fn exchange(key: &str) -> Exchange {
    let (at, path, deadline) = (Time::ZERO, "/".to_owned(), Span::from_secs(60));
    let (method, sent, outcome) = (Method::GET, Digest::default(), Outcome::Refused);
    Exchange { key: key.into(), method, path, due: at, begun: at, ended: at, deadline, sent, edge: None, outcome }
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
