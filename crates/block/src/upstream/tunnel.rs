//! A connection that was switched to another protocol: one slot until both sides have ended.

use dynomesh_core::balance::Outcome;
use dynomesh_core::time::Span;
use dynomesh_runtime::http::tunnel::{Ended, Tunnel, splice};
use tracing::debug;

use super::Link;
use crate::grant::Claim;

/// Carries bytes between the edge, once it has the 101, and the dyno. A cut ends it at once and leaves the slot in doubt, as with any
/// request; a side that breaks off ends both, and the slot is held as after an error.
pub(crate) fn carry(mut claim: Claim, edge: impl Future<Output = std::io::Result<Tunnel>> + 'static, idle: Span) {
    let cut = claim.pick.cut.clone();
    let Some(link) = claim.take_link() else { return };
    let carrying = tokio::task::spawn_local(async move {
        let (ended, carried) = match both(link, edge).await {
            Ok((mut dyno, mut edge)) => splice(&mut edge, &mut dyno, idle).await,
            Err(error) => {
                debug!(%error, dyno = %claim.pick.dyno, "switched connection was not handed over");
                return claim.end(Outcome::Error);
            }
        };
        debug!(dyno = %claim.pick.dyno, ?ended, up = carried.up, down = carried.down, "switched connection ended");
        claim.end(match ended {
            Ended::Whole => Outcome::Done,
            Ended::Broken => Outcome::Error,
            Ended::Idle => Outcome::Unknown,
        });
    });
    cut.arm(carrying.abort_handle());
}

async fn both(link: Link, edge: impl Future<Output = std::io::Result<Tunnel>>) -> std::io::Result<(Tunnel, Tunnel)> {
    let dyno = link.into_tunnel().await?;
    Ok((dyno, edge.await?))
}
