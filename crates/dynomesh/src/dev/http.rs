//! One small HTTP request to a process of the mesh, and the status it answers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dynomesh_runtime::net::Stream;
use dynomesh_runtime::tls::ClientTls;
use http_body_util::Empty;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why there is no answer, in whatever words the layer below has for it.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A new connection, driven until it ends or its sender is dropped.
pub(crate) async fn connect(server: SocketAddr, tls: Option<&ClientTls>, wait: Duration) -> Result<SendRequest<Empty<Bytes>>, Failed> {
    let stream = timeout(wait, TcpStream::connect(server)).await??;
    stream.set_nodelay(true)?;
    let stream = match tls {
        Some(tls) => timeout(wait, tls.connect(stream)).await??,
        None => Stream::Plain(stream),
    };
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The status of `GET path`.
pub(crate) async fn status(server: SocketAddr, path: &str, wait: Duration) -> Result<StatusCode, Failed> {
    let request = Request::get(path).header("host", server.to_string()).body(Empty::new())?;
    let answer = async { Ok(connect(server, None, wait).await?.send_request(request).await?.status()) };
    timeout(wait, answer).await?
}

/// As [`status`], for a condition that is waited for: what is seen instead of `wanted`, in words.
pub(crate) async fn expect(server: SocketAddr, path: &str, wanted: StatusCode, wait: Duration) -> Result<(), String> {
    match status(server, path, wait).await {
        Ok(status) if status == wanted => Ok(()),
        Ok(status) => Err(format!("{status} from http://{server}{path}")),
        Err(error) => Err(format!("{error} at http://{server}{path}")),
    }
}
