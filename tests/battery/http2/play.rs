//! Plays a case of HTTP/2 on a lane and judges it.

use std::time::Duration;

use super::frame::{
    self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PADDED, PING, PREFACE, PUSH_PROMISE, RST_STREAM,
    SETTINGS,
};
use super::{Case, HOST, Step, Want, hpack};
use crate::case::Dyno;
use crate::client::{Client, State};
use crate::dyno::saying;
use crate::judge::{self, Good};
use crate::run::{ANSWER_MAX, CLOSE_MAX, Judged, Lane, filled, good_post, shown};

/// A stream that no case uses, for the request that shows that the connection goes on.
const NEXT: u32 = 0x0070_0001;
/// Bytes of a frame unless more was allowed.
const FRAME_MAX: usize = 16_384;
/// How long a stream must be silent for a count of bytes to be final.
const QUIET: Duration = Duration::from_millis(150);

/// An answer on a stream, or as much of one as came.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) interim: Vec<u16>,
    pub(super) status: Option<u16>,
    pub(super) fields: Vec<(String, String)>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) ended: bool,
    pub(super) reset: Option<u32>,
}

/// What a connection has said.
pub(super) struct Heard {
    pub(super) frames: Vec<Frame>,
    pub(super) state: State,
}

impl Judged for Case {
    fn name(&self) -> (&'static str, &str) {
        (self.section, &self.name)
    }

    fn judge(&self, lane: &Lane, number: usize) -> Result<(), String> {
        lane.recorder.begin(self.dyno.clone());
        let mut client = begin(lane, self.raw, &self.settings)?;
        let mut sent = Vec::new();
        for step in &self.steps {
            match step {
                Step::Send(bytes) => {
                    let bytes = filled(bytes, HOST.as_bytes(), &lane.host);
                    client.send(&bytes);
                    sent.extend_from_slice(&bytes);
                }
                Step::Pause(millis) => {
                    client.until(Duration::from_millis(*millis), |_| false);
                }
                Step::Await(want) => {
                    wait(&mut client, |heard| heard.meets(want));
                }
            }
        }
        wait(&mut client, |heard| self.wants.iter().all(|wants| wants.iter().any(|want| heard.meets(want))));
        if self.wants.iter().flatten().any(|want| matches!(want, Want::Bytes(..))) {
            client.until(QUIET, |_| false);
        }
        let heard = Heard::of(&client);
        let going = heard.goaway().is_none() && client.state == State::Open;
        if heard.goaway().is_some_and(|code| code != frame::NO_ERROR) {
            client.until(CLOSE_MAX, |_| false);
        }
        let mut faults = self.faults(&Heard::of(&client));
        let mut good = vec![good_post(number)];
        if going && !self.raw && !self.last {
            let next = Good { method: "GET", target: format!("/good/{number}"), body: String::new() };
            faults.extend(good_on_same(&mut client, lane, &next).err());
            good.push(next);
        }
        let heard = Heard::of(&client);
        drop(client);
        faults.extend(lane.good_on_new(number).err());
        let connections = lane.settled();
        faults.extend(judge::reached(&self.reach, self.repeats, &good, &connections, &lane.host));
        if faults.is_empty() {
            return Ok(());
        }
        let faults: String = faults.into_iter().map(|fault| format!("  * {fault}\n")).collect();
        let frames: Vec<String> = heard.frames.iter().take(40).map(Frame::told).collect();
        let dyno: String = connections.iter().map(|connection| format!("  dyno:   {}\n", shown(&connection.bytes))).collect();
        Err(format!("{faults}  sent:   {}\n  heard:  {} ({:?})\n{dyno}", shown(&sent), frames.join(", "), heard.state))
    }
}

/// A connection whose settings are agreed upon.
pub(super) fn begin(lane: &Lane, raw: bool, settings: &[(u16, u32)]) -> Result<Client, String> {
    let mut client = Client::connect(lane.edge).map_err(|error| format!("connect: {error}"))?;
    if !raw {
        client.send(&[PREFACE, &frame::settings(settings)].concat());
        wait(&mut client, |heard| heard.frames.iter().any(|frame| frame.kind == SETTINGS && !frame.has(ACK)));
        client.send(&frame::frame(SETTINGS, ACK, 0, []));
    }
    Ok(client)
}

/// Reads until a condition is met, the connection ends or the time is over.
pub(super) fn wait(client: &mut Client, met: impl Fn(&Heard) -> bool) -> bool {
    let mut seen = usize::MAX;
    client.until(ANSWER_MAX, |heard| {
        // Frames are read anew only when there are new bytes.
        let fresh = std::mem::replace(&mut seen, heard.len()) != heard.len();
        fresh && met(&Heard { frames: frame::read(heard), state: State::Open })
    }) || met(&Heard::of(client))
}

/// A well-formed request on a connection that goes on.
pub(super) fn good_on_same(client: &mut Client, lane: &Lane, good: &Good) -> Result<(), String> {
    let pseudo = [(":method", good.method), (":scheme", "http"), (":authority", lane.host.as_str()), (":path", good.target.as_str())];
    client.send(&frame::headers(NEXT, END_STREAM, hpack::fields(&pseudo)));
    let want = Want::Whole(NEXT, 200, saying(good.method, &good.target, good.body.as_bytes()));
    if wait(client, |heard| heard.meets(&want)) {
        return Ok(());
    }
    let frames: Vec<String> =
        Heard::of(client).frames.iter().filter(|frame| frame.stream == NEXT || frame.kind == GOAWAY).map(Frame::told).collect();
    Err(format!("the next request of its connection was told {} ({:?})", frames.join(", "), client.state))
}

impl Case {
    fn faults(&self, heard: &Heard) -> Vec<String> {
        let mut faults = Vec::new();
        for wants in &self.wants {
            if !wants.iter().any(|want| heard.meets(want)) {
                faults.push(format!("none of {wants:?}"));
            }
        }
        if heard.goaway().is_some_and(|code| code != frame::NO_ERROR) && heard.state == State::Open {
            faults.push("a GOAWAY with an error, and the connection stays open".into());
        }
        if !self.raw && heard.frames.first().is_none_or(|frame| frame.kind != SETTINGS || frame.has(ACK)) {
            faults.push("the first frame is no SETTINGS (section 3.4)".into());
        }
        if heard.frames.iter().any(|frame| frame.payload.len() > FRAME_MAX || frame.kind == PUSH_PROMISE) {
            faults.push("a frame that was not allowed".into());
        }
        let mut streams: Vec<u32> = heard.frames.iter().filter(|frame| frame.kind == HEADERS).map(|frame| frame.stream).collect();
        streams.dedup();
        for stream in streams {
            match heard.answer(stream) {
                Err(fault) => faults.push(format!("the answer on stream {stream}: {fault}")),
                Ok(answer) => {
                    for (name, _) in answer.fields.iter().chain(&answer.trailers) {
                        if self.without.contains(&name.as_str()) || name.chars().any(|c| c.is_ascii_uppercase()) {
                            faults.push(format!("the answer on stream {stream} has {name}"));
                        }
                    }
                    if answer.status == Some(101) || answer.interim.contains(&101) {
                        faults.push("101, which HTTP/2 does not know (section 8.6)".into());
                    }
                }
            }
        }
        if let Dyno::Good = *self.dyno
            && heard.frames.iter().any(|frame| frame.kind == RST_STREAM && frame.stream % 2 == 0)
        {
            faults.push("a stream that the client did not open is reset".into());
        }
        faults
    }
}

// === impl Heard ===

impl Heard {
    pub(super) fn of(client: &Client) -> Self {
        Heard { frames: frame::read(&client.heard), state: client.state }
    }

    /// The code of the last `GOAWAY`.
    pub(super) fn goaway(&self) -> Option<u32> {
        self.frames.iter().rev().find(|frame| frame.kind == GOAWAY)?.code()
    }

    /// What came on a stream.
    pub(super) fn answer(&self, stream: u32) -> Result<Answer, &'static str> {
        let mut answer = Answer::default();
        let mut block: Vec<u8> = Vec::new();
        for frame in self.frames.iter().filter(|frame| frame.stream == stream) {
            match frame.kind {
                HEADERS | CONTINUATION => {
                    if frame.kind == HEADERS && frame.has(PADDED) {
                        return Err("padded headers, which this client does not read");
                    }
                    answer.ended |= frame.kind == HEADERS && frame.has(END_STREAM);
                    block.extend_from_slice(&frame.payload);
                    if frame.has(END_HEADERS) {
                        answer.take(hpack::decode(&std::mem::take(&mut block))?)?;
                    }
                }
                DATA => {
                    answer.body.extend_from_slice(&frame.payload);
                    answer.ended |= frame.has(END_STREAM);
                }
                RST_STREAM => answer.reset = frame.code(),
                _ => {}
            }
        }
        Ok(answer)
    }

    /// Whether this has come.
    pub(super) fn meets(&self, want: &Want) -> bool {
        let answer = |stream: u32| self.answer(stream).unwrap_or_default();
        match want {
            Want::Answer(stream, statuses) => {
                let answer = answer(*stream);
                answer.ended && answer.status.is_some_and(|status| statuses.contains(&status))
            }
            Want::Whole(stream, status, body) => {
                let answer = answer(*stream);
                answer.ended && answer.status == Some(*status) && answer.body == *body
            }
            Want::Reset(stream, codes) => answer(*stream).reset.is_some_and(|code| codes.contains(&code)),
            Want::Refused(stream) => {
                let answer = answer(*stream);
                answer.reset.is_some() || (answer.ended && answer.status.is_some_and(|status| status >= 400))
            }
            Want::Cut(stream) => {
                let answer = answer(*stream);
                let failed = answer.ended && answer.status.is_some_and(|status| status >= 500);
                failed || (!answer.ended && (answer.reset.is_some_and(|code| code != frame::NO_ERROR) || self.state != State::Open))
            }
            Want::Gone(codes) => match self.goaway() {
                // Whoever calls every error of a connection by the most general name ends it as surely.
                Some(code) => codes.contains(&code) || code == frame::PROTOCOL,
                None => self.state != State::Open,
            },
            Want::Pong(bytes) => self.frames.iter().any(|frame| frame.kind == PING && frame.has(ACK) && frame.payload == bytes),
            Want::Acknowledged(count) => self.frames.iter().filter(|frame| frame.kind == SETTINGS && frame.has(ACK)).count() == *count,
            Want::Bytes(stream, count) => answer(*stream).body.len() == *count,
            Want::Head(stream) => answer(*stream).status.is_some(),
            Want::Field(stream, name, value) => answer(*stream).fields.iter().any(|(known, told)| known == name && told == value),
            Want::Trailer(stream, name, value) => {
                let answer = answer(*stream);
                answer.ended && answer.trailers.iter().any(|(known, told)| known == name && told == value)
            }
        }
    }
}

impl Answer {
    fn take(&mut self, fields: Vec<(String, String)>) -> Result<(), &'static str> {
        if self.status.is_some() {
            if fields.iter().any(|(name, _)| name.starts_with(':')) {
                return Err("a pseudo-header in the trailers");
            }
            self.trailers = fields;
            return Ok(());
        }
        let status = fields.first().filter(|(name, _)| name == ":status").and_then(|(_, status)| status.parse::<u16>().ok());
        match status.ok_or("no status")? {
            status if status < 200 => self.interim.push(status),
            status => {
                self.status = Some(status);
                self.fields = fields;
            }
        }
        Ok(())
    }
}
