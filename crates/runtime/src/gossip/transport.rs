//! chitchat's messages over UDP, sealed.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Deserializable, Serializable};
use tokio::net::UdpSocket;

use super::counts::{Counts, DropReason};
use super::seal::{Opener, Sealer};

/// Largest datagram.
const DATAGRAM_MAX: usize = 65_535;
/// Pause after a receive that failed, so that a broken socket does not take a core.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Hands chitchat the one socket that was opened for it.
pub(super) struct SealedTransport(Mutex<Option<SealedSocket>>);

pub(super) struct SealedSocket {
    socket: UdpSocket,
    sealer: Sealer,
    opener: Opener,
    counts: Counts,
    message: Vec<u8>,
    datagram: Box<[u8]>,
}

impl SealedTransport {
    /// Must be called on the runtime on which chitchat runs.
    pub(super) fn new(socket: std::net::UdpSocket, sealer: Sealer, opener: Opener, counts: Counts) -> io::Result<Self> {
        let socket = UdpSocket::from_std(socket)?;
        let (message, datagram) = (Vec::new(), vec![0; DATAGRAM_MAX].into_boxed_slice());
        Ok(SealedTransport(Mutex::new(Some(SealedSocket { socket, sealer, opener, counts, message, datagram }))))
    }
}

#[async_trait]
impl Transport for SealedTransport {
    async fn open(&self, _listen: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Box::new(socket.context("the gossip socket is opened once")?))
    }
}

#[async_trait]
impl Socket for SealedSocket {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        self.message.clear();
        message.serialize(&mut self.message);
        for datagram in self.sealer.seal(&self.message).context("a gossip message is longer than may be sent")? {
            match self.socket.send_to(&datagram, to).await {
                Ok(bytes) => self.counts.sent(bytes),
                // A node that cannot be reached is daily life; gossip goes on with others and comes back.
                Err(error) => {
                    self.counts.unsent();
                    tracing::debug!(%to, %error, "gossip datagram not sent");
                }
            }
        }
        Ok(())
    }

    /// Cancelled at any await it has lost nothing: a datagram is taken and opened in one step.
    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        loop {
            match self.socket.recv_from(&mut self.datagram).await {
                Ok((len, from)) => {
                    if let Some(message) = self.read(len, from) {
                        return Ok((from, message));
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "gossip datagram not received");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }
}

impl SealedSocket {
    fn read(&mut self, len: usize, from: SocketAddr) -> Option<ChitchatMessage> {
        let message = match self.opener.open(&self.datagram[..len]) {
            Ok(message) => message?,
            Err(reason) => {
                self.counts.dropped(reason);
                tracing::debug!(%from, ?reason, "gossip datagram dropped");
                return None;
            }
        };
        self.counts.received(len);
        let message = ChitchatMessage::deserialize(&mut message.as_slice());
        message.inspect_err(|_| self.counts.dropped(DropReason::Malformed)).ok()
    }
}
