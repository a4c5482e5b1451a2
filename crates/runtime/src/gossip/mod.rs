//! How facts of the map spread: each node publishes its own, and all nodes hear of all.
//!
//! chitchat carries them, in datagrams sealed with the cluster's key (`seal`), on a thread of its own. It decides nothing: what is
//! heard is joined into one [`MapView`], and the view never forgets, since the absence of a fact is no evidence (P18).
//! A change is taken over when it arrives; nothing is scanned by the clock, so an idle mesh costs only chitchat's own rounds.
//!
//! Tasks on the thread: chitchat's server · `spread` (what this node publishes, out) · `show` (a changed view, to its readers) ·
//! `watch_peers`. They end with the last [`Gossip`].

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
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
mod seal;
mod section;
#[cfg(test)]
mod tests;
mod thread;
mod transport;
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
    /// Keeps the number of this node's runs, so that it grows even when the wall clock steps back (P18). Without it the wall
    /// clock must not step back between two runs of one name, or the second is not heard until the clock has caught up.
    pub generation_file: Option<PathBuf>,
    /// Name prefixes of nodes that are not listened to, for tests.
    pub drop_from: Vec<String>,
}

impl GossipConfig {
    /// A configuration with the default interval and no seeds; [`DROP_FROM_ENV`] is read.
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
}

type Own = BTreeMap<String, Published>;

#[derive(Debug, Clone, PartialEq)]
struct Published {
    fact: Fact,
    text: Arc<str>,
}

impl Gossip {
    /// Opens the socket and starts the thread; needs no runtime. Peers are found and heard of from then on.
    pub fn start(config: GossipConfig, clock: &Clock) -> Result<Self, GossipError> {
        if config.keys.is_empty() || config.keys.len() > KEYS_MAX {
            return Err(GossipError::Keys(config.keys.len()));
        }
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
        });
        let (stop, stopped) = channel();
        thread::start(config, generation, socket, shared.clone(), stopped).map_err(GossipError::Thread)?;
        Ok(Gossip { shared, _stop: Arc::new(stop) })
    }

    /// Publishes exactly these facts in this node's name, instead of what it published before. They are in this node's own view at
    /// once. Only changed ones travel, so a fact's `seq` should grow only when the rest of it changes. Of two facts with one key the
    /// later stands; one that is too long is not published, and logged (P18).
    pub fn publish(&self, facts: impl IntoIterator<Item = Fact>) {
        let before = self.shared.own.borrow().clone();
        let mut own = Own::new();
        for fact in facts {
            let key = fact.key();
            let published = match before.get(&key) {
                Some(known) if known.fact == fact => known.clone(),
                _ => match fact.write() {
                    Ok(text) => Published { fact, text: text.into() },
                    Err(error) => {
                        self.shared.counts.refused();
                        tracing::warn!(%key, %error, "fact not published");
                        continue;
                    }
                },
            };
            own.insert(key, published);
        }
        if own == *before {
            return;
        }
        let changed = own.iter().filter(|(key, published)| before.get(*key) != Some(published));
        if self.shared.join(changed.map(|(_, published)| published.fact.clone())) {
            self.shared.show();
        }
        self.shared.own.send_replace(Arc::new(own));
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

    /// What another node published, as it came.
    fn hear(&self, key: &str, text: &str) {
        match Fact::read(text) {
            Ok(fact) if fact.key() != key => self.counts.unreadable(),
            Ok(fact) => {
                // A burst of facts is shown as one change, soon.
                if self.join([fact]) {
                    self.grown.notify_one();
                }
            }
            Err(error) => {
                self.counts.unreadable();
                tracing::debug!(%key, %error, "fact not read");
            }
        }
    }

    /// Shows readers the view as it is now.
    fn show(&self) {
        // Held until the view is stored, or an older one could be stored over a newer one.
        let growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        self.shown.store(Arc::new(growing.clone()));
        self.version.send_modify(|version| *version += 1);
    }
}
