//! The dyno of WebSockets: says back what it is told, and writes down which block and leader sent it each of them, as the sample dyno does.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use dynomesh_agent::demo::journal::{Arrival, Ending, Event, Line, Outcome};
use dynomesh_core::id::DynoId;
use dynomesh_testkit::clock;

use super::{CLOSE, frame, read_frame, read_head};

/// What it has written so far.
struct Journal {
    dyno: DynoId,
    file: File,
    /// WebSockets begun.
    begun: u64,
    in_flight: u32,
    overlaps: u64,
}

/// Serves for ever; `words` are the address, its name and the file of its journal.
pub(crate) fn serve(words: &[String]) -> Result<()> {
    let [listen, name, journal] = words else { bail!("a dyno of WebSockets takes an address, a name and a file") };
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    let journal = Journal::open(DynoId::new(name).with_context(|| format!("the name {name}"))?, Path::new(journal))
        .with_context(|| format!("the journal {journal}"))?;
    let journal = Arc::new(Mutex::new(journal));
    journal.lock().expect("nobody panics with it").write(Event::Listen { address: listener.local_addr()?, pid: std::process::id() })?;
    for stream in listener.incoming().flatten() {
        let journal = journal.clone();
        // One that ends early was a probe, or its client is gone.
        thread::spawn(move || drop(serve_one(&stream, &journal)));
    }
    Ok(())
}

fn serve_one(mut stream: &TcpStream, journal: &Mutex<Journal>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let head = read_head(stream)?;
    if !head.to_ascii_lowercase().contains("upgrade: websocket") {
        return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let n = journal.lock().expect("nobody panics with it").begin(&head)?;
    let ended = echo(stream);
    let outcome = if ended.is_ok() { Outcome::Done } else { Outcome::Cut };
    journal.lock().expect("nobody panics with it").end(n, outcome)
}

fn echo(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: chaos\r\n\r\n",
    )?;
    loop {
        let (first, payload) = read_frame(stream)?;
        if first == CLOSE {
            return stream.write_all(&[CLOSE, 0]);
        }
        stream.write_all(&frame(&payload, false))?;
    }
}

// === impl Journal ===

impl Journal {
    fn open(dyno: DynoId, path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Journal { dyno, file, begun: 0, in_flight: 0, overlaps: 0 })
    }

    /// A WebSocket arrived with this head; its number.
    fn begin(&mut self, head: &str) -> io::Result<u64> {
        self.begun += 1;
        self.in_flight += 1;
        self.overlaps += u64::from(self.in_flight > 1);
        let start = Arrival { n: self.begun, in_flight: self.in_flight, overlaps: self.overlaps, ..arrival(head) };
        self.write(Event::Start(start))?;
        Ok(self.begun)
    }

    fn end(&mut self, n: u64, outcome: Outcome) -> io::Result<()> {
        self.in_flight -= 1;
        self.write(Event::End(Ending { n, outcome, status: Some(101), received: None, sent: None }))
    }

    /// In one write, before the step it tells of can be seen.
    fn write(&mut self, event: Event) -> io::Result<()> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_ns = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
        let line = Line { boot_ns: clock::now().as_nanos(), wall_ns, dyno: self.dyno.clone(), event };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.file.write_all(&text)
    }
}

/// What a head says of its request and of who sent it.
fn arrival(head: &str) -> Arrival {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let field = |name: &str| fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned());
    let number = |name: &str| field(name)?.parse().ok();
    Arrival {
        method,
        path,
        request: field("x-request-id"),
        block: field("x-dynomesh-block"),
        epoch: number("x-dynomesh-epoch"),
        term: number("x-dynomesh-term"),
        slot: field("x-dynomesh-slot"),
        ..Arrival::default()
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_agent::demo::journal;

    use super::*;

    #[test]
    fn a_websocket_is_written_down_with_who_sent_it() {
        let head = "GET /socket HTTP/1.1\r\nHost: h\r\nX-Dynomesh-Block: b1\r\nx-dynomesh-epoch: 7\r\nx-dynomesh-term: 3\r\n\
                    x-dynomesh-slot: 1f-a-2\r\n\r\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w1.jsonl");
        let mut written = Journal::open(DynoId::new("w1").unwrap(), &path).unwrap();
        let (first, second) = (written.begin(head).unwrap(), written.begin(head).unwrap());
        written.end(first, Outcome::Done).unwrap();
        let lines = journal::read(&path).unwrap();
        let Event::Start(start) = &lines[1].event else { panic!("{lines:?}") };
        assert_eq!((start.n, start.in_flight, start.overlaps), (second, 2, 1));
        assert_eq!((start.block.as_deref(), start.epoch, start.term), (Some("b1"), Some(7), Some(3)));
        assert_eq!(start.replica(), Some(dynomesh_core::id::ReplicaId(0x1f)));
        assert!(matches!(&lines[2].event, Event::End(end) if end.n == first && end.outcome == Outcome::Done));
    }
}
