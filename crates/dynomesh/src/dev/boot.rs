//! From processes that have just been started to a mesh that routes.
//!
//! Every step waits for its condition and for nothing else, so the mesh is ready as soon as its slowest process is. A step that is done
//! once in the life of a mesh is reported and not repeated by the next run with the same data directory.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use dynomesh_consensus::BootstrapError;
use dynomesh_core::id::Address;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::admin::v1::admin_client::AdminClient;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use hyper::StatusCode;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::layout::{Dyno, Group, Layout};
use super::{Event, Step, command, http};

/// The app that dynos of `dev` serve.
pub(crate) const APP: &str = "demo";
/// Longest time to get ready; past it something is broken.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long a mesh that was founded by an earlier run waits for its control plane to hear of its blocks.
const HEAR_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a user's server to listen; the mesh is ready without it.
const LISTEN_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Dynos added at the same time.
const ADDS_MAX: usize = 32;

/// What to boot.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) layout: Layout,
    /// The user's server. Without one the dynos are ours, so that they answer soon and may be asked.
    pub(crate) command: Vec<String>,
    pub(crate) events: UnboundedSender<Event>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    #[error("not ready after {} s: waited for {what}; last seen: {seen}", READY_MAX.as_secs())]
    Late { what: String, seen: String },
    #[error("the control plane refused to {what}: {reason}")]
    Refused { what: String, reason: String },
}

/// Ends when requests are routed. What a user's server lacks is said on stderr and not waited for any longer.
pub(crate) async fn run(plan: Plan) -> Result<(), BootError> {
    let boot = Boot { deadline: Instant::now() + READY_MAX, admin: admin(&plan.layout), plan: &plan };
    try_join_all(plan.layout.groups().filter(|group| !group.founded).map(|group| boot.found(group))).await?;
    tokio::try_join!(boot.blocks_bound(), boot.edges_ready())?;
    boot.create_app().await?;
    let new = plan.layout.dynos.iter().filter(|dyno| !dyno.added);
    stream::iter(new.map(|dyno| boot.add(dyno))).buffer_unordered(ADDS_MAX).try_collect::<()>().await?;
    boot.dynos_owned().await?;
    boot.dynos_listen().await?;
    boot.edges_route().await
}

struct Boot<'a> {
    plan: &'a Plan,
    admin: AdminClient<Channel>,
    deadline: Instant,
}

fn admin(layout: &Layout) -> AdminClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", layout.admin_api())).expect("a socket address makes a well-formed URI");
    AdminClient::new(endpoint.connect_timeout(ANSWER_MAX).timeout(ANSWER_MAX).tcp_nodelay(true).connect_lazy())
}

impl Boot<'_> {
    /// Looks until `look` finds what it looks for; until then it says what it sees instead.
    async fn until<T, S: fmt::Display>(&self, what: &str, deadline: Instant, look: impl AsyncFn() -> Result<T, S>) -> Result<T, BootError> {
        let mut seen = "nothing".to_string();
        let found = timeout_at(deadline, async {
            loop {
                match look().await {
                    Ok(found) => return found,
                    Err(other) => seen = other.to_string(),
                }
                sleep(LOOK).await;
            }
        });
        match found.await {
            Ok(found) => Ok(found),
            Err(_) => Err(BootError::Late { what: what.into(), seen }),
        }
    }

    fn is_sample(&self) -> bool {
        self.plan.command.is_empty()
    }

    fn reached(&self, step: Step) {
        // The owner is gone only when the mesh stops, and then nothing has to be noted.
        let _ = self.plan.events.send(Event::Reached(step));
    }

    async fn found(&self, group: &Group) -> Result<(), BootError> {
        let members: Vec<Address> = group.replicas.iter().map(|replica| address(replica.grpc)).collect();
        self.until(&format!("the replicas of {}", group.name), self.deadline, async || match crate::found::group(&members).await {
            // Founded by a run that was killed before it could note it: nobody else knows these addresses.
            Ok(_) | Err(BootstrapError::NotPristine { .. }) => Ok(()),
            Err(error) => Err(crate::error::chain(&error)),
        })
        .await?;
        self.reached(Step::Founded(group.name.clone()));
        Ok(())
    }

    /// Dynos added before would all go to the first block that is seen.
    async fn blocks_bound(&self) -> Result<(), BootError> {
        let wanted: BTreeSet<&str> = self.plan.layout.blocks.iter().map(|block| block.name.as_str()).collect();
        self.until("all blocks in the directory", self.deadline, async || {
            let answer =
                self.admin.clone().list_blocks(wire::ListBlocksRequest::default()).await.map_err(|status| status.message().to_string())?;
            let blocks = answer.into_inner().blocks;
            let bound: BTreeSet<&str> = blocks.iter().filter(|block| block.bound).map(|block| block.name.as_str()).collect();
            match wanted.difference(&bound).next() {
                None => Ok(()),
                Some(missing) => Err(format!("no {missing}")),
            }
        })
        .await
    }

    async fn edges_ready(&self) -> Result<(), BootError> {
        for edge in &self.plan.layout.edges {
            self.until(&edge.name, self.deadline, async || http::expect(edge.admin, "/readyz", StatusCode::OK, ANSWER_MAX).await).await?;
        }
        Ok(())
    }

    /// Once only: an app that the user has deleted since stays deleted.
    async fn create_app(&self) -> Result<(), BootError> {
        if self.plan.layout.app_created || self.plan.layout.dynos.is_empty() {
            return Ok(());
        }
        let policy = wire::Policy { max_conns: Some(1), ..Default::default() };
        let request = wire::CreateAppRequest { name: APP.into(), hosts: vec!["*".into()], policy: Some(policy), ..Default::default() };
        self.write(&format!("create the app {APP}"), async || self.admin.clone().create_app(request.clone()).await).await?;
        self.reached(Step::AppCreated);
        Ok(())
    }

    async fn add(&self, dyno: &Dyno) -> Result<(), BootError> {
        let request = wire::AddDynoRequest { app: APP.into(), addr: dyno.addr.to_string(), id: dyno.id.clone(), ..Default::default() };
        self.write(&format!("add the dyno {}", dyno.id), async || self.admin.clone().add_dyno(request.clone()).await).await?;
        self.reached(Step::Added(dyno.id.clone()));
        Ok(())
    }

    /// Repeats a write until it is answered, which is safe: the second time it changes nothing.
    async fn write<T>(&self, what: &str, call: impl AsyncFn() -> Result<T, tonic::Status>) -> Result<(), BootError> {
        let answer = self.until(what, self.deadline, async || match call().await {
            Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted) => {
                Err(status.message().to_string())
            }
            answer => Ok(answer),
        });
        match answer.await? {
            Ok(_) => Ok(()),
            Err(status) => Err(BootError::Refused { what: what.into(), reason: status.message().into() }),
        }
    }

    /// What was added in an earlier run counts too: a restarted mesh is ready when its blocks own their dynos again.
    /// But a control plane that does not hear of it keeps no mesh from routing.
    async fn dynos_owned(&self) -> Result<(), BootError> {
        let founded = self.plan.layout.dynos.iter().all(|dyno| dyno.added);
        let deadline = if founded { self.deadline.min(Instant::now() + HEAR_MAX) } else { self.deadline };
        let owned = self.until("blocks that own all dynos", deadline, async || {
            let waits = |dyno: &wire::Dyno| dyno.phase() == wire::DynoPhase::Pending && !dyno.block.is_empty();
            match self.dynos().await?.iter().filter(|dyno| waits(dyno)).map(|dyno| dyno.id.as_str()).next() {
                None => Ok(()),
                Some(id) => Err(format!("{id} has no owner")),
            }
        });
        match owned.await {
            Err(BootError::Late { seen, .. }) if founded => {
                eprintln!("dynomesh: after {} s the control plane has not heard of all dynos ({seen}); going on", HEAR_MAX.as_secs());
                Ok(())
            }
            other => other,
        }
    }

    /// Only of our own processes: dynos that the user has added may be down for reasons of theirs.
    async fn dynos_listen(&self) -> Result<(), BootError> {
        let patient = self.is_sample() && !self.plan.layout.dynos.iter().all(|dyno| dyno.added);
        let deadline = if patient { self.deadline } else { self.deadline.min(Instant::now() + LISTEN_MAX) };
        let listening = self.until("all dynos to listen", deadline, async || {
            let silent = |dyno: &wire::Dyno| dyno.state() != wire::DynoState::Up && dyno.phase() == wire::DynoPhase::Active;
            let dynos = self.dynos().await?;
            let silent: Vec<&str> =
                dynos.iter().filter(|dyno| silent(dyno)).map(|dyno| dyno.id.as_str()).filter(|id| self.is_ours(id)).collect();
            if silent.is_empty() { Ok(()) } else { Err(format!("{} do not answer", silent.join(" "))) }
        });
        match listening.await {
            Err(BootError::Late { seen, .. }) if !patient => {
                eprintln!("dynomesh: after {} s {seen}; going on without them", LISTEN_MAX.as_secs());
                if !self.is_sample() && !command::names_port(&self.plan.command) {
                    eprintln!("dynomesh: the command does not say $PORT; did the shell replace it? Put it in single quotes");
                }
                Ok(())
            }
            other => other,
        }
    }

    /// Of sample dynos a request is asked through each edge, one that they do not count. A user's application is not asked.
    async fn edges_route(&self) -> Result<(), BootError> {
        if !self.is_sample() || !self.until("the apps", self.deadline, async || self.serves_any_host().await).await? {
            return Ok(());
        }
        for edge in &self.plan.layout.edges {
            let path = dynomesh_agent::demo::STATS_PATH;
            let what = format!("{} to reach a dyno", edge.name);
            self.until(&what, self.deadline, async || http::expect(edge.http, path, StatusCode::OK, ANSWER_MAX).await).await?;
        }
        Ok(())
    }

    /// Whether any host leads to a sample dyno of ours: the user may have changed that since.
    async fn serves_any_host(&self) -> Result<bool, String> {
        let answer = self.admin.clone().list_apps(wire::ListAppsRequest::default()).await.map_err(|status| status.message().to_string())?;
        let any_host = |app: &wire::App| app.name == APP && app.hosts.iter().any(|host| host == "*");
        if !answer.into_inner().apps.iter().any(any_host) {
            return Ok(false);
        }
        let takes = |dyno: &wire::Dyno| dyno.app == APP && dyno.phase() == wire::DynoPhase::Active;
        let dynos = self.dynos().await?;
        Ok(dynos.iter().any(takes) && dynos.iter().filter(|dyno| takes(dyno)).all(|dyno| self.is_ours(&dyno.id)))
    }

    fn is_ours(&self, id: &str) -> bool {
        self.plan.layout.dynos.iter().any(|dyno| dyno.id == id)
    }

    async fn dynos(&self) -> Result<Vec<wire::Dyno>, String> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = wire::ListDynosRequest { page_token, ..Default::default() };
            let page = self.admin.clone().list_dynos(request).await.map_err(|status| status.message().to_string())?.into_inner();
            all.extend(page.dynos);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }
}

/// Ports of a layout are never 0, and its host is this one.
fn address(socket: std::net::SocketAddr) -> Address {
    Address::new(socket).expect("a layout holds loopback addresses with ports")
}
