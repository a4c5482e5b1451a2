//! What becomes of a connection after a switch of protocols: bytes both ways until both sides have ended.
//!
//! What the bytes mean is not looked at, but for one thing: who cuts a WebSocket tells both sides before, in a frame of its own, and so must
//! know where frames end ([`dynomesh_core::websocket`]).

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dynomesh_core::time::Span;
use dynomesh_core::websocket::{self, Frames};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, timeout};

/// Bytes that one direction may have read and not written yet.
const BUFFER: usize = 16 * 1024;
/// Time in which the sides of a WebSocket that is cut may take their last word, and end before they are ended.
const FAREWELL: Span = Span::from_millis(500);

/// Anything that reads and writes.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// A connection that speaks HTTP no more.
pub type Tunnel = Box<dyn Duplex>;

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Both sides have ended, each in its own time.
    Whole,
    /// Nothing came from either side for the limit.
    Idle,
    /// One side broke off.
    Broken,
    /// It was cut.
    Cut,
}

/// What a tunnel has carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes from the first side to the second.
    pub up: u64,
    /// Bytes from the second side to the first.
    pub down: u64,
}

/// Carries bytes between `a` and `b` until both have ended, one has broken off, or both were silent for `idle`. The end of one
/// direction is passed on and does not end the other. When it returns both are to be dropped.
pub async fn splice<A: Duplex, B: Duplex>(a: &mut A, b: &mut B, idle: Span) -> (Ended, Carried) {
    let mut between = Between::default();
    let ended = between.carry(a, b, idle, std::future::pending()).await;
    (ended, between.carried())
}

/// The same for a WebSocket between its client `a` and its server `b`, until `cut` is ready: then no more is carried, and each side that a
/// frame can be said to is told that the other goes away. `mask` is a masking key that nobody can foresee.
pub async fn splice_websocket<A: Duplex, B: Duplex>(
    a: &mut A,
    b: &mut B,
    idle: Span,
    cut: impl Future<Output = ()>,
    mask: [u8; 4],
) -> (Ended, Carried) {
    let mut between = Between { up: Half::of_frames(), down: Half::of_frames() };
    let ended = between.carry(a, b, idle, cut).await;
    if ended == Ended::Cut {
        let to_client = between.down.may_speak().then(|| websocket::going_away(None));
        let to_server = between.up.may_speak().then(|| websocket::going_away(Some(mask)));
        // Who does not take it in time is cut without it.
        let _ = timeout(FAREWELL.to_std(), async { tokio::join!(part(a, to_client), part(b, to_server)) }).await;
    }
    (ended, between.carried())
}

/// Says a last word, if there is one, ends our direction and reads what still comes: closed over unread bytes, the connection would be
/// reset, and that overtakes the word.
async fn part(side: &mut impl Duplex, word: Option<Vec<u8>>) -> io::Result<()> {
    let Some(word) = word else { return Ok(()) };
    side.write_all(&word).await?;
    side.shutdown().await?;
    let mut scrap = vec![0; BUFFER];
    while side.read(&mut scrap).await? > 0 {}
    Ok(())
}

/// Both directions.
#[derive(Default)]
struct Between {
    up: Half,
    down: Half,
}

impl Between {
    async fn carry<A: Duplex, B: Duplex>(&mut self, a: &mut A, b: &mut B, idle: Span, cut: impl Future<Output = ()>) -> Ended {
        let Between { up, down } = self;
        let mut timer = Box::pin(tokio::time::sleep(idle.to_std()));
        let mut cut = pin!(cut);
        poll_fn(|cx| {
            if cut.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ended::Cut);
            }
            let before = (up.carried, down.carried);
            let one = up.poll(cx, a, b);
            let other = down.poll(cx, b, a);
            if before != (up.carried, down.carried) {
                timer.as_mut().reset(Instant::now() + idle.to_std());
            }
            match (one, other) {
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ended::Whole),
                (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(Ended::Broken),
                _ => Sleep::poll(timer.as_mut(), cx).map(|()| Ended::Idle),
            }
        })
        .await
    }

    fn carried(&self) -> Carried {
        Carried { up: self.up.carried, down: self.down.carried }
    }
}

/// One direction.
#[derive(Default)]
struct Half {
    buffer: Vec<u8>,
    /// What of the buffer is to be written still.
    from: usize,
    to: usize,
    flush: bool,
    ended: bool,
    closed: bool,
    carried: u64,
    /// What of a WebSocket's frames has been written, where that may be asked for.
    frames: Option<Frames>,
}

impl Half {
    fn of_frames() -> Self {
        Half { frames: Some(Frames::default()), ..Half::default() }
    }

    /// Whether a frame of our own may follow what was written.
    fn may_speak(&self) -> bool {
        !self.ended && self.frames.as_ref().is_some_and(Frames::may_follow)
    }

    fn poll(&mut self, cx: &mut Context<'_>, source: &mut impl Duplex, sink: &mut impl Duplex) -> Poll<io::Result<()>> {
        loop {
            while self.from < self.to {
                let written = ready!(Pin::new(&mut *sink).poll_write(cx, &self.buffer[self.from..self.to]))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                if let Some(frames) = &mut self.frames {
                    frames.note(&self.buffer[self.from..self.from + written]);
                }
                self.from += written;
                self.carried += written as u64;
                self.flush = true;
            }
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                ready!(Pin::new(&mut *sink).poll_shutdown(cx))?;
                self.closed = true;
                continue;
            }
            if self.buffer.is_empty() {
                self.buffer = vec![0; BUFFER];
            }
            let mut room = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *source).poll_read(cx, &mut room) {
                // Many who speak TLS close without its word for it. What they say inside has an end of its own.
                Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => return Poll::Ready(Err(error)),
                Poll::Ready(_) => {
                    (self.from, self.to) = (0, room.filled().len());
                    self.ended = self.to == 0;
                }
                Poll::Pending => {
                    if self.flush {
                        ready!(Pin::new(&mut *sink).poll_flush(cx))?;
                        self.flush = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Gives bytes that were read too early back before the rest.
#[derive(Debug)]
pub struct Rewound<T> {
    early: Bytes,
    rest: T,
}

impl<T> Rewound<T> {
    /// Reads `early` first.
    pub fn new(early: Bytes, rest: T) -> Self {
        Rewound { early, rest }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewound<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.rest).poll_read(cx, buf);
        }
        let taken = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewound<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.rest).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.rest).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.rest).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_end_of_one_direction_leaves_the_other_open() {
        let (mut client, mut a) = duplex(64);
        let (mut b, mut server) = duplex(64);
        let carrying = tokio::spawn(async move { splice(&mut a, &mut b, Span::from_secs(20)).await });
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = String::new();
        server.read_to_string(&mut asked).await.unwrap();
        assert_eq!(asked, "question");
        let long = vec![b'x'; 100_000];
        let answering = tokio::spawn(async move {
            server.write_all(&long).await.unwrap();
        });
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answering.await.unwrap();
        assert_eq!(answer.len(), 100_000);
        assert_eq!(carrying.await.unwrap(), (Ended::Whole, Carried { up: 8, down: 100_000 }));
    }

    /// Ends as TLS does that was closed without its word for it.
    struct Cut;

    impl AsyncRead for Cut {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
        }
    }

    #[tokio::test]
    async fn a_side_that_ends_without_the_word_of_tls_has_ended() {
        let mut client = tokio::io::join(Cut, tokio::io::sink());
        let (mut b, mut server) = duplex(64);
        server.write_all(b"bye").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(splice(&mut client, &mut b, Span::from_secs(20)).await, (Ended::Whole, Carried { up: 0, down: 3 }));
    }

    /// A WebSocket over which these bytes went, cut then: what its sides heard, and how it ended.
    async fn cut_after(from_client: &[u8], from_server: &[u8]) -> (Vec<u8>, Vec<u8>, Ended) {
        let (mut client, mut a) = duplex(1024);
        let (mut b, mut server) = duplex(1024);
        let (cut, cuts) = tokio::sync::oneshot::channel::<()>();
        let carrying = tokio::spawn(async move {
            let cut = async { drop(cuts.await) };
            splice_websocket(&mut a, &mut b, Span::from_secs(20), cut, [1, 2, 4, 8]).await.0
        });
        client.write_all(from_client).await.unwrap();
        server.write_all(from_server).await.unwrap();
        let (mut at_client, mut at_server) = (vec![0; from_server.len()], vec![0; from_client.len()]);
        client.read_exact(&mut at_client).await.unwrap();
        server.read_exact(&mut at_server).await.unwrap();
        cut.send(()).unwrap();
        let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
        client.read_to_end(&mut to_client).await.unwrap();
        server.read_to_end(&mut to_server).await.unwrap();
        drop((client, server));
        (to_client, to_server, carrying.await.unwrap())
    }

    #[tokio::test]
    async fn both_sides_of_a_websocket_are_told_that_it_is_cut() {
        let masked = [0x81, 0x82, 1, 2, 3, 4, 5, 6];
        let (to_client, to_server, ended) = cut_after(&masked, &[0x81, 2, b'o', b'k']).await;
        assert_eq!((to_client, to_server, ended), (websocket::going_away(None), websocket::going_away(Some([1, 2, 4, 8])), Ended::Cut));
        assert_eq!(cut_after(&[], &[]).await.0, websocket::going_away(None));
    }

    /// Fails when a close frame is put into a frame, where it is data, or behind another one.
    #[tokio::test]
    async fn a_side_that_is_within_a_frame_or_was_told_already_hears_nothing() {
        let (to_client, to_server, _) = cut_after(&websocket::going_away(Some([7; 4])), &[0x81, 3, b'o']).await;
        assert_eq!((to_client, to_server), (Vec::new(), Vec::new()));
        let (to_client, to_server, _) = cut_after(&[0x81, 0xfe, 0], &[]).await;
        assert_eq!((to_client, to_server), (websocket::going_away(None), Vec::new()));
    }

    #[tokio::test]
    async fn silence_ends_it_and_bytes_put_that_off() {
        let (mut client, mut a) = duplex(64);
        let (mut b, _server) = duplex(64);
        let idle = Span::from_millis(400);
        let carrying = tokio::spawn(async move { splice(&mut a, &mut b, idle).await });
        tokio::time::sleep(idle.over(2).to_std()).await;
        client.write_all(b"x").await.unwrap();
        let wrote = Instant::now();
        assert_eq!(carrying.await.unwrap(), (Ended::Idle, Carried { up: 1, down: 0 }));
        // A little less for what passed between the write and the timer's start.
        assert!(wrote.elapsed() >= idle.over(4).times(3).to_std());
    }

    #[tokio::test]
    async fn early_bytes_come_first() {
        let mut rewound = Rewound::new(Bytes::from_static(b"early "), &b"late"[..]);
        let mut text = String::new();
        rewound.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "early late");
    }
}
