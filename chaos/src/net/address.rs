//! Which address each host has. They are the same in every run, since no run sees another's network.

use std::net::Ipv4Addr;

use crate::net::USERS;

/// All hosts are in one network of this size.
pub(crate) const PREFIX_LEN: u8 = 16;

/// The address of a host by its name: `users`, `edge-2`, `control-1`, `b3-1`, `dynos-2`.
pub(crate) fn of(host: &str) -> Option<Ipv4Addr> {
    let number = |text: &str| text.parse::<u8>().ok().filter(|number| (1..=99).contains(number));
    let (group, member) = match host.split_once('-') {
        None if host == USERS => (0, 1),
        None => return None,
        Some(("edge", member)) => (1, number(member)?),
        Some(("control", member)) => (2, number(member)?),
        Some(("dynos", member)) => (3, number(member)?),
        Some((block, member)) => (100 + number(block.strip_prefix('b')?)?, number(member)?),
    };
    Some(Ipv4Addr::new(10, 77, group, member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_an_address_of_its_own() {
        let hosts = ["users", "edge-1", "control-1", "dynos-1", "b1-1", "b1-2", "b2-1"];
        let addresses: std::collections::BTreeSet<_> = hosts.iter().map(|host| of(host).unwrap()).collect();
        assert_eq!(addresses.len(), hosts.len());
        assert_eq!(of("b2-3"), Some(Ipv4Addr::new(10, 77, 102, 3)));
        for wrong in ["edge-0", "edge", "c1-1", "b1", "b100-1", ""] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
