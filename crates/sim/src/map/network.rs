//! Nodes, and datagrams between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

use dynomesh_core::gossip::{Carried, HOPS_MAX, Interest, Item, Message, Output, Settings, Spread, wire};
use dynomesh_core::id::NodeName;
use dynomesh_core::time::{Span, Time};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Role, Scale, facts};

/// Between two rounds of a node.
pub const ROUND: Span = Span::from_millis(100);
/// What sealing adds to a message, and IP and UDP to that.
const AROUND: usize = 62 + 12 + 28;
/// Nodes have been up for longer than this when the simulation begins, each for another time.
const UP: Span = Span::from_secs(20 * 60);

/// All nodes and all that is under way.
pub struct Network {
    /// How large it is.
    pub scale: Scale,
    /// The virtual time.
    pub now: Time,
    /// All chance comes from here.
    pub rng: StdRng,
    nodes: Vec<Node>,
    events: BinaryHeap<Reverse<(Time, u64, usize)>>,
    messages: Vec<Option<Box<(usize, usize, Message)>>>,
    vacant: Vec<usize>,
    count: u64,
    seeds: Vec<SocketAddr>,
    /// The word that is watched for, and when which node heard of it.
    watched: Option<(u64, u64)>,
    heard: Vec<Option<Time>>,
}

struct Node {
    name: NodeName,
    spread: Spread,
    sent: u64,
    received: u64,
    own: Vec<Arc<Item>>,
}

/// Bytes that a node sent and received.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
}

impl Network {
    /// A mesh that has been up for a while: all know all that they want.
    pub fn settled(scale: Scale) -> Self {
        let start = Time::ZERO + UP.times(4);
        let rng = StdRng::seed_from_u64(scale.seed);
        let seeds = (0..scale.control).map(socket).collect();
        let (nodes, events, messages, vacant) = (Vec::new(), BinaryHeap::new(), Vec::new(), Vec::new());
        let mut network =
            Network { scale, now: start, rng, nodes, events, messages, vacant, count: 0, seeds, watched: None, heard: Vec::new() };
        let mut carried: Vec<Carried> = Vec::new();
        for nth in 0..network.scale.nodes() {
            let age = network.rng.random_range(0..UP.as_nanos() / 1_000_000_000);
            let own = network.own_facts(nth);
            network.start(nth, own.clone(), start - Span::from_secs(age));
            let me = Arc::new(Item::member(network.nodes[nth].spread.me().clone()));
            let age = u32::try_from(age).expect("twenty minutes");
            carried.extend(own.into_iter().chain([me]).map(|item| Carried { item, age, hops: HOPS_MAX }));
        }
        network.tell_all(&carried);
        network
    }

    fn own_facts(&self, nth: usize) -> Vec<Arc<Item>> {
        let facts = match self.scale.role(nth) {
            Role::Control if nth == 0 => facts::of_control(&self.scale),
            Role::Replica(of) if self.scale.leader(of) == nth => facts::of_leader(&self.scale, of, 7, 0, 0),
            _ => Vec::new(),
        };
        facts.iter().map(|fact| facts::item(fact, &Default::default())).collect()
    }

    fn start(&mut self, nth: usize, own: Vec<Arc<Item>>, up_since: Time) {
        let (name, wants) = facts::node(&self.scale, nth);
        let keys = vec!["a1b2c3d4".into()];
        let settings = Settings { node: name.clone(), run: 1_700_000_000_000, address: socket(nth), wants, keys };
        let mut spread = Spread::new(settings, up_since);
        spread.publish(up_since, own.iter().cloned());
        // Nobody is there yet to be told.
        spread.outputs(up_since, &mut self.rng, true);
        self.nodes.push(Node { name, spread, sent: 0, received: 0, own });
        self.heard.push(None);
        let phase = Span::from_nanos(self.rng.random_range(0..ROUND.as_nanos()));
        self.schedule(self.now + phase, nth);
    }

    /// Hands each node all that it wants, as if it had long been told.
    fn tell_all(&mut self, carried: &[Carried]) {
        let mut under: BTreeMap<&str, Vec<&Carried>> = BTreeMap::new();
        for one in carried {
            one.item.topics().iter().for_each(|topic| under.entry(topic.as_str()).or_default().push(one));
        }
        let teller = NodeName::new("teller").expect("a name");
        for nth in 0..self.nodes.len() {
            let items: Vec<Carried> = match &self.nodes[nth].spread.me().wants {
                Interest::Everything => carried.to_vec(),
                Interest::Topics(topics) => {
                    topics.iter().filter_map(|topic| under.get(topic.as_str())).flatten().copied().cloned().collect()
                }
            };
            let (now, node) = (self.now, &mut self.nodes[nth]);
            node.spread.receive(now, &mut self.rng, socket(nth), &teller, Message::Push { items, more: None });
            node.spread.outputs(now, &mut self.rng, true);
        }
    }

    /// Adds a node that knows nothing; tells its number.
    pub fn add_edge(&mut self) -> usize {
        // A number past all others: its role is that of an edge by its interest alone.
        let nth = self.nodes.len();
        let name = NodeName::new(&format!("fresh-{nth}")).expect("a name");
        let wants = Interest::edge();
        let settings = Settings { node: name.clone(), run: 1, address: socket(nth), wants, keys: vec!["a1b2c3d4".into()] };
        self.nodes.push(Node { name, spread: Spread::new(settings, self.now), sent: 0, received: 0, own: Vec::new() });
        self.heard.push(None);
        self.schedule(self.now, nth);
        nth
    }

    /// A node's state machine.
    pub fn node(&self, nth: usize) -> &Spread {
        &self.nodes[nth].spread
    }

    /// Changes some of what a node publishes: words under known keys replace those.
    pub fn publish(&mut self, nth: usize, items: &[Arc<Item>]) {
        let node = &mut self.nodes[nth];
        for item in items {
            match node.own.iter_mut().find(|own| own.id() == item.id()) {
                Some(own) => *own = item.clone(),
                None => node.own.push(item.clone()),
            }
        }
        if items.iter().any(|item| self.watched == Some((item.id(), item.hash()))) {
            self.heard[nth] = Some(self.now);
        }
        node.spread.publish(self.now, node.own.iter().cloned());
        self.perform(nth, false);
    }

    /// From now on it is noted who hears of this word.
    pub fn watch(&mut self, item: &Item) {
        self.watched = Some((item.id(), item.hash()));
        self.heard.fill(None);
    }

    /// When each node heard of it.
    pub fn heard(&self) -> &[Option<Time>] {
        &self.heard
    }

    /// What each node sent and received since this was last asked.
    pub fn take_traffic(&mut self) -> Vec<Traffic> {
        let take = |node: &mut Node| Traffic { sent: std::mem::take(&mut node.sent), received: std::mem::take(&mut node.received) };
        self.nodes.iter_mut().map(take).collect()
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(Reverse((at, _, _))) = self.events.peek().filter(|Reverse((at, ..))| *at <= end) {
            self.now = *at;
            let Reverse((_, _, what)) = self.events.pop().expect("there is one");
            // Events of nodes are their numbers, those of messages lie above them.
            match what.checked_sub(NODES) {
                None => {
                    self.nodes[what].spread.tick(self.now, &mut self.rng, &self.seeds);
                    self.perform(what, true);
                    self.schedule(self.now + ROUND, what);
                }
                Some(slot) => {
                    let (from, to, message) = *self.messages[slot].take().expect("a message under way");
                    self.vacant.push(slot);
                    let name = self.nodes[from].name.clone();
                    self.nodes[to].spread.receive(self.now, &mut self.rng, socket(from), &name, message);
                    self.perform(to, false);
                }
            }
        }
        self.now = end;
    }

    fn perform(&mut self, nth: usize, round: bool) {
        for output in self.nodes[nth].spread.outputs(self.now, &mut self.rng, round) {
            match output {
                Output::Send { to, message } => self.send(nth, to, message),
                Output::News(item) if self.watched == Some((item.id(), item.hash())) => self.heard[nth] = Some(self.now),
                Output::News(_) | Output::Peers => {}
            }
        }
    }

    fn send(&mut self, from: usize, to: SocketAddr, message: Message) {
        let bytes = (wire::write(&message).len() + AROUND) as u64;
        self.nodes[from].sent += bytes;
        let to = number(to);
        if to >= self.nodes.len() || self.rng.random_bool(self.scale.loss) {
            return;
        }
        self.nodes[to].received += bytes;
        let slot = self.vacant.pop().unwrap_or(self.messages.len());
        if slot == self.messages.len() {
            self.messages.push(None);
        }
        self.messages[slot] = Some(Box::new((from, to, message)));
        let delay = self.rng.random_range(self.scale.delay_max / 10..=self.scale.delay_max);
        self.schedule(self.now + Span::from_micros(delay), NODES + slot);
    }

    fn schedule(&mut self, at: Time, what: usize) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, what)));
    }
}

/// More than there are nodes.
const NODES: usize = 1 << 24;

fn socket(nth: usize) -> SocketAddr {
    facts::address(nth, 7946).socket()
}

fn number(address: SocketAddr) -> usize {
    match address.ip() {
        std::net::IpAddr::V4(ip) => {
            let [_, a, b, c] = ip.octets();
            usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("32 bits fit") - 1
        }
        std::net::IpAddr::V6(_) => usize::MAX,
    }
}
