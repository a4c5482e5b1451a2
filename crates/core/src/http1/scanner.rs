//! Walks a connection's bytes from message to message.

use memchr::memchr;

use super::field::Fields;
use super::response::Asked;
use super::{CHUNK_DIGITS_MAX, Limits, Violation};

mod lines;

/// Bytes of a line's end.
const END: usize = 2;

/// Says which of the bytes that arrive on a connection may be handed on.
///
/// How the stream is cut into reads changes no verdict, only where the good bytes end if a head is refused: before its first byte if that
/// came with this read, else at the read's first byte. What was handed on of such a head earlier has no end in anyone's reading, for every
/// line's end is judged in the read that brings it.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    state: State,
    role: Role,
    /// The head or trailer section under way.
    fields: Fields,
    /// Start of a line that the reads so far have not ended.
    broken_off: Vec<u8>,
    heads: u64,
}

/// How much of what was scanned is good.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    /// Leading bytes to hand on: all of them if nothing is wrong.
    pub good: usize,
    /// What is wrong after them. The connection is then of no more use in this direction: every later scan says the same.
    pub violation: Option<Violation>,
}

/// Which side's messages are read, and what their first line says.
#[derive(Debug, Clone, Copy)]
enum Role {
    Requests { connect: bool },
    Responses { asked: Asked, status: u16 },
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A first line, after that many empty ones.
    FirstLine {
        blank: u8,
    },
    Field,
    /// That many bytes of content, or of one chunk's.
    Content(u64),
    Chunk(u64),
    ChunkSize,
    ChunkCr,
    ChunkLf,
    Trailer,
    /// Content up to the connection's end.
    Rest,
    /// What is no HTTP/1.1 any more.
    Opaque,
    /// Nothing: no request is waiting for a response.
    Nothing,
    Refused {
        violation: Violation,
        in_content: bool,
    },
}

// === impl Scanner ===

impl Scanner {
    /// For what a client sends.
    pub fn requests(limits: Limits) -> Self {
        Scanner::new(limits, State::FirstLine { blank: 0 }, Role::Requests { connect: false })
    }

    /// For what a server sends: nothing, until [`Scanner::expect`].
    pub fn responses(limits: Limits) -> Self {
        Scanner::new(limits, State::Nothing, Role::Responses { asked: Asked::Plain, status: 0 })
    }

    fn new(limits: Limits, state: State, role: Role) -> Self {
        Scanner { limits: limits.in_order(), state, role, fields: Fields::default(), broken_off: Vec::new(), heads: 0 }
    }

    /// A request is about to be sent, whose response may now come. While an earlier one has not ended, this has no effect, and the second
    /// response will be refused.
    pub fn expect(&mut self, asked: Asked) {
        if let (State::Nothing, Role::Responses { asked: last, .. }) = (self.state, &mut self.role) {
            *last = asked;
            self.state = State::FirstLine { blank: 0 };
        }
    }

    /// What follows is no HTTP/1.1: both sides have agreed on another protocol or a tunnel. A refused connection stays refused.
    pub fn opaque(&mut self) {
        if !matches!(self.state, State::Refused { .. }) {
            self.state = State::Opaque;
            self.broken_off = Vec::new();
        }
    }

    /// Heads passed to their ends so far, interim ones included.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether the bytes passed end where a message does (for a response: also where none is awaited).
    pub fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Nothing | State::FirstLine { blank: 0 }) && self.broken_off.is_empty()
    }

    /// Whether the bytes passed end, or the scan was refused, within a message whose head has been passed.
    pub fn is_in_content(&self) -> bool {
        match self.state {
            State::FirstLine { .. } | State::Field | State::Opaque | State::Nothing => false,
            State::Content(_) | State::Chunk(_) | State::ChunkSize | State::ChunkCr | State::ChunkLf | State::Trailer | State::Rest => true,
            State::Refused { in_content, .. } => in_content,
        }
    }

    /// Judges `bytes`, which follow those of the last call.
    pub fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut at = 0;
        // Where the head or the line began that the next byte belongs to.
        let mut start = 0;
        while at < bytes.len() {
            if self.broken_off.is_empty() && self.state != State::Field {
                start = at;
            }
            match self.step(&bytes[at..]) {
                Ok(taken) => at += taken,
                Err(violation) => {
                    self.state = State::Refused { violation, in_content: self.is_in_content() };
                    self.broken_off = Vec::new();
                    return Scanned { good: start, violation: Some(violation) };
                }
            }
        }
        Scanned { good: at, violation: None }
    }

    /// Takes bytes of one kind from the front; how many. At least one, or the walk would not end.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        match self.state {
            State::FirstLine { .. } | State::Field | State::ChunkSize | State::Trailer => self.take_line(bytes),
            State::Content(left) => {
                let (taken, left) = take_of(left, bytes.len());
                if left > 0 {
                    self.state = State::Content(left);
                } else {
                    self.end_message();
                }
                Ok(taken)
            }
            State::Chunk(left) => {
                let (taken, left) = take_of(left, bytes.len());
                self.state = if left > 0 { State::Chunk(left) } else { State::ChunkCr };
                Ok(taken)
            }
            State::ChunkCr => self.take_byte(bytes, b'\r', State::ChunkLf),
            State::ChunkLf => self.take_byte(bytes, b'\n', State::ChunkSize),
            State::Rest | State::Opaque => Ok(bytes.len()),
            State::Nothing => Err(Violation::Surplus),
            State::Refused { violation, .. } => Err(violation),
        }
    }

    fn take_byte(&mut self, bytes: &[u8], wanted: u8, then: State) -> Result<usize, Violation> {
        if bytes.first() != Some(&wanted) {
            return Err(Violation::ChunkEnd);
        }
        self.state = then;
        Ok(1)
    }

    /// Takes a line, or what there is of it.
    fn take_line(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let end = memchr(b'\n', bytes).map(|lf| lf + 1);
        let taken = end.unwrap_or(bytes.len());
        self.check_room(self.broken_off.len() + taken)?;
        if end.is_none() {
            self.broken_off.extend_from_slice(bytes);
        } else if self.broken_off.is_empty() {
            self.judge_line(&bytes[..taken])?;
        } else {
            let mut line = std::mem::take(&mut self.broken_off);
            line.extend_from_slice(&bytes[..taken]);
            self.judge_line(&line)?;
        }
        Ok(taken)
    }

    /// Refuses a line, ended or not, that with its first `length` bytes is over a limit. What it says is not asked: so a line that comes
    /// whole is refused for the same reason as one that never ends.
    fn check_room(&self, length: usize) -> Result<(), Violation> {
        let over = match self.state {
            State::FirstLine { .. } if length > self.limits.line_max => Some(Violation::LineTooLong),
            State::Field if self.fields.bytes + length > self.limits.head_max => Some(Violation::HeadTooLarge),
            State::ChunkSize if length > CHUNK_DIGITS_MAX + self.limits.extension_max + END => Some(Violation::ChunkExtension),
            State::Trailer if self.fields.bytes + length > self.limits.trailers_max => Some(Violation::TrailersTooLarge),
            _ => None,
        };
        over.map_or(Ok(()), Err)
    }
}

/// How many of `present` bytes belong to the `left` ones, and how many are then left.
fn take_of(left: u64, present: usize) -> (usize, u64) {
    let taken = usize::try_from(left).map_or(present, |left| left.min(present));
    (taken, left - taken as u64)
}
