//! Field lines, and what those that frame a message say together.

use memchr::memchr;

use super::Violation;
use super::authority::{self, Port};
use super::octet::{is_text, is_token, trimmed};

/// What a head's fields have said so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) count: usize,
    /// Bytes of the head, the lines' ends counted.
    pub(super) bytes: usize,
    /// The version is 1.0.
    pub(super) old: bool,
    pub(super) host: bool,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
}

// === impl Fields ===

impl Fields {
    /// Takes a field line of a request's head.
    pub(super) fn take_of_request(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (name, value) = self.split(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            if self.host {
                return Err(Violation::HostRepeated);
            }
            self.host = true;
            return authority::check(value, Port::Optional);
        }
        self.take_framing(name, value)
    }

    /// Takes a field line of a response's head.
    pub(super) fn take_of_response(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (name, value) = self.split(line)?;
        self.take_framing(name, value)
    }

    /// Takes a field line of a trailer section.
    pub(super) fn take_of_trailers(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (name, _) = self.split(line)?;
        let forbidden: [&[u8]; 3] = [b"host", b"content-length", b"transfer-encoding"];
        if forbidden.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) { Err(Violation::TrailerForbidden) } else { Ok(()) }
    }

    /// Says once more what must hold when all fields are known.
    pub(super) fn check_framing(&self) -> Result<(), Violation> {
        if self.chunked && self.length.is_some() { Err(Violation::TwoFramings) } else { Ok(()) }
    }

    /// Whether they announce content.
    pub(super) fn announce_content(&self) -> bool {
        self.chunked || self.length.is_some_and(|length| length > 0)
    }

    /// The name and the trimmed value of `line`.
    fn split<'a>(&mut self, line: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Violation> {
        self.count += 1;
        if let [b' ' | b'\t', ..] = line {
            return Err(if self.count == 1 { Violation::LeadingWhitespace } else { Violation::Fold });
        }
        let colon = memchr(b':', line).ok_or_else(|| or_bare_cr(line, Violation::FieldColon))?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) {
            let space = matches!(name, [.., b' ' | b'\t']);
            return Err(or_bare_cr(line, if space { Violation::FieldSpace } else { Violation::FieldName }));
        }
        if !is_text(value) {
            return Err(or_bare_cr(line, Violation::FieldValue));
        }
        Ok((name, trimmed(value)))
    }

    fn take_framing(&mut self, name: &[u8], value: &[u8]) -> Result<(), Violation> {
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Violation::ContentLengthRepeated);
            }
            self.length = Some(length(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.old {
                return Err(Violation::TransferEncodingVersion);
            }
            if self.chunked {
                return Err(Violation::TransferEncodingRepeated);
            }
            check_encoding(value)?;
            self.chunked = true;
        }
        Ok(())
    }
}

/// `violation` of a line, or what is worse: that some parser may see two lines in it.
pub(super) fn or_bare_cr(line: &[u8], violation: Violation) -> Violation {
    if memchr(b'\r', line).is_some() { Violation::BareCr } else { violation }
}

fn length(value: &[u8]) -> Result<u64, Violation> {
    if memchr(b',', value).is_some() {
        return Err(Violation::ContentLengthRepeated);
    }
    // Digits alone: `parse` takes a sign.
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(Violation::ContentLength);
    }
    std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).ok_or(Violation::ContentLength)
}

/// Exactly `chunked` passes. Other codings under a final `chunked` could be framed, but are not known here (501); with all else the end of
/// the message cannot be found (400).
fn check_encoding(value: &[u8]) -> Result<(), Violation> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(value) {
        return Ok(());
    }
    let mut codings = value.rsplit(|byte| *byte == b',').map(trimmed);
    let last_is_chunked = codings.next().is_some_and(is_chunked);
    let others_are_not = codings.all(|coding| is_token(coding) && !is_chunked(coding));
    Err(if last_is_chunked && others_are_not { Violation::TransferCoding } else { Violation::TransferEncoding })
}
