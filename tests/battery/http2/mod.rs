//! The cases of HTTP/2 (RFC 9113, RFC 7541): frames as bytes, sent to the same port with prior knowledge.
//!
//! The edge reads HTTP/2 and the dyno is spoken to in HTTP/1, so what reaches it is judged as in every other case. Hosts stand in
//! blocks with their length before them: [`HOST`] is as long as the host of any lane and is replaced by it.

mod blocks;
mod evil;
mod fields;
pub(crate) mod floods;
mod flow;
pub(crate) mod frame;
mod frames;
pub(crate) mod hpack;
mod play;
mod streams;

use std::sync::Arc;

use crate::case::{Dyno, Reach, Seen};
use crate::run::Family;
use frame::{END_STREAM, headers};

/// Stands for the host of the lane.
pub(crate) const HOST: &str = "lane-X.test";

/// What a client does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Pause(u64),
    /// Waits until this has come.
    Await(Want),
}

/// What may come of a case.
#[derive(Debug, Clone)]
pub(crate) enum Want {
    /// A whole answer with one of these statuses on a stream.
    Answer(u32, &'static [u16]),
    /// A whole answer with this status and body.
    Whole(u32, u16, Vec<u8>),
    /// A stream is reset with one of these codes.
    Reset(u32, &'static [u32]),
    /// A stream gets an error, by a status of 400 or more or by a reset.
    Refused(u32),
    /// An answer begins on a stream and is cut off visibly, or does not come.
    Cut(u32),
    /// The connection is closed, for one of these reasons if it gives any.
    Gone(&'static [u32]),
    /// A `PING` is answered with these bytes.
    Pong([u8; 8]),
    /// So many `SETTINGS` are acknowledged.
    Acknowledged(usize),
    /// So many bytes of a body have come on a stream, and not one more.
    Bytes(u32, usize),
    /// The head of a final answer has come.
    Head(u32),
    /// A field of an answer has come.
    Field(u32, &'static str, &'static str),
    /// A trailer has come.
    Trailer(u32, &'static str, &'static str),
}

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) section: &'static str,
    pub(crate) name: String,
    /// Whether preface and settings are the case's own.
    pub(crate) raw: bool,
    /// The settings that are sent otherwise.
    pub(crate) settings: Vec<(u16, u32)>,
    pub(crate) steps: Vec<Step>,
    pub(crate) dyno: Arc<Dyno>,
    /// All of these lists must be met, each by any of its members.
    pub(crate) wants: Vec<Vec<Want>>,
    pub(crate) reach: Reach,
    pub(crate) repeats: bool,
    /// Whether nothing follows on its connection, which has no window left or was said good-bye to.
    pub(crate) last: bool,
    /// Fields that no answer may have.
    pub(crate) without: Vec<&'static str>,
}

/// Every family of HTTP/2.
pub(crate) fn all() -> Vec<Family<Case>> {
    vec![
        Family { name: "HTTP/2: frames and settings", cases: frames::cases() },
        Family { name: "HTTP/2: streams", cases: streams::cases() },
        Family { name: "HTTP/2: flow control", cases: flow::cases() },
        Family { name: "HTTP/2: fields and messages", cases: fields::cases() },
        Family { name: "HTTP/2: HPACK", cases: blocks::cases() },
        Family { name: "HTTP/2: answers", cases: evil::cases() },
    ]
}

/// The fields of a request, with more behind them.
pub(crate) fn fields_of(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":authority", HOST), (":path", path)];
    hpack::fields(&[&pseudo, more].concat())
}

/// A GET on a stream.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    headers(stream, END_STREAM, fields_of("GET", "/case", &[]))
}

/// The head of a POST on a stream.
pub(crate) fn post(stream: u32) -> Vec<u8> {
    headers(stream, 0, fields_of("POST", "/case", &[]))
}

/// What the dyno sees of [`get`].
pub(crate) fn seen() -> Seen {
    Seen::get("/case")
}

/// A case that must be met by what is wanted, one of a list.
pub(crate) fn case(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>, wants: Vec<Want>) -> Case {
    Case {
        section,
        name: name.into(),
        raw: false,
        settings: vec![(1, 0), (2, 0)],
        steps: vec![Step::Send(bytes.as_ref().to_vec())],
        dyno: Arc::default(),
        wants: vec![wants],
        reach: Reach::Nothing,
        repeats: false,
        last: false,
        without: vec!["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"],
    }
}

/// A case that ends its connection.
pub(crate) fn ends(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>, codes: &'static [u32]) -> Case {
    case(section, name, bytes, vec![Want::Gone(codes)]).reach(Reach::Any)
}

/// A case that resets a stream; to end the connection for it is allowed (RFC 9113, section 5.4.2).
pub(crate) fn resets(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>, codes: &'static [u32]) -> Case {
    case(section, name, bytes, vec![Want::Reset(1, codes), Want::Gone(codes)])
}

/// A malformed request on stream 1: refused, and never at the dyno (section 8.1.1).
pub(crate) fn malformed(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Case {
    case(section, name, bytes, vec![Want::Refused(1), Want::Gone(&[frame::PROTOCOL])])
}

/// A request on stream 1 that is answered.
pub(crate) fn passed(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>, seen: Seen) -> Case {
    case(section, name, bytes, vec![Want::Answer(1, &[200])]).reach(Reach::These(vec![seen]))
}

/// A request on stream 1 that may be refused or passed: both are safe.
pub(crate) fn either(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>, seen: Seen) -> Case {
    let wants = vec![Want::Answer(1, &[200]), Want::Refused(1), Want::Gone(&[frame::PROTOCOL])];
    case(section, name, bytes, wants).reach(Reach::AtMost(vec![seen]))
}

impl Case {
    /// Its bytes are all there is: no preface, no settings.
    pub(crate) fn raw(mut self) -> Self {
        self.raw = true;
        self
    }

    /// Does more.
    pub(crate) fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Sends more.
    pub(crate) fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        self.then(Step::Send(bytes))
    }

    /// Begins with these settings.
    pub(crate) fn settings(mut self, more: &[(u16, u32)]) -> Self {
        self.settings.extend_from_slice(more);
        self
    }

    /// This, too, must be met.
    pub(crate) fn and(mut self, want: Want) -> Self {
        self.wants.push(vec![want]);
        self
    }

    /// Or this instead.
    pub(crate) fn or(mut self, want: Want) -> Self {
        self.wants.last_mut().expect("a case wants something").push(want);
        self
    }

    /// This may reach the dyno.
    pub(crate) fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Nothing follows on its connection.
    pub(crate) fn last(mut self) -> Self {
        self.last = true;
        self
    }

    /// No answer has such a field.
    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.without.push(name);
        self
    }

    /// The dyno's part.
    pub(crate) fn dyno(mut self, dyno: Dyno) -> Self {
        self.dyno = Arc::new(dyno);
        self
    }
}
