//! Who ended a connection to a dyno before its response was over.
//!
//! Of a request that its dyno ended nothing runs any more, as far as a router can see: its slot is held for a moment, and it may run again if it
//! is idempotent. Of any other the dyno may not even know that nobody waits: its slot stays in doubt, and so does the request (P13, P23).

use std::error::Error;
use std::io;

/// Whether the dyno ended the request: it closed or reset its connection, or its stream, or answered what is no HTTP/1.1, and with that it has
/// answered. Not that its kernel fell silent, that the network said so, or that a body broke off on this side.
pub(super) fn is_of_the_dyno(error: &hyper::Error) -> bool {
    let reset = |cause: &h2::Error| cause.is_remote() || cause.get_io().is_some_and(ends);
    let nonsense = error.is_parse() || cause(error).is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData);
    nonsense || is_of_the_connection(error) || causes(error).any(|cause| cause.downcast_ref().is_some_and(reset))
}

/// Whether the connection itself was closed or reset by the dyno.
pub(super) fn is_of_the_connection(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || cause(error).is_some_and(ends)
}

/// What the system said.
pub(super) fn cause(error: &hyper::Error) -> Option<&io::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn causes(error: &hyper::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source())
}

/// Whether the other side has ended the connection.
pub(super) fn ends(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}
