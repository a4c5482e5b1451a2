//! How much of what was sent over a connection its peer has not acknowledged.
//!
//! The usual ways to ask, an `ioctl` and TCP_INFO, have no safe call in any crate here. The kernel tells the same by netlink
//! (sock_diag(7)) to any process, of the one connection that is named by its addresses; /proc/net/tcp would list all of them. A
//! process that may open no netlink sockets, or a kernel without INET_DIAG, gets an error.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

// From linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h, where they are fixed for ever.
const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// Length of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;
/// Length of a `struct nlmsghdr` with a `struct inet_diag_req_v2` behind it.
const QUESTION_LEN: u32 = 16 + 56;
/// Where `idiag_wqueue` of a `struct inet_diag_msg` stands in an answer.
const QUEUE_AT: usize = HEADER_LEN + 60;

/// Bytes written to `stream` that its peer has not acknowledged, sent or not; one more once its sending side is closed.
///
/// Does not wait. Of a connection that has ended the answer is an error, or without meaning.
pub fn unacknowledged(stream: &TcpStream) -> io::Result<u64> {
    let mut socket = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(Protocol::from(NETLINK_SOCK_DIAG)))?;
    socket.set_nonblocking(true)?;
    // The kernel answers within the call.
    socket.send(&question(stream.local_addr()?, stream.peer_addr()?))?;
    let mut answer = [0; 512];
    let len = socket.read(&mut answer)?;
    queue(&answer[..len]).ok_or_else(|| io::Error::other("the kernel did not tell the state of the connection"))
}

fn question(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    let interface = if let SocketAddr::V6(local) = local { local.scope_id() } else { 0 };
    let mut bytes = Vec::new();
    bytes.extend(QUESTION_LEN.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and sender: one question, one answer.
    bytes.extend([0; 8]);
    // No extras; connections in any state.
    bytes.extend([family, IPPROTO_TCP, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(peer.port().to_be_bytes());
    bytes.extend(octets(local.ip()));
    bytes.extend(octets(peer.ip()));
    bytes.extend(interface.to_ne_bytes());
    // No cookie.
    bytes.extend([0xff; 8]);
    bytes
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&ip.octets());
            octets
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The queue told by an answer, if it is one and no error.
fn queue(answer: &[u8]) -> Option<u64> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let queue = u32::from_ne_bytes(answer.get(QUEUE_AT..QUEUE_AT + 4)?.try_into().ok()?);
    (kind == SOCK_DIAG_BY_FAMILY).then_some(u64::from(queue))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    fn connected(address: &str) -> (TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind(address).unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        (TcpStream::from_std(stream).unwrap(), listener.accept().unwrap().0)
    }

    /// Writes until nothing more goes in; how much went in.
    fn fill(stream: &TcpStream) -> u64 {
        let mut written = 0;
        while let Ok(len) = stream.try_write(&[0; 1 << 16]) {
            written += len as u64;
        }
        written
    }

    #[tokio::test]
    async fn what_a_peer_leaves_unread_is_told_until_it_reads_it() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            if address.starts_with('[') && TcpListener::bind(address).is_err() {
                continue;
            }
            let (stream, mut peer) = connected(address);
            assert_eq!(unacknowledged(&stream).unwrap(), 0);
            stream.writable().await.unwrap();
            let written = fill(&stream);
            // The peer's kernel acknowledges what has room there, and no more.
            let waiting = unacknowledged(&stream).unwrap();
            assert!(0 < waiting && waiting < written, "{waiting} of {written}");
            let len = usize::try_from(written).unwrap();
            peer.read_exact(&mut vec![0; len]).unwrap();
            // The last acknowledgement may be delayed.
            let all = async {
                while unacknowledged(&stream).unwrap() > 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(20), all).await.expect("all was read");
        }
    }

    #[test]
    fn an_error_is_no_answer() {
        let mut error = [0; QUEUE_AT + 4];
        error[4] = 2;
        assert_eq!(queue(&error), None);
        assert_eq!(queue(&error[..3]), None);
    }
}
