//! A block as it is written for people and programs.

use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::output::Row;
use crate::replica::ReplicaRow;

/// A block as it is written for people and programs.
#[derive(Debug, Serialize)]
pub(crate) struct BlockRow {
    name: String,
    leader: String,
    term: u64,
    replicas: usize,
    dynos: u32,
    slots: u64,
    in_flight: u64,
    queued: u64,
    group: String,
    bound: bool,
    members: Vec<ReplicaRow>,
    assigned: u32,
    drain: bool,
    evicted: bool,
    live: u32,
    zone: String,
    version: u64,
}

impl From<wire::Block> for BlockRow {
    fn from(block: wire::Block) -> Self {
        BlockRow {
            name: block.name,
            leader: block.leader,
            term: block.term,
            replicas: block.replicas.len(),
            dynos: block.dynos,
            slots: block.slots,
            in_flight: block.in_flight,
            queued: block.queued,
            group: block.group,
            bound: block.bound,
            members: block.replicas.into_iter().map(ReplicaRow::from).collect(),
            assigned: block.assigned,
            drain: block.drain,
            evicted: block.evicted,
            live: block.live,
            zone: block.zone,
            version: block.version,
        }
    }
}

impl Row for BlockRow {
    const COLUMNS: &'static [&'static str] = &["name", "leader", "term", "replicas", "dynos", "slots", "in_flight", "queued"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.leader.clone(),
            self.term.to_string(),
            self.replicas.to_string(),
            self.dynos.to_string(),
            self.slots.to_string(),
            self.in_flight.to_string(),
            self.queued.to_string(),
        ]
    }
}

impl BlockRow {
    /// All it has, name by name, one line for each replica.
    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("name", self.name.clone()),
            ("leader", self.leader.clone()),
            ("term", self.term.to_string()),
            ("zone", self.zone.clone()),
            ("group", self.group.clone()),
            ("bound", self.bound.to_string()),
            ("drain", self.drain.to_string()),
            ("evicted", self.evicted.to_string()),
            ("version", self.version.to_string()),
            ("assigned", self.assigned.to_string()),
            ("dynos", self.dynos.to_string()),
            ("slots", self.slots.to_string()),
            ("in_flight", self.in_flight.to_string()),
            ("queued", self.queued.to_string()),
            ("live", format!("{} of {}", self.live, self.replicas)),
        ];
        fields.extend(self.members.iter().map(|member| ("replica", member.text())));
        fields
    }
}
