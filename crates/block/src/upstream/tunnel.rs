//! A connection that was switched to another protocol: one slot until both sides have ended.

use dynomesh_core::balance::Outcome;
use dynomesh_core::time::Span;
use dynomesh_runtime::http::tunnel::{Ended, Tunnel, splice_websocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::debug;

use super::drain::DRAIN_STREAM;
use super::{Link, end};
use crate::grant::Claim;

/// Carries bytes between the edge, once it has the 101, and the dyno. A cut ends it, with a word to both sides, and leaves the slot in doubt,
/// as with any request (P12). A side that breaks off ends both: the dyno's end is waited for, for a moment, and the slot held as after an error;
/// without it the slot is in doubt (P13).
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
                return;
            }
        };
        let (ended, carried) = splice_websocket(&mut edge, &mut dyno, idle, cut, rand::random()).await;
        drop(edge);
        let is_over = ended == Ended::Broken && ends(&mut dyno).await;
        drop(dyno);
        debug!(dyno = %claim.pick.dyno, ?ended, up = carried.up, down = carried.down, "switched connection ended");
        claim.end(match ended {
            Ended::Whole => Outcome::Done,
            Ended::Broken if is_over => Outcome::Error,
            Ended::Broken | Ended::Idle | Ended::Cut => Outcome::Unknown,
        });
    });
}

/// Tells a dyno that nothing more comes, and waits until it has ended as well.
async fn ends(dyno: &mut Tunnel) -> bool {
    // Refused only where it has ended.
    let _ = dyno.shutdown().await;
    let reading = async {
        let mut thrown_away = [0; 4096];
        loop {
            match dyno.read(&mut thrown_away).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return end::ends(&error),
            }
        }
    };
    tokio::time::timeout(DRAIN_STREAM.to_std(), reading).await.unwrap_or(false)
}

async fn both(link: Link, edge: impl Future<Output = std::io::Result<Tunnel>>) -> std::io::Result<(Tunnel, Tunnel)> {
    let dyno = link.into_tunnel().await?;
    Ok((dyno, edge.await?))
}
