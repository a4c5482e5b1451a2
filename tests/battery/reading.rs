//! Bytes of requests as careless receivers read them.
//!
//! Request smuggling is a disagreement of two receivers about where a request ends. So the bytes that reached a dyno are read here in
//! many ways, each of them some real server's: an honest stream is the same requests in all of them. Nothing of the mesh's own parsers
//! is used, which would share its mistakes.

use std::fmt;

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    CrLf,
    Lf,
    CrOrLf,
}

/// What counts where a receiver has a choice of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    First,
    Last,
}

/// When a body counts as chunked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// `chunked` is the last of the codings.
    LastToken,
    /// It is one of them.
    AnyToken,
    /// The text occurs.
    Substring,
    /// Never: the receiver knows no transfer codings.
    Ignored,
}

/// A way to read requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) name: &'static str,
    end: End,
    /// Whether a line that begins with white space goes on the one before it, or is a field of its own.
    unfolds: bool,
    /// Whether white space and control characters around names are dropped.
    trims_names: bool,
    lengths: Which,
    /// Whether `Content-Length` wins over `Transfer-Encoding`.
    length_wins: bool,
    coding: Coding,
    /// Whether the two bytes behind a chunk are skipped whatever they are.
    skips_chunk_end: bool,
    /// Whether a NUL ends a line's content.
    nul_ends: bool,
}

/// A request as one reading sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, in the order of arrival.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) version: String,
    /// What is in no grammar and was read all the same.
    pub(crate) odd: Vec<String>,
}

/// How a stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Behind a request.
    Clean,
    /// Within one.
    Partial,
    /// In something that this reading refuses.
    Bad(&'static str),
}

/// The requests of a stream, as one reading sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) requests: Vec<Request>,
    pub(crate) rest: Rest,
}

/// As RFC 9112 says, where it leaves no choice.
pub(crate) const PLAIN: Reading = Reading {
    name: "as RFC 9112 says",
    end: End::CrLf,
    unfolds: true,
    trims_names: false,
    lengths: Which::First,
    length_wins: false,
    coding: Coding::LastToken,
    skips_chunk_end: false,
    nul_ends: false,
};

/// All readings.
pub(crate) const READINGS: [Reading; 15] = [
    PLAIN,
    Reading { name: "bare LF ends a line", end: End::Lf, ..PLAIN },
    Reading { name: "bare CR ends a line", end: End::CrOrLf, ..PLAIN },
    Reading { name: "a folded line is a field", unfolds: false, ..PLAIN },
    Reading { name: "a folded line is a field, bare LF ends a line", unfolds: false, end: End::Lf, ..PLAIN },
    Reading { name: "names are trimmed", trims_names: true, ..PLAIN },
    Reading { name: "names are trimmed, the last length counts", trims_names: true, lengths: Which::Last, ..PLAIN },
    Reading { name: "the last length counts", lengths: Which::Last, ..PLAIN },
    Reading { name: "the length wins", length_wins: true, ..PLAIN },
    Reading { name: "the last length wins", length_wins: true, lengths: Which::Last, ..PLAIN },
    Reading { name: "chunked anywhere", coding: Coding::AnyToken, ..PLAIN },
    Reading { name: "chunked as a part of a word", coding: Coding::Substring, trims_names: true, ..PLAIN },
    Reading { name: "no transfer codings", coding: Coding::Ignored, length_wins: true, ..PLAIN },
    Reading { name: "two bytes end a chunk", skips_chunk_end: true, end: End::Lf, ..PLAIN },
    Reading { name: "NUL ends a line's content", nul_ends: true, ..PLAIN },
];

/// A request, or why there is none.
enum Read {
    Whole(Request, usize),
    Partial,
    Bad(&'static str),
}

// === impl Reading ===

impl Reading {
    /// All requests of a stream.
    pub(crate) fn stream(&self, bytes: &[u8]) -> Stream {
        let (mut requests, mut at) = (Vec::new(), 0);
        loop {
            let mut from = at;
            while let Some((line, next)) = self.line(bytes, from)
                && line.is_empty()
            {
                from = next;
            }
            if bytes[from..].iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                return Stream { requests, rest: Rest::Clean };
            }
            match self.request(bytes, from) {
                Read::Whole(request, next) => {
                    requests.push(request);
                    at = next;
                }
                Read::Partial => return Stream { requests, rest: Rest::Partial },
                Read::Bad(why) => return Stream { requests, rest: Rest::Bad(why) },
            }
        }
    }

    /// The length of the first request, if it is whole.
    pub(crate) fn first_len(&self, bytes: &[u8]) -> Option<usize> {
        let from = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        match self.request(bytes, from) {
            Read::Whole(_, next) => Some(next),
            Read::Partial | Read::Bad(_) => None,
        }
    }

    fn request(&self, bytes: &[u8], from: usize) -> Read {
        let Some((line, at)) = self.line(bytes, from) else { return Read::Partial };
        let line = text(line);
        let Some((method, rest)) = line.split_once(' ') else { return Read::Bad("a request line without a space") };
        let (target, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
        if !version.to_ascii_uppercase().starts_with("HTTP/") {
            return Read::Bad("a request line without a version");
        }
        let mut odd = Vec::new();
        let Some((fields, at)) = self.fields(bytes, at, &mut odd) else { return Read::Partial };
        let mut request =
            Request { method: method.into(), target: target.into(), fields, version: version.into(), odd, ..Request::default() };
        let lengths: Vec<&str> = request.all("content-length").flat_map(|value| value.split(',')).collect();
        let length = match self.lengths {
            Which::First => lengths.first(),
            Which::Last => lengths.last(),
        };
        if self.is_chunked(&request) && !(self.length_wins && length.is_some()) {
            return self.chunks(bytes, at, request);
        }
        // As `atoi` would: what follows the digits is not looked at.
        let digits: String =
            length.map_or("", |length| length.trim().trim_start_matches('+')).chars().take_while(char::is_ascii_digit).collect();
        let len: usize = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX) };
        let Some(body) = bytes[at..].get(..len) else { return Read::Partial };
        request.body = body.to_vec();
        Read::Whole(request, at + len)
    }

    fn chunks(&self, bytes: &[u8], mut at: usize, mut request: Request) -> Read {
        loop {
            let Some((line, next)) = self.line(bytes, at) else { return Read::Partial };
            let line = text(line);
            if line.contains(|c: char| c.is_control() && c != '\t') {
                return Read::Bad("a control character in a chunk's first line");
            }
            let size = line.trim().trim_start_matches("0x").trim_start_matches('+');
            let digits: String = size.chars().take_while(char::is_ascii_hexdigit).collect();
            if line.split(';').next() != Some(&digits) {
                request.odd.push(line.clone());
            }
            let Ok(size) = usize::from_str_radix(&digits, 16) else { return Read::Bad("a chunk without a size") };
            if size == 0 {
                let Some((trailers, next)) = self.fields(bytes, next, &mut request.odd) else { return Read::Partial };
                request.trailers = trailers;
                return Read::Whole(request, next);
            }
            let Some(data) = bytes[next..].get(..size) else { return Read::Partial };
            request.body.extend_from_slice(data);
            let behind = &bytes[next + size..];
            at = next
                + size
                + match behind {
                    [] | [b'\r'] => return Read::Partial,
                    [b'\r', b'\n', ..] => 2,
                    [b'\n', ..] if self.end != End::CrLf => 1,
                    [_, _, ..] if self.skips_chunk_end => 2,
                    _ => return Read::Bad("a chunk that does not end where it should"),
                };
        }
    }

    /// Field lines up to the empty line, and where that ends.
    fn fields(&self, bytes: &[u8], mut at: usize, odd: &mut Vec<String>) -> Option<(Vec<(String, String)>, usize)> {
        let mut fields: Vec<(String, String)> = Vec::new();
        loop {
            let (line, next) = self.line(bytes, at)?;
            at = next;
            if line.is_empty() {
                return Some((fields, at));
            }
            let line = if self.nul_ends { line.split(|byte| *byte == 0).next().unwrap_or(line) } else { line };
            let folded = line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
            let line = text(line);
            odd.extend(folded.then(|| line.clone()));
            match fields.last_mut() {
                Some((_, value)) if folded && self.unfolds => {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                _ => {
                    // What has no colon is passed over.
                    let Some((name, value)) = line.split_once(':') else {
                        odd.push(line);
                        continue;
                    };
                    let name =
                        if self.trims_names || folded { name.trim_matches(|c: char| c.is_whitespace() || c.is_control()) } else { name };
                    fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
                }
            }
        }
    }

    /// A line without its end, and where the next one begins.
    fn line<'a>(&self, bytes: &'a [u8], from: usize) -> Option<(&'a [u8], usize)> {
        let rest = bytes.get(from..)?;
        let (len, end) = match self.end {
            End::CrLf => (rest.windows(2).position(|two| two == b"\r\n")?, 2),
            End::Lf => {
                let end = rest.iter().position(|byte| *byte == b'\n')?;
                if end > 0 && rest[end - 1] == b'\r' { (end - 1, 2) } else { (end, 1) }
            }
            End::CrOrLf => {
                let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
                (end, if rest[end..].starts_with(b"\r\n") { 2 } else { 1 })
            }
        };
        Some((&rest[..len], from + len + end))
    }

    fn is_chunked(&self, request: &Request) -> bool {
        let codings = request.all("transfer-encoding").collect::<Vec<_>>().join(",").to_ascii_lowercase();
        let mut tokens = codings.split(',').map(str::trim);
        match self.coding {
            Coding::LastToken => tokens.next_back() == Some("chunked"),
            Coding::AnyToken => tokens.any(|token| token == "chunked"),
            Coding::Substring => codings.contains("chunked"),
            Coding::Ignored => false,
        }
    }
}

// === impl Request ===

impl Request {
    /// The values of a field.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Its only value, if there is one.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let mut all = self.fields.iter().filter(|(known, _)| known == name);
        let (first, second) = (all.next(), all.next());
        first.filter(|_| second.is_none()).map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} with {} bytes", self.method, self.target, self.body.len())
    }
}

/// The one stream that all readings see, or how they differ. A transfer-coded body is what it is; a reading without transfer codings is
/// asked only about streams that have none.
pub(crate) fn agreed(bytes: &[u8]) -> Result<Stream, String> {
    let plain = PLAIN.stream(bytes);
    let coded = plain
        .requests
        .iter()
        .any(|request| request.one("transfer-encoding") == Some("chunked") && request.all("content-length").next().is_none());
    for reading in READINGS {
        // Whoever speaks HTTP/1.1 knows chunks, and nothing but a chunked body without a length says so more clearly.
        if reading.coding == Coding::Ignored && (coded || plain.rest == Rest::Partial) {
            continue;
        }
        let stream = reading.stream(bytes);
        if stream != plain {
            return Err(format!("\"{}\" reads {}, \"{}\" reads {}", PLAIN.name, told(&plain), reading.name, told(&stream)));
        }
    }
    Ok(plain)
}

/// What must not be read from trailers: framing, routing, and what belongs to a connection (RFC 9110, section 6.5.1).
const NO_TRAILERS: [&str; 9] =
    ["content-length", "transfer-encoding", "host", "connection", "trailer", "te", "content-encoding", "authorization", "upgrade"];

/// What of a stream is not in the grammar of RFC 9112 as a sender must keep it.
pub(crate) fn faults(bytes: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    for request in PLAIN.stream(bytes).requests {
        let mut fault = |what: &str| faults.push(format!("{request}: {what}"));
        if !is_token(&request.method) {
            fault("the method is no token");
        }
        if request.version != "HTTP/1.1" {
            fault(&format!("the version {:?}", request.version));
        }
        if !request.odd.is_empty() {
            fault(&format!("the lines {:?}", request.odd));
        }
        if request.target.is_empty() || request.target.bytes().any(|byte| !byte.is_ascii_graphic()) {
            fault("the target has a byte that none may have");
        }
        for (name, value) in request.fields.iter().chain(&request.trailers) {
            if !is_token(name) {
                fault(&format!("field name {name:?}"));
            }
            if value.chars().any(|c| c.is_ascii_control() && c != '\t') {
                fault(&format!("the value of {name} is {value:?}"));
            }
        }
        for (name, _) in &request.trailers {
            if NO_TRAILERS.contains(&name.as_str()) || name.starts_with("x-dynomesh-") {
                fault(&format!("the trailer {name}"));
            }
        }
        let (lengths, codings) = (request.all("content-length").count(), request.all("transfer-encoding").count());
        if lengths + codings > 1 {
            fault("it is framed more than once");
        }
        if request.all("content-length").any(|value| value.is_empty() || value.bytes().any(|byte| !byte.is_ascii_digit())) {
            fault("its length is no number");
        }
        if request.all("transfer-encoding").any(|value| value != "chunked") {
            fault("its transfer coding is not chunked");
        }
        if request.one("host").is_none() {
            fault("it has not one Host");
        }
    }
    faults
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn told(stream: &Stream) -> String {
    let requests: Vec<String> = stream.requests.iter().map(Request::to_string).collect();
    format!("[{}] and then {:?}", requests.join(", "), stream.rest)
}

/// Bytes one to one as characters, so that nothing is lost on the way.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests;
