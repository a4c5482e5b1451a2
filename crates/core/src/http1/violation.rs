//! What a message may break, each with what the client is told.

use std::fmt;

macro_rules! violations {
    ($($name:ident $status:literal $code:literal $section:literal $sentence:literal)*) => {
        /// A rule that bytes on the wire broke.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Violation {
            $(#[doc = concat!("RFC ", $section, ": ", $sentence, ".")] $name,)*
        }

        impl Violation {
            /// All of them.
            pub const ALL: &[Violation] = &[$(Violation::$name),*];

            /// Status a client is answered with whose request broke it; for a broken response the status is always 502.
            pub fn status(self) -> u16 {
                match self {
                    $(Violation::$name => $status,)*
                }
            }

            /// Its name in logs and metrics.
            pub fn code(self) -> &'static str {
                match self {
                    $(Violation::$name => $code,)*
                }
            }

            /// The section of the RFC that it breaks, such as `9112 2.2`.
            pub fn section(self) -> &'static str {
                match self {
                    $(Violation::$name => $section,)*
                }
            }

            /// One sentence for the client, without its full stop.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Violation::$name => $sentence,)*
                }
            }
        }
    };
}

violations! {
    BareLf 400 "bare-lf" "9112 2.2" "a line ends in LF without CR"
    BareCr 400 "bare-cr" "9112 2.2" "a CR is not followed by LF"
    BlankLines 400 "blank-lines" "9112 2.2" "more than 4 empty lines come before a request"
    RequestLine 400 "request-line" "9112 3" "the request line is not a method, a target and a version with one space between each"
    Method 400 "method" "9110 9.1" "the method is not a token"
    LineTooLong 414 "line-too-long" "9112 3" "the first line is longer than the limit"
    Version 400 "version" "9112 2.3" "the first line names no HTTP version"
    VersionUnsupported 505 "version-unsupported" "9110 15.6.6" "the version is neither HTTP/1.0 nor HTTP/1.1"
    Preface 505 "preface" "9113 3.4" "this connection does not speak HTTP/2"
    TargetBytes 400 "target-bytes" "9112 3.2" "the target has bytes that must be percent-encoded"
    Fragment 400 "fragment" "9112 3.2" "the target has a fragment"
    TargetForm 400 "target-form" "9112 3.2" "the target has no form that goes with its method"
    TargetScheme 400 "target-scheme" "9112 3.2.2" "the target's scheme is neither http nor https"
    Userinfo 400 "userinfo" "9110 4.2.4" "a host is preceded by user information"
    HostInvalid 400 "host-invalid" "9112 3.2" "a host or its port is not valid"
    HostMissing 400 "host-missing" "9112 3.2" "an HTTP/1.1 request has no Host"
    HostRepeated 400 "host-repeated" "9112 3.2" "a request has more than one Host"
    StatusLine 400 "status-line" "9112 4" "the status line is not a version, a status from 100 to 599 and a reason"
    LeadingWhitespace 400 "leading-whitespace" "9112 2.2" "whitespace stands between the first line and the first field"
    Fold 400 "fold" "9112 5.2" "a field is folded over several lines"
    FieldColon 400 "field-colon" "9112 5" "a field line has no colon"
    FieldSpace 400 "field-space" "9112 5.1" "whitespace stands between a field's name and the colon"
    FieldName 400 "field-name" "9110 5.1" "a field's name is not a token"
    FieldValue 400 "field-value" "9110 5.5" "a field's value has a control character"
    HeadTooLarge 431 "head-too-large" "6585 5" "the head is larger than the limit"
    TooManyFields 431 "too-many-fields" "6585 5" "there are more fields than the limit"
    ContentLength 400 "content-length" "9110 8.6" "Content-Length is not a number that fits 64 bits"
    ContentLengthRepeated 400 "content-length-repeated" "9112 6.3" "Content-Length is given more than once"
    TransferEncoding 400 "transfer-encoding" "9112 6.3" "Transfer-Encoding is not chunked alone"
    TransferEncodingRepeated 400 "transfer-encoding-repeated" "9112 7.1" "Transfer-Encoding is given more than once"
    TransferCoding 501 "transfer-coding" "9112 6.1" "a transfer coding other than chunked is not supported"
    TransferEncodingVersion 400 "transfer-encoding-version" "9112 6.1" "HTTP/1.0 has no Transfer-Encoding"
    TwoFramings 400 "two-framings" "9112 6.3" "Content-Length and Transfer-Encoding are both given"
    ContentForbidden 400 "content-forbidden" "9110 8.6" "a message that has no content announces some"
    ChunkSize 400 "chunk-size" "9112 7.1" "a chunk's size is not 1 to 16 hexadecimal digits"
    ChunkExtension 400 "chunk-extension" "9112 7.1.1" "a chunk extension is longer than the limit or has a control character"
    ChunkEnd 400 "chunk-end" "9112 7.1" "a chunk is not followed by CR LF"
    TrailersTooLarge 431 "trailers-too-large" "9112 7.1.2" "the trailer section is larger than the limit"
    TrailerForbidden 400 "trailer-forbidden" "9110 6.5.1" "the trailer section has a field that frames or routes"
    Switched 400 "switched" "9110 7.8" "the protocol is switched unasked"
    Surplus 400 "surplus" "9112 6.3" "bytes follow the response or come before a request"
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for Violation {}
