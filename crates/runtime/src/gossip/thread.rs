//! The thread on which gossip runs.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chitchat::{ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, NodeState, spawn_chitchat};
use dynomesh_core::map::Fact;
use dynomesh_core::time::Span;
use rand::seq::IteratorRandom;
use tokio::sync::watch;

use super::seal::{Opener, Sealer};
use super::transport::SealedTransport;
use super::{GossipConfig, Own, Peer, Shared};
use crate::shutdown::Shutdown;

/// Pause between two changes of the view that readers see: a burst of facts is one change.
const SHOW_PAUSE: Duration = Duration::from_millis(5);
/// Pause between two changes that are sent out: what changes faster travels with the next.
const SPREAD_PAUSE: Duration = Duration::from_millis(20);
/// Peers told at once of a change that others wait for, instead of in the next round.
const PROMPT_PEERS: usize = 8;
/// How long chitchat keeps the tombstone of a deleted key, and the keys of a node it hears no more. Nothing depends on either (P18);
/// they only must outlive what is still on its way.
const GRACE: Duration = Duration::from_secs(60 * 60);

pub(super) fn start(
    config: GossipConfig,
    generation: u64,
    socket: std::net::UdpSocket,
    shared: Arc<Shared>,
    stopped: Shutdown,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sealer = Sealer::new(&config.keys[0], &config.cluster, config.node.as_str(), generation);
    let opener = Opener::new(&config.keys, &config.cluster, config.drop_from.clone());
    let transport = {
        let _context = runtime.enter();
        SealedTransport::new(socket, sealer, opener, shared.counts.clone())?
    };
    let run = async move {
        tokio::select! {
            () = stopped.wait() => {}
            error = gossip(config, generation, transport, shared) => tracing::error!(%error, "gossip ended; this node hears and tells no more"),
        }
    };
    std::thread::Builder::new().name("gossip".into()).spawn(move || runtime.block_on(run))?;
    Ok(())
}

/// Returns only if chitchat fails.
async fn gossip(config: GossipConfig, generation: u64, transport: SealedTransport, shared: Arc<Shared>) -> anyhow::Error {
    let handle = match spawn_chitchat(chitchat_config(&config, generation, &shared), Vec::new(), &transport).await {
        Ok(handle) => handle,
        Err(error) => return error,
    };
    let (live, known) = handle
        .with_chitchat(|chitchat| {
            let hears = shared.clone();
            let hear = move |event: chitchat::KeyChangeEvent<'_>| {
                // Own facts are in the view before they come here.
                if *event.node.node_id != *hears.node.as_str() {
                    hears.hear(event.key, event.value);
                }
            };
            chitchat.subscribe_event("", hear).forever();
            (chitchat.live_nodes_watcher(), chitchat.node_states().clone())
        })
        .await;
    // What came before the subscription.
    for (key, value) in known.values().flat_map(NodeState::key_values) {
        shared.hear(key, value);
    }
    tokio::select! {
        result = handle.termination_watcher() => result.err().unwrap_or_else(|| anyhow::anyhow!("the gossip server stopped")),
        never = spread(&handle, &shared) => match never {},
        never = show(&shared) => match never {},
        never = watch_peers(live, &shared) => match never {},
    }
}

fn chitchat_config(config: &GossipConfig, generation: u64, shared: &Shared) -> ChitchatConfig {
    ChitchatConfig {
        chitchat_id: ChitchatId::new(config.node.as_str(), generation, shared.address),
        cluster_id: config.cluster.clone(),
        gossip_interval: config.interval.to_std(),
        listen_addr: shared.address,
        seed_nodes: config.seeds.clone(),
        failure_detector_config: FailureDetectorConfig {
            initial_interval: config.interval.times(10).to_std(),
            max_interval: config.interval.times(100).max(Span::from_secs(10)).to_std(),
            dead_node_grace_period: GRACE,
            ..FailureDetectorConfig::default()
        },
        marked_for_deletion_grace_period: GRACE,
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

/// Hands chitchat what this node publishes, whenever that changes.
async fn spread(handle: &ChitchatHandle, shared: &Shared) -> std::convert::Infallible {
    let mut own = shared.own.subscribe();
    own.mark_changed();
    let mut before = Arc::<Own>::default();
    loop {
        own.changed().await.expect("the sender lives as long as what both share");
        let now = own.borrow_and_update().clone();
        let prompt = handle.with_chitchat(|chitchat| {
            let state = chitchat.self_node_state();
            let mut waited_for = false;
            for (key, published) in now.iter().filter(|(key, published)| before.get(*key) != Some(published)) {
                state.set(key, &published.text);
                waited_for |= !matches!(published.fact, Fact::Load(_));
            }
            for key in before.keys().filter(|key| !now.contains_key(*key)) {
                state.delete(key);
            }
            let others = chitchat.live_nodes().filter(|id| *id != chitchat.self_chitchat_id()).map(|id| id.gossip_advertise_addr);
            if waited_for { others.sample(&mut rand::rng(), PROMPT_PEERS) } else { Vec::new() }
        });
        for peer in prompt.await {
            // Refused only when the server has ended, which is noticed elsewhere.
            let _ = handle.gossip(peer);
        }
        before = now;
        tokio::time::sleep(SPREAD_PAUSE).await;
    }
}

/// Shows readers a view that has grown, at once and then at most every [`SHOW_PAUSE`].
async fn show(shared: &Shared) -> std::convert::Infallible {
    loop {
        shared.grown.notified().await;
        shared.show();
        tokio::time::sleep(SHOW_PAUSE).await;
    }
}

async fn watch_peers(mut live: watch::Receiver<BTreeMap<ChitchatId, NodeState>>, shared: &Shared) -> std::convert::Infallible {
    loop {
        let mut peers: Vec<Peer> = live
            .borrow_and_update()
            .keys()
            .filter(|id| *id.node_id != *shared.node.as_str())
            .map(|id| Peer { node: id.node_id.to_string(), address: id.gossip_advertise_addr })
            .collect();
        peers.sort();
        peers.dedup_by(|later, earlier| later.node == earlier.node);
        if **shared.peers.load() != peers {
            shared.peers.store(Arc::new(peers));
        }
        if live.changed().await.is_err() {
            // The server has ended, which is noticed elsewhere.
            std::future::pending::<()>().await;
        }
    }
}
