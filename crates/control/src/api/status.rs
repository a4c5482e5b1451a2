//! The status of the control plane and the mesh, as this replica sees both.

use dynomesh_consensus::State;
use dynomesh_core::directory::{DirectoryState, in_doubt, misses};
use dynomesh_core::map::MapView;
use dynomesh_proto::admin::v1 as wire;

use super::{Api, refusal, rows};
use crate::standing::Standing;

/// Most warnings in an answer; one more says how many were left out.
const WARNINGS_MAX: usize = 20;

impl Api {
    /// Everything at a glance, in whatever state this replica is.
    pub(super) fn status(&self) -> wire::GetStatusResponse {
        let (standing, role, view) = (self.watch.now(), self.watch.role(), self.gossip.view());
        let leader = role.leader.as_ref().map(|leader| leader.id);
        let replicas = role.members.iter().map(|member| wire::ControlReplica {
            id: member.id.0,
            peer: member.grpc.to_string(),
            leader: Some(member.id) == leader,
            answering: member.id == self.replica.id(),
        });
        let base = wire::GetStatusResponse {
            node: self.node.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            role: role_word(standing, role.state).into(),
            term: role.term.0,
            applied: self.directory.progress().applied.0,
            replicas: replicas.collect(),
            nodes: count(self.gossip.peers().len() + 1),
            warnings: standing_warning(standing).into_iter().collect(),
            ..wire::GetStatusResponse::default()
        };
        let mut status = self.directory.read(|state| with_mesh(base, state, &view));
        if standing == Standing::Leads {
            let lacking =
                if self.must_recover() { Some(refusal::foreign().message().to_owned()) } else { self.directory.read(|s| late(s, &view)) };
            status.warnings.extend(lacking);
        }
        status
    }
}

fn with_mesh(mut status: wire::GetStatusResponse, state: &DirectoryState, view: &MapView) -> wire::GetStatusResponse {
    status.apps = count(state.apps().len());
    status.dynos = count(state.dynos().len());
    status.blocks = count(state.blocks().len());
    for record in state.dynos() {
        let row = rows::dyno(record, view);
        status.dynos_active += u32::from(row.phase() == wire::DynoPhase::Active);
        status.dynos_down += u32::from(row.state() == wire::DynoState::Down);
    }
    let led = state.blocks().filter(|bound| view.leader(&bound.name).is_some_and(|leader| Some(leader.group) == bound.group));
    status.blocks_led = count(led.count());
    let mut warnings = rows::warnings(state, view);
    if warnings.len() > WARNINGS_MAX {
        let more = warnings.len() - WARNINGS_MAX;
        warnings.truncate(WARNINGS_MAX);
        warnings.push(format!("and {more} more like these"));
    }
    status.warnings.extend(warnings);
    status
}

/// What a recovered directory may not know.
fn late(state: &DirectoryState, view: &MapView) -> Option<String> {
    if state.generation() > 0 && misses(view, state) {
        let sentence = "the map holds later words of this mesh's directory than were taken back: the recovery came before all was heard; run \
                        `dynomesh control recover` again";
        return Some(sentence.into());
    }
    let mut doubtful = in_doubt(view, state).map(|dyno| &dyno.spec.id);
    let first = doubtful.next()?;
    Some(format!(
        "{} recovered dynos, {first} among them, cannot be changed yet: no block says that it owns them as the directory has it, and another may; \
         are all blocks heard?",
        doubtful.count() + 1
    ))
}

fn standing_warning(standing: Standing) -> Option<String> {
    match standing {
        Standing::NotBootstrapped => Some(
            "this control plane was never bootstrapped; run `dynomesh control bootstrap` with the `grpc` addresses of all replicas".into(),
        ),
        Standing::Behind => Some("this replica hears of no leader: nothing can be written, and what is listed may be old".into()),
        Standing::Follows | Standing::Leads => None,
    }
}

fn role_word(standing: Standing, state: State) -> &'static str {
    match state {
        _ if standing == Standing::NotBootstrapped => "not bootstrapped",
        State::Leader { ready: true } => "leader",
        State::Leader { ready: false } => "electing",
        State::Follower => "follower",
        State::Candidate => "candidate",
        State::Learner => "learner",
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
