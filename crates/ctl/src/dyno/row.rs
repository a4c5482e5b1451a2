//! A dyno as it is written for people and programs.

use dynomesh_core::time::Span;
use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::output::Row;
use crate::word::{Phase, State};

/// A dyno as it is written for people and programs.
#[derive(Debug, Serialize)]
pub(crate) struct DynoRow {
    id: String,
    app: String,
    addr: String,
    block: String,
    epoch: u64,
    phase: &'static str,
    max_conns: u32,
    in_flight: u32,
    state: &'static str,
    owner: String,
    owned_epoch: u64,
    drain: bool,
    drain_ms: u64,
    waits_for: Vec<String>,
}

impl From<wire::Dyno> for DynoRow {
    fn from(dyno: wire::Dyno) -> Self {
        DynoRow {
            phase: Phase::word(dyno.phase()),
            state: State::word(dyno.state()),
            id: dyno.id,
            app: dyno.app,
            addr: dyno.addr,
            block: dyno.block,
            epoch: dyno.epoch,
            max_conns: dyno.max_conns,
            in_flight: dyno.in_flight,
            owner: dyno.owner,
            owned_epoch: dyno.owned_epoch,
            drain: dyno.drain,
            drain_ms: dyno.drain_ms,
            waits_for: dyno.waits_for,
        }
    }
}

impl Row for DynoRow {
    const COLUMNS: &'static [&'static str] = &["id", "app", "addr", "block", "epoch", "phase", "max_conns", "in_flight", "state"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.app.clone(),
            self.addr.clone(),
            self.block.clone(),
            self.epoch.to_string(),
            self.phase.into(),
            self.max_conns.to_string(),
            self.in_flight.to_string(),
            self.state.into(),
        ]
    }
}

impl DynoRow {
    /// All it has, name by name.
    pub(crate) fn fields(&self) -> [(&'static str, String); 14] {
        [
            ("id", self.id.clone()),
            ("app", self.app.clone()),
            ("addr", self.addr.clone()),
            ("block", self.block.clone()),
            ("epoch", self.epoch.to_string()),
            ("phase", self.phase.into()),
            ("max_conns", self.max_conns.to_string()),
            ("in_flight", self.in_flight.to_string()),
            ("state", self.state.into()),
            ("owner", self.owner.clone()),
            ("owned_epoch", self.owned_epoch.to_string()),
            ("drain", self.drain.to_string()),
            ("drain_limit", Span::from_millis(self.drain_ms).to_string()),
            ("waits_for", self.waits_for.join(" ")),
        ]
    }
}
