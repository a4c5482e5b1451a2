//! The processes of the mesh and what is known of them: started, watched, announced, stopped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dynomesh_runtime::tls::{ClientTls, TlsMetrics};
use rustix::process::Signal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{sleep, timeout};

use super::certificates::Certificates;
use super::child::{self, Child, Place, Plan};
use super::layout::Layout;
use super::ready::{self, Ready};
use super::reaper::Reaper;
use super::{DevError, Event, Home, Signals, Step, announce, boot, leaders, plan, ports};
use crate::args;

/// Time for edges to finish what they carry.
const EDGES_STOP_MAX: Duration = Duration::from_secs(3);
/// Time for everything else to stop in order.
const STOP_MAX: Duration = Duration::from_secs(3);
/// Longest wait for ports of a mesh that was killed a moment ago.
const PORT_WAIT_MAX: Duration = Duration::from_secs(3);
/// Pause between two looks at a port.
const LOOK: Duration = Duration::from_millis(20);
/// A process that ran this long did not fail at its start.
const SOUND: Duration = Duration::from_secs(2);
/// Longest pause before a process that fails at its start is started again.
const RESPAWN_WAIT_MAX: Duration = Duration::from_secs(5);

/// The mesh, owned by one task.
pub(crate) struct Mesh<'a> {
    args: &'a args::Dev,
    home: &'a Home,
    layout: Layout,
    certificates: Option<Certificates>,
    program: PathBuf,
    children: Vec<Child>,
    blocks: Vec<Leadership>,
    reaper: Reaper,
    events: UnboundedSender<Event>,
    announced: bool,
    stopping: bool,
    /// What the ready file holds.
    published: Option<Ready>,
}

/// Who leads a block.
#[derive(Debug, Clone, Default)]
struct Leadership {
    /// The term in which each replica claims to lead.
    claims: Vec<Option<u64>>,
    /// The claim of the highest term. A leader that falls silent stays until there is another; one whose process has ended does not.
    leader: Option<usize>,
}

// === impl Mesh ===

impl<'a> Mesh<'a> {
    /// Checks that the addresses are free, writes the configuration files and starts the reaper; no process of the mesh runs yet.
    pub(crate) async fn prepare(
        args: &'a args::Dev,
        home: &'a Home,
        layout: Layout,
        events: UnboundedSender<Event>,
    ) -> Result<Self, DevError> {
        let program = std::env::current_exe().map_err(|cause| DevError::Start { program: "this program".into(), cause })?;
        for (name, address, edge) in listeners(&layout) {
            await_free(name, address, edge).await?;
        }
        let certificates = if args.tls { Some(Certificates::open(&home.path)?) } else { None };
        let plans = plan::all(args, home, &layout, certificates.as_ref(), &program)?;
        let leftovers: Vec<PathBuf> = home.temporary.iter().map(|dir| dir.path().into()).chain(args.ready_file.clone()).collect();
        let reaper =
            Reaper::start(&program, &leftovers).map_err(|cause| DevError::Start { program: program.display().to_string(), cause })?;
        let blocks = layout.blocks.iter().map(|block| Leadership { claims: vec![None; block.replicas.len()], leader: None }).collect();
        let children = plans.into_iter().map(Child::new).collect();
        Ok(Mesh {
            args,
            home,
            layout,
            certificates,
            program,
            children,
            blocks,
            reaper,
            events,
            announced: false,
            stopping: false,
            published: None,
        })
    }

    /// Starts every process at once, and asks the replicas who leads.
    pub(crate) fn start(&mut self) -> Result<(), DevError> {
        for child in 0..self.children.len() {
            self.start_child(child)?;
        }
        let tls = self.certificates.as_ref().map(|certificates| ClientTls::for_tiers(&certificates.tiers(), &TlsMetrics::default()));
        let tls = tls.transpose()?;
        for (block, group) in self.layout.blocks.iter().enumerate() {
            for (replica, member) in group.replicas.iter().enumerate() {
                let events = self.events.clone();
                tokio::spawn(leaders::follow(member.http, tls.clone(), move |term| {
                    // The owner is gone only at the very end.
                    let _ = events.send(Event::Claims { block, replica, term });
                }));
            }
        }
        Ok(())
    }

    /// What is left to do until the mesh routes.
    pub(crate) fn plan_boot(&self) -> boot::Plan {
        boot::Plan { layout: self.layout.clone(), command: self.args.command.clone(), events: self.events.clone() }
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.announced
    }

    /// Whether every block has a leader.
    pub(crate) fn has_leaders(&self) -> bool {
        self.blocks.iter().all(|block| block.leader.is_some())
    }

    /// Takes in what has happened. An error ends the mesh.
    pub(crate) fn apply(&mut self, event: Event) -> Result<(), DevError> {
        match event {
            Event::Exited { child, how } => self.exited(child, how),
            Event::Respawn { child } if self.stopping => {
                tracing::debug!(name = self.children[child].plan.name, "not started again: the mesh stops");
                Ok(())
            }
            Event::Respawn { child } => {
                self.start_child(child)?;
                self.publish()
            }
            Event::Claims { block, replica, term } => {
                self.blocks[block].claim(replica, term);
                self.publish()
            }
            Event::Reached(step) => self.reached(step),
        }
    }

    /// Says what runs where, and writes the ready file.
    pub(crate) fn announce(&mut self, took: Duration) -> Result<(), DevError> {
        self.announced = true;
        self.publish()?;
        print!("{}", announce::text(&self.layout, &self.ready(), self.home, &self.program, took));
        Ok(())
    }

    /// Stops everything in order, or by force what has not stopped in time or when a second signal comes.
    pub(crate) async fn stop(mut self, events: &mut UnboundedReceiver<Event>, signals: &mut Signals) {
        self.stopping = true;
        tokio::select! {
            () = self.stop_in_order(events) => {}
            () = signals.next() => {}
        }
        for child in self.children.iter().filter(|child| child.running) {
            eprintln!("dynomesh: {} still runs and is killed", child.plan.name);
        }
        self.signal(Signal::KILL, |_| true);
        self.await_end(events, STOP_MAX, |_| true).await;
        self.reaper.finish();
    }

    /// Edges first, so that what they carry is finished by blocks and dynos that still run; then the rest at once.
    async fn stop_in_order(&mut self, events: &mut UnboundedReceiver<Event>) {
        let is_edge = |place| matches!(place, Place::Edge(_));
        self.signal(Signal::TERM, is_edge);
        self.await_end(events, EDGES_STOP_MAX, is_edge).await;
        self.signal(Signal::TERM, |place| !is_edge(place));
        self.await_end(events, STOP_MAX, |_| true).await;
    }

    fn start_child(&mut self, index: usize) -> Result<(), DevError> {
        let child = &mut self.children[index];
        let program = || child.plan.program.display().to_string();
        let mut process = child.plan.start().map_err(|cause| DevError::Start { program: program(), cause })?;
        child.pid = process.id().expect("a process that nobody has waited for has an id");
        child.running = true;
        child.started = Instant::now();
        self.reaper.watch(child.pid);
        let events = self.events.clone();
        tokio::spawn(async move {
            let how = match process.wait().await {
                Ok(status) => child::describe(status),
                Err(error) => format!("cannot be waited for: {error}"),
            };
            let _ = events.send(Event::Exited { child: index, how });
        });
        Ok(())
    }

    fn exited(&mut self, index: usize, how: String) -> Result<(), DevError> {
        let child = &mut self.children[index];
        child.running = false;
        // Workers of a server that was killed would keep its port.
        child::signal_group(child.pid, Signal::KILL);
        self.reaper.forget(child.pid);
        if let Place::Replica { block, replica } = child.plan.place {
            self.blocks[block].ended(replica);
        }
        let name = child.plan.name.clone();
        if self.stopping {
            return Ok(());
        }
        if !self.announced {
            return Err(DevError::Died { name, how, tail: child.plan.log_tail() });
        }
        eprintln!("dynomesh: {name} (pid {}) {how}; its log: {}", child.pid, child.plan.log.display());
        if self.args.respawn {
            let (wait, events) = (child.next_start(), self.events.clone());
            tokio::spawn(async move {
                sleep(wait).await;
                let _ = events.send(Event::Respawn { child: index });
            });
        }
        self.publish()
    }

    fn reached(&mut self, step: Step) -> Result<(), DevError> {
        match step {
            Step::Founded(name) => self.layout.group_mut(&name).expect("steps name what the layout holds").founded = true,
            Step::AppCreated => self.layout.app_created = true,
            Step::Added(id) => self.layout.dynos.iter_mut().filter(|dyno| dyno.id == id).for_each(|dyno| dyno.added = true),
        }
        Ok(self.layout.save(&self.home.path)?)
    }

    /// Writes the ready file if it would say something new.
    fn publish(&mut self) -> Result<(), DevError> {
        let Some(file) = self.args.ready_file.as_ref().filter(|_| self.announced && !self.stopping) else { return Ok(()) };
        let ready = self.ready();
        if self.published.as_ref() != Some(&ready) {
            let text = serde_json::to_vec(&ready).expect("the ready file holds only text and numbers");
            ready::write_atomically(file, &text).map_err(|cause| DevError::File { path: file.display().to_string(), cause })?;
            self.published = Some(ready);
        }
        Ok(())
    }

    fn ready(&self) -> Ready {
        let Layout { edges, control, blocks, dynos, .. } = &self.layout;
        let ca = self.certificates.as_ref().map(Certificates::ca);
        let mut ready = Ready {
            ca,
            edges: Vec::new(),
            control: Vec::new(),
            admin: self.layout.admin_api(),
            blocks: BTreeMap::new(),
            dynos: Vec::new(),
        };
        for Child { plan: Plan { name, place, .. }, pid, .. } in &self.children {
            let (name, pid) = (name.clone(), *pid);
            match *place {
                Place::Edge(index) => ready.edges.push(ready::Edge { name, http: edges[index].http, https: edges[index].https, pid }),
                Place::Control(index) => ready.control.push(ready::Control { name, grpc: control.replicas[index].grpc, pid }),
                Place::Replica { block, replica } => {
                    let (group, member) = (&blocks[block], &blocks[block].replicas[replica]);
                    let leader = self.blocks[block].leader == Some(replica);
                    let replica = ready::Replica { name, http: member.http, grpc: member.grpc, pid, leader };
                    ready.blocks.entry(group.name.clone()).or_default().push(replica);
                }
                Place::Dyno(index) => ready.dynos.push(ready::Dyno { id: name, app: boot::APP.into(), addr: dynos[index].addr, pid }),
            }
        }
        ready
    }

    fn signal(&self, signal: Signal, which: impl Fn(Place) -> bool) {
        for child in self.children.iter().filter(|child| child.running && which(child.plan.place)) {
            child::signal_group(child.pid, signal);
        }
    }

    /// Waits until these have ended, or the time is up.
    async fn await_end(&mut self, events: &mut UnboundedReceiver<Event>, wait: Duration, which: impl Fn(Place) -> bool) {
        let ended = async {
            while self.children.iter().any(|child| child.running && which(child.plan.place)) {
                let event = events.recv().await.expect("the mesh holds a sender");
                // Nothing can fail any more: what is left is to note who has ended.
                let _ = self.apply(event);
            }
        };
        let _ = timeout(wait, ended).await;
    }
}

// === impl Leadership ===

impl Leadership {
    fn claim(&mut self, replica: usize, term: Option<u64>) {
        self.claims[replica] = term;
        let newest = self.claims.iter().enumerate().filter_map(|(replica, term)| Some((term.as_ref()?, replica))).max();
        self.leader = newest.map(|(_, replica)| replica).or(self.leader);
    }

    /// Its process has ended; started again, it does not lead before it is elected again.
    fn ended(&mut self, replica: usize) {
        self.leader = self.leader.filter(|leader| *leader != replica);
        self.claim(replica, None);
    }
}

// === impl Child ===

impl Child {
    fn new(plan: Plan) -> Self {
        Child { plan, pid: 0, running: false, started: Instant::now(), failures: 0 }
    }

    /// When to start it again: at once, unless it keeps failing at its start.
    fn next_start(&mut self) -> Duration {
        self.failures = if self.started.elapsed() >= SOUND { 0 } else { (self.failures + 1).min(16) };
        let wait = Duration::from_millis(50) * 2_u32.pow(self.failures);
        if self.failures == 0 { Duration::ZERO } else { wait.min(RESPAWN_WAIT_MAX) }
    }
}

/// Every address of the mesh that a stranger could have taken.
fn listeners(layout: &Layout) -> impl Iterator<Item = (&str, SocketAddr, bool)> {
    let edges = layout.edges.iter().flat_map(|edge| {
        let clients = std::iter::once(edge.http).chain(edge.https).map(|address| (address, true));
        clients.chain([(edge.admin, false)]).map(|(address, is_edge)| (edge.name.as_str(), address, is_edge))
    });
    let replicas = layout.groups().flat_map(|group| &group.replicas);
    let replicas = replicas.flat_map(|r| [r.http, r.grpc, r.admin].map(|address| (r.name.as_str(), address, false)));
    let dynos = layout.dynos.iter().map(|dyno| (dyno.id.as_str(), dyno.addr, false));
    edges.chain(replicas).chain(dynos)
}

/// The port of a mesh that was killed is free a moment later; that of another program is not.
async fn await_free(name: &str, address: SocketAddr, edge: bool) -> Result<(), DevError> {
    let free = async {
        while ports::listen(address.port()).is_err() {
            sleep(LOOK).await;
        }
    };
    let wait = if edge { Duration::from_millis(300) } else { PORT_WAIT_MAX };
    timeout(wait, free).await.map_err(|_| DevError::Taken { name: name.into(), address, edge })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_term_leads_and_a_silent_leader_stays_until_the_next() {
        let mut block = Leadership { claims: vec![None; 3], leader: None };
        block.claim(1, Some(3));
        assert_eq!(block.leader, Some(1));
        block.claim(1, None);
        assert_eq!(block.leader, Some(1));
        block.claim(2, Some(4));
        block.claim(1, Some(3));
        assert_eq!(block.leader, Some(2), "a frozen leader that wakes claims an old term");
        block.claim(1, None);
        block.ended(2);
        assert_eq!(block.leader, None);
    }

    #[test]
    fn a_process_that_keeps_failing_is_started_ever_later() {
        let plan = Plan { name: "d1".into(), place: Place::Dyno(0), program: "x".into(), args: vec![], env: vec![], log: "x".into() };
        let mut child = Child::new(plan);
        let waits: Vec<Duration> = (0..20).map(|_| child.next_start()).collect();
        assert!(waits.is_sorted() && waits[0] < Duration::from_millis(200) && waits[19] == RESPAWN_WAIT_MAX);
        child.started = Instant::now().checked_sub(SOUND).unwrap();
        assert_eq!(child.next_start(), Duration::ZERO);
    }
}
