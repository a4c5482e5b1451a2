//! What a client speaks, by what TLS agreed on or by its first bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::Server;
use crate::net::Stream;
use crate::tls::ALPN_HTTP2;

/// What a client that speaks HTTP/2 by prior knowledge sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for the first read, which is most often a whole head.
const FIRST_READ: usize = 2048;

/// What the peer speaks, and what was read to know it.
pub(super) enum Spoken {
    Http1(Bytes),
    Http2(Bytes),
}

/// Shakes hands and finds out what is spoken.
pub(super) async fn begin(server: &Server, stream: TcpStream) -> io::Result<(Stream, Spoken)> {
    let stream = match &server.settings.tls {
        Some(tls) => tls.accept(stream).await?,
        None => Stream::Plain(stream),
    };
    if server.settings.http2.is_none() {
        return Ok((stream, Spoken::Http1(Bytes::new())));
    }
    match &stream {
        Stream::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) => Ok((stream, Spoken::Http2(Bytes::new()))),
        Stream::Tls(tls) if tls.get_ref().1.alpn_protocol().is_some() => Ok((stream, Spoken::Http1(Bytes::new()))),
        _ => listen_first(stream).await,
    }
}

/// Reads until it is known whether the client begins as with HTTP/2.
async fn listen_first(mut stream: Stream) -> io::Result<(Stream, Spoken)> {
    let mut early = BytesMut::with_capacity(FIRST_READ);
    loop {
        let read = stream.read_buf(&mut early).await?;
        let known = early.len().min(PREFACE.len());
        if early[..known] != PREFACE[..known] || read == 0 {
            return Ok((stream, Spoken::Http1(early.freeze())));
        }
        if known == PREFACE.len() {
            return Ok((stream, Spoken::Http2(early.freeze())));
        }
    }
}
