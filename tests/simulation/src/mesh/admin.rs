//! What is asked of the control plane: to make the mesh one, and what it knows.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use dynomesh_core::id::{Address, DynoId, ReplicaId};
use dynomesh_core::time::Time;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_testkit::history::{Census, Listed};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

use super::{APP, GRPC_PORT, HOST, HTTP_PORT, Mesh, Node, Role, START_MAX};
use crate::kernel::with;

/// A client of the admin API.
pub(crate) type Api = wire::admin_client::AdminClient<Channel>;

/// Pause between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for an answer of a call between faults, which are not to wait for it.
const FAULT_CALL_MAX: Duration = Duration::from_millis(200);

impl Mesh {
    /// Makes the replicas groups.
    pub(super) fn found(&self) -> Result<(), String> {
        for group in [Some("b1"), Some("b2"), None] {
            let member = |node: &&Node| match (&node.role, group) {
                (Role::Replica { block }, Some(group)) => block == group,
                (Role::Control, None) => true,
                _ => false,
            };
            let members: Vec<Address> =
                self.nodes.iter().filter(member).map(|node| Address::new(node.at(GRPC_PORT)).expect("one host")).collect();
            self.until(&format!("bootstrap of {}", group.unwrap_or("control")), START_MAX, async || {
                use dynomesh_consensus::BootstrapError;
                match dynomesh_consensus::bootstrap_group(&members).await {
                    Ok(_) | Err(BootstrapError::NotPristine { .. }) => Ok(()),
                    Err(error) => Err(error.to_string()),
                }
            })?;
        }
        Ok(())
    }

    /// Creates the app and adds its dynos once both blocks are known, so that they are spread.
    pub(super) fn fill(&self) -> Result<(), String> {
        let refused = |status: tonic::Status| status.message().to_string();
        self.until("all blocks in the directory", START_MAX, async || {
            let answer = self.admin.clone().list_blocks(wire::ListBlocksRequest::default()).await.map_err(refused)?;
            let bound = answer.into_inner().blocks.iter().filter(|block| block.bound).count();
            if bound == 2 { Ok(()) } else { Err(format!("{bound} bound")) }
        })?;
        let probe_path = self.settings.probe.map(str::to_owned).unwrap_or_default();
        let policy = wire::Policy { max_conns: Some(1), serial: self.settings.serial.into(), probe_path, ..Default::default() };
        let app = wire::CreateAppRequest { name: APP.into(), hosts: vec![HOST.into()], policy: Some(policy), ..Default::default() };
        self.until("the app", START_MAX, async || self.admin.clone().create_app(app.clone()).await.map(drop).map_err(refused))?;
        for node in &self.nodes {
            let Role::Dyno { max_conns } = node.role else { continue };
            let dyno = wire::AddDynoRequest {
                app: APP.into(),
                addr: node.at(HTTP_PORT).to_string(),
                id: node.name.clone(),
                max_conns: Some(max_conns),
                ..Default::default()
            };
            self.until(&node.name, START_MAX, async || self.admin.clone().add_dyno(dyno.clone()).await.map(drop).map_err(refused))?;
        }
        Ok(())
    }

    /// Waits until every dyno that was added is owned by the block it is assigned to, and is answering. Where slots may still be in doubt
    /// (`in_doubt`), one that is asked by GET need not answer while all its places are, for there is none to ask it by; and its old block
    /// need not have released one that proves nothing (P12).
    pub(crate) fn await_owned(&self, limit: Duration, in_doubt: bool) -> Result<(), String> {
        let may_be_full = in_doubt && self.settings.probe.is_some();
        let may_wait = in_doubt && self.settings.serial == wire::Serial::Auto;
        let added = self.dyno_names();
        self.until("blocks that own all dynos", limit, async || {
            let dynos = self.dynos().await?;
            all_listed(&added, dynos.iter().map(|dyno| dyno.id.as_str()))?;
            for dyno in dynos {
                let owned = dyno.phase() == wire::DynoPhase::Active && dyno.owner == dyno.block && dyno.owned_epoch == dyno.epoch;
                let answers = dyno.state() == wire::DynoState::Up || (may_be_full && dyno.in_flight >= dyno.max_conns);
                let waits = may_wait && dyno.phase() == wire::DynoPhase::Draining && dyno.in_flight > 0;
                let is_well = waits || (owned && answers);
                if !is_well {
                    return Err(format!("{dyno:?}"));
                }
            }
            Ok(())
        })
    }

    /// Waits until no slot counts as taken, once nobody asks for any.
    pub(crate) fn await_idle(&self, limit: Duration) -> Result<(), String> {
        self.until("dynos without a slot that counts as taken", limit, async || {
            let taken = self.dynos().await?.into_iter().find(|dyno| dyno.in_flight > 0);
            taken.map_or(Ok(()), |dyno| Err(format!("{dyno:?}")))
        })
    }

    /// Which replica has which id.
    pub(super) fn learn_ids(&mut self) -> Result<(), String> {
        let answer = self.runtime.block_on(async { self.admin.clone().list_blocks(wire::ListBlocksRequest::default()).await });
        let blocks = answer.map_err(|status| status.message().to_string())?.into_inner().blocks;
        for replica in blocks.iter().flat_map(|block| &block.replicas) {
            if let Some(node) = self.nodes.iter_mut().find(|node| node.name == replica.node) {
                node.id = Some(ReplicaId(replica.id));
            }
        }
        Ok(())
    }

    async fn dynos(&self) -> Result<Vec<wire::Dyno>, String> {
        let request = wire::ListDynosRequest { app: APP.into(), page_size: 100, ..Default::default() };
        let answer = self.admin.clone().list_dynos(request).await.map_err(|status| status.message().to_string())?;
        Ok(answer.into_inner().dynos)
    }

    /// Asks for a move of a dyno, and says whether the control plane took it.
    pub(crate) fn move_dyno(&self, id: &str, to: &str) -> bool {
        let request = wire::MoveDynoRequest { id: id.into(), to: to.into(), app: APP.into(), ..Default::default() };
        let mut admin = self.admin.clone();
        self.soon(async { admin.move_dyno(request).await }).is_some_and(|answer| answer.into_inner().changed)
    }

    /// The block that a dyno is assigned to.
    pub(crate) fn block_of(&self, id: &str) -> Option<String> {
        let dynos = self.soon(self.dynos())?;
        dynos.into_iter().find(|dyno| dyno.id == id).map(|dyno| dyno.block)
    }

    /// The answer of a call, if it comes soon.
    fn soon<T, E>(&self, call: impl Future<Output = Result<T, E>>) -> Option<T> {
        self.runtime.block_on(async { tokio::time::timeout(FAULT_CALL_MAX, call).await }).ok()?.ok()
    }

    /// Where the admin API is.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.nodes.iter().find(|node| node.role == Role::Control).expect("there is one").at(GRPC_PORT)
    }

    /// The names of all dynos.
    pub(crate) fn dyno_names(&self) -> Vec<String> {
        self.nodes.iter().filter(|node| matches!(node.role, Role::Dyno { .. })).map(|node| node.name.clone()).collect()
    }

    /// What the control plane lists.
    pub(crate) fn census(&self, at: Time) -> Result<Census, String> {
        let listed = |dyno: wire::Dyno| Listed {
            dyno: DynoId::new(&dyno.id).expect("the control plane lists ids"),
            block: Some(dyno.block).filter(|block| !block.is_empty()),
            epoch: dyno.epoch,
            owner: Some(dyno.owner).filter(|owner| !owner.is_empty()),
            owned_epoch: dyno.owned_epoch,
            serves: true,
        };
        Ok(Census { at, dynos: self.runtime.block_on(self.dynos())?.into_iter().map(listed).collect() })
    }

    /// Whether a census holds every dyno that was added; if not, those that are lost.
    pub(crate) fn holds_all(&self, census: &Census) -> Result<(), String> {
        all_listed(&self.dyno_names(), census.dynos.iter().map(|listed| listed.dyno.as_str()))
    }

    fn until(&self, what: &str, limit: Duration, look: impl AsyncFn() -> Result<(), String>) -> Result<(), String> {
        let end = with(|world| world.now) + u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        loop {
            match self.runtime.block_on(look()) {
                Ok(()) => return Ok(()),
                Err(seen) if with(|world| world.now) > end => return Err(format!("{what}: not within {} s: {seen}", limit.as_secs())),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }
}

fn all_listed<'a>(added: &[String], listed: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let listed: BTreeSet<&str> = listed.collect();
    let lost: Vec<&str> = added.iter().map(String::as_str).filter(|name| !listed.contains(name)).collect();
    if lost.is_empty() { Ok(()) } else { Err(format!("the control plane does not list {}, which was added", lost.join(", "))) }
}

/// A client of the admin API at an address, which connects when it is used.
pub(crate) fn api(runtime: &Runtime, at: SocketAddr, answer_max: Duration) -> Api {
    let endpoint = Endpoint::from_shared(format!("http://{at}")).expect("an address makes a URI");
    let _context = runtime.enter();
    Api::new(endpoint.connect_timeout(answer_max).timeout(answer_max).tcp_nodelay(true).connect_lazy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dyno_that_was_added_and_is_not_listed_is_lost() {
        let added = ["d1", "d2", "d3"].map(str::to_owned);
        assert_eq!(all_listed(&added, ["d3", "d2", "d1"].into_iter()), Ok(()));
        assert!(all_listed(&added, ["d1", "d3"].into_iter()).unwrap_err().contains("list d2,"));
        assert!(all_listed(&added, std::iter::empty()).unwrap_err().contains("list d1, d2, d3,"));
    }
}
