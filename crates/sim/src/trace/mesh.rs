//! A line of the mesh's own access log, whose fields `docs/access-log.md` fixes.

use dynomesh_core::time::{Span, Time};
use serde::Deserialize;

use super::{Entry, Stamp, span_of};
use crate::workload::nanos_of;

/// Latest end of a request: the year 2286.
const TS_MAX: f64 = 1e10;

/// The fields that a replay needs; a line has more.
#[derive(Deserialize)]
struct Line {
    ts: f64,
    total_ms: f64,
    service_ms: f64,
}

/// Reads a line; else what was expected. `ts` is the end of a request, so it came `total_ms` before that. A service time of zero is
/// that of a request which no dyno answered: it came, but what it would have taken is not known.
pub(super) fn entry(line: &str) -> Result<Entry, String> {
    let Line { ts, total_ms, service_ms } =
        serde_json::from_str(line).map_err(|error| format!("a line of JSON with the numbers ts, total_ms and service_ms ({error})"))?;
    if !(0.0..=TS_MAX).contains(&ts) {
        return Err(format!("ts in seconds since 1970, not {ts}"));
    }
    let millis = |name, millis: f64| span_of(millis * 1e6).ok_or_else(|| format!("{name} from 0 to a week in milliseconds, not {millis}"));
    let (total, service) = (millis("total_ms", total_ms)?, millis("service_ms", service_ms)?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be from 0 to 1e10 above")]
    let whole = ts.trunc() as u64;
    let ended = Time::from_nanos(whole * 1_000_000_000 + nanos_of(ts.fract() * 1e9));
    Ok(Entry { arrived: Stamp::At(ended - total), service: (service > Span::ZERO).then_some(service) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_came_its_total_time_before_its_line_was_written() {
        let got = entry(r#"{"ts":100.5,"edge":"edge-1","status":200,"attempts":[{"ms":1}],"service_ms":120.25,"total_ms":250.0}"#).unwrap();
        assert_eq!(got, Entry { arrived: Stamp::At(Time::from_nanos(100_250_000_000)), service: Some(Span::from_micros(120_250)) });
    }

    #[test]
    fn a_request_that_no_dyno_answered_came_but_has_no_service_time() {
        let got = entry(r#"{"ts":100.5,"status":503,"service_ms":0.0,"total_ms":500}"#).unwrap();
        assert_eq!(got, Entry { arrived: Stamp::At(Time::from_nanos(100_000_000_000)), service: None });
    }

    #[test]
    fn the_documented_line_can_be_replayed() {
        let (_, example) = include_str!("../../../../docs/access-log.md").split_once("```json\n").unwrap();
        let got = entry(example.lines().next().unwrap()).unwrap();
        assert_eq!(got.arrived, Stamp::At(Time::from_nanos(1_763_672_401_123_979_000)));
        assert_eq!(got.service, Some(Span::from_micros(121_750)));
    }

    #[test]
    fn an_error_says_what_was_expected() {
        for (bad, expected) in [
            ("{}", "ts, total_ms and service_ms"),
            (r#"{"ts":1,"total_ms":1}"#, "missing field `service_ms`"),
            (r#"{"ts":"now","total_ms":1,"service_ms":1}"#, "invalid type"),
            (r#"{"ts":-1,"total_ms":1,"service_ms":1}"#, "not -1"),
            (r#"{"ts":1e300,"total_ms":1,"service_ms":1}"#, "since 1970"),
            (r#"{"ts":1,"total_ms":-1,"service_ms":1}"#, "total_ms from 0"),
            (r#"{"ts":1,"total_ms":1,"service_ms":1e12}"#, "service_ms from 0"),
            (r#"{"ts":1,"total_ms":1,"service_ms":1"#, "EOF"),
        ] {
            let error = entry(bad).unwrap_err();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}
