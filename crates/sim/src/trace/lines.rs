//! Lines of a log, one at a time, none of which can fill the memory.

use std::io::{self, BufRead, BufReader, Read};

/// Longest line. A longer one is read past, not kept.
pub const LINE_LEN_MAX: usize = 64 * 1024;
/// Past so much without an end it is no log, and is read no further.
const ENDLESS: u64 = 16 * 1024 * 1024;
/// Of a bad line, as much is shown.
const SHOWN_CHARS: usize = 60;

/// Reads lines.
pub(super) struct Lines<R> {
    source: BufReader<R>,
    line: Vec<u8>,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<'a> {
    /// All of it, without its end.
    Whole(&'a [u8]),
    /// The start of one that is too long.
    Long(&'a [u8]),
}

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Lines { source: BufReader::with_capacity(LINE_LEN_MAX, source), line: Vec::new() }
    }

    /// The next line; `None` at the end.
    pub(super) fn take(&mut self) -> io::Result<Option<Taken<'_>>> {
        self.line.clear();
        let (mut long, mut seen) = (false, 0_u64);
        loop {
            let there = match self.source.fill_buf() {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                there => there?,
            };
            if there.is_empty() {
                if self.line.is_empty() {
                    return Ok(None);
                }
                break;
            }
            let end = there.iter().position(|byte| *byte == b'\n');
            let piece = &there[..end.unwrap_or(there.len())];
            let room = LINE_LEN_MAX - self.line.len();
            long |= piece.len() > room;
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            let used = piece.len() + usize::from(end.is_some());
            seen += used as u64;
            if seen > ENDLESS && end.is_none() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a line goes on for more than {ENDLESS} bytes; this is no access log"),
                ));
            }
            self.source.consume(used);
            if end.is_some() {
                break;
            }
        }
        Ok(Some(if long { Taken::Long(&self.line) } else { Taken::Whole(&self.line) }))
    }
}

impl Taken<'_> {
    /// The start of the line as it can be printed.
    pub(super) fn shown(&self) -> String {
        let (Taken::Whole(bytes) | Taken::Long(bytes)) = self;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN_CHARS)]);
        let start: String = text.chars().take(SHOWN_CHARS).collect();
        format!("{start:?}{}", if bytes.len() > start.len() { "..." } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_read_past_and_not_kept() {
        let long = vec![b'x'; 1_000_000];
        let text = [b"one\n\n".as_slice(), &long, b"\ntwo\r\nlast"].concat();
        let mut lines = Lines::new(text.as_slice());
        assert_eq!(lines.take().unwrap(), Some(Taken::Whole(b"one")));
        assert_eq!(lines.take().unwrap(), Some(Taken::Whole(b"")));
        assert_eq!(lines.take().unwrap(), Some(Taken::Long(&long[..LINE_LEN_MAX])));
        assert_eq!(lines.take().unwrap(), Some(Taken::Whole(b"two\r")));
        assert_eq!(lines.take().unwrap(), Some(Taken::Whole(b"last")));
        assert_eq!(lines.take().unwrap(), None);
        assert!(lines.line.capacity() <= 2 * LINE_LEN_MAX);
    }

    #[test]
    fn what_is_shown_of_a_line_is_short_and_printable() {
        assert_eq!(Taken::Whole(b"a\x1b[2J").shown(), r#""a\u{1b}[2J""#);
        assert!(Taken::Long(&[0xff; 1000]).shown().chars().count() < 70);
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let error = Lines::new(io::repeat(0)).take().unwrap_err();
        assert!(error.to_string().contains("this is no access log"), "{error}");
    }
}
