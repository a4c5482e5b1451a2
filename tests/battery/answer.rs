//! Bytes of answers, read as strictly as RFC 9112 asks a sender to write them.

use std::fmt;

/// An answer, or as much of one as came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case, in the order of arrival.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) end: End,
}

/// How a client knows that an answer is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told beforehand, by a length or a status, or by a last chunk.
    Told,
    /// The connection was closed in order, and nothing else was to tell.
    Closed,
    /// It does not: the answer is cut off, or more is to come.
    Missing,
}

/// What came on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answers {
    /// Interim answers, in the order of arrival.
    pub(crate) interim: Vec<Answer>,
    /// Final ones; the last may be broken off.
    pub(crate) last: Vec<Answer>,
    /// Bytes that belong to no answer that was asked for.
    pub(crate) rest: Vec<u8>,
    /// What is against the grammar.
    pub(crate) fault: Option<String>,
}

impl Answers {
    /// Reads what came, in answer to requests with these methods; `closed` if the connection was closed in order behind it.
    pub(crate) fn read(bytes: &[u8], methods: &[&str], closed: bool) -> Self {
        let mut read = Answers::default();
        let mut at = 0;
        while at < bytes.len() {
            let Some(method) = methods.get(read.last.len()) else {
                read.rest = bytes[at..].to_vec();
                break;
            };
            match answer(&bytes[at..], method, closed) {
                Ok(Some((answer, len))) => {
                    at += len;
                    let kept = if answer.status < 200 && answer.status != 101 { &mut read.interim } else { &mut read.last };
                    kept.push(answer);
                }
                // A head that is not whole yet.
                Ok(None) => break,
                Err(fault) => {
                    read.fault = Some(fault);
                    break;
                }
            }
        }
        read
    }

    /// How many came whole, before the connection's end makes one so.
    pub(crate) fn whole(&self) -> usize {
        self.last.iter().filter(|answer| answer.end == End::Told).count()
    }
}

impl Answer {
    /// The values of a field.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it says that its connection ends with it.
    pub(crate) fn closes(&self) -> bool {
        self.all("connection").any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")))
    }

    /// Whether the mesh gave it, and not the dyno.
    pub(crate) fn is_of_the_mesh(&self) -> bool {
        self.all("x-dynomesh-error").next().is_some()
    }

    /// What of it no server may send.
    pub(crate) fn faults(&self) -> Vec<String> {
        let (lengths, codings) = (self.all("content-length").count(), self.all("transfer-encoding").count());
        let mut faults = Vec::new();
        if lengths > 1 || (lengths == 1 && codings > 0) {
            faults.push(format!("{self} is framed more than once"));
        }
        if (self.status < 200 || self.status == 204) && lengths + codings > 0 {
            faults.push(format!("{self} has a length though it has no body (RFC 9112, 6.1 and 9110, 8.6)"));
        }
        if !(100..=999).contains(&self.status) {
            faults.push(format!("{self} has a status that there is not"));
        }
        faults
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = if self.end == End::Missing { ", cut off" } else { "" };
        write!(f, "{} with {} bytes{cut}", self.status, self.body.len())
    }
}

fn answer(bytes: &[u8], method: &str, closed: bool) -> Result<Option<(Answer, usize)>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return if bytes.len() < 12 || bytes.starts_with(b"HTTP/1.") { Ok(None) } else { Err("no HTTP/1.1 status line".into()) };
    };
    let (head, mut at) = (&bytes[..end], end + 4);
    let head: String = head.iter().map(|byte| char::from(*byte)).collect();
    if head.replace("\r\n", "").contains(|c: char| c.is_control() && c != '\t') {
        return Err(format!("a control character in the head {head:?}"));
    }
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line
        .strip_prefix("HTTP/1.1 ")
        // An answer to HTTP/1.0 may call itself so.
        .or_else(|| line.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3)?.parse().ok().filter(|_| rest.as_bytes().get(3) == Some(&b' ')));
    let status: u16 = status.ok_or_else(|| format!("the status line {line:?}"))?;
    let fields = fields(lines)?;
    let mut answer = Answer { status, fields, body: Vec::new(), trailers: Vec::new(), end: End::Told };
    if status < 200 || status == 204 || status == 304 || method == "HEAD" {
        return Ok(Some((answer, at)));
    }
    if answer.all("transfer-encoding").next().is_some() {
        return chunks(bytes, at, answer).map(Some);
    }
    let length: Option<usize> = match answer.all("content-length").next() {
        Some(length) => Some(length.parse().map_err(|_| format!("the length {length:?}"))?),
        None => None,
    };
    let body = &bytes[at..];
    let len = length.unwrap_or(body.len()).min(body.len());
    answer.end = match length {
        Some(length) if length == len => End::Told,
        None if closed => End::Closed,
        _ => End::Missing,
    };
    answer.body = body[..len].to_vec();
    at += len;
    Ok(Some((answer, at)))
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<(String, String)>, String> {
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("the field line {line:?}"))?;
            let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
            good.then(|| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
                .ok_or_else(|| format!("the field line {line:?}"))
        })
        .collect()
}

fn chunks(bytes: &[u8], mut at: usize, mut answer: Answer) -> Result<(Answer, usize), String> {
    let cut = |mut answer: Answer| {
        answer.end = End::Missing;
        Ok((answer, bytes.len()))
    };
    loop {
        let Some(len) = find(&bytes[at..], b"\r\n") else { return cut(answer) };
        let line = std::str::from_utf8(&bytes[at..at + len]).unwrap_or("not text");
        let size =
            usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).map_err(|_| format!("the chunk size {line:?}"))?;
        at += len + 2;
        if size == 0 {
            if bytes[at..].starts_with(b"\r\n") {
                return Ok((answer, at + 2));
            }
            let Some(len) = find(&bytes[at..], b"\r\n\r\n") else { return cut(answer) };
            let lines: String = bytes[at..at + len].iter().map(|byte| char::from(*byte)).collect();
            answer.trailers = fields(lines.split("\r\n"))?;
            return Ok((answer, at + len + 4));
        }
        let data = &bytes[at..];
        answer.body.extend_from_slice(&data[..size.min(data.len())]);
        match data.get(size..size + 2) {
            Some(b"\r\n") => at += size + 2,
            Some(_) => return Err("a chunk that does not end where it should".into()),
            None => return cut(answer),
        }
    }
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, closed: bool) -> Answers {
        Answers::read(text.as_bytes(), &["GET"], closed)
    }

    #[test]
    fn an_answer_is_whole_only_where_its_framing_says_so() {
        let end = |text: &str, closed| read(text, closed).last[0].end;
        assert_eq!(end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false), End::Told);
        assert_eq!(end("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", true), End::Missing);
        assert_eq!(end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false), End::Told);
        assert_eq!(end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", true), End::Missing);
        assert_eq!(end("HTTP/1.1 200 OK\r\n\r\nok", true), End::Closed);
        assert_eq!(end("HTTP/1.1 200 OK\r\n\r\nok", false), End::Missing);
    }

    #[test]
    fn what_was_not_asked_for_is_left_over() {
        let read = read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false);
        assert_eq!((read.interim.len(), read.last.len(), read.rest.is_empty()), (1, 1, false));
    }

    #[test]
    fn an_answer_against_the_grammar_is_a_fault() {
        for text in [
            "HTTP/1.1 200 OK\r\nx: a\nb: c\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "ICY 200 OK!!\r\n\r\n",
        ] {
            assert!(read(text, false).fault.is_some(), "{text:?}");
        }
        assert_eq!(
            read("HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", false).last[0].faults().len(),
            1
        );
        assert_eq!(read("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", false).last[0].faults().len(), 1);
    }
}
