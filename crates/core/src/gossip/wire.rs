//! How messages are written, and read from whomever.
//!
//! Every number has a limit, and what does not fit is no message: reading never panics, and takes no more memory than a few times what
//! was received.

use std::sync::Arc;

use super::exchange::{IDS_MAX, Range, SUMS, Scope};
use super::item::Item;
use super::message::{Carried, Listed, Message};
use super::topic::{TOPICS_MAX, Topic};
use crate::id::NodeName;

/// Most items in one message.
pub const ITEMS_MAX: usize = 256;
/// Most lists in one message: one per part of a range.
const LISTS_MAX: usize = SUMS;

/// Writes a message.
pub fn write(message: &Message) -> Vec<u8> {
    let mut to = Vec::with_capacity(256);
    match message {
        Message::Hello { item, answer } => {
            to.extend([0, u8::from(*answer)]);
            write_item(&mut to, item);
        }
        Message::Summary { roots } => {
            to.push(1);
            number(&mut to, roots.len() as u64);
            for (scope, root) in roots {
                to.push(*scope as u8);
                to.extend(root.to_be_bytes());
            }
        }
        Message::Same => to.push(2),
        Message::Sums { scope, range, sums } => {
            to.extend([3, *scope as u8]);
            write_range(&mut to, *range);
            sums.iter().for_each(|sum| to.extend(sum.to_be_bytes()));
        }
        Message::Lists { scope, lists } => {
            to.extend([4, *scope as u8]);
            number(&mut to, lists.len() as u64);
            for Listed { range, items } in lists {
                write_range(&mut to, *range);
                number(&mut to, items.len() as u64);
                for (id, hash) in items {
                    to.extend(id.to_be_bytes());
                    to.extend(hash.to_be_bytes());
                }
            }
        }
        Message::Want { ids } => {
            to.push(5);
            number(&mut to, ids.len() as u64);
            ids.iter().for_each(|id| to.extend(id.to_be_bytes()));
        }
        Message::Push { items, more } => {
            to.extend([6, more.map_or(0, |scope| 1 + scope as u8)]);
            number(&mut to, items.len() as u64);
            items.iter().for_each(|item| write_item(&mut to, item));
        }
        Message::Ask { node } => {
            to.push(7);
            text(&mut to, node.as_str());
        }
        Message::Heard { node } => {
            to.push(8);
            text(&mut to, node.as_str());
        }
    }
    to
}

/// Reads a message; `None` where it is none, or breaks a limit.
pub fn read(bytes: &[u8]) -> Option<Message> {
    let mut from = Reader(bytes);
    let message = match from.byte()? {
        0 => {
            let answer = from.byte()? == 1;
            Message::Hello { item: from.item()?, answer }
        }
        1 => Message::Summary { roots: from.many(3, |from| Some((from.scope()?, from.fixed()?)))? },
        2 => Message::Same,
        3 => {
            let (scope, range, mut sums) = (from.scope()?, from.range()?, Box::new([0; SUMS]));
            for sum in sums.iter_mut() {
                *sum = from.fixed()?;
            }
            Message::Sums { scope, range, sums }
        }
        4 => {
            let (scope, mut left) = (from.scope()?, IDS_MAX);
            let lists = from.many(LISTS_MAX, |from| {
                let range = from.range()?;
                let items = from.many(left, |from| Some((from.fixed()?, from.fixed()?)))?;
                left -= items.len();
                Some(Listed { range, items })
            });
            Message::Lists { scope, lists: lists? }
        }
        5 => Message::Want { ids: from.many(IDS_MAX, Reader::fixed)? },
        6 => {
            let more = match from.byte()? {
                0 => None,
                scope => Some(*Scope::ALL.get(usize::from(scope) - 1)?),
            };
            Message::Push { items: from.many(ITEMS_MAX, Reader::item)?, more }
        }
        7 => Message::Ask { node: from.node()? },
        8 => Message::Heard { node: from.node()? },
        _ => return None,
    };
    from.0.is_empty().then_some(message)
}

/// Bytes of an item in a message, or a few more.
pub(super) fn item_len(item: &Item) -> usize {
    18 + item.body().len() + item.topics().iter().map(|topic| 1 + topic.as_str().len()).sum::<usize>()
}

fn write_item(to: &mut Vec<u8>, carried: &Carried) {
    let Carried { item, age, hops } = carried;
    to.extend(item.id().to_be_bytes());
    number(to, u64::from(*age));
    to.extend([*hops, u8::try_from(item.topics().len()).expect("at most TOPICS_MAX")]);
    item.topics().iter().for_each(|topic| text(to, topic.as_str()));
    text(to, item.body());
}

fn write_range(to: &mut Vec<u8>, range: Range) {
    let (prefix, bits) = range.parts();
    to.push(bits);
    to.extend(prefix.to_be_bytes());
}

fn text(to: &mut Vec<u8>, text: &str) {
    number(to, text.len() as u64);
    to.extend(text.as_bytes());
}

/// Seven bits per byte, the lowest first.
fn number(to: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return to.push(low & 0x7f);
        }
        to.push(low | 0x80);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn fixed(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// As many as the next number says, if that is at most `limit`. Memory is taken for those that are there only.
    fn many<T>(&mut self, limit: usize, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= limit)?;
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(one(self)?);
        }
        Some(all)
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.bytes(len)?).ok()
    }

    fn node(&mut self) -> Option<NodeName> {
        NodeName::new(self.text()?).ok()
    }

    fn scope(&mut self) -> Option<Scope> {
        Scope::ALL.get(usize::from(self.byte()?)).copied()
    }

    fn range(&mut self) -> Option<Range> {
        let bits = self.byte()?;
        Range::new(self.fixed()?, bits)
    }

    fn item(&mut self) -> Option<Carried> {
        let id = self.fixed()?;
        let age = u32::try_from(self.number()?).ok()?;
        let hops = self.byte()?;
        let topics = self.many(TOPICS_MAX, |from| Topic::read(from.text()?))?;
        let item = Arc::new(Item::received(id, topics, self.text()?)?);
        Some(Carried { item, age, hops })
    }
}
