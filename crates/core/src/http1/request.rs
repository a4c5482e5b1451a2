//! Request lines.

use memchr::{memchr, memrchr};

use super::Violation;
use super::authority::{self, Port};
use super::field::{Fields, or_bare_cr};
use super::octet::{is_target, is_token};
use super::response::After;

/// What a request line says that matters for the end of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// The version is 1.0.
    pub(super) old: bool,
    pub(super) connect: bool,
}

/// Reads a request line without its end.
pub(super) fn line(line: &[u8]) -> Result<Line, Violation> {
    parse(line).map_err(|violation| or_bare_cr(line, violation))
}

fn parse(line: &[u8]) -> Result<Line, Violation> {
    if line == b"PRI * HTTP/2.0" {
        return Err(Violation::Preface);
    }
    let first = memchr(b' ', line).ok_or(Violation::RequestLine)?;
    let last = memrchr(b' ', line).filter(|last| *last > first).ok_or(Violation::RequestLine)?;
    let (method, target, version) = (&line[..first], &line[first + 1..last], &line[last + 1..]);
    if target.is_empty() || memchr(b' ', target).is_some() {
        return Err(Violation::RequestLine);
    }
    if !is_token(method) {
        return Err(Violation::Method);
    }
    let old = is_old(version)?;
    check_target(method, target)?;
    Ok(Line { old, connect: method == b"CONNECT" })
}

/// Whether `version` is 1.0 rather than 1.1.
pub(super) fn is_old(version: &[u8]) -> Result<bool, Violation> {
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Violation::VersionUnsupported),
        _ => Err(Violation::Version),
    }
}

/// How a request goes on after its head. One without a length has no content (RFC 9112 6.3), and CONNECT never has (RFC 9110 9.3.6): what
/// follows it belongs to the tunnel, if there will be one.
pub(super) fn after(connect: bool, fields: &Fields) -> Result<After, Violation> {
    fields.check_framing()?;
    if !fields.host && !fields.old {
        return Err(Violation::HostMissing);
    }
    if connect && fields.announce_content() {
        return Err(Violation::ContentForbidden);
    }
    Ok(After::Content)
}

/// Each of the four forms goes with its methods only (RFC 9112 3.2.1 to 3.2.4).
fn check_target(method: &[u8], target: &[u8]) -> Result<(), Violation> {
    if !is_target(target) {
        return Err(if memchr(b'#', target).is_some() { Violation::Fragment } else { Violation::TargetBytes });
    }
    match (method, target) {
        (b"CONNECT", authority) => authority::check(authority, Port::Required),
        (b"OPTIONS", b"*") => Ok(()),
        (_, [b'/', ..]) => check_path(target),
        (_, absolute) => check_absolute(absolute),
    }
}

fn check_absolute(target: &[u8]) -> Result<(), Violation> {
    let colon = memchr(b':', target).ok_or(Violation::TargetForm)?;
    let (scheme, rest) = target.split_at(colon);
    let rest = rest.strip_prefix(b"://").ok_or(Violation::TargetForm)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(Violation::TargetScheme);
    }
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    authority::check(&rest[..end], Port::Optional)?;
    check_path(&rest[end..])
}

/// Refuses two more bytes where parsers of URIs differ: a backtick in a path, a quote in a query.
fn check_path(target: &[u8]) -> Result<(), Violation> {
    let (path, query) = target.split_at(memchr(b'?', target).unwrap_or(target.len()));
    if memchr(b'`', path).is_some() || memchr(b'"', query).is_some() { Err(Violation::TargetBytes) } else { Ok(()) }
}
