//! One TCP connection to a dyno, as the task that drives it and whoever sends a request over it share it.
//!
//! A head that is not acknowledged would be sent again by the kernel after its connection was closed, also by the death of this process. It could
//! come behind the proof that the dyno is idle, and run beside whatever was granted then (P9). So until a head is known to be acknowledged its
//! connection ends with a reset, which takes with it what is unsent or unacknowledged. No longer than that: a reset is sent once, and where
//! its packet is lost a dyno that waits for the rest of an upload waits for ever, while the usual end is sent again for as long as the kernel
//! does that. Which it does only where the limit on unacknowledged heads is taken back: that bounds the end of a connection as well.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use dynomesh_core::app::DynoProtocol;
use dynomesh_core::id::Address;
use dynomesh_core::time::Span;
use dynomesh_runtime::net;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::gate::Gate;
use super::socket::USER_TIMEOUT;

/// See the module.
pub(crate) struct Line {
    stream: TcpStream,
    protocol: DynoProtocol,
    /// That of the request under way.
    gate: Mutex<Option<Arc<Gate>>>,
    /// Requests begun.
    turn: AtomicU64,
    /// Whether the dyno has sent anything since the last one began.
    heard: AtomicBool,
    /// Whether the last one's body has been taken to its end.
    sent: AtomicBool,
    /// Bytes written behind its head.
    behind: AtomicU64,
    /// Whether the connection ends with a reset.
    resets: AtomicBool,
    /// Whether the kernel gives it up over what stays unacknowledged.
    is_limited: AtomicBool,
    /// Whether its sending side has ended, which counts as one more byte.
    is_finished: AtomicBool,
}

impl Line {
    /// Connects. Nothing is sent, and what will be must be acknowledged in time (P7).
    pub(crate) async fn connect(address: Address, protocol: DynoProtocol, limit: Span) -> io::Result<Arc<Self>> {
        Self::over(net::connect(address, limit).await?, protocol)
    }

    pub(super) fn over(stream: TcpStream, protocol: DynoProtocol) -> io::Result<Arc<Self>> {
        let [heard, sent, resets, is_limited, is_finished] = [(); 5].map(|()| AtomicBool::new(false));
        let [turn, behind] = [(); 2].map(|()| AtomicU64::new(0));
        let line = Line { stream, protocol, gate: Mutex::default(), turn, heard, sent, behind, resets, is_limited, is_finished };
        line.limit()?;
        Ok(Arc::new(line))
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn protocol(&self) -> DynoProtocol {
        self.protocol
    }

    /// A request begins: what is written from here on passes `gate`.
    pub(super) fn begin(&self, gate: Arc<Gate>, has_body: bool) {
        *self.gate() = Some(gate);
        self.heard.store(false, Ordering::Relaxed);
        self.sent.store(!has_body, Ordering::Relaxed);
        self.behind.store(0, Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::Release);
    }

    /// No request is under way.
    pub(super) fn rest(&self) {
        self.settle();
        *self.gate() = None;
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, Option<Arc<Gate>>> {
        self.gate.lock().expect("nothing panics under this lock")
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    pub(super) fn note_heard(&self) {
        let was_heard = self.heard.swap(true, Ordering::Relaxed);
        // With HTTP/2 a dyno says much that is not about the request.
        if !was_heard && self.protocol == DynoProtocol::Http1 {
            self.set_resets(false);
        }
    }

    /// A head goes out: until it is known to be acknowledged, the end takes with it what is not, however the connection ends.
    pub(super) fn end_with_reset(&self) {
        self.set_resets(true);
    }

    fn set_resets(&self, does: bool) {
        if self.resets.swap(does, Ordering::Relaxed) != does {
            // Refused only where it has ended already.
            let _ = SockRef::from(&self.stream).set_linger(does.then_some(Duration::ZERO));
        }
    }

    pub(super) fn ends_with_reset(&self) -> bool {
        self.resets.load(Ordering::Relaxed)
    }

    /// What is written from here on must be acknowledged in time (P7).
    pub(super) fn limit(&self) -> io::Result<()> {
        match self.is_limited.swap(true, Ordering::Relaxed) {
            true => Ok(()),
            false => net::set_user_timeout(&self.stream, Some(USER_TIMEOUT)),
        }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.is_limited.load(Ordering::Relaxed)
    }

    /// No head is on its way: what else is, the end of the connection among it, may come as late as it likes.
    pub(super) fn settle(&self) {
        self.set_resets(false);
        if self.is_limited.swap(false, Ordering::Relaxed) {
            // Refused only where it has ended already.
            let _ = net::set_user_timeout(&self.stream, None);
        }
    }

    /// When nothing is written any more: with a head that is acknowledged there is nothing that must not come late.
    fn spare_the_reset(&self) {
        let behind = || self.behind.load(Ordering::Relaxed) + u64::from(self.is_finished.load(Ordering::Relaxed));
        let is_acknowledged = || net::unacknowledged(&self.stream).is_ok_and(|waiting| waiting <= behind());
        if !self.ends_with_reset() || is_acknowledged() {
            self.settle();
        }
    }

    /// Ends the sending side, or both.
    pub(super) fn finish(&self, sides: Shutdown) -> io::Result<()> {
        self.is_finished.store(true, Ordering::Relaxed);
        SockRef::from(&self.stream).shutdown(sides)
    }

    pub(super) fn note_behind(&self, written: u64) {
        self.behind.store(written, Ordering::Relaxed);
    }

    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn note_sent(&self) {
        self.sent.store(true, Ordering::Release);
    }

    pub(super) fn has_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Whether an idle connection is as it should be: open, and with HTTP/1.1 nothing said on it. Asks the kernel and takes nothing.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(&self.stream).peek(&mut byte) {
            Ok(0) => false,
            Ok(_) => self.protocol == DynoProtocol::Http2,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Ends it now, whoever still holds it: the dyno is told before this returns. A reset follows when nobody holds it any more.
    pub(super) fn close(&self) {
        // Refused only where it has ended already.
        let _ = self.finish(Shutdown::Both);
        self.spare_the_reset();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.spare_the_reset();
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_runtime::net;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::socket::Socket;
    use super::*;

    /// A connection over which a request was sent, and the dyno's end of it.
    async fn begun(protocol: DynoProtocol) -> (Arc<Line>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let line = Line::connect(address, protocol, Span::from_secs(5)).await.unwrap();
        let mut dyno = listener.accept().await.unwrap().0;
        line.begin(Gate::opened(), false);
        let head = match protocol {
            DynoProtocol::Http1 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            // HEADERS of stream 1 that ends with it: `:method: GET` (RFC 7541, appendix A).
            DynoProtocol::Http2 => [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x82]].concat(),
        };
        Socket::new(line.clone()).write_all(&head).await.unwrap();
        assert_eq!(dyno.read(&mut [0; 64]).await.unwrap(), head.len());
        (line, dyno)
    }

    /// How a connection ends for the dyno: what it reads first, or why it cannot.
    async fn end(line: Arc<Line>, dyno: &mut TcpStream) -> Result<usize, io::ErrorKind> {
        drop(line);
        dyno.read(&mut [0; 8]).await.map_err(|error| error.kind())
    }

    /// Fails when the kernel goes on to send the head of a request that was given up: the dyno would begin it after it was proven idle.
    #[tokio::test]
    async fn what_the_dyno_has_not_acknowledged_dies_with_its_connection() {
        let (line, mut dyno) = begun(DynoProtocol::Http1).await;
        // More than the dyno's kernel takes while nobody reads there.
        let mut sent = 0;
        while let Ok(more) = line.stream().try_write(&[b'x'; 1 << 16]) {
            sent += more;
            tokio::task::yield_now().await;
        }
        assert!(net::unacknowledged(line.stream()).unwrap() > 0);
        line.close();
        drop(line);
        let (mut read, mut bytes) = (0, vec![0; 1 << 16]);
        let ended = loop {
            match dyno.read(&mut bytes).await {
                Ok(more) if more > 0 => read += more,
                ended => break ended,
            }
        };
        assert_eq!(ended.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));
        assert!(read < sent, "all of {sent} bytes came though the connection was given up");
    }

    /// Fails when the end of a request that its dyno has is a packet that comes once or never.
    #[tokio::test]
    async fn what_the_dyno_has_acknowledged_ends_as_usual() {
        for protocol in [DynoProtocol::Http1, DynoProtocol::Http2] {
            for closes in [false, true] {
                let (line, mut dyno) = begun(protocol).await;
                assert!(line.ends_with_reset());
                if closes {
                    line.close();
                }
                assert_eq!(end(line, &mut dyno).await, Ok(0));
            }
        }
    }

    /// Fails when the limit on unacknowledged heads bounds how long the end of a connection is sent again: whoever is cut off meanwhile never
    /// hears of it.
    #[tokio::test]
    async fn an_end_as_usual_is_sent_again_for_as_long_as_the_kernel_does_that() {
        type Way = fn(&Line);
        let ways: [Way; 5] = [|_| {}, Line::close, Line::rest, Line::note_heard, |line| line.finish(Shutdown::Write).unwrap()];
        for protocol in [DynoProtocol::Http1, DynoProtocol::Http2] {
            for way in ways {
                let (line, _dyno) = begun(protocol).await;
                // The same for the kernel, which keeps it open.
                let kept = SockRef::from(line.stream()).try_clone().unwrap();
                assert_eq!(kept.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT.to_std()));
                way(&line);
                drop(line);
                assert_eq!((kept.tcp_user_timeout().unwrap().filter(|limit| !limit.is_zero()), kept.linger().unwrap()), (None, None));
            }
        }
    }

    #[tokio::test]
    async fn a_connection_ends_as_usual_once_the_dyno_has_spoken_or_nothing_is_under_way() {
        let (line, _dyno) = begun(DynoProtocol::Http1).await;
        line.note_heard();
        assert!(!line.ends_with_reset());
        let (line, _dyno) = begun(DynoProtocol::Http2).await;
        line.note_heard();
        assert!(line.ends_with_reset(), "settings are no word about a request");
        for protocol in [DynoProtocol::Http1, DynoProtocol::Http2] {
            let (line, mut dyno) = begun(protocol).await;
            line.rest();
            assert_eq!(end(line, &mut dyno).await, Ok(0));
            dyno.shutdown().await.unwrap();
        }
    }
}
