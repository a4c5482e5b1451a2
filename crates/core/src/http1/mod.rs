//! Whether bytes on an HTTP/1.1 connection mean one thing only.
//!
//! A [`Scanner`] stands between the wire and the parser that frames and forwards. It never rewrites: it says how many of the bytes just
//! read may be handed on, and which rule the next one breaks. What it passes has one meaning under RFC 9112, so that parsers which
//! forgive differently (a bare LF, two lengths, a folded line) cannot disagree about where a message ends; request smuggling lives on
//! that disagreement. It reads no meaning beyond framing, and it keeps no bytes but those of a line that a read broke off.

mod authority;
mod chunk;
mod field;
mod limits;
mod octet;
mod request;
mod response;
mod scanner;
mod violation;

#[cfg(test)]
mod tests;

pub use authority::is_authority;
pub use limits::{BLANK_LINES_MAX, CHUNK_DIGITS_MAX, Limits};
pub use response::Asked;
pub use scanner::{Scanned, Scanner};
pub use violation::Violation;
