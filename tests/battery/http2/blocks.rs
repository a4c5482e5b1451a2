//! HPACK (RFC 7541): blocks made by hand, good and bad.

use super::frame::*;
use super::hpack::{field, fields, huffman, integer, string};
use super::{Case, HOST, Want, case, ends, fields_of, get, passed, seen};
use crate::case::{Reach, Seen};

const BAD: &[u32] = &[COMPRESSION];

pub(super) fn cases() -> Vec<Case> {
    let with = |more: &[u8]| headers(1, END_STREAM, [&fields_of("GET", "/case", &[])[..], more].concat());
    let before = |first: &[u8]| headers(1, END_STREAM, [first, &fields_of("GET", "/case", &[])].concat());
    let bad = |section, name: &str, more: &[u8]| ends(section, name, with(more), BAD).reach(Reach::Nothing);
    let literal = |kind: u8, name: &[u8], value: &[u8]| [&[kind][..], name, value].concat();
    let authority = [&[0x41][..], &string(HOST.as_bytes())].concat();
    let path = [&[0x44][..], &string(b"/case")].concat();
    let whole = [&[0x82, 0x86][..], &authority, &path].concat();
    let padded = |bytes: &[u8]| literal(0, &string(b"x-a"), &[&integer(7, 0x80, bytes.len())[..], bytes].concat());
    vec![
        passed("7541 6.1", "indexed fields of the static table", headers(1, END_STREAM, &whole), seen()),
        passed(
            "7541 5.2",
            "Huffman-coded strings",
            with(&literal(0, &huffman(b"x-a"), &huffman(b"a value, coded"))),
            seen().with("x-a", "a value, coded"),
        ),
        passed(
            "7541 5.2",
            "a Huffman-coded path",
            headers(1, END_STREAM, [&[0x82, 0x86][..], &authority, &[0x04], &huffman(b"/case")].concat()),
            seen(),
        ),
        passed(
            "7541 6.2.1",
            "a literal that enters the table",
            with(&literal(0x40, &string(b"x-a"), &string(b"b"))),
            seen().with("x-a", "b"),
        ),
        passed("7541 6.2.1", "an entry used again", with(&[literal(0x40, &string(b"x-a"), &string(b"b")), vec![0xbe]].concat()), seen()),
        passed(
            "7541 6.2.3",
            "a literal that is never indexed",
            with(&literal(0x10, &string(b"x-a"), &string(b"b"))),
            seen().with("x-a", "b"),
        ),
        passed(
            "7541 6.2.2",
            "a literal with a name of the static table",
            with(&[integer(4, 0, 58), string(b"own")].concat()),
            seen().with("user-agent", "own"),
        ),
        case(
            "7541 2.3.2",
            "the table lives on from request to request",
            [headers(1, END_STREAM, &whole), headers(3, END_STREAM, [0x82, 0x86, 0xbf, 0xbe])].concat(),
            vec![Want::Answer(3, &[200])],
        )
        .and(Want::Answer(1, &[200]))
        .reach(Reach::These(vec![seen(), seen()])),
        case(
            "7541 4.4",
            "an entry larger than the table empties it",
            [
                headers(1, END_STREAM, [&whole[..], &literal(0x40, &string(b"x-a"), &string(&[b'b'; 5000]))].concat()),
                headers(3, END_STREAM, [0x82, 0x86, 0xbe]),
            ]
            .concat(),
            vec![Want::Gone(BAD)],
        )
        .reach(Reach::AtMost(vec![seen()])),
        passed("7541 6.3", "a table of no bytes", before(&[0x20]), seen()),
        passed("7541 6.3", "a table of 4096 bytes", before(&integer(5, 0x20, 4096)), seen()),
        passed("7541 4.2", "two sizes of the table", before(&[&[0x20][..], &integer(5, 0x20, 100)].concat()), seen()),
        ends("7541 6.3", "a table larger than was allowed", before(&integer(5, 0x20, 1 << 20)), BAD).reach(Reach::Nothing),
        bad("7541 4.2", "a size of the table behind a field", &[0x20]),
        bad("7541 6.1", "the index 0", &[0x80]),
        bad("7541 2.3.3", "an index that there is not", &[0xbe]),
        bad("7541 2.3.3", "an index far off", &integer(7, 0x80, 1000)),
        bad("7541 6.2", "a literal whose name has an index that there is not", &[0x7f, 0x00, 0x01, b'b']),
        bad("7541 5.1", "an integer of too many bytes", &[&[0xff][..], &[0x80; 12], &[0x01]].concat()),
        bad("7541 5.1", "an integer past 2^64", &[&[0xff][..], &[0xff; 10], &[0x7f]].concat()),
        bad("7541 5.1", "an integer that does not end", &[0xff, 0x80, 0x80]),
        bad("7541 5.2", "a string longer than its block", &[0x00, 0x03, b'x', b'-', b'a', 0x7f, 0x10, b'b']),
        bad("7541 5.2", "a string of 2^31 bytes", &[&[0x00][..], &integer(7, 0, 1 << 31)].concat()),
        bad("7541 6.2", "a literal without a value", &[0x00, 0x03, b'x', b'-', b'a']),
        bad("7541 6.2", "a literal without a name", &[0x00]),
        bad("7541 5.2", "a Huffman-coded string with its end in it", &padded(&[0xff, 0xff, 0xff, 0xff])),
        bad("7541 5.2", "padding of a whole byte", &padded(&[0x1f, 0xff])),
        bad("7541 5.2", "padding of zeros", &padded(&[0x18])),
        bad("7541 5.2", "padding that is partly zeros", &padded(&[0x1e])),
        case(
            "7541 4.3",
            "a smaller table forgets",
            [
                headers(1, END_STREAM, &whole),
                headers(3, END_STREAM, [&[0x20][..], &integer(5, 0x20, 4096), &[0x82, 0x86, 0xbf, 0xbe]].concat()),
            ]
            .concat(),
            vec![Want::Gone(BAD)],
        )
        .reach(Reach::AtMost(vec![seen()])),
        ends("9113 4.3", "a block that is no block", headers(1, END_STREAM, [0xff; 20]), BAD).reach(Reach::Nothing),
        case(
            "9113 6.5.2",
            "a field of 100 KB in frames",
            long_block(100 << 10),
            vec![Want::Refused(1), Want::Gone(&[CALM, PROTOCOL, COMPRESSION])],
        )
        .reach(Reach::AtMost(vec![seen()])),
        passed("9113 6.10", "a field of 20 KB in frames", long_block(20 << 10), seen()),
        case(
            "9113 4.3",
            "the table is kept for a request that is refused",
            [
                headers(
                    1,
                    END_STREAM,
                    [
                        &fields(&[(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", ""), ("x-a", "b")])[..],
                        &literal(0x40, &string(b"x-c"), &string(b"d")),
                    ]
                    .concat(),
                ),
                headers(3, END_STREAM, [&fields_of("GET", "/case", &[])[..], &[0xbe]].concat()),
            ]
            .concat(),
            vec![Want::Answer(3, &[200]), Want::Gone(&[PROTOCOL])],
        )
        .reach(Reach::AtMost(vec![Seen::get("/case").with("x-c", "d")])),
        passed(
            "7541 6.2.1",
            "many entries push each other out",
            with(
                &(0..60)
                    .flat_map(|n| literal(0x40, &string(format!("x-{}", n % 10).as_bytes()), &string(&[b'v'; 60])))
                    .collect::<Vec<u8>>(),
            ),
            seen(),
        ),
        passed(
            "9113 8.2.3",
            "cookies in crumbs",
            [headers(1, END_STREAM, [fields_of("GET", "/case", &[("cookie", "a=1"), ("cookie", "b=2")]), field("cookie", "c=3")].concat())]
                .concat(),
            seen().with("cookie", "a=1; b=2; c=3"),
        ),
        case("9113 4.3", "two requests with one table", [get(1), get(3)].concat(), vec![Want::Answer(3, &[200])])
            .reach(Reach::These(vec![seen(), seen()])),
    ]
}

/// A request with a field of so many bytes, in frames of 16 KB.
fn long_block(len: usize) -> Vec<u8> {
    let block = fields_of("GET", "/case", &[("x-a", &"b".repeat(len))]);
    let last = block.chunks(16_000).count() - 1;
    let pieces = block.chunks(16_000).enumerate().map(|(n, piece)| {
        let (kind, flags) = if n == 0 { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
        frame(kind, if n == last { flags | END_HEADERS } else { flags }, 1, piece)
    });
    pieces.collect::<Vec<_>>().concat()
}
