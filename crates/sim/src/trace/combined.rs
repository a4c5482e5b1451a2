//! A line of the combined log format, with or without a time at its end.
//!
//! `host ident user [date] "request" status bytes "referer" "agent" time`: nginx writes the date at the end of a request and `$request_time`
//! in seconds with a point; Apache writes the date at its start and `%D` in whole microseconds. So the point tells both the unit and
//! which end of the request the date stands for. Referer and agent may be missing (the common log format).

use dynomesh_core::time::Span;

use super::{Entry, Stamp, date, span_of};

/// Reads a line; else what was expected.
pub(super) fn entry(line: &str) -> Result<Entry, String> {
    let (who, rest) = line.split_once(" [").ok_or(r#"`host ident user [date] "request" status bytes`, as in the combined log format"#)?;
    if who.split_ascii_whitespace().count() < 3 {
        return Err("host, ident and user before the date".into());
    }
    let (date, rest) = rest.split_once("] ").ok_or("a date in brackets")?;
    let second = date::since_1970(date).ok_or("a date like [10/Oct/2000:13:55:36 -0700]")?;
    let rest = quoted(rest).ok_or("the request in quotes after the date")?;
    let (status, rest) = word(rest);
    if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a status of three digits after the request".into());
    }
    let (bytes, mut rest) = word(rest);
    if bytes != "-" && (bytes.is_empty() || !bytes.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("a number of bytes or - after the status".into());
    }
    while rest.starts_with('"') {
        rest = quoted(rest).ok_or("an end of the last quote")?;
    }
    took(rest)
        .map(|took| match took {
            None => Entry { arrived: Stamp::Within(second, Span::ZERO), service: None },
            Some(Took::Until(service)) => Entry { arrived: Stamp::Within(second, service), service: Some(service) },
            Some(Took::From(service)) => Entry { arrived: Stamp::Within(second, Span::ZERO), service: Some(service) },
        })
        .ok_or_else(|| "at the end nothing, seconds with a point (nginx $request_time) or whole microseconds (Apache %D)".into())
}

/// How long a request took, and to which end of it the date belongs.
enum Took {
    Until(Span),
    From(Span),
}

fn took(text: &str) -> Option<Option<Took>> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text {
        "" | "-" => Some(None),
        _ if !plain => None,
        text if text.contains('.') => span_of(text.parse::<f64>().ok()? * 1e9).map(|span| Some(Took::Until(span))),
        text => span_of(text.parse::<f64>().ok()? * 1e3).map(|span| Some(Took::From(span))),
    }
}

/// What follows a quoted text and the space after it.
fn quoted(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inner.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let rest = &inner[end + 1..];
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

/// The next word, and what follows it and the space after it.
fn word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use dynomesh_core::time::Time;

    use super::*;

    const START: &str = r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a\"b HTTP/1.0" 200 2326"#;
    const SECOND: Time = Time::from_nanos(971_211_336_000_000_000);

    fn within(before: Span, service: Option<Span>) -> Result<Entry, String> {
        Ok(Entry { arrived: Stamp::Within(SECOND, before), service })
    }

    #[test]
    fn the_time_at_the_end_tells_its_unit_and_the_end_that_the_date_means() {
        let took = Span::from_millis(123);
        assert_eq!(entry(START), within(Span::ZERO, None));
        assert_eq!(entry(&format!(r#"{START} "-" "agent \\""#)), within(Span::ZERO, None));
        assert_eq!(entry(&format!(r#"{START} "-" "agent" 0.123"#)), within(took, Some(took)));
        assert_eq!(entry(&format!(r#"{START} "-" "agent" 123000"#)), within(Span::ZERO, Some(took)));
        assert_eq!(entry(&format!("{START} -")), within(Span::ZERO, None));
    }

    #[test]
    fn an_error_says_what_was_expected() {
        for (bad, expected) in [
            ("nonsense".into(), "combined log format"),
            (START.replace("127.0.0.1 - ", ""), "host, ident and user"),
            (START.replace("Oct", "Oktober"), "a date like"),
            (START.replace("200 2326", "20 2326"), "three digits"),
            (START.replace("2326", "much"), "number of bytes"),
            (START.replace("\"GET", "GET"), "in quotes"),
            (format!("{START} \"-"), "end of the last quote"),
            (format!("{START} 1.2.3"), "at the end"),
            (format!("{START} -5"), "at the end"),
            (format!("{START} 0.1 0.2"), "at the end"),
            (format!("{START} 99999999999999999999999.5"), "at the end"),
        ] {
            let error = entry(&bad).unwrap_err();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}
