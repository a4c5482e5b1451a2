//! How facts of the map spread: each node publishes its own, and all who want them hear of them.
//!
//! What is said to whom is decided by [`dynomesh_core::gossip`]; here are its socket, its clock and its keys, on a thread of its own.
//! Every datagram is sealed with the cluster's key (`seal`). What is heard is joined into one [`MapView`], and the view never
//! forgets, since the absence of a fact is no evidence (P18).
//!
//! Tasks on the thread: `node` (datagrams, rounds, what this node publishes, keys) · `show` (a changed view, to its readers) ·
//! `resolve` (names of seeds). They end with the last [`Gossip`].

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use dynomesh_core::gossip::{Interest, Item, topics};
use dynomesh_core::id::{Address, NodeName};
use dynomesh_core::map::{Fact, MapView};
use dynomesh_core::time::Span;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::net::{NetError, datagrams};
use crate::shutdown::{Trigger, channel};
use crate::telemetry::Registry;

pub use counts::{Counts, DropReason};
pub use key::Key;
pub use section::GossipSection;

mod counts;
mod generation;
mod key;
mod keys;
mod node;
pub mod seal;
mod section;
#[cfg(test)]
mod tests;
mod thread;
mod window;

/// Environment variable with name prefixes, separated by commas: datagrams from nodes so named are dropped. For tests.
pub const DROP_FROM_ENV: &str = "DYNOMESH_GOSSIP_DROP_FROM";
/// Keys accepted at once: the one in use and those being brought in or phased out (P20).
pub const KEYS_MAX: usize = 4;
/// Time between two gossip rounds, by default.
pub const INTERVAL: Span = Span::from_millis(100);

/// What a node needs to take part.
#[derive(Debug, Clone)]
pub struct GossipConfig {
    /// This node; unique in the cluster.
    pub node: NodeName,
    /// The cluster; nodes of another one do not understand this one.
    pub cluster: String,
    /// Where datagrams are received. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where others send them; `None` means `listen`, which then must not be the unspecified address.
    pub advertise: Option<Address>,
    /// `HOST:PORT` of some nodes; one that lives is enough. Names are resolved again every minute.
    pub seeds: Vec<String>,
    /// Time between two rounds.
    pub interval: Span,
    /// The cluster's keys: the first seals, all open (P20). At least one, at most [`KEYS_MAX`].
    pub keys: Vec<Key>,
    /// A file with the keys instead, one on a line; it is read again when it has changed, and keys change without a stop.
    pub keys_file: Option<PathBuf>,
    /// What this node wants to hear of.
    pub wants: Interest,
    /// Keeps the number of this node's runs, so that it grows even when the wall clock steps back (P18). Without it the wall
    /// clock must not step back between two runs of one name, or the second is not heard until the clock has caught up.
    pub generation_file: Option<PathBuf>,
    /// Name prefixes of nodes that are not listened to, for tests.
    pub drop_from: Vec<String>,
}

impl GossipConfig {
    /// A configuration with the default interval and no seeds, that wants everything; [`DROP_FROM_ENV`] is read.
    pub fn new(node: NodeName, cluster: impl Into<String>, listen: SocketAddr, keys: Vec<Key>) -> Self {
        let drop_from = std::env::var(DROP_FROM_ENV).unwrap_or_default();
        GossipConfig {
            node,
            cluster: cluster.into(),
            listen,
            advertise: None,
            seeds: Vec::new(),
            interval: INTERVAL,
            keys,
            keys_file: None,
            wants: Interest::Everything,
            generation_file: None,
            drop_from: drop_from.split(',').map(str::trim).filter(|prefix| !prefix.is_empty()).map(str::to_string).collect(),
        }
    }
}

/// Why gossip did not start. One line, fit for a terminal.
#[derive(Debug, thiserror::Error)]
pub enum GossipError {
    /// Gossip is never sent in clear.
    #[error("`gossip.key`: needs 1 to {KEYS_MAX} keys of 64 hexadecimal digits, has {0}")]
    Keys(usize),
    /// The file with the keys has none.
    #[error("`gossip.keys_file`: {}: {problem}", path.display())]
    KeysFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The socket could not be opened.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Nobody could send to that address.
    #[error("`gossip.advertise`: must be set where `gossip.listen` is {0}, which names no one host")]
    Advertise(SocketAddr),
    /// The number of this run could not be kept.
    #[error("generation file {}: {cause}", path.display())]
    Generation {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: io::Error,
    },
    /// No thread.
    #[error("start of the gossip thread")]
    Thread(#[source] io::Error),
}

/// A node that this one hears.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its name.
    pub node: String,
    /// Where it gossips.
    pub address: SocketAddr,
    /// The keys it can open, as [`Gossip::keys`] names them, the one it seals with first.
    pub keys: Vec<String>,
}

/// This node's part in the gossip. Cheap to clone; usable from every thread; the last clone ends it.
#[derive(Clone)]
pub struct Gossip {
    shared: Arc<Shared>,
    _stop: Arc<Trigger>,
}

/// What the handle and the thread share.
struct Shared {
    node: NodeName,
    run: u64,
    address: SocketAddr,
    counts: Counts,
    /// What this node publishes, by key.
    own: watch::Sender<Arc<Own>>,
    /// The view as it grows, and the copy that readers get.
    growing: Mutex<MapView>,
    grown: Notify,
    shown: ArcSwap<MapView>,
    version: watch::Sender<u64>,
    peers: ArcSwap<Vec<Peer>>,
    keys: ArcSwap<Vec<String>>,
    #[cfg(test)]
    muted: watch::Sender<Vec<String>>,
}

type Own = BTreeMap<String, Published>;

#[derive(Debug, Clone)]
struct Published {
    fact: Fact,
    item: Arc<Item>,
}

impl Gossip {
    /// Opens the socket and starts the thread; needs no runtime. Peers are found and heard of from then on.
    pub fn start(config: GossipConfig, clock: &Clock) -> Result<Self, GossipError> {
        let keys = keys::first(&config)?;
        let socket = datagrams(config.listen, "gossip.listen")?;
        let bound = socket.local_addr().map_err(GossipError::Thread)?;
        let address = match config.advertise {
            Some(address) => address.socket(),
            None => Address::new(bound).map_err(|_| GossipError::Advertise(bound))?.socket(),
        };
        let generation = generation::next(config.generation_file.as_deref(), clock)?;
        let shared = Arc::new(Shared {
            node: config.node.clone(),
            run: generation,
            address,
            counts: Counts::default(),
            own: watch::Sender::new(Arc::default()),
            growing: Mutex::default(),
            grown: Notify::new(),
            shown: ArcSwap::default(),
            version: watch::Sender::new(0),
            peers: ArcSwap::default(),
            keys: ArcSwap::new(Arc::new(keys.names())),
            #[cfg(test)]
            muted: watch::Sender::new(config.drop_from.clone()),
        });
        let (stop, stopped) = channel();
        thread::start(config, keys, generation, clock.clone(), socket, shared.clone(), stopped).map_err(GossipError::Thread)?;
        Ok(Gossip { shared, _stop: Arc::new(stop) })
    }

    /// Publishes exactly these facts in this node's name, instead of what it published before. They are in this node's own view at
    /// once. Only changed ones travel, so a fact's `seq` should grow only when the rest of it changes. Of two facts with one key the
    /// later stands; one that is too long is not published, and logged (P18).
    pub fn publish(&self, facts: impl IntoIterator<Item = Fact>) {
        let before = self.shared.own.borrow().clone();
        let facts: Vec<Fact> = facts.into_iter().collect();
        let news = facts.iter().filter(|fact| before.get(&fact.key()).is_none_or(|known| known.fact != **fact));
        // Too long a fact is refused below, and is not to be in the own view either.
        if self.shared.join(news.filter(|fact| fact.write().is_ok()).cloned()) {
            self.shared.show();
        }
        let (mut own, view) = (Own::new(), self.view());
        let mut changed = false;
        for fact in facts {
            let (key, topics) = (fact.key(), topics(&fact, &view));
            let published = match before.get(&key) {
                Some(known) if known.fact == fact && known.item.topics() == topics => known.clone(),
                _ => match Item::fact(&fact, topics) {
                    Some(item) => {
                        changed = true;
                        Published { fact, item: Arc::new(item) }
                    }
                    None => {
                        self.shared.counts.refused();
                        tracing::warn!(%key, "fact not published: it is too long");
                        continue;
                    }
                },
            };
            own.insert(key, published);
        }
        if changed || own.len() != before.len() {
            self.shared.own.send_replace(Arc::new(own));
        }
    }

    /// All facts heard so far, joined, this node's own included. Costs one atomic read; take it anew for each decision.
    pub fn view(&self) -> Arc<MapView> {
        self.shared.shown.load_full()
    }

    /// Changes whenever [`Gossip::view`] has changed, at most every few milliseconds. The number counts the changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// The nodes this one hears at present, itself not included, by name.
    pub fn peers(&self) -> Arc<Vec<Peer>> {
        self.shared.peers.load_full()
    }

    /// Names of the keys this node can open at present, the one it seals with first. A name says nothing about its key.
    pub fn keys(&self) -> Arc<Vec<String>> {
        self.shared.keys.load_full()
    }

    /// Does not hear nodes whose name begins with one of these from now on, for tests.
    #[cfg(test)]
    fn mute(&self, prefixes: &[&str]) {
        self.shared.muted.send_replace(prefixes.iter().map(ToString::to_string).collect());
    }

    /// The number of this run of the node; larger than that of every run before.
    pub fn run(&self) -> u64 {
        self.shared.run
    }

    /// Where others send their datagrams.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// What has been sent, received and dropped.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Shows [`Gossip::counts`] as metrics.
    pub fn register(&self, registry: &Registry) {
        self.shared.counts.register(registry);
    }
}

impl fmt::Debug for Gossip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gossip").field("node", &self.shared.node).field("address", &self.shared.address).finish_non_exhaustive()
    }
}

impl Shared {
    /// Joins facts into the growing view; tells whether that changed it.
    fn join(&self, facts: impl IntoIterator<Item = Fact>) -> bool {
        let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        // Every fact is to be absorbed: no short cut after the first that changes something.
        facts.into_iter().fold(false, |changed, fact| growing.absorb(fact) | changed)
    }

    /// Shows readers the view as it is now.
    fn show(&self) {
        // Held until the view is stored, or an older one could be stored over a newer one.
        let growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        self.shown.store(Arc::new(growing.clone()));
        self.version.send_modify(|version| *version += 1);
    }
}
