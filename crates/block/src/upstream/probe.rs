//! Questions to a dyno that run nothing of the app: is it up, is it idle.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dynomesh_core::app::DynoProtocol;
use dynomesh_core::id::Address;
use dynomesh_core::time::Span;
use dynomesh_runtime::http::headers;
use dynomesh_runtime::net;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::end;
use super::gate::Gate;
use super::line::Line;
use super::socket::Socket;
use crate::grant::{Probing, Shared};

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

/// What came of a GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// Answered to its end, or so far that its end does not matter to the question; then the dyno may work on (`is_over`).
    Answer { status: StatusCode, is_over: bool },
    /// The dyno took no connection, ended it without an answer, or gave one that is none.
    NoAnswer,
    /// Nothing was sent: this replica does not lead any more, or took too long.
    Late,
    /// Nothing came back in time, or the connection broke on this side. The dyno may work on.
    Unknown,
}

/// Asks a dyno over a connection of its own, which the write gate of `term` guards like a request's (P7), and reads the answer to its end, for
/// `limit` at most. The answer is thrown away.
pub(crate) async fn get(shared: &Shared, probing: &Probing, address: Address, path: Uri, limit: Span) -> Got {
    let Ok(line) = Line::connect(address, DynoProtocol::Http1, limit).await else { return Got::NoAnswer };
    let Some(epoch) = shared.router().state().dyno(&probing.dyno).map(|record| record.epoch) else { return Got::Late };
    let mut request = question(address, path);
    super::sign(request.headers_mut(), shared, probing.place, probing.term, epoch);
    let gate = Gate::new(shared.clock.clone(), shared.lease(), probing.term, shared.clock.now() + limit);
    ask(line, gate, request, limit).await
}

fn question(address: Address, path: Uri) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = path;
    let into = request.headers_mut();
    into.insert(header::HOST, headers::value(address));
    into.insert(header::CONNECTION, HeaderValue::from_static("close"));
    into.insert(header::USER_AGENT, HeaderValue::from_static("dynomesh-probe"));
    request
}

async fn ask(line: Arc<Line>, gate: Arc<Gate>, request: Request<Empty<Bytes>>, limit: Span) -> Got {
    line.begin(gate.clone(), false);
    let answer = tokio::time::timeout(limit.to_std(), answer_to(line, request)).await;
    match answer {
        Ok(Ok((status, is_over))) => Got::Answer { status, is_over },
        // Stopped at the gate, or never come to it.
        _ if !gate.passed() => Got::Late,
        Ok(Err(error)) if end::is_of_the_dyno(&error) => Got::NoAnswer,
        Ok(Err(_)) | Err(_) => Got::Unknown,
    }
}

async fn answer_to(line: Arc<Line>, request: Request<Empty<Bytes>>) -> hyper::Result<(StatusCode, bool)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(Socket::new(line))).await?;
    let answering = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        // To its end, so that the dyno is done with it when the caller is told.
        let is_over = match Limited::new(body, ANSWER_LEN_MAX).collect().await {
            Ok(_) => true,
            Err(error) => error.downcast_ref().is_some_and(end::is_of_the_dyno),
        };
        Ok((head.status, is_over))
    };
    // Whoever stops waiting for the answer ends the connection as well.
    let driving = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = answering => answer,
        never = driving => never,
    }
}

/// Longest answer to a probe that is read to its end.
const ANSWER_LEN_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn dyno() -> (TcpListener, Address) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        (listener, address)
    }

    async fn line(address: Address) -> Arc<Line> {
        Line::connect(address, DynoProtocol::Http1, Span::from_secs(5)).await.unwrap()
    }

    async fn heard(listener: &TcpListener) -> (TcpStream, usize) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = stream.read(&mut [0; 512]).await.unwrap();
        (stream, read)
    }

    /// P7: a leader that wakes when another has granted the same place must not send a probe either.
    #[tokio::test]
    async fn a_probe_that_comes_to_a_shut_gate_sends_nothing() {
        let (listener, address) = dyno().await;
        let asking = ask(line(address).await, Gate::without_lease(), question(address, Uri::from_static("/up")), Span::from_secs(20));
        let (got, (_stream, read)) = tokio::join!(asking, heard(&listener));
        assert_eq!((got, read), (Got::Late, 0));
    }

    #[tokio::test]
    async fn what_becomes_of_a_probe_is_told_apart() {
        let (listener, address) = dyno().await;
        let ask = async |limit| ask(line(address).await, Gate::opened(), question(address, Uri::from_static("/up")), limit).await;
        let answers = async |answer: &'static [u8]| {
            let (mut stream, read) = heard(&listener).await;
            assert!(read > 0);
            stream.write_all(answer).await.unwrap();
        };
        let long = Span::from_secs(20);
        let answer = b"HTTP/1.1 503 no\r\ncontent-length: 2\r\n\r\nno";
        assert_eq!(tokio::join!(ask(long), answers(answer)).0, Got::Answer { status: StatusCode::SERVICE_UNAVAILABLE, is_over: true });
        assert_eq!(tokio::join!(ask(long), answers(b"")).0, Got::NoAnswer);
        assert_eq!(tokio::join!(ask(long), answers(b"no such thing\r\n\r\n")).0, Got::NoAnswer);
        let (got, (mut stream, _)) = tokio::join!(ask(Span::from_millis(50)), heard(&listener));
        assert_eq!(got, Got::Unknown);
        assert_eq!(stream.read(&mut [0; 512]).await.unwrap(), 0, "its connection is closed");
    }
}
