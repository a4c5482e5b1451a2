//! A connection that was switched to another protocol: one slot until both sides have ended.

use dynomesh_core::balance::Outcome;
use dynomesh_core::time::Span;
use dynomesh_runtime::http::tunnel::{Ended, Tunnel, splice_websocket};
use tracing::debug;

use super::Link;
use crate::grant::Claim;

/// Carries bytes between the edge, once it has the 101, and the dyno. A cut ends it, with a word to both sides, and leaves the slot in doubt,
/// as with any request (P12); a side that breaks off ends both, and the slot is held as after an error.
pub(crate) fn carry(mut claim: Claim, edge: impl Future<Output = std::io::Result<Tunnel>> + 'static, idle: Span) {
    let Some(link) = claim.take_link() else { return };
    let mut cut = Box::pin(claim.pick.cut.told());
    tokio::task::spawn_local(async move {
        let sides = tokio::select! {
            biased;
            // Nothing was carried, so there is nobody to tell.
            () = &mut cut => return,
            sides = both(link, edge) => sides,
        };
        let (mut dyno, mut edge) = match sides {
            Ok(sides) => sides,
            Err(error) => {
                debug!(%error, dyno = %claim.pick.dyno, "switched connection was not handed over");
                return claim.end(Outcome::Error);
            }
        };
        let (ended, carried) = splice_websocket(&mut edge, &mut dyno, idle, cut, rand::random()).await;
        drop((dyno, edge));
        debug!(dyno = %claim.pick.dyno, ?ended, up = carried.up, down = carried.down, "switched connection ended");
        claim.end(match ended {
            Ended::Whole => Outcome::Done,
            Ended::Broken => Outcome::Error,
            Ended::Idle | Ended::Cut => Outcome::Unknown,
        });
    });
}

async fn both(link: Link, edge: impl Future<Output = std::io::Result<Tunnel>>) -> std::io::Result<(Tunnel, Tunnel)> {
    let dyno = link.into_tunnel().await?;
    Ok((dyno, edge.await?))
}
