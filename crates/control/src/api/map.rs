//! The map as this replica has heard it, fact by fact.

use dynomesh_core::map::{Fact, MapView};
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::FieldError;
use tonic::Status;

use super::Api;
use super::page::page;
use super::refusal::invalid;

/// All kinds, ordered as their keys are.
const KINDS: [&str; 10] = ["app", "assigned", "bound", "evicted", "leader", "load", "node", "owned", "released", "wish"];

impl Api {
    /// Facts by key. Answered in every state: it tells what was heard, not what the directory holds.
    pub(super) fn map(&self, request: &wire::GetMapRequest) -> Result<wire::GetMapResponse, Status> {
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| request.kind.is_empty() || *kind == request.kind).collect();
        if kinds.is_empty() {
            let problem = format!("{:?} is no kind of fact; must be one of {}", request.kind, KINDS.join(", "));
            return Err(invalid(FieldError::new("kind", problem)));
        }
        let view = self.gossip.view();
        // Kinds that stand before the token's are not even looked at.
        let from = request.page_token.split('/').next().unwrap_or_default();
        let mut facts: Vec<(String, Fact)> = Vec::new();
        for kind in kinds.into_iter().filter(|kind| *kind >= from) {
            facts.extend(of_kind(&view, kind).into_iter().map(|fact| (fact.key(), fact)));
        }
        facts.sort_by(|one, other| one.0.cmp(&other.0));
        let (facts, next_page_token) = page(facts.into_iter(), |(key, _)| key.as_str(), request.page_size, &request.page_token);
        let written = |(key, fact): (String, Fact)| wire::MapFact { key, json: fact.write().unwrap_or_else(|error| error.to_string()) };
        Ok(wire::GetMapResponse { facts: facts.into_iter().map(written).collect(), next_page_token })
    }
}

fn of_kind(view: &MapView, kind: &str) -> Vec<Fact> {
    match kind {
        "app" => view.apps().cloned().map(Fact::App).collect(),
        "assigned" => view.assigned().cloned().map(Fact::Assigned).collect(),
        "bound" => view.bindings().cloned().map(Fact::Bound).collect(),
        "evicted" => view.evicted().cloned().map(Fact::Evicted).collect(),
        "leader" => view.leaders().cloned().map(Fact::Leader).collect(),
        "load" => view.all_loads().cloned().map(Fact::Load).collect(),
        "node" => view.nodes().cloned().map(Fact::Node).collect(),
        "owned" => view.owned().cloned().map(Fact::Owned).collect(),
        "released" => view.promises().cloned().map(Fact::Released).collect(),
        _ => view.wishes().cloned().map(Fact::Wish).collect(),
    }
}
