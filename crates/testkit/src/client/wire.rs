//! A plain connection, for requests that no client library would send: malformed ones, halves of one, or those of an edge.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use dynomesh_core::time::Span;

/// Longest head that is read.
const HEAD_MAX: usize = 64 << 10;

/// A plain connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    /// Connects; whatever is read then comes within `limit` or is an error.
    pub fn connect(address: SocketAddr, limit: Span) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, limit.to_std())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit.to_std()))?;
        stream.set_write_timeout(Some(limit.to_std()))?;
        Ok(Wire { stream, read: Vec::new() })
    }

    /// Sends these bytes.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Ends the sending half.
    pub fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Reads one head, interim or final, with the empty line that ends it.
    pub fn read_head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => self.read.extend_from_slice(&piece[..len]),
            }
            if self.read.len() > HEAD_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head does not end"));
            }
        }
    }

    /// Reads until the other side closes.
    pub fn read_to_end(mut self) -> io::Result<String> {
        self.stream.read_to_end(&mut self.read)?;
        Ok(String::from_utf8_lossy(&self.read).into_owned())
    }
}
