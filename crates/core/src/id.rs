//! Names, numbers and addresses by which the parts of a mesh know each other.
//!
//! Names are validated when they are made, from whatever source, so that no other code has to ask again whether a name is well
//! formed. Numbers that must not be mixed up are types of their own.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest app, block or node name, in bytes.
pub const NAME_LEN_MAX: usize = 63;
/// Longest dyno id, in bytes.
pub const DYNO_ID_LEN_MAX: usize = 128;

/// Why a name, number or address was refused. The text names the value and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} {problem}")]
pub struct Invalid {
    /// What was being read: `app name`, `dyno id`, `address` ...
    pub what: &'static str,
    /// The refused value, cut to a readable length.
    pub value: String,
    /// What is wrong and what would be right.
    pub problem: &'static str,
}

impl Invalid {
    /// A refusal of `value`, which is cut to 160 characters.
    pub fn new(what: &'static str, value: &str, problem: &'static str) -> Self {
        Invalid { what, value: value.chars().take(160).collect(), problem }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Reads a name, or says what is wrong with it.
            pub fn new(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                check(text).map_err(|problem| Invalid::new($what, text, problem))?;
                Ok($type(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.to_string()
            }
        }
    };
}

name!(
    /// An app: a set of hosts, a policy and the dynos that serve it.
    AppName, "app name", check_label
);
name!(
    /// A block: one Raft group that owns a set of dynos.
    BlockName, "block name", check_label
);
name!(
    /// A part of the site that fails as one, for example a data centre or an availability zone.
    Zone, "zone", check_label
);
name!(
    /// A process of the mesh as gossip and logs know it, for example `edge-1` or `b1-2`.
    NodeName, "node name", check_label
);
name!(
    /// A dyno: one backend endpoint of an app. Never reused for another process: a new one is a new id.
    DynoId, "dyno id", check_dyno_id
);
name!(
    /// A host name in lower case, without port, by which edges find the app; `*` stands for any host that no other app claims.
    Host, "host", check_host
);

fn check_label(text: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || text.len() > NAME_LEN_MAX {
        return Err("must have 1 to 63 characters");
    }
    if !text.bytes().all(allowed) || text.starts_with('-') || text.ends_with('-') {
        return Err("must consist of lower-case letters, digits and inner dashes");
    }
    Ok(())
}

fn check_dyno_id(text: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > DYNO_ID_LEN_MAX {
        return Err("must have 1 to 128 characters");
    }
    if !text.bytes().all(allowed) || !text.as_bytes()[0].is_ascii_alphanumeric() {
        return Err("must start with a letter or digit and consist of letters, digits, '-', '_' and '.'");
    }
    Ok(())
}

fn check_host(text: &str) -> Result<(), &'static str> {
    if text == "*" {
        return Ok(());
    }
    if text.is_empty() || text.len() > 253 {
        return Err("must have 1 to 253 characters");
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if let Some(inside) = bare {
        return inside.parse::<std::net::Ipv6Addr>().map(|_| ()).map_err(|_| "must hold an IPv6 address between its brackets");
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    if !text.bytes().all(allowed) || text.split('.').any(str::is_empty) {
        return Err("must be a host name in lower case without a port, or '*' for any host");
    }
    Ok(())
}

macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(pub u64);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $type {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($type)
            }
        }
    };
}

number!(
    /// A member of a Raft group, minted at random when its disk is first used and never used again after that disk is lost (P5).
    ReplicaId
);
number!(
    /// One run of a process: 64 random bits drawn at its start (P2).
    Incarnation
);
number!(
    /// A Raft term.
    Term
);
number!(
    /// A Raft log index.
    Index
);
number!(
    /// Version of a dyno's ownership. Made by the directory from its generation (upper 16 bits) and its log (lower 48); never reused (P17).
    Epoch
);
number!(
    /// Version of an app's specification, made as an [`Epoch`] is.
    Version
);

/// Bits of an epoch or a version that follow the directory's log; the generation stands above them.
pub const STAMP_LOG_BITS: u32 = 48;

impl Epoch {
    /// The generation of the directory that said it.
    pub fn generation(self) -> u64 {
        self.0 >> STAMP_LOG_BITS
    }
}

/// Identity of a block, minted at its bootstrap. A name is bound to its first identity (P5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupId(pub u128);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for GroupId {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let well_formed = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = well_formed.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(GroupId).ok_or_else(|| Invalid::new("group id", text, "must have 32 hexadecimal digits"))
    }
}

impl TryFrom<String> for GroupId {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<GroupId> for String {
    fn from(id: GroupId) -> String {
        id.to_string()
    }
}

/// Who holds a slot: one run of one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The replica whose process streams the request.
    pub replica: ReplicaId,
    /// The run of that process.
    pub incarnation: Incarnation,
}

/// Names one grant of one slot, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotId {
    /// Who asked for the slot and streams its request.
    pub holder: Holder,
    /// Counts the holder's requests for slots; never repeated within a run.
    pub seq: u64,
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{}", self.holder.replica.0, self.holder.incarnation.0, self.seq)
    }
}

/// A canonical IP address and port that a connection can be made to (P17): IPv4-mapped IPv6 is folded to IPv4, and port 0 and the
/// unspecified address are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(SocketAddr);

impl Address {
    /// Makes an address canonical, or says why nothing can be reached there.
    pub fn new(addr: SocketAddr) -> Result<Self, Invalid> {
        let ip = match addr.ip() {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
            v4 @ IpAddr::V4(_) => v4,
        };
        if addr.port() == 0 {
            return Err(Invalid::new("address", &addr.to_string(), "must have a port from 1 to 65535"));
        }
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(Invalid::new("address", &addr.to_string(), "must be the address of one host"));
        }
        Ok(Address(SocketAddr::new(ip, addr.port())))
    }

    /// The address for a socket call.
    pub fn socket(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let addr = text.parse().map_err(|_| Invalid::new("address", text, "must be IP:PORT, for example 127.0.0.1:3000 or [::1]:3000"))?;
        Address::new(addr)
    }
}

impl TryFrom<String> for Address {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_would_be_right() {
        assert_eq!(AppName::new("shop-1").unwrap().as_str(), "shop-1");
        for bad in ["", "-a", "a-", "A", "a_b", "a b", &"a".repeat(64)] {
            assert!(AppName::new(bad).is_err(), "{bad:?} passed");
        }
        let text = AppName::new("Shop").unwrap_err().to_string();
        assert_eq!(text, "app name \"Shop\" must consist of lower-case letters, digits and inner dashes");
    }

    #[test]
    fn hosts_are_lower_case_without_port() {
        for good in ["*", "shop.example", "localhost", "127.0.0.1", "[::1]"] {
            assert!(Host::new(good).is_ok(), "{good:?} refused");
        }
        for bad in ["", "a:80", "A.b", "a..b", ".a", "[x]", "a/b"] {
            assert!(Host::new(bad).is_err(), "{bad:?} passed");
        }
    }

    #[test]
    fn addresses_are_canonical() {
        let mapped: Address = "[::ffff:127.0.0.1]:80".parse().unwrap();
        assert_eq!(mapped, "127.0.0.1:80".parse().unwrap());
        for bad in ["localhost:80", "127.0.0.1", "127.0.0.1:0", "0.0.0.0:80", "[::]:80", "127.0.0.1:99999", "224.0.0.1:80"] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?} passed");
        }
    }

    #[test]
    fn group_ids_survive_text() {
        let id = GroupId(7);
        assert_eq!(id.to_string().parse::<GroupId>().unwrap(), id);
        assert!("7".parse::<GroupId>().is_err());
    }
}
