//! What a whole line says, and what the next byte belongs to after it.

use super::super::response::After;
use super::super::{BLANK_LINES_MAX, chunk, request, response};
use super::{Fields, Role, Scanner, State, Violation};

impl Scanner {
    /// Judges a line with its LF.
    pub(super) fn judge_line(&mut self, ended: &[u8]) -> Result<(), Violation> {
        let line = ended.strip_suffix(b"\r\n").ok_or(Violation::BareLf)?;
        match self.state {
            State::FirstLine { blank } if line.is_empty() => return self.skip_blank(blank),
            State::FirstLine { .. } => self.take_first_line(line)?,
            State::Field if line.is_empty() => return self.end_head(),
            State::Trailer if line.is_empty() => self.end_message(),
            State::ChunkSize => {
                let size = chunk::size(line, self.limits.extension_max)?;
                self.fields = Fields::default();
                self.state = if size == 0 { State::Trailer } else { State::Chunk(size) };
                return Ok(());
            }
            _ if self.fields.count == self.limits.fields_max => return Err(Violation::TooManyFields),
            State::Trailer => self.fields.take_of_trailers(line)?,
            _ => match self.role {
                Role::Requests { .. } => self.fields.take_of_request(line)?,
                Role::Responses { .. } => self.fields.take_of_response(line)?,
            },
        }
        self.fields.bytes += ended.len();
        Ok(())
    }

    fn skip_blank(&mut self, blank: u8) -> Result<(), Violation> {
        match self.role {
            Role::Responses { .. } => return Err(Violation::StatusLine),
            Role::Requests { .. } if blank == BLANK_LINES_MAX => return Err(Violation::BlankLines),
            Role::Requests { .. } => self.state = State::FirstLine { blank: blank + 1 },
        }
        Ok(())
    }

    fn take_first_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let old = match &mut self.role {
            Role::Requests { connect } => {
                let line = request::line(line)?;
                *connect = line.connect;
                line.old
            }
            Role::Responses { status, .. } => {
                let line = response::line(line)?;
                *status = line.status;
                line.old
            }
        };
        self.fields = Fields { old, ..Fields::default() };
        self.state = State::Field;
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), Violation> {
        let after = match self.role {
            Role::Requests { connect } => request::after(connect, &self.fields)?,
            Role::Responses { asked, status } => response::after(status, asked, &self.fields)?,
        };
        self.heads += 1;
        match after {
            After::Head => self.state = State::FirstLine { blank: 0 },
            After::Opaque => self.state = State::Opaque,
            After::Content => self.begin_content(),
            After::Nothing => self.end_message(),
        }
        Ok(())
    }

    fn begin_content(&mut self) {
        match (self.fields.chunked, self.fields.length, self.role) {
            (true, ..) => self.state = State::ChunkSize,
            (false, Some(length @ 1..), _) => self.state = State::Content(length),
            (false, None, Role::Responses { .. }) => self.state = State::Rest,
            (false, Some(0), _) | (false, None, Role::Requests { .. }) => self.end_message(),
        }
    }

    pub(super) fn end_message(&mut self) {
        self.state = match self.role {
            Role::Requests { .. } => State::FirstLine { blank: 0 },
            Role::Responses { .. } => State::Nothing,
        };
    }
}
