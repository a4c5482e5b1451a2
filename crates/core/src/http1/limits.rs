//! How large what is scanned may be.

/// Empty lines skipped before a request line (RFC 9112 2.2 asks for one); the next one is refused.
pub const BLANK_LINES_MAX: u8 = 4;

/// Digits of a chunk's size: as many as 64 bits take, so that no sum can overflow. More are refused, zeros too.
pub const CHUNK_DIGITS_MAX: usize = 16;

/// Sizes past which a message is refused. All count bytes with their line ends, if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A request line or status line; at most `head_max`. RFC 9112 3 recommends at least 8000. Past it: 414.
    pub line_max: usize,
    /// A head: first line, fields and the empty line. Past it: 431.
    pub head_max: usize,
    /// Field lines of a head, and of a trailer section. Past it: 431.
    pub fields_max: usize,
    /// What may follow a chunk's size up to its line's end, the line end not counted. Past it: 400.
    pub extension_max: usize,
    /// A trailer section. Past it: 431.
    pub trailers_max: usize,
}

// === impl Limits ===

impl Limits {
    /// These limits, `line_max` not over `head_max`.
    pub(super) fn in_order(self) -> Self {
        Limits { line_max: self.line_max.min(self.head_max), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { line_max: 16 * 1024, head_max: 64 * 1024, fields_max: 100, extension_max: 256, trailers_max: 16 * 1024 }
    }
}
