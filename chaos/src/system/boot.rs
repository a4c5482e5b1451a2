//! From processes that have just been started to a mesh that routes. Every step waits for its condition and for nothing else.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use dynomesh_core::id::ReplicaId;
use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Client};
use serde_json::Value;

use super::layout::{ADMIN, GRPC, Member, Role};
use super::question::get;
use super::{HOST, Mesh};
use crate::scenario::Shape;
use crate::waiting::until;

/// Longest time for one step.
const STEP_MAX: Span = Span::from_secs(60);
/// The app of dynos with journals, and that of dynos that speak WebSocket.
const APP: &str = "shop";
const SOCKETS_APP: &str = "sockets";
/// WebSockets that a dyno may have open.
pub(crate) const SOCKETS_MAX: u32 = 4;

// === impl Mesh: its start ===

impl Mesh {
    /// Starts all processes and waits until they route. Whoever dies meanwhile is the reason why they do not.
    pub(super) fn boot(&mut self, shape: &Shape) -> Result<()> {
        let booted = self.bring_up(shape);
        self.look_for_deaths();
        match self.deaths.first() {
            Some(death) => bail!("{death}"),
            None => booted,
        }
    }

    fn bring_up(&mut self, shape: &Shape) -> Result<()> {
        let names: Vec<String> = self.layout.members.iter().map(|member| member.name.clone()).collect();
        for name in &names {
            self.start_process(name)?;
        }
        if !self.kind.is_mesh() {
            return self.await_routed();
        }
        let addresses = |members: &[&Member]| members.iter().map(|member| member.at(GRPC).to_string()).collect::<Vec<_>>();
        let control = addresses(&self.layout.playing(&Role::Control).collect::<Vec<_>>());
        self.found("control", &control)?;
        for block in self.layout.blocks() {
            self.found("block", &addresses(&self.layout.replicas(&block)))?;
        }
        self.await_blocks()?;
        self.learn_ids()?;
        self.add_apps(shape)?;
        self.await_owned(STEP_MAX)?;
        self.await_routed()
    }

    /// Founds a group. Whoever could not start, by its configuration for example, is not waited for.
    fn found(&mut self, kind: &str, addresses: &[String]) -> Result<()> {
        let mut line = vec![kind, "bootstrap"];
        line.extend(addresses.iter().map(String::as_str));
        let mut last = None;
        let founded = until(&format!("`{}`", line.join(" ")), STEP_MAX, || {
            self.look_for_deaths();
            let is_hopeless = !self.deaths.is_empty();
            let tried = self.admin.run(&line).map(drop).map_err(|error| last = Some(error));
            if is_hopeless { Some(()) } else { tried.ok() }
        });
        founded.map_err(|error| last.unwrap_or(error))
    }

    /// Dynos added before would all go to the block that is seen first.
    fn await_blocks(&self) -> Result<()> {
        let wanted: BTreeSet<String> = self.layout.blocks().into_iter().collect();
        until("all blocks in the directory", STEP_MAX, || {
            let listed = self.admin.json(&["block", "list", "--timeout", "3s"]).ok()?;
            let bound = listed.as_array()?.iter().filter(|block| block["bound"] == true).filter_map(|block| block["name"].as_str());
            (bound.map(str::to_owned).collect::<BTreeSet<_>>() == wanted).then_some(())
        })
    }

    /// Learns by which ids dynos hear of replicas, from the addresses that these have.
    fn learn_ids(&mut self) -> Result<()> {
        let replicas: Vec<Member> = self.layout.members.iter().filter(|member| matches!(member.role, Role::Replica(_))).cloned().collect();
        self.replica_ids = until("the ids of all replicas", STEP_MAX, || {
            let listed = self.admin.json(&["block", "list", "--timeout", "3s"]).ok()?;
            let members: Vec<&Value> = listed.as_array()?.iter().filter_map(|block| block["members"].as_array()).flatten().collect();
            let id = |replica: &Member| {
                let address = replica.at(GRPC).to_string();
                let member = members.iter().find(|member| member["grpc"] == address.as_str())?;
                Some((replica.name.clone(), ReplicaId(member["id"].as_u64()?)))
            };
            replicas.iter().map(id).collect::<Option<_>>()
        })?;
        Ok(())
    }

    fn add_apps(&self, shape: &Shape) -> Result<()> {
        let add = |app: &str, host: &str, role: &Role, max_conns: u32, more: &[&str]| -> Result<()> {
            let dynos: Vec<&Member> = self.layout.playing(role).collect();
            if dynos.is_empty() {
                return Ok(());
            }
            let max_conns = max_conns.to_string();
            self.admin.run(&[&["app", "create", app, "--host", host, "--max-conns", &max_conns], more].concat())?;
            for dyno in dynos {
                self.admin.run(&["dyno", "add", app, &dyno.socket().to_string(), "--id", &dyno.name])?;
            }
            Ok(())
        };
        let more: Vec<&str> = shape.app.iter().map(String::as_str).collect();
        add(APP, HOST, &Role::Dyno, shape.max_conns, &[&["--serial", shape.serial.word()], &more[..]].concat())?;
        add(SOCKETS_APP, super::SOCKETS_HOST, &Role::Sockets, SOCKETS_MAX, &["--serial", "no"])
    }

    /// Waits until every dyno is owned by the block that it is assigned to.
    pub(crate) fn await_owned(&self, limit: Span) -> Result<()> {
        let mut seen = String::new();
        let owned = until("every dyno to be owned by its block", limit, || {
            let strays = self.strays().map_err(|error| seen = format!("{error:#}")).ok()?;
            seen = strays.join("; ");
            strays.is_empty().then_some(())
        });
        owned.with_context(|| format!("last seen: {seen}"))
    }

    /// The dynos that are not owned by the block that they are assigned to, as the control plane has heard.
    pub(crate) fn strays(&self) -> Result<Vec<String>> {
        let listed = self.admin.json(&["dyno", "list", "--timeout", "3s"])?;
        let listed = listed.as_array().context("`dyno list` says no array")?;
        let expected = self.layout.members.iter().filter(|member| matches!(member.role, Role::Dyno | Role::Sockets));
        let mut strays = Vec::new();
        for dyno in expected {
            match listed.iter().find(|listed| listed["id"] == dyno.name.as_str()) {
                None => strays.push(format!("{} is not in the directory", dyno.name)),
                Some(listed)
                    if listed["block"] != listed["owner"] || listed["epoch"] != listed["owned_epoch"] || listed["phase"] != "active" =>
                {
                    let told = |key: &str| listed[key].to_string();
                    strays.push(format!("{}: block {}, owner {}, phase {}", dyno.name, told("block"), told("owner"), told("phase")));
                }
                Some(_) => {}
            }
        }
        Ok(strays)
    }

    /// Waits until every edge routes to the app: each learns of it in its own time.
    fn await_routed(&self) -> Result<()> {
        for edge in self.layout.playing(&Role::Edge) {
            if self.kind.is_mesh() {
                until(&format!("{} to be ready", edge.name), STEP_MAX, || get(edge, ADMIN, "/readyz").ok())?;
            }
            let client = Client::new(vec![edge.socket()], HOST);
            until(&format!("{} to route", edge.name), STEP_MAX, || client.send(Ask::probe().deadline(Span::from_secs(5))).ok().map(drop))?;
        }
        Ok(())
    }
}
