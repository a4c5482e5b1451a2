//! Points in time and lengths of time, typed.
//!
//! A [`Time`] counts from an origin that only one machine knows (the start of its boot), so it never travels: between machines go
//! [`Span`]s, what remains of a deadline (P10).

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::Invalid;

/// A point in time: nanoseconds since this machine's boot, suspended time included. The daemons read it from `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

/// A length of time in nanoseconds. Written in configuration as `250ms`, `10s`, `2m`, `1h`, `50us`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SpanForm", into = "String")]
pub struct Span(u64);

impl Time {
    /// The origin.
    pub const ZERO: Time = Time(0);
    /// Later than any time that comes.
    pub const FAR: Time = Time(u64::MAX);

    /// The time `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Time(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// How long until `later`; zero if it has passed.
    pub const fn until(self, later: Time) -> Span {
        later.since(self)
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A span of nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Span(nanos)
    }

    /// A span of microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Span(micros.saturating_mul(1_000))
    }

    /// A span of milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Span(millis.saturating_mul(1_000_000))
    }

    /// A span of seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Span(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Milliseconds with their fraction.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Seconds with their fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The span times `factor`.
    pub const fn times(self, factor: u64) -> Span {
        Span(self.0.saturating_mul(factor))
    }

    /// The span divided by `parts`, which is not zero.
    pub const fn over(self, parts: u64) -> Span {
        Span(self.0 / parts)
    }

    /// For timers and socket options.
    pub const fn to_std(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

// === impl arithmetic: saturating, so that no input can overflow ===

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Span> for Time {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Span {
        Span(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

// === impl text ===

const UNITS: [(&str, u64); 6] =
    [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let (unit, nanos) = UNITS.iter().rev().find(|(_, nanos)| self.0.is_multiple_of(*nanos)).unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", self.0 / nanos)
    }
}

impl FromStr for Span {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("duration", text, "must be a whole number and a unit, for example 250ms, 10s, 2m or 1h");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = text[..digits].parse().map_err(|_| bad())?;
        let (_, nanos) = UNITS.iter().find(|(unit, _)| *unit == text[digits..].trim()).ok_or_else(bad)?;
        number.checked_mul(*nanos).map(Span).ok_or_else(bad)
    }
}

/// The written form, so that a bare number in a configuration is refused with the same sentence as a wrong unit.
#[derive(Deserialize)]
struct SpanForm(String);

impl TryFrom<SpanForm> for Span {
    type Error = Invalid;
    fn try_from(form: SpanForm) -> Result<Span, Invalid> {
        form.0.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_with_units() {
        for text in ["50us", "250ms", "10s", "2m", "1h", "0s", "7ns"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("60s".parse::<Span>().unwrap().to_string(), "1m");
        for bad in ["", "10", "ms", "1.5s", "-1s", "1d", "99999999999999999h"] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?} passed");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Time::FAR + Span::from_secs(1), Time::FAR);
        assert_eq!(Time::ZERO.since(Time::FAR), Span::ZERO);
        assert_eq!(Span::from_secs(u64::MAX).times(3).as_nanos(), u64::MAX);
    }
}
