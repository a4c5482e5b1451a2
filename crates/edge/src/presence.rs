//! How this edge stands in the mesh: what it says of itself, whether balancers should send it clients, and whether it is to be drained.
//!
//! A wish to be drained comes by the map. From then on the edge is not ready, asks every client to leave (see
//! [`Door`](dynomesh_runtime::http::door::Door)) and goes on serving whatever still comes: a balancer needs its time. It is drained once it
//! has had no request and no connection for a moment, and may then be stopped; a wish taken back undoes all of it.

use std::convert::Infallible;

use dynomesh_core::id::NodeName;
use dynomesh_core::map::fact::{NodeRole, NodeState};
use dynomesh_core::map::{Fact, NodeTelling};
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::gossip::Gossip;
use dynomesh_runtime::http::admin::Readiness;
use dynomesh_runtime::http::door::Door;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use crate::metrics::Metrics;

/// How often the edge looks at itself; a wish is heard at once.
const LOOK: Span = Span::from_millis(100);
/// An edge that nobody used for this long is drained: a client between two connections has come back by then.
const QUIET: Span = Span::from_millis(500);

/// What an edge looks at.
pub(crate) struct Presence {
    pub(crate) me: NodeName,
    pub(crate) clock: Clock,
    pub(crate) gossip: Gossip,
    pub(crate) telling: NodeTelling,
    pub(crate) role: NodeRole,
    pub(crate) door: Door,
    pub(crate) metrics: Metrics,
    pub(crate) ready: watch::Sender<Readiness>,
}

/// What it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    served: bool,
    wanted_drained: bool,
    /// When it was last in use, or since when it is looked at.
    used_at: Time,
}

impl Standing {
    fn state(self, now: Time) -> NodeState {
        NodeState::of(self.served, self.wanted_drained, now.since(self.used_at) < QUIET)
    }

    fn readiness(self, now: Time) -> Readiness {
        match self.state(now) {
            NodeState::Starting => Readiness::not_ready("no leader of any block is known yet"),
            NodeState::Serving => Readiness::ready(),
            NodeState::Draining => Readiness::not_ready("draining"),
            NodeState::Drained => Readiness::not_ready("drained"),
        }
    }
}

/// Looks, obeys and tells, for ever.
pub(crate) async fn run(presence: Presence) -> Infallible {
    let Presence { me, clock, gossip, mut telling, role, door, metrics, ready } = presence;
    let mut changes = gossip.subscribe();
    let mut tick = interval(LOOK.to_std());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut standing = Standing { served: false, wanted_drained: false, used_at: clock.now() };
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = changes.changed() => changed.expect("gossip lives as long as its handle"),
        }
        let (now, view) = (clock.now(), gossip.view());
        let wanted = view.wants_drained(&me);
        if wanted != standing.wanted_drained {
            info!(drain = wanted, "an operator's wish was heard");
            // Who came in just now has not been seen yet.
            standing.used_at = now;
        }
        let in_flight = u32::try_from(metrics.in_flight.get()).unwrap_or(0);
        if in_flight > 0 || door.open() > 0 {
            standing.used_at = now;
        }
        standing.wanted_drained = wanted;
        standing.served |= view.leaders().len() > 0;
        door.ask_to_leave(wanted);
        metrics.drained.set(i64::from(standing.state(now) == NodeState::Drained));
        let readiness = standing.readiness(now);
        ready.send_if_modified(|told| {
            *told != readiness && {
                *told = readiness;
                true
            }
        });
        telling.hear(&gossip.keys(), gossip.peers().len() + 1);
        gossip.publish([Fact::Node(telling.tell(now, standing.state(now), in_flight, role.clone()))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drained_edge_says_so_and_is_not_ready() {
        let at = |ms| Time::ZERO + Span::from_millis(ms);
        let mut standing = Standing { served: false, wanted_drained: false, used_at: at(0) };
        assert!(!standing.readiness(at(0)).ready);
        standing.served = true;
        assert!(standing.readiness(at(0)).ready);
        standing.wanted_drained = true;
        assert_eq!(standing.readiness(at(400)), Readiness::not_ready("draining"));
        assert_eq!(standing.readiness(at(500)), Readiness::not_ready("drained"));
        standing.used_at = at(600);
        assert_eq!(standing.readiness(at(700)), Readiness::not_ready("draining"), "somebody came after all");
    }
}
