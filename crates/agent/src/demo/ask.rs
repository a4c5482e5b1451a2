//! What a request asks of the sample dyno by its `x-demo-*` headers.
//!
//! An unreadable value is refused with its name: a test that misspells one must not pass by luck.

use dynomesh_core::time::Span;
use hyper::StatusCode;
use hyper::header::HeaderMap;

/// Largest response body that can be asked for: far over the largest that is tested, and no accident fills a disk.
const BYTES_MAX: u64 = 16 << 30;
/// Longest service time that can be asked for.
const SERVICE_MAX: Span = Span::from_secs(600);

/// The wishes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    /// Service time in place of a drawn one.
    pub(super) service: Option<Span>,
    /// Length of a body of known content in place of the text.
    pub(super) bytes: Option<u64>,
    /// Status of the answer.
    pub(super) status: StatusCode,
    /// Whether the request's body is the answer's.
    pub(super) echo: bool,
}

impl Ask {
    /// Reads the headers, or says which of them makes no sense.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, String> {
        let status = number(headers, "x-demo-status", 200, 599)?.unwrap_or(200);
        let status = u16::try_from(status).ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::OK);
        Ok(Ask {
            service: number(headers, "x-demo-service-ms", 0, SERVICE_MAX.as_millis())?.map(Span::from_millis),
            bytes: number(headers, "x-demo-bytes", 0, BYTES_MAX)?,
            status,
            echo: number(headers, "x-demo-echo", 0, 1)? == Some(1),
        })
    }
}

fn number(headers: &HeaderMap, name: &str, least: u64, most: u64) -> Result<Option<u64>, String> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok()).filter(|n| (least..=most).contains(n));
    number.map(Some).ok_or_else(|| format!("{name} must be a whole number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_plain_request_asks_for_nothing() {
        assert_eq!(Ask::read(&headers(&[])).unwrap(), Ask { service: None, bytes: None, status: StatusCode::OK, echo: false });
    }

    #[test]
    fn wishes_are_read_and_nonsense_is_named() {
        let ask = Ask::read(&headers(&[("x-demo-service-ms", "7"), ("x-demo-status", "503"), ("x-demo-echo", "1")])).unwrap();
        assert_eq!((ask.service, ask.status.as_u16(), ask.echo), (Some(Span::from_millis(7)), 503, true));
        for (name, value) in [("x-demo-service-ms", "1s"), ("x-demo-bytes", "-1"), ("x-demo-status", "101"), ("x-demo-echo", "yes")] {
            assert!(Ask::read(&headers(&[(name, value)])).unwrap_err().contains(name));
        }
    }
}
