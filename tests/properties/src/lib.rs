//! What must hold of every parser of bytes from the network.
//!
//! Each function takes arbitrary bytes, makes of them what its parser is given, and panics where something does not hold. The harness
//! (`tests/properties.rs`) calls them with what it draws from a seed; the targets of `tests/fuzz` with what a fuzzer finds. So a fuzzer's
//! finding is replayed by the harness, and there is one telling of what must hold.
//!
//! | module | who sends the bytes | parser |
//! |---|---|---|
//! | [`http1`] | clients, dynos | `core::http1` |
//! | [`http2`] | clients | `core::http2` |
//! | [`head`] | clients | the edge's reading of a head, its target, hosts, `Via` and the rest, and what it makes of it |
//! | [`words`] | clients, dynos, and between the tiers whoever reaches a port | `runtime::http::headers` |
//! | [`trailers`] | clients, dynos, and the same | `runtime::http::trailers` |
//! | [`gossip`] | holders of the cluster's key | `core::gossip::wire`, and the node that is told |
//! | [`seal`] | anybody who can send a datagram | `runtime::gossip::seal` |
//! | [`certificate`] | clients whose certificate is signed; files | `runtime::tls::certificate` |

pub mod certificate;
mod fields;
pub mod gossip;
pub mod head;
pub mod http1;
pub mod http2;
mod input;
pub mod seal;
pub mod trailers;
pub mod words;

/// What a parser made of its input: a harness whose inputs are all refused, or all taken, would prove little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Something was read.
    Taken,
    /// Nothing, or it was refused.
    Refused,
}

impl Outcome {
    fn of(taken: bool) -> Self {
        if taken { Outcome::Taken } else { Outcome::Refused }
    }
}

/// A parser under its name.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// The name of its module, and of its fuzz target.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub check: fn(&[u8]) -> Outcome,
    /// Inputs from which something is read, where chance alone comes to few.
    pub seeds: &'static [&'static [u8]],
}

/// All of them.
pub const ALL: [Property; 8] = [
    Property { name: "http1", check: http1::check, seeds: http1::SEEDS },
    Property { name: "http2", check: http2::check, seeds: &[] },
    Property { name: "head", check: head::check, seeds: &[] },
    Property { name: "words", check: words::check, seeds: &[] },
    Property { name: "trailers", check: trailers::check, seeds: &[] },
    Property { name: "gossip", check: gossip::check, seeds: &[] },
    Property { name: "seal", check: seal::check, seeds: &[] },
    Property { name: "certificate", check: certificate::check, seeds: &[] },
];
