//! Status lines, and which content the status and the request leave a response.

use super::Violation;
use super::field::{Fields, or_bare_cr};
use super::octet::is_text;
use super::request::is_old;

/// What about a request decides how its response ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    #[default]
    Plain,
    /// The method is HEAD: there is no content, whatever the fields say.
    Head,
    /// The method is CONNECT: after a 2xx the connection is a tunnel.
    Connect,
    /// It has an `Upgrade`, so that the response may be 101.
    Upgrade,
}

/// How a response goes on after its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// By another head: this one was interim.
    Head,
    /// As no HTTP at all.
    Opaque,
    /// Not at all.
    Nothing,
    /// By the content that the fields announce.
    Content,
}

/// What a status line says that matters for the end of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// The version is 1.0.
    pub(super) old: bool,
    pub(super) status: u16,
}

/// Reads a status line without its end.
pub(super) fn line(line: &[u8]) -> Result<Line, Violation> {
    parse(line).map_err(|violation| or_bare_cr(line, violation))
}

fn parse(line: &[u8]) -> Result<Line, Violation> {
    let (version, rest) = line.split_at_checked(b"HTTP/1.1".len()).ok_or(Violation::StatusLine)?;
    let old = is_old(version)?;
    // Some servers leave out the space before an empty reason.
    let ([b' ', digits @ ..], reason) = rest.split_at_checked(4).ok_or(Violation::StatusLine)? else {
        return Err(Violation::StatusLine);
    };
    if !matches!(reason, [] | [b' ', ..]) || !is_text(reason) {
        return Err(Violation::StatusLine);
    }
    match digits {
        [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => {
            Ok(Line { old, status: digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')) })
        }
        _ => Err(Violation::StatusLine),
    }
}

/// How a response of `status` to what was `asked` goes on (RFC 9112 6.3).
pub(super) fn after(status: u16, asked: Asked, fields: &Fields) -> Result<After, Violation> {
    fields.check_framing()?;
    // A length in a 204 is wrong, common and harmless: there is no content all the same, and what comes is surplus.
    if status < 200 && fields.announce_content() {
        return Err(Violation::ContentForbidden);
    }
    Ok(match (status, asked) {
        (101, Asked::Upgrade) => After::Opaque,
        (101, _) => return Err(Violation::Switched),
        (100..200, _) => After::Head,
        (200..300, Asked::Connect) => After::Opaque,
        (204 | 304, _) | (_, Asked::Head) => After::Nothing,
        _ => After::Content,
    })
}
