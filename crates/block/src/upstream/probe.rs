//! Questions to a dyno that run nothing of the app: is it up, is it idle.

use std::io;

use bytes::Bytes;
use dynomesh_core::id::Address;
use dynomesh_core::time::Span;
use dynomesh_runtime::net;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Whether a dyno accepts a connection within `limit`. The app sees a connection that sends nothing.
pub(crate) async fn accepts(address: Address, limit: Span) -> bool {
    net::connect(address, limit).await.is_ok()
}

/// Waits until a serial dyno has finished what it runs: connects, closes the sending side at once and waits for the dyno to close.
///
/// A server that takes one connection at a time comes to this one only after all that stood before it, finds it ended, and closes it
/// without having run anything. A server that takes several closes it at once, so the answer proves idleness only for serial dynos (P9).
pub(crate) async fn until_idle(address: Address, connect: Span, limit: Span) -> io::Result<()> {
    let mut stream = net::connect(address, connect).await?;
    stream.shutdown().await?;
    let mut buf = [0; 512];
    let closing = async {
        // Some servers say 400 or 408 before they close; what they say does not matter.
        while stream.read(&mut buf).await? > 0 {}
        Ok(())
    };
    // A reset or a refusal is no proof: a server that stops closes its listener first and may still run what it had begun.
    let closed = tokio::time::timeout(limit.to_std(), closing).await;
    closed.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the dyno did not close in time")))
}

/// Sends a bodiless request over a connection of its own and reads the answer to its end, which is thrown away.
pub(crate) async fn request(stream: TcpStream, address: Address, mut request: Request<Empty<Bytes>>) -> Option<(StatusCode, HeaderMap)> {
    let host = HeaderValue::try_from(address.to_string()).ok()?;
    request.headers_mut().insert(header::HOST, host);
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("dynomesh-probe"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let driver = tokio::spawn(connection);
    let answered = async {
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        // To its end, so that the dyno is done with it when the caller is told.
        let _ = Limited::new(body, ANSWER_LEN_MAX).collect().await;
        Some((head.status, head.headers))
    };
    let answered = answered.await;
    driver.abort();
    answered
}

/// Longest answer to a probe that is read to its end.
const ANSWER_LEN_MAX: usize = 1 << 20;
