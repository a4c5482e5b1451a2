//! Hosts and ports, as they stand in `Host` and in targets.

use std::net::Ipv6Addr;

use memchr::{memchr, memrchr};

use super::Violation;
use super::octet::is_host;

/// Whether a port may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Optional,
    Required,
}

/// Whether this is a host, with or without a port, that a request may name: what every scanner takes, for whoever hears of one otherwise.
pub fn is_authority(text: &[u8]) -> bool {
    check(text, Port::Optional).is_ok()
}

/// Checks a host and its port. An empty host is refused: no http URI has one (RFC 9110 4.2.1).
pub(super) fn check(authority: &[u8], port: Port) -> Result<(), Violation> {
    if memchr(b'@', authority).is_some() {
        return Err(Violation::Userinfo);
    }
    let (host, digits) = split(authority);
    let host_is_valid = match host {
        [b'[', address @ .., b']'] => std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        name => is_host(name),
    };
    let port_is_valid = match digits {
        None | Some([]) => port == Port::Optional,
        Some(digits) => is_port(digits),
    };
    if host_is_valid && port_is_valid { Ok(()) } else { Err(Violation::HostInvalid) }
}

/// The host, and what follows the colon after it.
fn split(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memrchr(b':', authority) {
        // A colon within the brackets of an IPv6 address.
        Some(colon) if memchr(b']', &authority[colon..]).is_some() => (authority, None),
        Some(colon) => (&authority[..colon], Some(&authority[colon + 1..])),
        None => (authority, None),
    }
}

fn is_port(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_digit) && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
}
