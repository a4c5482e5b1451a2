//! Messages of the gossip: written and read they stay the same, no bytes are read for more than they are, and a node that is told anything
//! at all stays small, answers little and says only what can be read.

use std::net::SocketAddr;
use std::sync::Arc;

use dynomesh_core::app::{AppSpec, Policy};
use dynomesh_core::gossip::exchange::{IDS_MAX, Range, SUMS};
use dynomesh_core::gossip::{ANSWER_LEN, Carried, Interest, Item, Listed, Member, Message, Output, Scope, Settings, Spread, Topic, wire};
use dynomesh_core::id::{AppName, Host, NodeName, Version};
use dynomesh_core::map::Fact;
use dynomesh_core::map::fact::AppFact;
use dynomesh_core::time::{Span, Time};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::Outcome;
use crate::input::Input;

const SCOPES: [Scope; 3] = [Scope::Mesh, Scope::Load, Scope::Private];
const NODES: [&str; 4] = ["b0-1", "b0-2", "edge-1", "control-1"];
/// Messages that one node is told in one run.
const TOLD_MAX: usize = 24;

/// Messages one after the other: each is drawn, or as many bytes as a byte says.
pub fn check(bytes: &[u8]) -> Outcome {
    let mut input = Input::new(bytes);
    let (mut now, mut rng) = (Time::from_nanos(1_000_000_000), StdRng::seed_from_u64(7));
    let me = NodeName::new(NODES[0]).expect("a node name");
    let wants = if input.byte().is_multiple_of(2) { Interest::Everything } else { Interest::edge() };
    let settings = Settings { node: me, run: 7, address: address(0), wants, keys: vec!["00000000".into()] };
    let mut spread = Spread::new(settings, now);
    let mut read_any = false;
    for _ in 0..TOLD_MAX {
        if input.is_over() {
            break;
        }
        let written = if input.byte().is_multiple_of(3) { input.short().to_vec() } else { drawn(&mut input) };
        let Some(message) = read(&written) else { continue };
        read_any = true;
        let from = usize::from(input.byte() % 4);
        let node = NodeName::new(NODES[from]).expect("a node name");
        tell(&mut spread, now, &mut rng, (address(from), &node), message);
        now += Span::from_millis(u64::from(input.byte()) * 40);
    }
    Outcome::of(read_any)
}

/// The message, if it is one: then what is written of it reads back the same, and is no longer than it was.
fn read(bytes: &[u8]) -> Option<Message> {
    let message = wire::read(bytes)?;
    let written = wire::write(&message);
    assert!(written.len() <= bytes.len(), "{} bytes were read as {}", bytes.len(), written.len());
    let again = wire::read(&written).expect("what was written is read");
    assert_eq!(wire::write(&again), written, "{message:?}");
    // What follows a message, or is missing of it, makes it none.
    assert!(wire::read(&[&written[..], b"\0"].concat()).is_none());
    assert!(written.is_empty() || wire::read(&written[..written.len() - 1]).is_none());
    match &message {
        Message::Summary { roots } => assert!(roots.len() <= SCOPES.len()),
        Message::Lists { lists, .. } => {
            assert!(lists.len() <= SUMS && lists.iter().map(|list| list.items.len()).sum::<usize>() <= IDS_MAX);
        }
        Message::Want { ids } => assert!(ids.len() <= IDS_MAX),
        Message::Push { items, .. } => assert!(items.len() <= wire::ITEMS_MAX),
        Message::Hello { .. } | Message::Same | Message::Sums { .. } | Message::Ask { .. } | Message::Heard { .. } => {}
    }
    Some(message)
}

/// Whatever a node is told, it stays itself and knows no more than it was told.
fn tell(spread: &mut Spread, now: Time, rng: &mut StdRng, (from, node): (SocketAddr, &NodeName), message: Message) {
    let told = match &message {
        Message::Push { items, .. } => items.len(),
        Message::Hello { .. } => 1,
        _ => 0,
    };
    let (before, peers) = (spread.items().count(), spread.peers().count());
    spread.receive(now, rng, from, node, message);
    assert!(spread.items().count() <= before + told, "more is known than was told");
    assert!(spread.peers().count() <= peers + told + 1);
    assert_eq!(spread.me().node.as_str(), NODES[0]);
    let mut sent = 0;
    for output in spread.outputs(now, rng, true) {
        if let Output::Send { message, .. } = output {
            let written = wire::write(&message);
            sent += written.len();
            assert!(wire::read(&written).is_some(), "said what cannot be read: {message:?}");
        }
    }
    assert!(sent < 2 * ANSWER_LEN + 4 * 1500, "{sent} bytes are answered");
}

/// A message as it is written, which reads back as it was drawn.
fn drawn(input: &mut Input<'_>) -> Vec<u8> {
    let message = match input.byte() % 9 {
        0 => Message::Hello { item: member(input), answer: input.byte().is_multiple_of(2) },
        1 => Message::Summary { roots: SCOPES[..usize::from(input.byte() % 4)].iter().map(|scope| (*scope, input.number())).collect() },
        2 => Message::Same,
        3 => {
            let (scope, range, sum) = (input.one_of(&SCOPES), range(input), input.number());
            Message::Sums { scope, range, sums: Box::new(std::array::from_fn(|nth| sum.wrapping_mul(nth as u64))) }
        }
        4 => {
            let scope = input.one_of(&SCOPES);
            let list = |input: &mut Input<'_>| Listed { range: range(input), items: many(input, |input| (input.number(), input.number())) };
            Message::Lists { scope, lists: many(input, list) }
        }
        5 => Message::Want { ids: many(input, |input| input.number()) },
        6 => Message::Push { items: many(input, item), more: [None, Some(Scope::Mesh), Some(Scope::Load)][usize::from(input.byte() % 3)] },
        7 => Message::Ask { node: node(input) },
        _ => Message::Heard { node: node(input) },
    };
    let written = wire::write(&message);
    let read = wire::read(&written).unwrap_or_else(|| panic!("{message:?} was written and not read"));
    assert_eq!(wire::write(&read), written, "{message:?}");
    written
}

fn many<T>(input: &mut Input<'_>, one: impl Fn(&mut Input<'_>) -> T) -> Vec<T> {
    (0..input.byte() % 6).map(|_| one(input)).collect()
}

fn range(input: &mut Input<'_>) -> Range {
    let bits = input.byte() % 9 * 7;
    let prefix = if bits == 0 { 0 } else { input.number() >> (64 - u32::from(bits)) << (64 - u32::from(bits)) };
    Range::new(prefix, bits).expect("bits in sevens, and none beside them")
}

fn node(input: &mut Input<'_>) -> NodeName {
    NodeName::new(input.one_of(&NODES)).expect("a node name")
}

fn member(input: &mut Input<'_>) -> Carried {
    let wants = if input.byte().is_multiple_of(2) { Interest::Everything } else { Interest::Topics([topic(input)].into()) };
    let (node, silent, keys) = (node(input), input.byte().is_multiple_of(4), many(input, |input| format!("{:x}", input.byte())));
    let member = Member {
        node,
        run: u64::from(input.byte()),
        seq: input.number(),
        address: address(usize::from(input.byte())),
        wants,
        keys,
        silent,
    };
    carried(input, Item::member(member))
}

/// An app's fact, or a node's word.
fn item(input: &mut Input<'_>) -> Carried {
    if input.byte().is_multiple_of(3) {
        return member(input);
    }
    let name = AppName::new(input.one_of(&["a", "b", "long-name-of-an-app"])).expect("an app name");
    let hosts = many(input, |input| Host::new(input.one_of(&["a.example", "*", "b"])).expect("a host"));
    let spec = (!input.byte().is_multiple_of(4)).then(|| AppSpec { name: name.clone(), hosts, policy: Policy::default() });
    let fact = Fact::App(AppFact { name, version: Version(input.number()), spec });
    let mut topics = many(input, topic);
    topics.sort();
    let item = Item::fact(&fact, topics).expect("a short fact");
    carried(input, item)
}

fn carried(input: &mut Input<'_>, item: Item) -> Carried {
    Carried { item: Arc::new(item), age: u32::from(input.byte()) << (input.byte() % 25), hops: input.byte() }
}

fn topic(input: &mut Input<'_>) -> Topic {
    Topic::read(input.one_of(&["mesh", "load", "load/a", "block/a", "of/tomorrow"])).expect("a topic")
}

fn address(nth: usize) -> SocketAddr {
    ([10, 0, 0, u8::try_from(nth % 250 + 1).unwrap_or(1)], 7000).into()
}
