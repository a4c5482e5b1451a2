//! The last words on a connection, and how they are not lost.

use std::io;
use std::time::Duration;

use dynomesh_core::http1::Violation;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::http::headers;
use crate::net::Stream;

/// How long a closed connection's peer may still send, whatever it sends: the kernel's reset could destroy our last answer on its way, and a peer
/// that has much to write looks for an answer only now and then.
const DISCARD_SPAN: Duration = Duration::from_secs(1);

/// The response to what hyper has not seen.
pub(super) fn refusal(violation: Violation) -> String {
    let status = StatusCode::from_u16(violation.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let code = match violation {
        Violation::HostInvalid | Violation::HostMissing | Violation::HostRepeated | Violation::Userinfo => "bad-host",
        _ => "bad-request",
    };
    let body = format!("dynomesh: {violation}\n");
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\n{}: {code}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        headers::ERROR,
        body.len()
    )
}

/// Writes what is `left` to say, closes our half and reads what still comes: otherwise a socket closed over unread bytes sends a reset, and
/// that overtakes our last answer.
pub(super) async fn discard(mut stream: Stream, left: &[u8]) {
    let read_to_end = async {
        stream.write_all(left).await?;
        stream.shutdown().await?;
        let mut scrap = vec![0; 64 * 1024];
        while stream.read(&mut scrap).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever happens here, the connection is over.
    let _ = timeout(DISCARD_SPAN, read_to_end).await;
}
