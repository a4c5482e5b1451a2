//! From the map to the group: what the map says about this block's dynos becomes commands.
//!
//! Only the leader acts, and it calls nobody: assignments reach it as facts, however late, and the rule that turns them into steps is the
//! core's (P15, P18, P19). Every replica watches here for three more things: whether its process has heard enough of the map to grant
//! slots at all, whether its block was evicted meanwhile (P16), and whether its name is another group's (P5).

use std::sync::Arc;

use dynomesh_core::id::NodeName;
use dynomesh_core::map::{Hearing, MapView, steps_of_group};
use dynomesh_core::time::Span;
use dynomesh_runtime::gossip::Gossip;
use tracing::{debug, info, warn};

use crate::evictions::Evictions;
use crate::facts::Voice;
use crate::grant::{Right, Shared};

/// How often facts are compared with what is true; a change of leader or ownership is told at once by the same rhythm.
const LOOK: Span = Span::from_millis(50);

/// What a replica goes by when it looks at the map.
pub(crate) struct Look {
    /// Its name in the mesh.
    pub(crate) me: NodeName,
    /// What its process has heard.
    pub(crate) hearing: Hearing,
    /// How it speaks.
    pub(crate) voice: Voice,
    /// What it has heard of evictions, now and before its start.
    pub(crate) evictions: Evictions,
}

/// Adopts and publishes until the process ends. Runs on the housekeeping thread.
pub(crate) async fn run(shared: Arc<Shared>, gossip: Gossip, mut look: Look) {
    let mut tick = tokio::time::interval(LOOK.to_std());
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changes = gossip.subscribe();
    let mut waits = false;
    // In the own view before anything is decided by it.
    gossip.publish(look.evictions.said());
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
        // One view for all of it: nothing is acted on that came with an eviction that is not written down.
        let view = gossip.view();
        hear(&shared, &view, &mut look.hearing, &mut waits);
        look.evictions.keep(shared.clock.now(), &view).await;
        follow(&shared, &view).await;
        let wanted_drained = view.wants_drained(&look.me);
        let facts = look.voice.facts(&shared, &gossip, wanted_drained);
        gossip.publish(facts.into_iter().chain(look.evictions.said()));
    }
}

/// Finds out whether this replica may grant slots if it leads.
fn hear(shared: &Shared, view: &MapView, hearing: &mut Hearing, waits: &mut bool) {
    let heard = hearing.look(shared.clock.now(), &shared.block, view);
    let group = shared.replica().group();
    let evicted = group.filter(|group| view.is_evicted(&shared.block, *group));
    let stranger = group.filter(|group| view.is_stranger(&shared.block, *group));
    let (was, leads) = {
        let mut router = shared.router();
        let was = router.right();
        router.set_right(match (evicted, stranger, heard) {
            (Some(_), _, _) => Right::Evicted,
            (None, Some(_), _) => Right::Stranger,
            (None, None, Some(_)) => Right::Full,
            (None, None, None) => Right::Unheard,
        });
        (was, router.leads().is_some())
    };
    if let Some(group) = evicted.filter(|_| was != Right::Evicted) {
        shared.metrics.evicted.set(1);
        warn!(
            block = %shared.block, %group,
            "this block was evicted: other blocks own its dynos, and it grants nothing any more. Stop its replicas, remove their data \
             directories, and start them with empty disks as a new block"
        );
    } else if let Some(group) = stranger.filter(|_| evicted.is_none() && was != Right::Stranger) {
        warn!(
            block = %shared.block, %group,
            "another group has this block's name: this one owns nothing under it and grants nothing. Stop its replicas, remove their data \
             directories, and set them up under another name"
        );
    } else if let Some(heard) = heard.filter(|_| was == Right::Unheard) {
        info!(?heard, waited = *waits, "the map was heard");
    } else if heard.is_none() && leads && !std::mem::replace(waits, true) {
        shared.metrics.map_waits.inc();
        info!("leads, and grants nothing until it has heard the map");
    }
}

/// Takes the steps that the map asks for.
async fn follow(shared: &Shared, view: &MapView) {
    let steps = {
        let router = shared.router();
        if router.leads().is_none() {
            return;
        }
        steps_of_group(view, &shared.block, shared.replica().group(), router.state())
    };
    for command in steps {
        let prepared = shared.router().prepare(shared.clock.now(), &command);
        let Some(grants) = prepared else { continue };
        for grant in grants {
            shared.proposer.lazily(grant);
        }
        let told = format!("{command:?}");
        match shared.replica().propose(command).await {
            Ok(reply) => info!(command = told, ?reply, "step taken from the map"),
            Err(error) => {
                debug!(command = told, %error, "step not taken; it will be tried again");
                return;
            }
        }
    }
}
