//! Which bytes may stand where.

const TOKEN: u8 = 1;
const TEXT: u8 = 2;
const TARGET: u8 = 4;
const HOST: u8 = 8;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    loop {
        table[byte as usize] = class(byte);
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

const fn class(byte: u8) -> u8 {
    let alphanumeric = byte.is_ascii_alphanumeric();
    let mut class = 0;
    if alphanumeric
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
    {
        class |= TOKEN;
    }
    if matches!(byte, b'\t' | b' '..=b'~' | 0x80..) {
        class |= TEXT;
    }
    // RFC 3986 wants more of them encoded, but real clients send bars, braces, carets and backslashes. A fragment would be cut off.
    if matches!(byte, b'!'..=b'~') && !matches!(byte, b'#' | b'<' | b'>') {
        class |= TARGET;
    }
    // Unreserved characters and sub-delimiters, without the comma that would look like a list. No percent-encoding: no parser of hosts
    // agrees with the next on what to decode.
    if alphanumeric || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=') {
        class |= HOST;
    }
    class
}

fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|&byte| CLASSES[usize::from(byte)] & class != 0)
}

/// Whether it is a token (RFC 9110 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

/// Whether it may be a field's value, a reason or a chunk extension: tabs, spaces, visible and high bytes (RFC 9110 5.5).
pub(super) fn is_text(bytes: &[u8]) -> bool {
    all(bytes, TEXT)
}

/// Whether it may be a request's target, as far as single bytes say.
pub(super) fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TARGET)
}

/// Whether it may be a registered name or an IPv4 address.
pub(super) fn is_host(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, HOST)
}

/// Without the optional whitespace around it: spaces and tabs, nothing else that some library would trim.
pub(super) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
