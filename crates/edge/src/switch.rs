//! Requests that switch protocols, and their connections after that.
//!
//! WebSocket alone is switched to. With HTTP/1.1 the client says so by `Upgrade`, with HTTP/2 by an extended CONNECT (RFC 8441), which
//! goes on as the GET it stands for. Any other protocol of `Upgrade` is ignored, as a server may (RFC 9110, section 7.8): `h2c`, above
//! all, would go past everything the edge looks at.

use dynomesh_core::time::Span;
use dynomesh_runtime::http::client::ResponseBody;
use dynomesh_runtime::http::tunnel::{Ended, Tunnel, splice};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version, request, response};
use http_body::Body;
use hyper::ext::Protocol;
use rand::{Rng, RngExt};

use crate::attempt::Withdrawing;
use crate::body::{AttemptBody, BoxError};
use crate::load::InFlight;
use crate::record::Record;

const WEBSOCKET: &str = "websocket";

/// How a client asks for a switch to WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// By `Upgrade`; its connection is what is switched.
    Upgrade,
    /// By an extended CONNECT; the stream is.
    Stream,
}

impl Switch {
    /// The switch that a head asks for.
    pub(crate) fn read(head: &request::Parts) -> Option<Self> {
        match head.version {
            Version::HTTP_2 if head.method == Method::CONNECT => {
                let protocol = head.extensions.get::<Protocol>()?;
                protocol.as_str().eq_ignore_ascii_case(WEBSOCKET).then_some(Switch::Stream)
            }
            Version::HTTP_11 if head.method == Method::GET && !is_framed(&head.headers) => {
                let asked = lists(&head.headers, &header::CONNECTION, "upgrade") && lists(&head.headers, &header::UPGRADE, WEBSOCKET);
                asked.then_some(Switch::Upgrade)
            }
            _ => None,
        }
    }

    /// Asks the next server for the same. What concerned the client's connection has been taken out.
    pub(crate) fn ask(self, headers: &mut HeaderMap, rng: &mut impl Rng) {
        write(headers);
        if self == Switch::Stream {
            headers.insert(header::SEC_WEBSOCKET_KEY, key(rng));
        }
    }

    /// Whether an answer to the request means what its status says. To an extended CONNECT any 2xx says that the stream is switched.
    pub(crate) fn is_sound(switch: Option<Self>, status: StatusCode) -> bool {
        match switch {
            _ if status == StatusCode::SWITCHING_PROTOCOLS => switch.is_some(),
            Some(Switch::Stream) => !status.is_success(),
            _ => true,
        }
    }

    /// Makes the dyno's 101 the client's answer.
    pub(crate) fn answer(self, head: &mut response::Parts) {
        for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
            head.headers.remove(name);
        }
        match self {
            Switch::Upgrade => write(&mut head.headers),
            Switch::Stream => {
                head.status = StatusCode::OK;
                head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
            }
        }
    }
}

/// Carries bytes between the client, as soon as it has its answer, and the block, until both have ended; keeps account of them.
pub(crate) async fn carry<B>(
    client: impl Future<Output = std::io::Result<Tunnel>>,
    block: ResponseBody<AttemptBody<B>>,
    counted: (Withdrawing, InFlight),
    mut record: Record,
    idle: Span,
) where
    B: Body<Data = bytes::Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if let Ok((mut client, mut block)) = futures::try_join!(client, block.into_tunnel()) {
        let (ended, carried) = splice(&mut client, &mut block, idle).await;
        record.carried(carried);
        if ended == Ended::Whole {
            record.complete();
        }
    }
    drop(counted);
}

fn is_framed(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
}

fn lists(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter();
    let mut words = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    words.any(|listed| listed.eq_ignore_ascii_case(word.as_bytes()))
}

fn write(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

/// A new key: 16 bytes of chance in base64 (RFC 6455, section 4.1).
fn key(rng: &mut impl Rng) -> HeaderValue {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // 128 bits are 21 digits of 6 and one of 2.
    let bits: u128 = rng.random();
    let digit = |at: u32| if at < 21 { bits >> (122 - 6 * at) } else { bits << 4 } & 63;
    let mut key: Vec<u8> = (0..22).map(|at| DIGITS[usize::try_from(digit(at)).unwrap_or(0)]).collect();
    key.extend_from_slice(b"==");
    HeaderValue::from_bytes(&key).unwrap_or_else(|_| HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn asked(request: http::request::Builder) -> Option<Switch> {
        Switch::read(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_switch_is_asked_for_in_one_way_per_version() {
        let upgrade = |method: &str, protocol: &str| {
            Request::builder().method(method).uri("/").header("connection", "keep-alive, Upgrade").header("upgrade", protocol)
        };
        assert_eq!(asked(upgrade("GET", "WebSocket")), Some(Switch::Upgrade));
        assert_eq!(asked(upgrade("GET", "websocket").header("content-length", "5")), None);
        assert_eq!(asked(upgrade("GET", "websocket").version(Version::HTTP_10)), None);
        assert_eq!(asked(upgrade("POST", "websocket")), None);
        assert_eq!(asked(upgrade("GET", "h2c")), None);
        assert_eq!(asked(Request::get("/").header("upgrade", "websocket")), None);
        let connect = |protocol: &'static str| {
            let request = Request::connect("http://a/").version(Version::HTTP_2);
            if protocol.is_empty() { request } else { request.extension(Protocol::from_static(protocol)) }
        };
        assert_eq!(asked(connect("websocket")), Some(Switch::Stream));
        assert_eq!((asked(connect("connect-udp")), asked(connect(""))), (None, None));
    }

    #[test]
    fn no_answer_is_taken_for_a_switch_that_is_none() {
        for (switch, status, sound) in [
            (None, 101, false),
            (None, 200, true),
            (Some(Switch::Upgrade), 101, true),
            (Some(Switch::Upgrade), 200, true),
            (Some(Switch::Stream), 101, true),
            (Some(Switch::Stream), 204, false),
            (Some(Switch::Stream), 403, true),
        ] {
            assert_eq!(Switch::is_sound(switch, StatusCode::from_u16(status).unwrap()), sound, "{switch:?} {status}");
        }
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        struct Fixed(u64);
        impl rand::TryRng for Fixed {
            type Error = std::convert::Infallible;
            fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
                unreachable!("asked for 64 bits")
            }
            fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
                Ok(self.0)
            }
            fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
                unreachable!("asked for 64 bits")
            }
        }
        assert_eq!(key(&mut Fixed(u64::MAX)), "/////////////////////w==");
        assert_eq!(key(&mut Fixed(0x0123_4567_89ab_cdef)), "ASNFZ4mrze8BI0VniavN7w==");
        let mut rng = StdRng::seed_from_u64(7);
        assert_ne!(key(&mut rng), key(&mut rng));
    }
}
