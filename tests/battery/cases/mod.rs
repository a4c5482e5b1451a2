//! The cases, as data: one file per family. Where the RFCs leave a choice, every safe outcome is allowed.

use crate::case::Case;
use crate::run::Family;

mod answers;
mod broken;
mod chunks;
mod coding;
mod connections;
mod hops;
mod interim;
mod length;
mod lines;
mod names;
mod races;
mod sizes;
mod targets;

/// A request that nobody makes, in the place where a careless receiver looks for one.
pub(crate) const MORE: &str = "GET {marker} HTTP/1.1\r\nhost: {host}\r\n\r\n";

/// Every family of HTTP/1.
pub(crate) fn all() -> Vec<Family<Case>> {
    vec![
        Family { name: "requests: content length", cases: length::cases() },
        Family { name: "requests: transfer coding", cases: coding::cases() },
        Family { name: "requests: chunks and trailers", cases: chunks::cases() },
        Family { name: "requests: lines and bytes", cases: lines::cases() },
        Family { name: "requests: request line and names", cases: names::cases() },
        Family { name: "requests: target and host", cases: targets::cases() },
        Family { name: "requests: hops", cases: hops::cases() },
        Family { name: "requests: sizes and time", cases: sizes::cases() },
        Family { name: "connections", cases: connections::cases() },
        Family { name: "answers: framing", cases: answers::framing() },
        Family { name: "answers: heads", cases: answers::heads() },
        Family { name: "answers: cut off", cases: broken::cases() },
        Family { name: "answers: interim, early and unasked", cases: interim::cases() },
        Family { name: "races", cases: races::cases() },
    ]
}

/// What is played where connections to dynos are kept.
pub(crate) fn kept() -> Vec<Family<races::Play>> {
    vec![Family { name: "races: kept connections", cases: races::kept() }, Family { name: "races: crowds", cases: races::crowds() }]
}

/// A GET with more field lines, each with its end.
pub(crate) fn get(fields: &str) -> String {
    format!("GET /case HTTP/1.1\r\nhost: {{host}}\r\n{fields}\r\n")
}

/// A POST with more field lines, each with its end, and what follows its head.
pub(crate) fn post(fields: &str, body: &str) -> String {
    format!("POST /case HTTP/1.1\r\nhost: {{host}}\r\n{fields}\r\n{body}")
}

/// [`MORE`] as long as it is on the wire, whatever the lane and the number of the case: a length that covers some of it is enough.
pub(crate) const MORE_LEN: usize = 40;

/// Bytes one to one from characters, so that a case can be written as text.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("a character that stands for a byte")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Reach, Step, Told};
    use crate::reading::{Rest, agreed, faults};
    use crate::run::filled;

    /// A proxy that passes everything on would be caught by what reaches the dyno alone, whatever the client is told.
    #[test]
    fn what_must_be_refused_for_its_bytes_is_caught_at_the_dyno() {
        let cases = [length::cases(), coding::cases(), chunks::cases(), lines::cases(), names::cases()].concat();
        let refused = cases.iter().filter(|case| {
            let told = case.told.iter().flatten().all(|told| !matches!(told, Told::Status(statuses) if statuses.contains(&200)));
            told && matches!(case.reach, Reach::Nothing)
        });
        let (mut count, mut missed) = (0, Vec::new());
        for case in refused {
            let sent: Vec<u8> =
                case.sent.iter().flat_map(|step| if let Step::Send(bytes) = step { bytes.clone() } else { Vec::new() }).collect();
            let sent = filled(&filled(&sent, b"{host}", "lane-0.test"), b"{marker}", "/smuggled-1");
            // What is only too large is refused for that.
            if sent.len() > 10_000 {
                continue;
            }
            let honest = agreed(&sent).is_ok_and(|stream| stream.rest == Rest::Clean && stream.requests.len() == 1);
            count += 1;
            if honest && faults(&sent).is_empty() {
                missed.push(format!("{}: \"{}\"", case.name, sent[..sent.len().min(200)].escape_ascii()));
            }
        }
        assert!(count > 200, "{count}");
        assert!(missed.is_empty(), "{} of {count} pass for honest:\n{}", missed.len(), missed.join("\n"));
    }
}
