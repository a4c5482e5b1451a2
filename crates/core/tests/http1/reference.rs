//! The rules once more, as slowly and plainly as they can be said: over the whole stream at once, by text splitting, with no state kept.
//!
//! It shares no code with the scanner and knows no names of violations, only where the good bytes end and whether that is by refusal.

use dynomesh_core::http1::{Asked, Limits};

/// Where the good bytes end; `Err` if what follows them is refused, `Ok` if nothing does.
pub(crate) type Verdict = Result<usize, usize>;

/// What is known of a piece of the stream.
enum Piece<T> {
    Whole(T, usize),
    /// The stream ends within it, and nothing is wrong so far.
    Unfinished,
    Refused,
}

struct Field {
    name: String,
    value: String,
}

pub(crate) fn requests(stream: &[u8], limits: Limits) -> Verdict {
    let mut at = 0;
    loop {
        let mut blank = 0;
        while stream[at..].starts_with(b"\r\n") {
            blank += 1;
            if blank > 4 {
                return Err(at);
            }
            at += 2;
        }
        if at == stream.len() {
            return Ok(at);
        }
        let (first, fields, after) = match head(stream, at, limits, &request_line, &request_may_be_clear) {
            Piece::Whole((first, fields), after) => (first, fields, after),
            Piece::Unfinished => return Ok(stream.len()),
            Piece::Refused => return Err(at),
        };
        let old = first.ends_with("1.0");
        if !framing_is_clear(&fields) || (values(&fields, "host").is_empty() && !old) {
            return Err(at);
        }
        let announces = !values(&fields, "transfer-encoding").is_empty() || length(&fields).is_some_and(|length| length > 0);
        if first.starts_with("CONNECT ") && announces {
            return Err(at);
        }
        at = match content(stream, after, &fields, limits) {
            Some(Ok(end)) => end,
            Some(Err(verdict)) => return verdict,
            None => after,
        };
    }
}

pub(crate) fn response(stream: &[u8], asked: Asked, limits: Limits) -> Verdict {
    let mut at = 0;
    loop {
        if at == stream.len() {
            return Ok(at);
        }
        let (first, fields, after) = match head(stream, at, limits, &status_line, &response_may_be_clear) {
            Piece::Whole((first, fields), after) => (first, fields, after),
            Piece::Unfinished => return Ok(stream.len()),
            Piece::Refused => return Err(at),
        };
        let status: u32 = first[9..12].parse().expect("three digits");
        let announces = !values(&fields, "transfer-encoding").is_empty() || length(&fields).is_some_and(|length| length > 0);
        if !framing_is_clear(&fields) || (status < 200 && announces) {
            return Err(at);
        }
        if status == 101 {
            return if asked == Asked::Upgrade { Ok(stream.len()) } else { Err(at) };
        }
        if status < 200 {
            at = after;
            continue;
        }
        if asked == Asked::Connect && status < 300 {
            return Ok(stream.len());
        }
        let none = asked == Asked::Head || status == 204 || status == 304;
        let end = match content(stream, after, &fields, limits) {
            _ if none => after,
            Some(Ok(end)) => end,
            Some(Err(verdict)) => return verdict,
            None if length(&fields).is_some() => after,
            None => stream.len(),
        };
        return if end < stream.len() { Err(end) } else { Ok(end) };
    }
}

/// The first line and the fields of the head at `from`.
fn head(
    stream: &[u8],
    from: usize,
    limits: Limits,
    is_first: &dyn Fn(&str) -> bool,
    may_be_clear: &dyn Fn(&str, &[Field]) -> bool,
) -> Piece<(String, Vec<Field>)> {
    let rest = &stream[from..];
    let first_end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |lf| lf + 1);
    if first_end > limits.line_max {
        return Piece::Refused;
    }
    let first = match line(stream, from) {
        Piece::Whole(text, _) => text,
        Piece::Unfinished => return Piece::Unfinished,
        Piece::Refused => return Piece::Refused,
    };
    if !is_first(&first) {
        return Piece::Refused;
    }
    match section(stream, from, from + first_end, limits, &|fields| may_be_clear(&first, fields)) {
        Piece::Whole(fields, end) => Piece::Whole((first, fields), end),
        Piece::Unfinished => Piece::Unfinished,
        Piece::Refused => Piece::Refused,
    }
}

/// The fields from `at` to an empty line, of the head that begins at `from`.
fn section(stream: &[u8], from: usize, mut at: usize, limits: Limits, may_be_clear: &dyn Fn(&[Field]) -> bool) -> Piece<Vec<Field>> {
    let mut fields = Vec::new();
    loop {
        let over = |end: usize| end - from > limits.head_max;
        let text = match line(stream, at) {
            Piece::Whole(_, end) if over(end) => return Piece::Refused,
            Piece::Unfinished if over(stream.len()) => return Piece::Refused,
            Piece::Whole(text, end) => {
                at = end;
                text
            }
            Piece::Unfinished => return Piece::Unfinished,
            Piece::Refused => return Piece::Refused,
        };
        if text.is_empty() {
            return Piece::Whole(fields, at);
        }
        match field(&text) {
            Some(field) if fields.len() < limits.fields_max => fields.push(field),
            _ => return Piece::Refused,
        }
        // What no later line can make good again.
        if !may_be_clear(&fields) {
            return Piece::Refused;
        }
    }
}

/// The line at `at`, every byte as one character.
fn line(stream: &[u8], at: usize) -> Piece<String> {
    let text: String = stream[at..].iter().map(|byte| char::from(*byte)).collect();
    match text.split_once('\n') {
        None => Piece::Unfinished,
        Some((line, _)) => match line.strip_suffix('\r') {
            Some(line) if !line.contains('\r') => Piece::Whole(line.to_owned(), at + line.chars().count() + 2),
            _ => Piece::Refused,
        },
    }
}

fn field(line: &str) -> Option<Field> {
    let (name, value) = line.split_once(':')?;
    let ok = is_token(name) && is_text(value);
    ok.then(|| Field { name: name.to_ascii_lowercase(), value: value.trim_matches([' ', '\t']).to_owned() })
}

fn values<'a>(fields: &'a [Field], name: &str) -> Vec<&'a str> {
    fields.iter().filter(|field| field.name == name).map(|field| field.value.as_str()).collect()
}

fn length(fields: &[Field]) -> Option<u64> {
    values(fields, "content-length").first().and_then(|value| value.parse().ok())
}

/// Whether the fields so far leave a way for the head to be right.
fn request_may_be_clear(first: &str, fields: &[Field]) -> bool {
    let hosts = values(fields, "host");
    hosts.len() <= 1 && hosts.iter().all(|host| is_authority(host, false)) && framing_may_be_clear(first.ends_with("1.0"), fields)
}

fn response_may_be_clear(first: &str, fields: &[Field]) -> bool {
    framing_may_be_clear(first.starts_with("HTTP/1.0"), fields)
}

fn framing_may_be_clear(old: bool, fields: &[Field]) -> bool {
    let lengths = values(fields, "content-length");
    let codings = values(fields, "transfer-encoding");
    lengths.len() <= 1
        && codings.len() <= if old { 0 } else { 1 }
        && lengths.iter().all(|length| length.chars().all(|digit| digit.is_ascii_digit()) && length.parse::<u64>().is_ok())
        && codings.iter().all(|coding| coding.eq_ignore_ascii_case("chunked"))
}

/// Whether the whole head says one thing at most about the content.
fn framing_is_clear(fields: &[Field]) -> bool {
    values(fields, "content-length").len() + values(fields, "transfer-encoding").len() <= 1
}

/// The end of the content that `fields` announce, or the verdict if it has no end. `None` if they announce none.
fn content(stream: &[u8], from: usize, fields: &[Field], limits: Limits) -> Option<Result<usize, Verdict>> {
    if !values(fields, "transfer-encoding").is_empty() {
        return Some(chunks(stream, from, limits));
    }
    let length = length(fields)?;
    let present = (stream.len() - from) as u64;
    Some(if length <= present { Ok(from + usize::try_from(length).expect("at most what is present")) } else { Err(Ok(stream.len())) })
}

fn chunks(stream: &[u8], mut at: usize, limits: Limits) -> Result<usize, Verdict> {
    loop {
        let rest = &stream[at..];
        let line_end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |lf| lf + 1);
        if line_end > 16 + limits.extension_max + 2 {
            return Err(Err(at));
        }
        let (text, after) = match line(stream, at) {
            Piece::Whole(text, after) => (text, after),
            Piece::Unfinished => return Err(Ok(stream.len())),
            Piece::Refused => return Err(Err(at)),
        };
        let size = chunk_size(&text, limits).ok_or(Err(at))?;
        at = after;
        if size == 0 {
            return trailers(stream, at, limits);
        }
        let present = (stream.len() - at) as u64;
        if size > present {
            return Err(Ok(stream.len()));
        }
        at += usize::try_from(size).expect("at most what is present");
        for wanted in *b"\r\n" {
            match stream.get(at) {
                None => return Err(Ok(at)),
                Some(byte) if *byte == wanted => at += 1,
                Some(_) => return Err(Err(at)),
            }
        }
    }
}

fn chunk_size(line: &str, limits: Limits) -> Option<u64> {
    let (digits, extension) = match line.find(';') {
        Some(at) => line.split_at(line[..at].trim_end_matches([' ', '\t']).len()),
        None => (line, ""),
    };
    let fine = !digits.is_empty() && digits.len() <= 16 && digits.chars().all(|digit| digit.is_ascii_hexdigit());
    (fine && is_text(extension) && extension.chars().count() <= limits.extension_max)
        .then(|| u64::from_str_radix(digits, 16).expect("up to 16 digits"))
}

fn trailers(stream: &[u8], from: usize, limits: Limits) -> Result<usize, Verdict> {
    let mut at = from;
    for count in 0.. {
        let rest = &stream[at..];
        let line_end = at + rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |lf| lf + 1);
        if line_end - from > limits.trailers_max {
            return Err(Err(at));
        }
        match line(stream, at) {
            Piece::Whole(text, after) if text.is_empty() => return Ok(after),
            Piece::Whole(text, after) if count < limits.fields_max && field(&text).is_some_and(|field| !frames(&field)) => at = after,
            Piece::Unfinished => break,
            Piece::Whole(..) | Piece::Refused => return Err(Err(at)),
        }
    }
    Err(Ok(stream.len()))
}

fn frames(field: &Field) -> bool {
    ["content-length", "transfer-encoding", "host"].contains(&field.name.as_str())
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn is_text(text: &str) -> bool {
    text.chars().all(|c| c == '\t' || (c >= ' ' && c != '\x7f'))
}

fn request_line(line: &str) -> bool {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = parts[..] else { return false };
    is_token(method) && ["HTTP/1.0", "HTTP/1.1"].contains(&version) && is_target(method, target)
}

fn status_line(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("HTTP/1.0 ").or(line.strip_prefix("HTTP/1.1 ")) else { return false };
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_number = status.len() == 3 && status.chars().all(|digit| digit.is_ascii_digit());
    is_number && (100..600).contains(&status.parse::<u32>().expect("digits")) && is_text(reason)
}

fn is_target(method: &str, target: &str) -> bool {
    if !target.chars().all(|c| c.is_ascii_graphic() && !"#<>".contains(c)) {
        return false;
    }
    if method == "CONNECT" {
        return is_authority(target, true);
    }
    if target == "*" {
        return method == "OPTIONS";
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if query.contains('"') {
        return false;
    }
    if path.starts_with('/') {
        return !path.contains('`');
    }
    let lower = path.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("http://").or(lower.strip_prefix("https://")) else { return false };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    is_authority(authority, false) && !path.contains('`')
}

fn is_authority(authority: &str, port_required: bool) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (address, port.to_owned()),
            _ => return false,
        },
        None => match authority.split_once(':') {
            Some((host, port)) => (host, format!(":{port}")),
            None => (authority, String::new()),
        },
    };
    let is_name = |host: &str| !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+;=".contains(c));
    let port_is_fine = match port.strip_prefix(':') {
        None => port.is_empty() && !port_required,
        Some("") => !port_required,
        Some(digits) => digits.chars().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
    };
    (authority.starts_with('[') || is_name(host)) && port_is_fine
}
