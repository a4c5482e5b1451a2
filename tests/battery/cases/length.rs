//! `Content-Length`: one clear number, or no request.

use super::{MORE, MORE_LEN, bytes, get, post};
use crate::case::{Case, Seen, either, passed, refused};

/// Values that are no length.
const NONE: [(&str, &str); 19] = [
    ("negative", "-4"),
    ("a plus sign", "+4"),
    ("hexadecimal", "0x4"),
    ("a space within", "4 4"),
    ("empty", ""),
    ("a fraction", "4.0"),
    ("an exponent", "4e0"),
    ("letters behind", "4abc"),
    ("letters", "four"),
    ("quoted", "\"4\""),
    ("a semicolon", "4;"),
    ("2^64", "18446744073709551616"),
    ("2^64 + 4, which wraps to 4", "18446744073709551620"),
    ("2^32 x 2^32 and more digits", "99999999999999999999999999999999999999999999"),
    ("a vertical tab before", "\u{b}4"),
    ("a form feed before", "\u{c}4"),
    ("a NUL behind", "4\0"),
    ("a no-break space before", "\u{a0}4"),
    ("an underscore", "4_0"),
];

pub(crate) fn cases() -> Vec<Case> {
    let seen = || Seen::post("/case", "body");
    let mut cases = vec![
        passed("6.3", "a plain length", post("content-length: 4\r\n", "body"), seen()),
        passed("5.1", "white space around a length", post("content-length: \t 4 \t\r\n", "body"), seen()),
        passed("6.3", "a length of nothing", post("content-length: 0\r\n", ""), Seen::post("/case", "")),
        passed("6.3", "a GET with a length of nothing", get("content-length: 0\r\n"), Seen::get("/case")),
        passed("6.3", "no length and no coding is no body", post("", ""), Seen::post("/case", "")),
        either("6.3", "leading zeros", post("content-length: 0004\r\n", "body"), seen()),
        either("6.3", "30 leading zeros", post(&format!("content-length: {}4\r\n", "0".repeat(30)), "body"), seen()),
        either("9110 8.6", "the same length twice", post("content-length: 4\r\ncontent-length: 4\r\n", "body"), seen()),
        either("9110 8.6", "a list of the same length", post("content-length: 4, 4\r\n", "body"), seen()),
        either("9110 8.6", "a list with an empty member", post("content-length: 4,\r\n", "body"), seen()),
        either(
            "9110 9.3.1",
            "a GET with a body",
            format!("{}body", get("content-length: 4\r\n")),
            Seen { body: b"body".into(), ..Seen::get("/case") },
        ),
        either(
            "9110 9.3.1",
            "a GET whose body looks like a request",
            format!(
                "{}{}",
                get(&format!("content-length: {MORE_LEN}\r\n")),
                "GET /smuggled-body HTTP/1.1\r\nhost: a\r\n\r\n".get(..MORE_LEN).unwrap_or_default()
            ),
            Seen { body: b"GET /smuggled-body HTTP/1.1\r\nhost: a\r\n\r\n"[..MORE_LEN].into(), ..Seen::get("/case") },
        ),
        either("6.3", "an underscore in the name", post("content-length: 4\r\ncontent_length: 0\r\n", "body"), seen()),
    ];
    cases.extend(NONE.map(|(name, value)| {
        refused("6.3", format!("a length that is none: {name}"), bytes(&post(&format!("content-length: {value}\r\n"), "body")))
    }));
    let two = [("0", "40"), ("40", "0"), ("4", "04 0"), ("40", "+40"), ("0", "x")];
    for (first, second) in two {
        let fields = format!("content-length: {first}\r\ncontent-length: {second}\r\n");
        cases.push(refused("6.3", format!("two lengths, {first} and {second}"), post(&fields, MORE)));
        let fields = format!("content-length: {first}, {second}\r\n");
        cases.push(refused("6.3", format!("a list of the lengths {first} and {second}"), post(&fields, MORE)));
    }
    cases.push(refused(
        "6.3",
        "two lengths in different case and apart",
        post("Content-Length: 0\r\nx-a: b\r\nCONTENT-LENGTH: 40\r\n", MORE),
    ));
    cases.push(refused("6.3", "a GET with two lengths", format!("{}{MORE}", get("content-length: 0\r\ncontent-length: 40\r\n"))));
    cases.push(refused(
        "6.3",
        "HTTP/1.0 with two lengths",
        post("content-length: 0\r\ncontent-length: 40\r\n", MORE).replace("HTTP/1.1\r\nhost: {host}\r\nc", "HTTP/1.0\r\nhost: {host}\r\nc"),
    ));
    cases
}
