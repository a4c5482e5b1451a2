//! Taking back what the map knows and the directory lost.

use std::time::Duration;

use dynomesh_core::directory::{Command, left_out, misses, recovery};
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::FieldError;
use tokio::time::{timeout, timeout_at};
use tonic::Status;

use super::Api;
use super::call::Call;
use super::refusal::invalid;
use super::write::Change;

/// A map in which nothing changed for this long is taken for whole: many rounds of comparison with other nodes.
const QUIET: Duration = Duration::from_secs(2);
/// What is kept of the caller's time for the recovery itself.
const SPARE: Duration = Duration::from_secs(1);
/// Most sentences in an answer; one more says how many were left out.
const LEFT_OUT_MAX: usize = 100;

impl Api {
    /// Recovers the directory. May be sent again: it goes on where it was left, or finds that there is nothing to do.
    pub(super) async fn recover(&self, call: &Call, request: wire::RecoverRequest) -> Result<wire::RecoverResponse, Status> {
        if !request.confirm {
            let problem = "must be set. It says that the mesh heard by this replica is the one whose directory was lost: everything that is \
                           heard and not known is taken over, under a generation that outranks all words before";
            return Err(invalid(FieldError::new("confirm", problem)));
        }
        self.caught_up().await?;
        // A replica that was started just now has yet to hear most of the map.
        let _ = timeout_at(call.end - SPARE, self.quiet()).await;
        let view = self.gossip.view();
        let lacking = self.lacks(call.end).await || self.directory.read(|state| misses(&view, state));
        let commands = if lacking { self.directory.read(|state| recovery(&view, state)) } else { Vec::new() };
        for command in commands {
            if let Command::Recover { generation, apps, dynos, last, .. } = &command {
                tracing::info!(generation, apps = apps.len(), dynos = dynos.len(), last, "directory takes back what the map knows");
            }
            let stamp = self.propose(call, Change::plain(command)).await?.stamp();
            self.applied(stamp, call.end).await;
        }
        let answer = self.read(|state| wire::RecoverResponse {
            generation: state.generation().into(),
            apps: u32::try_from(state.apps().len()).unwrap_or(u32::MAX),
            dynos: u32::try_from(state.dynos().len()).unwrap_or(u32::MAX),
            left_out: told(left_out(&view, state)),
        });
        answer.await
    }

    /// Returns when nothing that a recovery takes back was heard for a while.
    async fn quiet(&self) {
        let mut changes = self.gossip.subscribe();
        let heard = || {
            let view = self.gossip.view();
            (view.apps().len(), view.assigned().len(), view.newest_stamp())
        };
        loop {
            let before = heard();
            let news = async { while heard() == before && changes.changed().await.is_ok() {} };
            if timeout(QUIET, news).await.is_err() {
                return;
            }
        }
    }
}

fn told(mut sentences: Vec<String>) -> Vec<String> {
    if sentences.len() > LEFT_OUT_MAX {
        let more = sentences.len() - LEFT_OUT_MAX;
        sentences.truncate(LEFT_OUT_MAX);
        sentences.push(format!("and {more} more like these"));
    }
    sentences
}
