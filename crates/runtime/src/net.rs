//! Sockets: listeners, connections, datagrams.
//!
//! An address that cannot be had is an operator's problem, so the error names the address and the setting to change. Several
//! threads listen on one address by a listener each (SO_REUSEPORT), and the kernel spreads the connections; that option would also
//! let a second process take half of them unnoticed, so the address is first tried without it.
//!
//! Left to itself, the kernel lets one connection that is not read hold megabytes in either direction, and a few hundred of them all
//! the memory it has for TCP; then everybody's connections stall. What it may hold is bounded here as our own buffers are elsewhere.

use std::io;
use std::net::SocketAddr;

use dynomesh_core::id::Address;
use dynomesh_core::time::Span;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

mod diag;
mod stream;

pub use diag::unacknowledged;
pub use stream::Stream;

/// Connections that wait to be accepted, per listener. Past it the kernel drops SYNs and clients try again.
pub const BACKLOG: i32 = 4096;

/// Bytes of a connection that may wait to be sent; what is on its way already does not count, so distance costs no speed.
const UNSENT_MAX: u32 = 128 * 1024;

/// Receive buffer of connections within the mesh, which the kernel doubles. It bounds what is on its way, and so the speed over a distance: about
/// 100 MB/s where a round trip takes 1 ms. Towards clients, who are farther away, the kernel finds the right size itself.
const RECEIVE_BUFFER: usize = 128 * 1024;

/// Who connects to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    /// Anybody, from anywhere.
    Clients,
    /// Another tier of the mesh.
    Tier,
}

/// Why a socket could not be opened. One line, fit for a terminal.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Another process has the address.
    #[error("{address} is in use; change `{setting}`")]
    InUse {
        /// The address.
        address: SocketAddr,
        /// The setting that named it.
        setting: String,
    },
    /// Any other refusal.
    #[error("cannot listen on {address} (setting `{setting}`): {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting that named it.
        setting: String,
        /// What the system said.
        cause: io::Error,
    },
}

/// Listens on `address` for one thread. Port 0 lets the system choose. `setting` is the configuration key that named the address.
///
/// The listener is non-blocking, as [`tokio::net::TcpListener::from_std`] wants it.
pub fn listen(address: SocketAddr, setting: &str) -> Result<std::net::TcpListener, NetError> {
    bind(address, false).map_err(|cause| NetError::new(address, setting, cause))
}

/// Listens on `address` for `count` threads, one listener each, all on the same port.
pub fn listen_each(address: SocketAddr, setting: &str, count: usize, peers: Peers) -> Result<Vec<std::net::TcpListener>, NetError> {
    let refuse = |cause| NetError::new(address, setting, cause);
    let bind = |address, reuse_port| {
        let listener = bind(address, reuse_port)?;
        if peers == Peers::Tier {
            SockRef::from(&listener).set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        Ok(listener)
    };
    let alone = bind(address, false).map_err(refuse)?;
    if count <= 1 {
        return Ok(vec![alone]);
    }
    let address = alone.local_addr().map_err(refuse)?;
    drop(alone);
    (0..count).map(|_| bind(address, true).map_err(refuse)).collect()
}

/// Opens a datagram socket, non-blocking, as [`tokio::net::UdpSocket::from_std`] wants it.
pub fn datagrams(address: SocketAddr, setting: &str) -> Result<std::net::UdpSocket, NetError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    open().map_err(|cause| NetError::new(address, setting, cause))
}

/// Connects to a block or a dyno within `timeout`, without Nagle's delay. Nothing is sent.
pub async fn connect(address: Address, timeout: Span) -> io::Result<TcpStream> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no connection to {address} within {timeout}"));
    let stream = tokio::time::timeout(timeout.to_std(), TcpStream::connect(address.socket())).await.map_err(|_| late())??;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    Ok(stream)
}

/// Where others reach a listener: where it is bound, or at that port of `near` where it listens on every address of its machine.
///
/// # Panics
/// If the listener is not bound.
pub fn reachable(bound: SocketAddr, near: SocketAddr) -> Address {
    let at_near = || Address::new(SocketAddr::new(near.ip(), bound.port()));
    Address::new(bound).or_else(|_| at_near()).expect("a bound listener has a port, and `near` is one host")
}

/// Bounds how long sent bytes may stay unacknowledged before the kernel gives the connection up (TCP_USER_TIMEOUT, P7); `None`
/// leaves it to the kernel again.
pub fn set_user_timeout(stream: &TcpStream, span: Option<Span>) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(span.map(Span::to_std))
}

fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted daemon must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    // What is accepted has it from its listener.
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl NetError {
    fn new(address: SocketAddr, setting: &str, cause: io::Error) -> Self {
        let setting = setting.into();
        match cause.kind() {
            io::ErrorKind::AddrInUse => NetError::InUse { address, setting },
            _ => NetError::Listen { address, setting, cause },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn an_address_in_use_is_named_with_its_setting() {
        let first = listen_each(ANY, "listen", 2, Peers::Clients).unwrap();
        let address = first[0].local_addr().unwrap();
        assert_eq!(address, first[1].local_addr().unwrap());
        let error = listen_each(address, "listen", 2, Peers::Clients).unwrap_err();
        assert_eq!(error.to_string(), format!("{address} is in use; change `listen`"));
        assert!(matches!(listen(address, "admin"), Err(NetError::InUse { .. })));
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_the_cause() {
        let error = datagrams("192.0.2.1:9".parse().unwrap(), "gossip.listen").unwrap_err().to_string();
        assert!(error.starts_with("cannot listen on 192.0.2.1:9 (setting `gossip.listen`): "), "{error}");
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_costs_the_kernel_no_more_than_its_bounds() {
        let listener = listen_each(ANY, "http", 1, Peers::Tier).unwrap().remove(0);
        let address = Address::new(listener.local_addr().unwrap()).unwrap();
        let ours = connect(address, Span::from_secs(5)).await.unwrap();
        let (theirs, _) = tokio::net::TcpListener::from_std(listener).unwrap().accept().await.unwrap();
        for (writer, reader) in [(&ours, &theirs), (&theirs, &ours)] {
            let mut written = 0;
            while let Ok(Ok(())) = tokio::time::timeout(std::time::Duration::from_millis(200), writer.writable()).await {
                written += writer.try_write(&[0; 16 * 1024]).unwrap_or(0);
            }
            assert!((64 * 1024..1024 * 1024).contains(&written), "{written} bytes were taken");
            assert_eq!(reader.try_read(&mut [0; 1]).unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn connecting_ends_in_time_and_refusals_are_at_once() {
        let listener = listen(ANY, "listen").unwrap();
        let address = Address::new(listener.local_addr().unwrap()).unwrap();
        let stream = connect(address, Span::from_secs(5)).await.unwrap();
        set_user_timeout(&stream, Some(Span::from_secs(1))).unwrap();
        assert!(stream.nodelay().unwrap());
        drop(listener);
        let error = connect(address, Span::from_secs(5)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
