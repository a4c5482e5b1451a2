//! Header fields drawn from an [`Input`]: the names that the mesh knows, names near them, and values that lists are made of.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::input::Input;

/// Names that some parser of ours takes for something.
pub(crate) const NAMES: [&str; 32] = [
    "x-sum",
    "x-one",
    "x-dynomesh-verdict",
    "x-dynomesh-",
    "x-dynomes",
    "X-Dynomesh-Trailers",
    "connection",
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "expect",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-host",
    "x-request-start",
    "x-request-id",
    "forwarded",
    "max-forwards",
    "cookie",
    "content-type",
    "http2-settings",
    "x-dynomesh-load",
    "x-dynomesh-leader",
    "x-dynomesh-length",
    "grpc-status",
];

/// Values that some parser of ours takes for something.
const VALUES: [&str; 32] = [
    "",
    "a",
    "close, X-One ,,",
    "x-sum,host, content-length",
    "upgrade",
    "websocket",
    "chunked",
    "gzip, chunked",
    "a:80",
    "b@a",
    "[::1]:8",
    "5",
    "+5",
    "18446744073709551615",
    "100-continue",
    "100-continue, more",
    "1.1 dynomesh",
    "1.1 dynomesh, 2.0 dynomesh,1.0 DYNOMESH, 1.1 dynomesh (a), 1.1 dynomesh, 1.1 dynomesh",
    "x-sum, X-Dynomesh-Verdict",
    "t=5",
    "3/8/1",
    "7/9/[::1]:80",
    "none",
    "a%25b&c%26%2",
    "x:1&y:%&z",
    "transfer-encoding:chunked&x-dynomesh-a:b&ok:%2526",
    "a=1; b=2",
    "application/grpc+proto",
    "X-Sum",
    " 7 ",
    "HTTP/1.1 dynomesh",
    "for=a;host=\"b\"",
];

/// Fields up to the input's end, at most `max`; a name or value that is none is left out.
pub(crate) fn fields(input: &mut Input<'_>, max: usize) -> HeaderMap {
    let mut fields = HeaderMap::new();
    while !input.is_over() && fields.len() < max {
        let (name, value) = (name(input), value(input));
        if let (Some(name), Some(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    fields
}

fn name(input: &mut Input<'_>) -> Option<HeaderName> {
    match usize::from(input.byte()) {
        known @ 0..128 => HeaderName::from_bytes(NAMES[known % NAMES.len()].as_bytes()).ok(),
        _ => HeaderName::from_bytes(input.short()).ok(),
    }
}

/// A known value, a drawn one, or one repeated so that it is long.
fn value(input: &mut Input<'_>) -> Option<HeaderValue> {
    match usize::from(input.byte()) {
        known @ 0..96 => Some(HeaderValue::from_static(VALUES[known % VALUES.len()])),
        96..112 => {
            let (piece, times) = (input.short(), usize::from(input.byte()));
            HeaderValue::from_bytes(&piece.repeat(times)).ok()
        }
        _ => HeaderValue::from_bytes(input.short()).ok(),
    }
}

/// Names and values in order, as plain as it can be said.
pub(crate) fn plain(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// The elements of a list, in lower case and without the white space around them.
pub(crate) fn listed(value: &[u8]) -> Vec<String> {
    let text: String = value.iter().map(|byte| char::from(*byte)).collect();
    text.split(',').map(|element| element.trim_matches([' ', '\t']).to_ascii_lowercase()).collect()
}
