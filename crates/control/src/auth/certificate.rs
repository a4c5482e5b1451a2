//! The names in a client certificate.
//!
//! TLS has verified the certificate before anybody looks here, so this only reads: the subject's common names and the alternative names.
//! The few lines of DER that takes are here rather than a parser of everything X.509 has ever held.

/// OID 2.5.4.3, commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// OID 2.5.29.17, subjectAltName.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const OBJECT_ID: u8 = 0x06;
/// Explicitly tagged parts of a certificate: its version, and its extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Alternative names that are text: mail address, DNS name, URI.
const TEXT_NAMES: [u8; 3] = [0x81, 0x82, 0x86];

/// Alternative names first, then common names; nothing where the certificate cannot be read.
pub(super) fn names(der: &[u8]) -> Vec<String> {
    parse(der).unwrap_or_default()
}

fn parse(der: &[u8]) -> Option<Vec<String>> {
    let (_, certificate, _) = element(der)?;
    let (_, body, _) = element(certificate)?;
    let mut parts = elements(body)?.into_iter().peekable();
    parts.next_if(|(tag, _)| *tag == VERSION);
    // Serial number, algorithm, issuer, validity; then the subject.
    let (_, subject) = parts.nth(4)?;
    let extensions = parts.find(|(tag, _)| *tag == EXTENSIONS).map(|(_, content)| content);
    let mut names = extensions.and_then(alternative).unwrap_or_default();
    names.extend(common(subject)?);
    Some(names)
}

/// The alternative names among a certificate's extensions.
fn alternative(extensions: &[u8]) -> Option<Vec<String>> {
    let (_, list, _) = element(extensions)?;
    for (_, extension) in elements(list)? {
        let parts = elements(extension)?;
        if parts.first() == Some(&(OBJECT_ID, ALTERNATIVE_NAMES)) {
            // The last part is an octet string that holds the list; `critical` may stand between.
            let (_, names, _) = element(parts.last()?.1)?;
            let texts = elements(names)?.into_iter().filter(|(tag, _)| TEXT_NAMES.contains(tag));
            return Some(texts.filter_map(|(_, name)| text(name)).collect());
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

fn elements(mut der: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (tag, content, rest) = element(der)?;
        found.push((tag, content));
        der = rest;
    }
    Some(found)
}

/// The first element: its tag and content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0usize, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common: Option<&str>, alternative: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "ops");
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = alternative;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_names_are_those_of_the_subject_and_its_alternatives() {
        assert_eq!(names(&certificate(Some("ann"), Vec::new())), ["ann"]);
        let dns = SanType::DnsName("ops.example".try_into().unwrap());
        let uri = SanType::URI("spiffe://mesh/ops".try_into().unwrap());
        let address = SanType::IpAddress([127, 0, 0, 1].into());
        assert_eq!(names(&certificate(Some("ann"), vec![dns.clone(), address, uri])), ["ops.example", "spiffe://mesh/ops", "ann"]);
        assert_eq!(names(&certificate(None, vec![dns])), ["ops.example"]);
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        let whole = certificate(Some("ann"), Vec::new());
        for len in 0..whole.len() {
            // Any cut must be read without a panic; the names may or may not be there.
            let _ = names(&whole[..len]);
        }
        assert!(names(&[]).is_empty() && names(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_empty());
    }
}
