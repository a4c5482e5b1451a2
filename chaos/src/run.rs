//! One run of a scenario: warm up, break, heal, demand that all is as before, and gather what clients and dynos saw.

mod alone;
mod owned;
mod settled;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use dynomesh_core::id::DynoId;
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;
use dynomesh_testkit::history::{Exchange, History};

use crate::cpu::{self, Ticks};
use crate::disk::{Flushes, Probe};
use crate::fault;
use crate::scenario::{Event, Scenario, Schedule};
use crate::system::Mesh;
use crate::system::boot::SOCKETS_MAX;
use crate::system::layout::Role;
use crate::workload::{self, Place};
use owned::Owned;

/// How often faults are looked after.
const LOOK: Span = Span::from_millis(10);
/// How often outcomes are fetched.
const FETCH: Span = Span::from_millis(500);
/// How long after a fault its clients may notice that their connection is gone.
const EXPLAINS: Span = Span::from_secs(1);
/// How long a healed fault may go on to be felt.
const OVER_MAX: Span = Span::from_secs(30);

/// What happened in a run.
pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    pub(crate) seed: u64,
    pub(crate) dir: PathBuf,
    pub(crate) history: History,
    /// The names of the edges.
    pub(crate) edges: BTreeMap<SocketAddr, String>,
    /// When load began, and when the first fault could.
    pub(crate) began: Time,
    pub(crate) warm: Time,
    /// When load ended.
    pub(crate) ended: Time,
    pub(crate) faults: Vec<Told>,
    /// Requests per second that were to be asked.
    pub(crate) offered: f64,
    /// Share of the processors that was busy under load.
    pub(crate) cpu: f64,
    /// And by this run.
    pub(crate) cpu_own: f64,
    /// What flushes of the disk took under load.
    pub(crate) flushes: Flushes,
    /// What workloads say besides.
    pub(crate) told: Vec<String>,
    /// What should not be and no checker judges.
    pub(crate) complaints: Vec<String>,
}

/// A fault that is over.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// As [`fault::Spec::kind`] says it.
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) began: Time,
    /// When it had taken hold.
    pub(crate) held: Time,
    pub(crate) ended: Time,
    /// Chance put it where it was.
    pub(crate) is_drawn: bool,
    pub(crate) is_felt: bool,
    pub(crate) evidence: String,
}

/// Runs a scenario. Its files lie in `dir`.
pub(crate) fn run(scenario: &Scenario, seed: u64, dir: &Path) -> Result<Run> {
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let mut mesh = Mesh::start(scenario, &scenario.needs(), seed, dir).context("start the mesh")?;
    let schedule = Schedule::new(scenario, seed);
    let mut drive = Drive::start(&mut mesh, scenario, seed, dir)?;
    let outcome = drive.through(scenario, schedule);
    // What had been seen until something failed is of use too, but only for those who look for the failure.
    outcome?;
    drive.end(scenario, seed, dir)
}

/// A run under way.
struct Drive<'a> {
    mesh: &'a mut Mesh,
    loads: Vec<Box<dyn workload::Running>>,
    exchanges: Vec<Exchange>,
    began: Time,
    warm: Time,
    ticks: Ticks,
    used: u64,
    probe: Probe,
    fetched: Time,
    active: Vec<fault::Running>,
    healing: Vec<fault::Running>,
    over: Vec<(fault::Running, Time)>,
    healed: Time,
    owned: Owned,
}

// === impl Drive ===

impl<'a> Drive<'a> {
    fn start(mesh: &'a mut Mesh, scenario: &Scenario, seed: u64, dir: &Path) -> Result<Self> {
        let (capacity, floor, mean) = (scenario.capacity(), scenario.mesh.floor, scenario.mesh.mean);
        let place = Place { edges: mesh.layout.edges(), admin: mesh.layout.admin(), capacity, floor, mean, seed };
        let began = clock::now();
        let loads = scenario.workload.iter().map(|spec| spec.start(&place)).collect::<Result<_>>()?;
        let (exchanges, warm) = (Vec::new(), began + scenario.run.warm);
        let (active, healing, over, owned) = Default::default();
        let probe = Probe::start(dir)?;
        let (ticks, used) = (Ticks::now(), cpu::used(&mesh.pids()));
        Ok(Drive { mesh, loads, exchanges, began, warm, ticks, used, probe, fetched: began, active, healing, over, healed: warm, owned })
    }

    /// Load, with all faults in it, until some time after the last was healed.
    fn through(&mut self, scenario: &Scenario, schedule: Schedule) -> Result<()> {
        let mut waiting: VecDeque<Event> = schedule.events.into();
        loop {
            let now = clock::now();
            while let Some(event) = waiting.front().filter(|event| now >= self.warm + event.begins).cloned() {
                waiting.pop_front();
                let running = fault::Running::start(&event.what, event.ends - event.begins, self.mesh);
                let Some(mut running) = running.with_context(|| format!("begin {:?}", event.what))? else {
                    self.miss(&event);
                    continue;
                };
                running.is_drawn = event.is_drawn;
                eprintln!("  {:>6.1} s  {}", running.began.since(self.began).as_secs_f64(), running.title);
                self.active.push(running);
            }
            self.look_after_faults()?;
            self.fetch();
            let is_quiet = waiting.is_empty() && self.active.is_empty() && self.healing.is_empty();
            if is_quiet && self.mesh.kind.is_mesh() {
                self.owned.look(self.mesh, self.healed);
            }
            if is_quiet && clock::now() >= self.healed + scenario.run.after {
                return Ok(());
            }
            thread::sleep(LOOK.to_std());
        }
    }

    /// Notes a fault that found nothing left to strike, and so was not felt.
    fn miss(&mut self, event: &Event) {
        let (told, now) = (event.what.told(), clock::now());
        eprintln!("  {:>6.1} s  nothing is left for {told}", now.since(self.began).as_secs_f64());
        let missed = fault::Running::missed(&event.what, event.is_drawn);
        self.over.push((missed, now));
    }

    fn look_after_faults(&mut self) -> Result<()> {
        for mut running in std::mem::take(&mut self.active) {
            if clock::now() < running.heal_at {
                running.tick(self.mesh).with_context(|| running.title.clone())?;
                self.active.push(running);
            } else {
                running.heal(self.mesh).with_context(|| format!("heal {}", running.title))?;
                self.healing.push(running);
            }
        }
        for mut running in std::mem::take(&mut self.healing) {
            let is_over = running.is_over(self.mesh).with_context(|| running.title.clone())?;
            if is_over || clock::now() >= running.heal_at + OVER_MAX {
                running.feel(self.mesh).with_context(|| running.title.clone())?;
                self.healed = clock::now();
                self.over.push((running, self.healed));
            } else {
                self.healing.push(running);
            }
        }
        Ok(())
    }

    fn fetch(&mut self) {
        if clock::now() < self.fetched + FETCH {
            return;
        }
        self.fetched = clock::now();
        for load in &mut self.loads {
            self.exchanges.extend(load.take());
        }
        self.mesh.look_for_deaths();
    }

    /// What broke while nothing was broken.
    fn unexplained(&self, broke: &[Time]) -> Option<String> {
        let explains = |at: Time| self.over.iter().any(|(running, over)| running.began <= at && at <= *over + EXPLAINS);
        let count = broke.iter().filter(|at| !explains(**at)).count();
        (count > 0).then(|| format!("{count} WebSockets broke that no fault explains"))
    }

    /// Ends load, and asks for what must be once everything is healed.
    fn end(mut self, scenario: &Scenario, seed: u64, dir: &Path) -> Result<Run> {
        let ended = clock::now();
        let (cpu, used) = (Ticks::now().share_since(self.ticks), cpu::used(&self.mesh.pids()).saturating_sub(self.used));
        let cpu_own = Ticks::now().share_of(self.ticks, used);
        let flushes = self.probe.finish();
        let offered = self.loads.iter().map(|load| load.rate()).sum();
        let (mut told, mut complaints, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        if self.mesh.kind.is_mesh() && !self.over.is_empty() {
            self.owned.wait(self.mesh, self.healed);
            told.push(self.owned.told());
            complaints.extend(self.owned.complaint());
        }
        for load in std::mem::take(&mut self.loads) {
            let finished = load.finish();
            complaints.extend(self.unexplained(&finished.broke));
            self.exchanges.extend(finished.exchanges);
            calls.extend(finished.calls);
            told.extend(finished.told);
            complaints.extend(finished.complaints);
        }
        self.mesh.look_for_deaths();
        let incidents = self.over.iter().flat_map(|(running, _)| running.incidents(self.mesh)).collect();
        let healed = Some(self.healed).filter(|_| !self.over.is_empty());
        let exchanges = std::mem::take(&mut self.exchanges);
        let mut history = History { exchanges, whole: true, incidents, calls, healed, ..History::default() };
        complaints.extend(settled::ask(self.mesh, scenario.mesh.max_conns, &mut history)?);
        self.mesh.look_for_deaths();
        for (role, max_conns) in [(Role::Dyno, scenario.mesh.max_conns), (Role::Sockets, SOCKETS_MAX)] {
            for dyno in self.mesh.layout.playing(&role) {
                let id = DynoId::new(&dyno.name).context("a name of this layout is an id")?;
                history
                    .add_dyno(id, max_conns, &self.mesh.journal(&dyno.name))
                    .with_context(|| format!("read the journal of {}", dyno.name))?;
            }
        }
        history.exchanges.sort_by_key(|exchange| exchange.ended);
        history.ended = Some(clock::now());
        complaints.append(&mut self.mesh.complaints);
        complaints.extend(self.mesh.deaths.iter().cloned());
        let edges = self.mesh.layout.playing(&Role::Edge).map(|edge| (edge.socket(), edge.name.clone())).collect();
        complaints.extend(alone::idle_edges(&history, &edges));
        let calls = self.mesh.admin.calls();
        if !calls.is_empty() {
            let failed = calls.iter().filter(|call| call.answer.is_err()).count();
            told.push(format!("commands of operators: {} begun, {failed} failed", calls.len()));
        }
        let faults = std::mem::take(&mut self.over).into_iter().map(Told::new).collect();
        let (scenario, dir) = (scenario.clone(), dir.to_owned());
        Ok(Run {
            scenario,
            seed,
            dir,
            history,
            edges,
            began: self.began,
            warm: self.warm,
            ended,
            faults,
            offered,
            cpu,
            cpu_own,
            flushes,
            told,
            complaints,
        })
    }
}

impl Told {
    fn new((running, over): (fault::Running, Time)) -> Self {
        let fault::Running { kind, title, began, held, ended, is_drawn, felt, .. } = running;
        let (is_felt, evidence) = felt.map_or((false, String::new()), |felt| (felt.is_felt, felt.evidence));
        // What goes on after it was taken back, as a deploy does, ends when it is over.
        let lasts = matches!(kind.as_str(), "moves" | "drains" | "deploy");
        let ended = if lasts { over } else { ended.unwrap_or(over) };
        Told { kind, title, began, held, ended, is_drawn, is_felt, evidence }
    }
}
