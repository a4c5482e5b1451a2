//! Taking back what the map knows and the directory lost.

use dynomesh_core::directory::{Command, left_out, recovery};
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::FieldError;
use tonic::Status;

use super::Api;
use super::call::Call;
use super::refusal::invalid;
use super::write::Change;

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
        let lacking = self.lacks(call.end).await;
        let view = self.gossip.view();
        let commands = if lacking { self.directory.read(|state| recovery(&view, state)) } else { Vec::new() };
        for command in commands {
            if let Command::Recover { generation, apps, dynos, last } = &command {
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
}

fn told(mut sentences: Vec<String>) -> Vec<String> {
    if sentences.len() > LEFT_OUT_MAX {
        let more = sentences.len() - LEFT_OUT_MAX;
        sentences.truncate(LEFT_OUT_MAX);
        sentences.push(format!("and {more} more like these"));
    }
    sentences
}
