//! The names in a certificate, and the time it is good for.
//!
//! Nothing here decides whether a certificate is trusted: rustls does. This reads what rustls does not tell.

use super::der::{element, elements};

/// OID 2.5.4.3, commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// OID 2.5.29.17, subjectAltName.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Explicitly tagged parts of a certificate: its version, and its extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// An alternative name that is a DNS name.
const DNS_NAME: u8 = 0x82;
/// Alternative names that are text: mail address, DNS name, URI.
const TEXT_NAMES: [u8; 3] = [0x81, DNS_NAME, 0x86];

/// What is read of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// DNS names in lower case, `*.` in front of those that stand for one label.
    pub(super) names: Vec<String>,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    /// Seconds since 1970.
    pub(super) not_after: i64,
}

/// The parts of a certificate that are of use here.
struct Parts<'a> {
    validity: &'a [u8],
    subject: &'a [u8],
    extensions: Option<&'a [u8]>,
}

/// Reads a certificate; nothing where it is none.
pub(super) fn read(der: &[u8]) -> Option<Facts> {
    let parts = Parts::read(der)?;
    let [not_before, not_after] = elements(parts.validity)?[..] else { return None };
    let mut names = parts.alternative(&[DNS_NAME]);
    names.iter_mut().for_each(|name| name.make_ascii_lowercase());
    Some(Facts { names, not_before: seconds(not_before)?, not_after: seconds(not_after)? })
}

/// What a certificate calls its holder: alternative names that are text first, then common names; nothing where it cannot be read.
pub fn names(der: &[u8]) -> Vec<String> {
    let read = || {
        let parts = Parts::read(der)?;
        let mut names = parts.alternative(&TEXT_NAMES);
        names.extend(common(parts.subject)?);
        Some(names)
    };
    read().unwrap_or_default()
}

impl<'a> Parts<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let (_, certificate, _) = element(der)?;
        let (_, body, _) = element(certificate)?;
        let mut parts = elements(body)?.into_iter().peekable();
        parts.next_if(|(tag, _)| *tag == VERSION);
        // Serial number, algorithm, issuer; then the time.
        let (_, validity) = parts.nth(3)?;
        let (_, subject) = parts.next()?;
        let extensions = parts.find(|(tag, _)| *tag == EXTENSIONS).map(|(_, content)| content);
        Some(Parts { validity, subject, extensions })
    }

    /// The alternative names of these kinds.
    fn alternative(&self, kinds: &[u8]) -> Vec<String> {
        self.extensions.and_then(|extensions| alternative(extensions, kinds)).unwrap_or_default()
    }
}

fn alternative(extensions: &[u8], kinds: &[u8]) -> Option<Vec<String>> {
    let (_, list, _) = element(extensions)?;
    for (_, extension) in elements(list)? {
        let parts = elements(extension)?;
        if parts.first() == Some(&(OBJECT_ID, ALTERNATIVE_NAMES)) {
            // The last part is an octet string that holds the list; `critical` may stand between.
            let (_, names, _) = element(parts.last()?.1)?;
            let wanted = elements(names)?.into_iter().filter(|(tag, _)| kinds.contains(tag));
            return Some(wanted.filter_map(|(_, name)| text(name)).collect());
        }
    }
    None
}

/// The common names of a distinguished name.
fn common(subject: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for (_, set) in elements(subject)? {
        for (_, attribute) in elements(set)? {
            if let [(OBJECT_ID, COMMON_NAME), (_, value)] = elements(attribute)?[..] {
                names.extend(text(value));
            }
        }
    }
    Some(names)
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// `YYMMDDHHMMSSZ`, where 50 is 1950 (RFC 5280, section 4.1.2.5.1), or with four digits of a year.
fn seconds((tag, text): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z').filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let year_len = match tag {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    };
    let (year, rest) = text.split_at_checked(year_len).filter(|(_, rest)| rest.len() == 10)?;
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let year = match year.parse::<i64>().ok()? {
        year if year_len == 4 => year,
        year if year < 50 => 2000 + year,
        year => 1900 + year,
    };
    let days = days_since_1970(year, part(0)?, part(2)?)?;
    Some(((days * 24 + part(4)?) * 60 + part(6)?) * 60 + part(8)?)
}

/// By counting years from March, so that a leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // Months from March on have 31 30 31 30 31 days twice, and so on: 153 in each five.
    let before_month = (153 * month + 2) / 5;
    const MARCH_OF_YEAR_ZERO: i64 = 719_468;
    Some(year * 365 + leap_days + before_month + day - 1 - MARCH_OF_YEAR_ZERO)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate(names: &[&str], from: (i32, u8, u8), to: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    /// Of somebody who calls an API.
    fn callers(common: Option<&str>, alternative: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "ops");
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = alternative;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_names_are_those_of_the_subject_and_its_alternatives() {
        assert_eq!(names(&callers(Some("ann"), Vec::new())), ["ann"]);
        let dns = SanType::DnsName("ops.example".try_into().unwrap());
        let uri = SanType::URI("spiffe://mesh/ops".try_into().unwrap());
        let address = SanType::IpAddress([127, 0, 0, 1].into());
        assert_eq!(names(&callers(Some("ann"), vec![dns.clone(), address, uri])), ["ops.example", "spiffe://mesh/ops", "ann"]);
        assert_eq!(names(&callers(None, vec![dns])), ["ops.example"]);
    }

    #[test]
    fn names_and_time_are_read() {
        let facts = read(&certificate(&["Shop.Example", "*.shop.example", "127.0.0.1"], (1999, 12, 31), (2024, 2, 29))).unwrap();
        assert_eq!(facts.names, ["shop.example", "*.shop.example"]);
        // As `date -u -d 1999-12-31 +%s` and `date -u -d 2024-02-29 +%s` say.
        assert_eq!((facts.not_before, facts.not_after), (946_598_400, 1_709_164_800));
    }

    #[test]
    fn years_past_2049_have_four_digits() {
        let facts = read(&certificate(&[], (1970, 1, 1), (4096, 1, 1))).unwrap();
        assert_eq!((facts.names.len(), facts.not_before, facts.not_after), (0, 0, 67_090_118_400));
    }

    #[test]
    fn what_is_no_certificate_is_not_read() {
        let whole = certificate(&["shop.example"], (2000, 1, 1), (2050, 1, 1));
        for len in 0..whole.len() {
            // Any cut must be read without a panic, and a certificate without its end is none.
            assert_eq!(read(&whole[..len]), None);
            assert!(names(&whole[..len]).is_empty());
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            let _ = (read(&damaged), names(&damaged));
        }
        assert_eq!(read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        for text in ["", "Z", "20240229Z", "2402290000Z", "241329000000Z", "240200000000Z", "é40229000000Z"] {
            assert_eq!(seconds((UTC_TIME, text.as_bytes())), None, "{text}");
        }
    }
}
