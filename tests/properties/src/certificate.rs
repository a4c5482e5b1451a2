//! The reader of certificates: what was written is read, of whatever else is taken apart nothing is invented.

use dynomesh_runtime::tls::certificate::{names, read};

use crate::Outcome;
use crate::input::Input;

/// What a certificate is to say.
struct Said<'a> {
    alternative: Vec<(u8, &'a [u8])>,
    common: Vec<&'a [u8]>,
    not_before: (i64, [u8; 5]),
    not_after: (i64, [u8; 5]),
}

/// The first byte says whether the rest is what a certificate is made of, or what comes as one.
pub fn check(bytes: &[u8]) -> Outcome {
    let mut input = Input::new(bytes);
    if input.byte().is_multiple_of(2) { written(&mut input) } else { whatever(input.rest()) }
}

fn written(input: &mut Input<'_>) -> Outcome {
    let (with_version, is_critical, year_first, year_last) =
        (input.byte().is_multiple_of(2), input.byte().is_multiple_of(2), input.byte(), input.byte());
    let mut time = |years: i64| {
        let year = 1950 + years * 3;
        (year, [input.byte() % 12 + 1, input.byte() % 28 + 1, input.byte() % 24, input.byte() % 60, input.byte() % 60])
    };
    let (not_before, not_after) = (time(i64::from(year_first)), time(i64::from(year_last)));
    let mut said = Said { alternative: Vec::new(), common: Vec::new(), not_before, not_after };
    while !input.is_over() {
        match input.byte() % 6 {
            0 => said.common.push(input.short()),
            kind => said.alternative.push((0x80 | [0, 1, 2, 6, 7][usize::from(kind) - 1], input.short())),
        }
    }
    let der = said.write(with_version, is_critical);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let of_kinds =
        |kinds: &[u8]| said.alternative.iter().filter(|(kind, _)| kinds.contains(kind)).filter_map(|(_, name)| text(name)).collect();
    let facts = read(&der).expect("it was written as one");
    let hosts: Vec<String> = of_kinds(&[0x82]);
    assert_eq!(facts.names, hosts.iter().map(|host| host.to_ascii_lowercase()).collect::<Vec<_>>());
    assert_eq!((facts.not_before, facts.not_after), (seconds(said.not_before), seconds(said.not_after)));
    let mut all: Vec<String> = of_kinds(&[0x81, 0x82, 0x86]);
    all.extend(said.common.iter().filter_map(|name| text(name)));
    assert_eq!(names(&der), all);
    // Cut anywhere it is none.
    let cut = der.len() * usize::from(input.byte().wrapping_add(year_first)) / 256;
    assert_eq!((read(&der[..cut]), names(&der[..cut])), (None, Vec::new()));
    Outcome::Taken
}

/// What is read stands in the bytes, and all of it once.
fn whatever(der: &[u8]) -> Outcome {
    let (facts, all) = (read(der), names(der));
    let stands = |name: &String| name.is_empty() || der.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name.as_bytes()));
    let found: Vec<&String> = all.iter().chain(facts.iter().flat_map(|facts| &facts.names)).collect();
    assert!(found.iter().all(|name| stands(name)), "{found:?}");
    assert!(all.iter().map(|name| name.len() + 2).sum::<usize>() <= der.len(), "{all:?}");
    if let Some(facts) = &facts {
        // Years of four digits.
        assert!([facts.not_before, facts.not_after].iter().all(|time| (-63_000_000_000..260_000_000_000).contains(time)));
        // Whatever follows the certificate is none of it.
        let followed = [der, b"\x30\x00"].concat();
        assert_eq!((read(&followed).as_ref(), names(&followed)), (Some(facts), all));
    }
    Outcome::of(facts.is_some())
}

impl Said<'_> {
    fn write(&self, with_version: bool, is_critical: bool) -> Vec<u8> {
        let name = |value: &&[u8]| element(0x31, &element(0x30, &[element(0x06, &[0x55, 4, 3]), element(0x0c, value)].concat()));
        let subject: Vec<u8> = self.common.iter().flat_map(name).collect();
        let alternative: Vec<u8> = self.alternative.iter().flat_map(|(kind, name)| element(*kind, name)).collect();
        let extension = [
            element(0x06, &[0x55, 0x1d, 0x11]),
            if is_critical { element(0x01, &[0xff]) } else { Vec::new() },
            element(0x04, &element(0x30, &alternative)),
        ];
        let other = element(0x30, &[element(0x06, &[0x55, 0x1d, 0x0f]), element(0x04, &element(0x03, &[1, 2]))].concat());
        let extensions = [other, element(0x30, &extension.concat())].concat();
        let body = [
            if with_version { element(0xa0, &element(0x02, &[2])) } else { Vec::new() },
            element(0x02, &[1]),
            element(0x30, &element(0x06, &[0x2a])),
            element(0x30, &[]),
            element(0x30, &[time(self.not_before), time(self.not_after)].concat()),
            element(0x30, &subject),
            element(0x30, &element(0x03, &[0; 9])),
            element(0xa3, &element(0x30, &extensions)),
        ];
        element(0x30, &[element(0x30, &body.concat()), element(0x30, &[]), element(0x03, &[0; 9])].concat())
    }
}

/// Any length in the shortest form, as DER wants it.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).expect("an input is short").to_be_bytes();
    let head = match len {
        [0, 0, 0, short @ 0..0x80] => vec![tag, short],
        [0, 0, 0, len] => vec![tag, 0x81, len],
        [0, 0, high, low] => vec![tag, 0x82, high, low],
        [_, high, mid, low] => vec![tag, 0x83, high, mid, low],
    };
    [head, content.to_vec()].concat()
}

/// Up to 2049 with two digits of the year (RFC 5280, section 4.1.2.5).
fn time((year, [month, day, hour, minute, second]): (i64, [u8; 5])) -> Vec<u8> {
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    match year {
        1950..2050 => element(0x17, format!("{:02}{rest}", year % 100).as_bytes()),
        _ => element(0x18, format!("{year:04}{rest}").as_bytes()),
    }
}

/// By counting days one year and one month after the other.
fn seconds((year, [month, day, hour, minute, second]): (i64, [u8; 5])) -> i64 {
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let of_year = |year: i64| if is_leap(year) { 366 } else { 365 };
    let days_before: i64 = if year >= 1970 { (1970..year).map(of_year).sum() } else { -(year..1970).map(of_year).sum::<i64>() };
    let of_month = |month: u8| match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let days = days_before + (1..month).map(of_month).sum::<i64>() + i64::from(day) - 1;
    ((days * 24 + i64::from(hour)) * 60 + i64::from(minute)) * 60 + i64::from(second)
}
