//! A dyno that works on one request at a time and finishes it whatever becomes of the client.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dynomesh_core::id::{Address, DynoId};

/// It takes every connection and has them wait in line, so that it sees a request that comes while another still runs.
pub(super) struct PlayedDyno {
    pub(super) id: DynoId,
    pub(super) address: Address,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    line: Mutex<()>,
    running: AtomicUsize,
    requests: AtomicUsize,
    overlaps: AtomicUsize,
}

impl PlayedDyno {
    pub(super) fn start(id: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::new(listener.local_addr().unwrap()).unwrap();
        let seen = Arc::<Seen>::default();
        let shared = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = shared.clone();
                thread::spawn(move || seen.serve(stream));
            }
        });
        PlayedDyno { id: DynoId::new(id).unwrap(), address, seen }
    }

    /// Requests that run now.
    pub(super) fn running(&self) -> usize {
        self.seen.running.load(Ordering::SeqCst)
    }

    /// Requests that ever came.
    pub(super) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// Requests that came while another ran.
    pub(super) fn overlaps(&self) -> usize {
        self.seen.overlaps.load(Ordering::SeqCst)
    }
}

impl Seen {
    /// `/stream/MS` answers with a first chunk at once and a last one after that long; `/wait/MS` says nothing until then.
    fn serve(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut buf = [0; 4096];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut buf) {
                Ok(0) | Err(_) => break,
                Ok(read) => head.extend_from_slice(&buf[..read]),
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let Some((kind, ms)) = head.split(' ').nth(1).and_then(|path| path.strip_prefix('/')?.split_once('/')) else {
            // A question whether it is idle: answered when its turn comes.
            drop(self.line.lock().unwrap());
            return;
        };
        self.requests.fetch_add(1, Ordering::SeqCst);
        if self.running.fetch_add(1, Ordering::SeqCst) > 0 {
            self.overlaps.fetch_add(1, Ordering::SeqCst);
        }
        let turn = self.line.lock().unwrap();
        let work = Duration::from_millis(ms.parse().unwrap());
        // Whether anybody still listens does not matter to it.
        if kind == "stream" {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
            thread::sleep(work);
            let _ = stream.write_all(b"4\r\nlast\r\n0\r\n\r\n");
        } else {
            thread::sleep(work);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast");
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        drop(turn);
        let _ = stream.shutdown(Shutdown::Both);
    }
}
