//! What is asked once everything is healed and load has ended: who owns which dyno, and that every slot can be used.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use dynomesh_core::id::{BlockName, DynoId};
use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Client};
use dynomesh_testkit::clock;
use dynomesh_testkit::history::{Burst, Census, Exchange, History, Listed};

use crate::system::boot::SOCKETS_MAX;
use crate::system::layout::Role;
use crate::system::{HOST, Mesh};
use crate::workload::sockets;

/// How long the mesh may take until it owns every dyno and every dyno is idle, once load has ended.
const SETTLE_MAX: Span = Span::from_secs(60);
/// Bursts that ask for every slot; chance may leave some out.
const BURSTS_MAX: usize = 5;

/// Waits until the mesh has settled and adds what was seen to the history. Each dyno runs `max_conns` requests at once. Returns what should not be.
pub(super) fn ask(mesh: &Mesh, max_conns: u32, history: &mut History) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    if mesh.kind.is_mesh() {
        if let Err(error) = mesh.await_owned(SETTLE_MAX) {
            complaints.push(format!("{error:#}"));
        }
        history.census = Some(census(mesh)?);
    }
    let used = bursts(mesh, max_conns, history).and_then(|used| Ok(fill_sockets(mesh, history)? && used));
    match used {
        Ok(true) => {}
        Ok(false) => complaints.push(format!("in {BURSTS_MAX} bursts of requests some slots were never used")),
        Err(error) => complaints.push(format!("{error:#}")),
    }
    Ok(complaints)
}

/// Who should own which dyno, as the control plane says.
fn census(mesh: &Mesh) -> Result<Census> {
    let listed = mesh.admin.json(&["dyno", "list"])?;
    let mut dynos = Vec::new();
    for dyno in listed.as_array().context("`dyno list` says no array")? {
        let text = |key: &str| dyno[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let number = |key: &str| dyno[key].as_u64().unwrap_or(0);
        let id = text("id").context("a dyno without an id")?;
        let name = |key: &str| text(key).and_then(|name| Some(BlockName::new(&name).ok()?.to_string()));
        dynos.push(Listed {
            dyno: DynoId::new(&id).with_context(|| format!("the id {id}"))?,
            block: name("block"),
            epoch: number("epoch"),
            owner: name("owner"),
            owned_epoch: number("owned_epoch"),
            serves: dyno["drain"] != true,
        });
    }
    Ok(Census { at: clock::now(), dynos })
}

/// Asks for every slot at once until all are used, and adds the last burst to the history.
fn bursts(mesh: &Mesh, max_conns: u32, history: &mut History) -> Result<bool> {
    let client = Client::new(mesh.layout.edges(), HOST);
    let dynos = mesh.layout.playing(&Role::Dyno).count();
    let slots = dynos * max_conns as usize;
    for turn in 1..=BURSTS_MAX {
        mesh.await_idle(SETTLE_MAX)?;
        let began = clock::now();
        // As many again as there are slots: blocks are drawn at random, and those that wait fill up what the draw left free.
        let seen = client.send_all((0..2 * slots).map(|_| Ask::get("/burst").service(Span::from_millis(100))));
        let burst = Burst { began, ended: clock::now() };
        let used: BTreeSet<&str> = seen.iter().filter_map(|exchange| exchange.ok()?.dyno()).collect();
        let all = used.len() == dynos;
        if all || turn == BURSTS_MAX {
            history.bursts.push(burst);
            history.exchanges.extend(seen.into_iter().map(Exchange::light));
            return Ok(all);
        }
        history.exchanges.extend(seen.into_iter().map(Exchange::light));
    }
    Ok(false)
}

/// Has all WebSockets open at once that there is room for, and adds that to the history; whether there were as many.
fn fill_sockets(mesh: &Mesh, history: &mut History) -> Result<bool> {
    let slots = mesh.layout.playing(&Role::Sockets).count() * SOCKETS_MAX as usize;
    if slots == 0 {
        return Ok(true);
    }
    mesh.await_idle(SETTLE_MAX)?;
    let (open, burst) = sockets::fill(&mesh.layout.edges(), slots);
    history.bursts.push(burst);
    Ok(open >= slots)
}
