//! TLS as the client, towards a block.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use dynomesh_core::time::Span;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, Error};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::kept::{Files, Kept};
use crate::net::Stream;

/// The same trouble with the same block is said again after this long.
const TOLD_AGAIN: Span = Span::from_secs(30);
/// Blocks whose trouble is remembered; past it all is forgotten, and said again.
const TOLD_MAX: usize = 1024;

/// What a connection to a block needs to speak TLS. Clones share.
#[derive(Clone)]
pub struct ClientTls {
    kept: Arc<Kept<ClientConfig>>,
    name: ServerName<'static>,
    told: Arc<Mutex<BTreeMap<SocketAddr, (String, Instant)>>>,
}

impl ClientTls {
    pub(super) fn new(kept: Arc<Kept<ClientConfig>>, name: ServerName<'static>) -> Self {
        ClientTls { kept, name, told: Arc::default() }
    }

    /// The files it is made of, to be watched.
    pub fn files(&self) -> Files {
        Files::of(&self.kept)
    }

    /// Shakes hands as the client, and waits until the server has said that it takes our certificate. Trouble is logged, once in a while.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<Stream> {
        let address = stream.peer_addr()?;
        let shaken = self.shake(stream).await;
        match &shaken {
            Ok(_) => self.kept.counts.handshakes.inc(),
            Err(_) => self.kept.counts.handshake_failures.inc(),
        };
        self.tell(address, shaken.as_ref().err());
        Ok(Stream::Tls(Box::new(shaken?.into())))
    }

    async fn shake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = TlsConnector::from(self.kept.get()).connect(self.name.clone(), stream).await?;
        poll_fn(|cx| poll_taken(&mut stream, cx)).await?;
        Ok(stream)
    }

    fn tell(&self, block: SocketAddr, error: Option<&io::Error>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(error) = error else {
            if told.remove(&block).is_some() {
                tracing::info!(%block, "TLS with this block works again");
            }
            return;
        };
        let why = error.to_string();
        let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            // A process that dies or stops meanwhile; whoever wanted the connection hears of it.
            tracing::debug!(%block, why, "connection to a block lost before it spoke TLS");
            return;
        };
        if told.get(&block).is_some_and(|(said, when)| *said == why && when.elapsed() < TOLD_AGAIN.to_std()) {
            return;
        }
        tracing::warn!(%block, why, hint = hint(cause), "no TLS with this block: it counts as unreachable");
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert(block, (why, Instant::now()));
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("name", &self.name).field("files", &self.kept).finish()
    }
}

/// Completes when the server has sent a session ticket, which it does when it has judged our certificate.
///
/// In TLS 1.3 the client is done first: a server that refuses its certificate says so when the first request is already on its way, and
/// then nobody knows whether that has run. One round trip per new connection buys certainty.
fn poll_taken(stream: &mut TlsStream<TcpStream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut early = [0; 1];
    let mut early = ReadBuf::new(&mut early);
    match Pin::new(&mut *stream).poll_read(cx, &mut early) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Ready(Ok(())) if early.filled().is_empty() => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        Poll::Ready(Ok(())) => Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the server spoke before it was asked"))),
        Poll::Pending if stream.get_ref().1.tls13_tickets_received() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    }
}

/// What an operator may look at.
fn hint(error: &Error) -> &'static str {
    use rustls::AlertDescription as Alert;
    use rustls::{CertificateError, InvalidMessage};
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it speaks no TLS: has it a section `tiers`?",
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => "its certificate is of an authority that `tiers.ca` does not hold",
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "its certificate does not carry `tiers.name`"
        }
        Error::InvalidCertificate(_) => "its certificate is not good",
        Error::AlertReceived(Alert::CertificateRequired) => "it asks for a certificate: `tiers.cert` was not shown",
        Error::AlertReceived(_) => "it refuses us: `tiers.cert` must be of its authorities, carry its `tiers.name`, and be in time",
        _ => "see its own log",
    }
}
