//! The core's state machine at a socket.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dynomesh_core::gossip::{Content, Output, Settings, Spread, wire};
use dynomesh_core::map::Fact;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::counts::DropReason;
use super::keys::Keys;
use super::seal::{Opener, Sealer};
use super::{GossipConfig, Own, Peer, Shared};
use crate::clock::Clock;

/// Largest datagram.
const DATAGRAM_MAX: usize = 65_535;
/// Datagrams taken before anything else is done: what they bring is handed on together.
const BURST: usize = 64;
/// Pause after a receive that failed, so that a broken socket does not take a core.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// Pause between two changes of what this node publishes: what changes faster travels with the next.
const PUBLISH_PAUSE: Duration = Duration::from_millis(5);
/// Time between two looks at the file of keys.
const KEYS_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Node {
    spread: Spread,
    socket: UdpSocket,
    sealer: Sealer,
    opener: Opener,
    clock: Clock,
    rng: StdRng,
    shared: Arc<Shared>,
    seeds: watch::Receiver<Vec<SocketAddr>>,
    interval: Duration,
    keys: Keys,
    keys_file: Option<PathBuf>,
    /// What was last wrong with that file; it is told once.
    problem: Option<String>,
    datagram: Box<[u8]>,
}

impl Node {
    /// Must be called on the runtime on which it is to run.
    pub(super) fn new(
        config: GossipConfig,
        keys: Keys,
        run: u64,
        clock: Clock,
        socket: std::net::UdpSocket,
        shared: Arc<Shared>,
        seeds: watch::Receiver<Vec<SocketAddr>>,
    ) -> io::Result<Self> {
        let sealer = Sealer::new(keys.first(), &config.cluster, config.node.as_str(), run);
        let opener = Opener::new(keys.all(), &config.cluster, config.drop_from);
        let settings = Settings { node: config.node, run, address: shared.address, wants: config.wants, keys: keys.names() };
        Ok(Node {
            spread: Spread::new(settings, clock.now()),
            socket: UdpSocket::from_std(socket)?,
            sealer,
            opener,
            clock,
            rng: StdRng::from_rng(&mut rand::rng()),
            shared,
            seeds,
            interval: config.interval.to_std(),
            keys,
            keys_file: config.keys_file,
            problem: None,
            datagram: vec![0; DATAGRAM_MAX].into_boxed_slice(),
        })
    }

    pub(super) async fn run(mut self) -> Infallible {
        let (mut rounds, mut looks) = (interval(self.interval), interval(KEYS_EVERY));
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = self.shared.clone();
        let mut own = shared.own.subscribe();
        own.mark_changed();
        let mut published = tokio::time::Instant::now();
        loop {
            let mut round = false;
            tokio::select! {
                // Whatever comes in, rounds are not put off.
                biased;
                _ = rounds.tick() => {
                    round = true;
                    let seeds = self.seeds.borrow().clone();
                    self.spread.tick(self.clock.now(), &mut self.rng, &seeds);
                }
                _ = looks.tick() => self.look_for_keys(),
                () = changed(&mut own, published) => {
                    published = tokio::time::Instant::now() + PUBLISH_PAUSE;
                    let own: Arc<Own> = own.borrow_and_update().clone();
                    self.spread.publish(self.clock.now(), own.values().map(|published| published.item.clone()));
                }
                readable = self.socket.readable() => match readable {
                    Ok(()) => self.receive(),
                    Err(error) => {
                        tracing::debug!(%error, "gossip socket not readable");
                        tokio::time::sleep(ERROR_PAUSE).await;
                    }
                },
            }
            self.perform(round).await;
        }
    }

    /// Takes what has come.
    fn receive(&mut self) {
        #[cfg(test)]
        self.opener.mute(self.shared.muted.borrow().clone());
        for _ in 0..BURST {
            match self.socket.try_recv_from(&mut self.datagram) {
                Ok((len, from)) => {
                    if let Err(reason) = self.open(len, from) {
                        self.shared.counts.dropped(reason);
                        tracing::debug!(%from, ?reason, "gossip datagram dropped");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Of an earlier send to a port where nobody is any more.
                Err(error) => tracing::debug!(%error, "gossip datagram not received"),
            }
        }
    }

    fn open(&mut self, len: usize, from: SocketAddr) -> Result<(), DropReason> {
        let opened = self.opener.open(&self.datagram[..len])?;
        let message = wire::read(&opened.message).ok_or(DropReason::Malformed)?;
        self.shared.counts.received(len);
        self.spread.receive(self.clock.now(), &mut self.rng, from, &opened.node, message);
        Ok(())
    }

    /// Does what the core asks for.
    async fn perform(&mut self, round: bool) {
        let (mut news, mut peers) = (Vec::<Fact>::new(), false);
        for output in self.spread.outputs(self.clock.now(), &mut self.rng, round) {
            match output {
                Output::Send { to, message } => self.send(to, &wire::write(&message)).await,
                Output::News(item) => news.extend(match item.content() {
                    Some(Content::Fact(fact)) => Some(fact.clone()),
                    _ => None,
                }),
                Output::Peers => peers = true,
            }
        }
        if !news.is_empty() && self.shared.join(news) {
            self.shared.grown.notify_one();
        }
        if peers {
            self.show_peers();
        }
        self.shared.counts.refused_by_core(self.spread.refused());
    }

    async fn send(&mut self, to: SocketAddr, message: &[u8]) {
        let Some(datagram) = self.sealer.seal(message) else {
            self.shared.counts.unsent();
            return;
        };
        match self.socket.send_to(&datagram, to).await {
            Ok(bytes) => self.shared.counts.sent(bytes),
            // A node that cannot be reached is daily life; gossip goes on with others and comes back.
            Err(error) => {
                self.shared.counts.unsent();
                tracing::debug!(%to, %error, "gossip datagram not sent");
            }
        }
    }

    fn show_peers(&self) {
        let peer = |member: &dynomesh_core::gossip::Member| Peer {
            node: member.node.to_string(),
            address: member.address,
            keys: member.keys.clone(),
        };
        let peers: Vec<Peer> = self.spread.peers().map(peer).collect();
        if **self.shared.peers.load() != peers {
            self.shared.peers.store(Arc::new(peers));
        }
    }

    /// Takes changed keys over, if they are any.
    fn look_for_keys(&mut self) {
        let Some(path) = &self.keys_file else { return };
        match Keys::read(path) {
            Ok(keys) if keys == self.keys => self.problem = None,
            Ok(keys) => {
                self.sealer.set_key(keys.first());
                self.opener.set_keys(keys.all());
                self.spread.set_keys(self.clock.now(), keys.names());
                self.shared.keys.store(Arc::new(keys.names()));
                tracing::info!(keys = ?keys.names(), "gossip keys changed");
                (self.keys, self.problem) = (keys, None);
            }
            Err(problem) => {
                if self.problem.as_ref() != Some(&problem) {
                    tracing::warn!(file = %path.display(), %problem, "gossip keys not read; those in use stay");
                }
                self.problem = Some(problem);
            }
        }
    }
}

/// Waits for a change of what is published, and for the pause since the last.
async fn changed(own: &mut watch::Receiver<Arc<Own>>, not_before: tokio::time::Instant) {
    own.changed().await.expect("the sender lives as long as what both share");
    own.mark_changed();
    tokio::time::sleep_until(not_before).await;
}
