//! The thread on which gossip runs.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::keys::Keys;
use super::node::Node;
use super::{GossipConfig, Shared};
use crate::clock::Clock;
use crate::shutdown::Shutdown;

/// Pause between two changes of the view that readers see: a burst of facts is one change.
const SHOW_PAUSE: Duration = Duration::from_millis(5);
/// Time between two looks at the addresses of named seeds.
const RESOLVE_EVERY: Duration = Duration::from_secs(60);
/// The same while a name has no address: a node that starts first must not wait for a minute.
const RESOLVE_AGAIN: Duration = Duration::from_secs(1);

pub(super) fn start(
    config: GossipConfig,
    keys: Keys,
    generation: u64,
    clock: Clock,
    socket: std::net::UdpSocket,
    shared: Arc<Shared>,
    stopped: Shutdown,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (names, literal) = split(&config.seeds);
    let (found, seeds) = watch::channel(literal.clone());
    let node = {
        let _context = runtime.enter();
        Node::new(config, keys, generation, clock, socket, shared.clone(), seeds)?
    };
    let run = async move {
        tokio::select! {
            () = stopped.wait() => {}
            never = node.run() => match never {},
            never = show(&shared) => match never {},
            never = resolve(names, literal, found) => match never {},
        }
    };
    std::thread::Builder::new().name("gossip".into()).spawn(move || runtime.block_on(run))?;
    Ok(())
}

/// Shows readers a view that has grown, at once and then at most every [`SHOW_PAUSE`].
async fn show(shared: &Shared) -> Infallible {
    loop {
        shared.grown.notified().await;
        shared.show();
        tokio::time::sleep(SHOW_PAUSE).await;
    }
}

/// Seeds that are names, and those that are addresses.
fn split(seeds: &[String]) -> (Vec<String>, Vec<SocketAddr>) {
    let literal = seeds.iter().filter_map(|seed| seed.parse().ok()).collect();
    (seeds.iter().filter(|seed| seed.parse::<SocketAddr>().is_err()).cloned().collect(), literal)
}

/// Looks the names up now and then, for addresses change.
async fn resolve(names: Vec<String>, literal: Vec<SocketAddr>, found: watch::Sender<Vec<SocketAddr>>) -> Infallible {
    if names.is_empty() {
        return std::future::pending().await;
    }
    loop {
        let (mut seeds, mut all) = (literal.clone(), true);
        for name in &names {
            match tokio::net::lookup_host(name).await {
                Ok(addresses) => seeds.extend(addresses),
                Err(error) => {
                    all = false;
                    tracing::debug!(seed = name, %error, "seed not found");
                }
            }
        }
        found.send_replace(seeds);
        tokio::time::sleep(if all { RESOLVE_EVERY } else { RESOLVE_AGAIN }).await;
    }
}
