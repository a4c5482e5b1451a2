//! Waits, after the start of the process, until the map was heard.
//!
//! A directory on empty disks, or restored from a backup, looks like a sound one until it hears words that it never said (P17, P19). What it
//! wrote before would be taken for old, or worse for what was said under the same stamp. So a process that has just started writes nothing, nor
//! has anything written of its own accord, before it has heard a block or an edge and what they pass on; with nobody there it goes on after
//! a second, since a new mesh has nobody to tell. That bounds the wait and not the doubt: who restores a directory lets it hear the mesh.

use std::time::Duration;

use dynomesh_core::map::Hearing;
use dynomesh_core::time::Span;
use dynomesh_runtime::gossip::Gossip;

use crate::sight::Sight;

/// Longest wait, from the start of the process.
const MAP_WAIT: Span = Span::from_secs(1);
/// What the first to be heard passes on takes this long to come: three rounds of gossip.
const SETTLE: Span = Span::from_millis(300);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Returns when the map was heard, or all the time there was is over. At once if the process has run for that long.
pub(crate) async fn heard(sight: &Sight, gossip: &Gossip) {
    let mut hearing = Hearing::new(sight.started(), MAP_WAIT, SETTLE);
    while hearing.look_beyond_control(sight.now(), &gossip.view()).is_none() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
