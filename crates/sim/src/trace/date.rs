//! The date of the combined log format: `10/Oct/2000:13:55:36 -0700`.

use dynomesh_core::time::Time;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Time since 1970; `None` if it is none, or before 1970.
pub(super) fn since_1970(text: &str) -> Option<Time> {
    let (date, zone) = text.split_once(' ')?;
    let mut parts = date.splitn(4, ['/', ':']);
    let day = number(parts.next()?, 2)?;
    let name = parts.next()?;
    let month = MONTHS.iter().zip(1..).find(|(month, _)| **month == name)?.1;
    let year = number(parts.next()?, 4)?;
    let mut clock = parts.next()?.split(':');
    let mut next = || number(clock.next()?, 2);
    let (hour, minute, second) = (next()?, next()?, next()?);
    // A leap second is written as 60.
    let fits = clock.next().is_none() && hour < 24 && minute < 60 && second <= 60 && (1..=days_in(year, month)).contains(&day);
    if !fits {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    Some(Time::from_nanos(u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?))
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = (number(digits.get(..2)?, 2)?, number(digits.get(2..)?, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let leaps = |years: i64| years / 4 - years / 100 + years / 400;
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    years + (1..month).map(|month| days_in(year, month)).sum::<i64>() + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        since_1970(text).map(|time| time.as_nanos() / 1_000_000_000)
    }

    #[test]
    fn dates_are_counted_from_1970_with_their_zone() {
        assert_eq!(seconds("01/Jan/1970:00:00:00 +0000"), Some(0));
        assert_eq!(seconds("10/Oct/2000:13:55:36 -0700"), Some(971_211_336));
        assert_eq!(seconds("29/Feb/2024:23:59:60 +0530"), Some(1_709_231_400));
        assert_eq!(seconds("31/Dec/2100:00:00:00 +0000"), Some(4_133_894_400));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for bad in [
            "",
            "10/Oct/2000:13:55:36",
            "10/Okt/2000:13:55:36 +0000",
            "29/Feb/2100:00:00:00 +0000",
            "00/Jan/2000:00:00:00 +0000",
            "1/Jan/2000:00:00:00 +0000",
            "01/Jan/2000:24:00:00 +0000",
            "01/Jan/2000:00:00:00:00 +0000",
            "01/Jan/2000:00:00:00 0000",
            "01/Jan/2000:00:00:00 +é00",
            "01/Jan/2000:00:00:00 +9900",
            "01/Jan/1969:00:00:00 +0000",
            "+1/Jan/2000:00:00:00 +0000",
        ] {
            assert_eq!(seconds(bad), None, "{bad:?} passed");
        }
    }
}
