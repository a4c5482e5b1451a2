//! A connection to a dyno, with a limit on how long a request's head may stay unacknowledged.
//!
//! A head that was written by a leader which then froze must not be retransmitted and arrive long after (P7). So the socket starts
//! with a TCP_USER_TIMEOUT: what is not acknowledged in time takes the connection with it. For the kernel a peer that has no room
//! is the same as one that does not answer, so with that option a dyno could not pause while it reads an upload. It is therefore
//! taken back once the head is known to be acknowledged, and what follows is bounded by the limits on idle bodies alone.
//!
//! The proof: of `written` bytes the kernel holds back those that are not acknowledged, sent or not, and acknowledgements come in
//! order. A head of `len` bytes is acknowledged if `written - unacknowledged >= len`. That is asked only of a request whose body follows
//! its head and that lasts longer than [`LOOK`]; without a body nothing can stay unread for longer than the head. As long as the
//! proof is missing, or if the kernel does not tell, the limit stays.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use dynomesh_core::time::Span;
use dynomesh_runtime::net;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tracing::debug;

/// Time a head may stay unacknowledged before the kernel gives the connection up (P7).
pub(crate) const USER_TIMEOUT: Span = Span::from_secs(1);
/// How long after the first bytes of a body it is asked whether the head is acknowledged, and how often. Well below
/// [`USER_TIMEOUT`], which may run from those bytes on.
const LOOK: Span = Span::from_millis(USER_TIMEOUT.as_millis() / 5);

/// See the module.
pub(crate) struct Socket {
    stream: TcpStream,
    head: Head,
}

/// What is known of the request's head.
enum Head {
    Unsent,
    /// Of `len` bytes; `written` bytes were written with what follows it.
    Sent {
        len: u64,
        written: u64,
        look: Option<Pin<Box<Sleep>>>,
    },
    /// Acknowledged, or not to be known.
    Settled,
}

// === impl Socket ===

impl Socket {
    /// Puts the limit on a connection over which nothing was written.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        net::set_user_timeout(&stream, Some(USER_TIMEOUT))?;
        Ok(Socket { stream, head: Head::Unsent })
    }

    /// Counts what of `bytes` went out. The first ones hold the whole head, even where the kernel took less.
    fn wrote(&mut self, bytes: &[u8], taken: &Poll<io::Result<usize>>) {
        let Poll::Ready(Ok(taken)) = taken else { return };
        let taken = *taken as u64;
        match &mut self.head {
            Head::Unsent => {
                let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
                self.head = end.map_or(Head::Settled, |end| Head::Sent { len: end as u64 + 4, written: taken, look: None });
            }
            Head::Sent { written, .. } => *written += taken,
            Head::Settled => {}
        }
    }

    /// Takes the limit back once the head is acknowledged. Called at every turn of the connection, so that the timer wakes it.
    fn look(&mut self, cx: &mut Context<'_>) {
        let Head::Sent { len, written, look } = &mut self.head else { return };
        if written <= len {
            return;
        }
        let look = look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK.to_std())));
        while look.as_mut().poll(cx).is_ready() {
            match net::unacknowledged(&self.stream) {
                Ok(waiting) if written.saturating_sub(waiting) < *len => look.as_mut().reset(Instant::now() + LOOK.to_std()),
                known => {
                    if let Err(error) = known.and_then(|_| net::set_user_timeout(&self.stream, None)) {
                        debug!(%error, "a dyno's connection keeps its limit");
                    }
                    self.head = Head::Settled;
                    return;
                }
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.look(cx);
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(buf, &taken);
        self.look(cx);
        taken
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(bufs.first().map_or(&[], |first| first), &taken);
        self.look(cx);
        taken
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(cx);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;

    use super::*;

    /// Longer than the head of the first test, shorter than the one of the second.
    const ROOM: u32 = 16 << 10;

    /// A connection to a peer that has some room and never reads.
    async fn to_a_silent_peer() -> (Socket, TcpListener) {
        let listener = TcpSocket::new_v4().unwrap();
        listener.set_recv_buffer_size(ROOM).unwrap();
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listener.listen(8).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Socket::new(stream).unwrap(), listener)
    }

    fn head(len: usize) -> Vec<u8> {
        format!("POST / HTTP/1.1\r\nx-long: {}\r\n\r\n", "x".repeat(len)).into_bytes()
    }

    #[tokio::test]
    async fn a_body_may_stay_unread_once_its_head_is_acknowledged() {
        let (mut socket, _listener) = to_a_silent_peer().await;
        socket.write_all(&head(100)).await.unwrap();
        let body = vec![0; 64 << 20];
        let ended = timeout(Span::from_secs(4).to_std(), socket.write_all(&body)).await;
        assert!(ended.is_err(), "the connection has ended: {ended:?}");
        assert!(matches!(socket.head, Head::Settled));
    }

    #[tokio::test]
    async fn a_head_that_is_not_acknowledged_in_time_takes_the_connection_with_it() {
        let (mut socket, _listener) = to_a_silent_peer().await;
        let head = head(10 * ROOM as usize);
        let ending = async {
            socket.write_all(&head).await?;
            socket.write_all(&vec![0; 64 << 20]).await
        };
        let ended = timeout(Span::from_secs(60).to_std(), ending).await.expect("the connection goes on");
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
