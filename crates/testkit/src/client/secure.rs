//! A connection by TLS, over either version of HTTP, for one request after the other.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use dynomesh_agent::demo::content;
use dynomesh_core::time::Span;
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::ask::{Ask, Sending, Sent};

/// A connection by TLS.
pub struct Secure {
    runtime: Runtime,
    sender: Sender,
    certificate: Vec<u8>,
    limit: Span,
}

enum Sender {
    Http1(http1::SendRequest<Sending>),
    Http2(http2::SendRequest<Sending>),
}

/// An answer's head, and what was counted of its body.
#[derive(Debug)]
pub struct Answered {
    /// What it says.
    pub status: StatusCode,
    /// Over which version it came.
    pub version: Version,
    /// Its headers.
    pub headers: HeaderMap,
    /// Bytes of its body.
    pub len: u64,
}

impl Secure {
    /// Connects to an edge that must show a certificate for `localhost` of the authority in the file `ca`. Whatever is waited for then
    /// comes within `limit` or is an error.
    pub fn connect(edge: SocketAddr, ca: &Path, version: Version, limit: Span) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connecting = async { tokio::time::timeout(limit.to_std(), shake(edge, ca, version)).await? };
        let (sender, certificate) = runtime.block_on(connecting)?;
        Ok(Secure { runtime, sender, certificate, limit })
    }

    /// What the edge has shown.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Sends a request and reads its answer to the end. `first` is called when the first bytes of the body are there and before more
    /// is read; a body of content is compared with what it should be.
    pub fn send(&mut self, ask: &Ask, host: &str, first: impl FnOnce()) -> io::Result<Answered> {
        let mut request = ask.request(host, Sent::default());
        if matches!(self.sender, Sender::Http2(_)) {
            request.headers_mut().remove("host");
            *request.uri_mut() = format!("https://{host}{}", ask.path).parse().map_err(io::Error::other)?;
        }
        let limit = self.limit.to_std();
        let head = async {
            match &mut self.sender {
                Sender::Http1(sender) => sender.send_request(request).await,
                Sender::Http2(sender) => sender.send_request(request).await,
            }
        };
        let head = self.runtime.block_on(async { tokio::time::timeout(limit, head).await })?;
        let mut response = head.map_err(io::Error::other)?;
        let mut answered = Answered { status: response.status(), version: response.version(), headers: response.headers().clone(), len: 0 };
        let mut first = Some(first);
        loop {
            let frame = async { tokio::time::timeout(limit, next(&mut response)).await };
            let Some(data) = self.runtime.block_on(frame)?? else { return Ok(answered) };
            if ask.expects_content && content::first_difference(answered.len, &data).is_some() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("other content than it should be, near {}", answered.len)));
            }
            answered.len += data.len() as u64;
            if let Some(first) = first.take() {
                first();
            }
        }
    }
}

async fn shake(edge: SocketAddr, ca: &Path, version: Version) -> io::Result<(Sender, Vec<u8>)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).map_err(io::Error::other)?).map_err(io::Error::other)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    let alpn: &[u8] = if version == Version::HTTP_2 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(edge).await?).await?;
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(alpn) {
        return Err(io::Error::other(format!("the edge agreed on {:?}", session.alpn_protocol())));
    }
    let certificate = session.peer_certificates().and_then(|chain| chain.first()).map(|first| first.to_vec()).unwrap_or_default();
    let stream = TokioIo::new(stream);
    let sender = match version {
        Version::HTTP_2 => {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        }
        _ => {
            let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        }
    };
    Ok((sender, certificate))
}

/// The next bytes of a body, or its end.
async fn next(response: &mut Response<Incoming>) -> io::Result<Option<Bytes>> {
    loop {
        match poll_fn(|cx| Pin::new(response.body_mut()).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(error)) => return Err(io::Error::other(error)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
