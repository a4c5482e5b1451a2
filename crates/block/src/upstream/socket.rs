//! A connection to a dyno, with a limit on how long a request's head may stay unacknowledged.
//!
//! A head that was written by a leader which then froze must not be retransmitted and arrive long after (P7). So the socket starts
//! with a TCP_USER_TIMEOUT: what is not acknowledged in time takes the connection with it. For the kernel a peer that has no room
//! is the same as one that does not answer, so with that option a dyno could not pause while it reads an upload. It is therefore
//! taken back once the head is known to be acknowledged, and what follows is bounded by the limits on idle bodies alone.
//!
//! The proof: of `written` bytes the kernel holds back those that are not acknowledged, sent or not, and acknowledgements come in
//! order. A head of `len` bytes is acknowledged if `written - unacknowledged >= len`. That is asked of a request that lasts longer than
//! [`LOOK`], and where a connection is ended before its dyno has said anything: so far it would end with a reset, and from then on it ends
//! as usual. As long as the proof is missing, or the kernel does not tell, the limit stays, and so does the reset.

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dynomesh_core::app::DynoProtocol;
use dynomesh_core::time::Span;
use dynomesh_runtime::net;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tracing::debug;

use super::frames::Frames;
use super::line::Line;

/// Time a head may stay unacknowledged before the kernel gives the connection up (P7).
pub(crate) const USER_TIMEOUT: Span = Span::from_secs(1);
/// How long after a head was written it is asked whether it is acknowledged, and how often. Well below [`USER_TIMEOUT`], which may run from
/// the first bytes of a body on.
const LOOK: Span = Span::from_millis(USER_TIMEOUT.as_millis() / 5);

/// See the module.
pub(crate) struct Socket {
    line: Arc<Line>,
    /// The request `head` is about.
    turn: u64,
    head: Head,
    /// When `head` is looked at next.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the dyno takes no more: what is still to be written goes nowhere, and what it has said before is read.
    is_deaf: bool,
    /// Whether it carries another protocol by now.
    is_switched: bool,
    /// With HTTP/2.
    frames: Option<Frames>,
}

/// What is known of the request's head.
enum Head {
    /// `written` bytes went out before it.
    Unsent { written: u64 },
    /// It ends with byte `len`; `written` bytes were written with what goes before and follows it. `pause` is the time between two looks,
    /// once there is one.
    Sent { len: u64, written: u64, pause: Option<Span> },
    /// Acknowledged, or not to be known.
    Settled,
}

// === impl Socket ===

impl Socket {
    /// The bytes of a connection over which nothing was written.
    pub(crate) fn new(line: Arc<Line>) -> Self {
        let frames = (line.protocol() == DynoProtocol::Http2).then(Frames::new);
        let head = Head::Unsent { written: 0 };
        Socket { line, turn: 0, head, timer: None, is_deaf: false, is_switched: false, frames }
    }

    /// The dyno has switched protocols: who writes is told of its end from here on.
    pub(super) fn switch(&mut self) {
        self.is_switched = true;
        // Its 101 acknowledges the head.
        self.line.settle();
    }

    /// The look before a write: at the request that begins, if one does, and at its gate (P7). Whatever takes a system call comes before the
    /// gate: where one ends, a process may be frozen or another be given its processor, and the look at the lease would be old at the write.
    fn admit(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<()> {
        let turn = self.line.turn();
        if turn != self.turn {
            self.turn = turn;
            self.head = Head::Unsent { written: 0 };
            self.line.limit()?;
        }
        let begins = self.begins(bufs);
        if begins && matches!(self.head, Head::Unsent { .. }) {
            self.line.end_with_reset();
        }
        match (&*self.line.gate(), self.frames) {
            (Some(gate), _) => gate.check(begins),
            (None, Some(_)) if !begins => Ok(()),
            (None, _) => Err(io::Error::other("nothing is to be written between two requests")),
        }
    }

    fn begins(&self, bufs: &[io::IoSlice<'_>]) -> bool {
        let Some(mut frames) = self.frames else { return true };
        bufs.iter().fold(false, |begins, buf| begins | frames.feed(buf))
    }

    /// Counts what of `bufs` went out. The first ones hold the whole head, even where the kernel took less.
    fn wrote(&mut self, bufs: &[io::IoSlice<'_>], taken: &Poll<io::Result<usize>>) {
        let Poll::Ready(Ok(taken)) = taken else { return };
        // What a deaf dyno was not sent counts nowhere.
        if self.is_deaf {
            return;
        }
        let (begins, mut left) = (self.begins(bufs), *taken);
        let (offered, taken) = (bufs.iter().map(|buf| buf.len() as u64).sum::<u64>(), *taken as u64);
        let goes_on = self.frames.is_some_and(|frames| frames.is_in_head());
        match &mut self.head {
            Head::Unsent { written } if begins => {
                let end = match self.frames {
                    None => bufs.first().and_then(|first| first.windows(4).position(|four| four == b"\r\n\r\n")).map(|end| end as u64 + 4),
                    // Where in it the head ends is not looked for: behind all of it, it has ended, or it goes on in what follows.
                    Some(_) => Some(offered),
                };
                let before = *written;
                self.head = end.map_or(Head::Settled, |end| Head::Sent { len: before + end, written: before + taken, pause: None });
            }
            Head::Sent { len, written, .. } => {
                if goes_on {
                    *len = *written + offered;
                }
                *written += taken;
            }
            Head::Unsent { written } => *written += taken,
            Head::Settled => {}
        }
        if let Head::Sent { len, written, .. } = self.head {
            self.line.note_behind(written.saturating_sub(len));
        }
        if let Some(frames) = self.frames.as_mut() {
            for buf in bufs {
                let of_it = left.min(buf.len());
                frames.feed(&buf[..of_it]);
                left -= of_it;
            }
        }
    }

    /// Takes the limit and the reset back once the head is acknowledged. Called at every turn of the connection, so that the timer wakes it.
    fn look(&mut self, cx: &mut Context<'_>) {
        let Head::Sent { len, written, pause } = &mut self.head else { return };
        if self.turn != self.line.turn() || !self.line.is_limited() {
            return;
        }
        let goes_on = self.frames.is_some_and(|frames| frames.is_in_head());
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK.to_std())));
        let pause = pause.get_or_insert_with(|| {
            timer.as_mut().reset(Instant::now() + LOOK.to_std());
            LOOK
        });
        while timer.as_mut().poll(cx).is_ready() {
            match net::unacknowledged(self.line.stream()) {
                Ok(waiting) if !goes_on && written.saturating_sub(waiting) >= *len => {
                    self.line.settle();
                    self.head = Head::Settled;
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    debug!(%error, "a dyno's connection keeps its limit");
                    // A kernel that tells nobody would be asked in vain, five times a second and connection.
                    *pause = pause.times(2);
                }
            }
            timer.as_mut().reset(Instant::now() + pause.to_std());
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let taken = self.try_write(cx, bufs);
        let taken = self.heed_deafness(bufs, taken);
        self.wrote(bufs, &taken);
        // Also where the kernel took nothing: the limit is then the one thing that runs.
        self.look(cx);
        taken
    }

    /// A dyno may answer early and close over what it has not read; its answer came before its reset and must not be lost for it. So behind
    /// the head of HTTP/1.1 a failed write is none, and reading says what is left to say.
    fn heed_deafness(&mut self, bufs: &[io::IoSlice<'_>], taken: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let is_behind_head =
            self.frames.is_none() && !self.is_switched && !matches!(self.head, Head::Unsent { .. }) && self.turn == self.line.turn();
        match taken {
            Poll::Ready(Err(error))
                if is_behind_head && matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                self.is_deaf = true;
                Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
            }
            taken => taken,
        }
    }

    fn try_write(&mut self, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.line.stream().poll_write_ready(cx))?;
            // Nothing is awaited between this look and the system call.
            self.admit(bufs)?;
            match self.line.stream().try_write_vectored(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                taken => return Poll::Ready(taken),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.look(cx);
        loop {
            ready!(self.line.stream().poll_read_ready(cx))?;
            match self.line.stream().try_read_buf(buf) {
                // The reset was told to who wrote: what broke off must not look like an end.
                Ok(0) if self.is_deaf && buf.remaining() > 0 => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Ok(read) => {
                    if read > 0 {
                        self.line.note_heard();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.line.finish(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;

    use super::super::gate::Gate;
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
        let line = Line::over(stream, DynoProtocol::Http1).unwrap();
        line.begin(Gate::opened(), true);
        (Socket::new(line), listener)
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

    /// Without a body too. Fails when the connection of a request that lasts ends with a reset for ever.
    #[tokio::test]
    async fn a_head_that_is_acknowledged_frees_its_connection_of_the_reset() {
        let (mut socket, _listener) = to_a_silent_peer().await;
        socket.write_all(&head(100)).await.unwrap();
        assert!(socket.line.ends_with_reset());
        // As the task of the connection does: it reads, in vain, and the timer wakes it.
        let freed = std::future::poll_fn(|cx| {
            let mut bytes = [0];
            assert!(Pin::new(&mut socket).poll_read(cx, &mut ReadBuf::new(&mut bytes)).is_pending());
            if socket.line.ends_with_reset() { Poll::Pending } else { Poll::Ready(()) }
        });
        timeout(Span::from_secs(30).to_std(), freed).await.expect("it would still end with a reset");
    }

    /// Fails when a long head of HTTP/2 counts as acknowledged before the last of its frames is.
    #[tokio::test]
    async fn a_head_in_several_frames_is_acknowledged_with_the_last_of_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let line = Line::over(stream, DynoProtocol::Http2).unwrap();
        line.begin(Gate::opened(), true);
        let mut socket = Socket::new(line);
        let first = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]].concat();
        let last = [0, 0, 1, 9, 4, 0, 0, 0, 1, 0x86];
        let data = [0, 0, 1, 0, 0, 0, 0, 0, 1, b'x'];
        for piece in [&first[..], &last] {
            socket.write_all(piece).await.unwrap();
            assert!(matches!(socket.head, Head::Sent { len, written, .. } if len == written));
        }
        let whole = (first.len() + last.len()) as u64;
        socket.write_all(&data).await.unwrap();
        assert!(matches!(socket.head, Head::Sent { len, .. } if len == whole));
    }

    /// What of the bytes that a deaf dyno was not sent counts as written; `None` where the head was settled before the dyno was deaf.
    async fn counted_of_a_deaf_dyno() -> Option<u64> {
        let (mut socket, listener) = to_a_silent_peer().await;
        socket.write_all(&head(10)).await.unwrap();
        // With the head unread it is a reset.
        drop(listener.accept().await.unwrap());
        loop {
            let Head::Sent { written: before, .. } = socket.head else { return None };
            socket.write_all(b"x").await.unwrap();
            match socket.head {
                Head::Sent { written, .. } if socket.is_deaf => return Some(written - before),
                _ => tokio::task::yield_now().await,
            }
        }
    }

    /// Fails when what was never sent counts as sent behind the head: the kernel is believed to hold nothing else back.
    #[tokio::test]
    async fn what_a_deaf_dyno_was_not_sent_does_not_count() {
        let counted = async {
            loop {
                if let Some(counted) = counted_of_a_deaf_dyno().await {
                    return counted;
                }
            }
        };
        assert_eq!(timeout(Span::from_secs(30).to_std(), counted).await.expect("the dyno was never deaf in time"), 0);
    }

    /// P7. Fails when the gate that the first request passed stands open for the second.
    #[tokio::test]
    async fn each_request_of_a_connection_passes_a_gate_of_its_own() {
        let (mut socket, _listener) = to_a_silent_peer().await;
        socket.write_all(&head(10)).await.unwrap();
        let line = socket.line.clone();
        line.rest();
        assert!(socket.write_all(b"x").await.is_err(), "written between two requests");
        let late = Gate::without_lease();
        line.begin(late.clone(), false);
        assert!(socket.write_all(&head(10)).await.is_err(), "written without a lease");
        assert!(late.refused() && !late.passed());
    }

    /// With HTTP/2 bytes of no request go out before one does; they do not open its gate.
    #[tokio::test]
    async fn only_its_own_first_frame_opens_the_gate_of_a_request_by_http2() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let line = Line::over(stream, DynoProtocol::Http2).unwrap();
        let mut socket = Socket::new(line.clone());
        let preface = [&[b'x'; 24][..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        let late = Gate::without_lease();
        line.begin(late.clone(), false);
        assert!(socket.write_all(&preface).await.is_err(), "the preface was written without a lease");
        assert!(late.refused());
        line.rest();
        socket.write_all(&preface).await.unwrap();
        let late = Gate::without_lease();
        line.begin(late.clone(), false);
        assert!(socket.write_all(&[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x82]).await.is_err(), "a request was written without a lease");
        assert!(!late.passed());
    }

    /// A dyno that closes a WebSocket is rid of a client that goes on sending.
    #[tokio::test]
    async fn a_switched_connection_takes_no_more_when_its_peer_is_gone() {
        let (mut socket, listener) = to_a_silent_peer().await;
        socket.write_all(&head(10)).await.unwrap();
        socket.switch();
        // With the head unread it is a reset.
        drop(listener.accept().await.unwrap());
        let writing = async {
            loop {
                socket.write_all(b"x").await?;
                tokio::time::sleep(Span::from_millis(1).to_std()).await;
            }
        };
        let ended: io::Result<()> = timeout(Span::from_secs(30).to_std(), writing).await.expect("it takes all that comes");
        assert!(matches!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset));
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
