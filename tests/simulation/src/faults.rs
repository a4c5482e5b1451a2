//! Faults by seed: what is done to the mesh, when, and for how long.
//!
//! A plan is drawn before the mesh runs, but for whom it concerns where that is a role: who leads is known only then.

use std::net::Ipv4Addr;

use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::check::routes_alone::CONTROL_DOWN;
use dynomesh_testkit::history::Incident;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use crate::kernel::{Cut, Kind, MS, with};
use crate::mesh::{Mesh, Role};

/// How long faults are made.
pub(crate) const SPAN: u64 = 10_000 * MS;
/// Fewest and most faults of a seed.
const COUNT: std::ops::RangeInclusive<usize> = 4..=8;
/// Shortest and longest duration of a fault.
const LASTS: std::ops::Range<u64> = 100 * MS..3_000 * MS;

/// Kinds of incidents in which a process is silent.
const KILL: &str = "kill";
const FREEZE: &str = "freeze";

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    KillEdge,
    KillLeader,
    KillReplica,
    KillBlock,
    KillControl,
    KillDyno,
    FreezeEdge,
    FreezeLeader,
    FreezeReplica,
    FreezeControl,
    FreezeDyno,
    PowerReplica,
    PowerBlock,
    CutLeader,
    CutLeaderFromEdges,
    CutLeaderFromDynos,
    CutReplica,
    CutOneWay,
    CutControl,
    CutGossip,
    SlowFlush,
    FailFlush,
    FullDisk,
    SlowHost,
    Loss,
    ClockAhead,
    WallStep,
    Move,
}

use Fault as F;

/// How often each is drawn, among all.
const WEIGHTS: [(Fault, u32); 28] = [
    (F::KillEdge, 2),
    (F::KillLeader, 5),
    (F::KillReplica, 3),
    (F::KillBlock, 2),
    (F::KillControl, 2),
    (F::KillDyno, 3),
    (F::FreezeEdge, 2),
    (F::FreezeLeader, 6),
    (F::FreezeReplica, 2),
    (F::FreezeControl, 1),
    (F::FreezeDyno, 2),
    (F::PowerReplica, 4),
    (F::PowerBlock, 2),
    (F::CutLeader, 4),
    (F::CutLeaderFromEdges, 2),
    (F::CutLeaderFromDynos, 3),
    (F::CutReplica, 2),
    (F::CutOneWay, 3),
    (F::CutControl, 2),
    (F::CutGossip, 2),
    (F::SlowFlush, 3),
    (F::FailFlush, 1),
    (F::FullDisk, 1),
    (F::SlowHost, 2),
    (F::Loss, 2),
    (F::ClockAhead, 2),
    (F::WallStep, 2),
    (F::Move, 8),
];

/// One fault of a plan. Times count from the beginning of the plan.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) fault: Fault,
    pub(crate) begins: u64,
    pub(crate) ends: u64,
    /// The process or block that it concerns, where that was not left to chance.
    on: Option<String>,
    /// Decides among the processes that it may concern, and how strong it is.
    chance: u64,
}

/// What has to be undone.
pub(crate) struct Done {
    /// What it was, and to whom.
    pub(crate) told: String,
    incidents: Vec<Incident>,
    killed: Vec<usize>,
    frozen: Vec<usize>,
    cuts: Vec<Cut>,
    disks: Vec<usize>,
    hosts: Vec<u32>,
    loss: bool,
    /// Counts before it, to see whether it was felt.
    before: (u64, u64),
    felt: bool,
}

/// The plan of a seed.
pub(crate) fn plan(seed: u64) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(seed);
    let all: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut draw = || {
        let mut place = rng.random_range(0..all);
        let fault = WEIGHTS.iter().find(|(_, weight)| {
            let here = place < *weight;
            place = place.saturating_sub(*weight);
            here
        });
        let begins = rng.random_range(200 * MS..SPAN - 1_000 * MS);
        let ends = (begins + rng.random_range(LASTS)).min(SPAN);
        Planned { fault: fault.expect("the place is below the sum").0, begins, ends, on: None, chance: rng.random() }
    };
    let count = usize::try_from(crate::kernel::Rng::new(seed).range(*COUNT.start() as u64, *COUNT.end() as u64 + 1)).unwrap_or(4);
    (0..count).map(|_| draw()).collect()
}

/// A plan that was written down: a found bug, told as faults.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    fault: Vec<WrittenFault>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFault {
    kind: Fault,
    #[serde(default)]
    on: Option<String>,
    begins: Span,
    ends: Span,
}

/// Reads a plan; what it leaves open is decided by the seed.
pub(crate) fn read(text: &str, seed: u64) -> Result<Vec<Planned>, toml::de::Error> {
    let written: Written = toml::from_str(text)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let planned = |WrittenFault { kind, on, begins, ends }| {
        let (begins, ends) = (begins.as_nanos(), ends.as_nanos().min(SPAN));
        Planned { fault: kind, begins, ends, on, chance: rng.random() }
    };
    Ok(written.fault.into_iter().map(planned).collect())
}

fn now() -> Time {
    Time::from_nanos(with(|world| world.now))
}

impl Planned {
    fn one<T: Copy>(&self, of: &[T]) -> Option<T> {
        let len = of.len() as u64;
        (len > 0).then(|| of[usize::try_from(self.chance % len).unwrap_or(0)])
    }

    /// Does it.
    pub(crate) fn begin(&self, mesh: &Mesh) -> Done {
        let mut done = Done {
            told: format!("{:?}", self.fault),
            incidents: Vec::new(),
            killed: Vec::new(),
            frozen: Vec::new(),
            cuts: Vec::new(),
            disks: Vec::new(),
            hosts: Vec::new(),
            loss: false,
            before: with(|world| (world.links.stopped, world.disks.felt)),
            felt: false,
        };
        self.perform(mesh, &mut done);
        done
    }

    fn perform(&self, mesh: &Mesh, done: &mut Done) {
        let of =
            |wanted: fn(&Role) -> bool| -> Vec<usize> { (0..mesh.nodes.len()).filter(|node| wanted(&mesh.nodes[*node].role)).collect() };
        let edges = of(|role| *role == Role::Edge);
        let replicas = of(|role| matches!(role, Role::Replica { .. }));
        let dynos = of(|role| matches!(role, Role::Dyno { .. }));
        let control = of(|role| *role == Role::Control);
        let block = match &self.on {
            Some(on) if on == "b1" || on == "b2" => on.clone(),
            _ => format!("b{}", 1 + self.chance / 7 % 2),
        };
        let of_block: Vec<usize> =
            replicas.iter().copied().filter(|node| mesh.nodes[*node].role == Role::Replica { block: block.clone() }).collect();
        let leader = || mesh.leading(&block).into_iter().collect::<Vec<_>>();
        match self.fault {
            F::KillEdge => self.kill(mesh, &self.pick(mesh, &edges), done),
            F::KillLeader => self.kill(mesh, &leader(), done),
            F::KillReplica => self.kill(mesh, &self.pick(mesh, &replicas), done),
            F::KillBlock => self.kill(mesh, &of_block, done),
            F::KillControl => self.kill(mesh, &control, done),
            F::KillDyno => self.kill(mesh, &self.pick(mesh, &dynos), done),
            F::FreezeEdge => self.freeze(mesh, &self.pick(mesh, &edges), done),
            F::FreezeLeader => self.freeze(mesh, &leader(), done),
            F::FreezeReplica => self.freeze(mesh, &self.pick(mesh, &replicas), done),
            F::FreezeControl => self.freeze(mesh, &control, done),
            F::FreezeDyno => self.freeze(mesh, &self.pick(mesh, &dynos), done),
            F::PowerReplica => self.power(mesh, &self.pick(mesh, &replicas), done),
            F::PowerBlock => self.power(mesh, &of_block, done),
            F::CutLeader => {
                let leader = leader();
                let others: Vec<usize> = of_block.iter().copied().filter(|node| !leader.contains(node)).collect();
                self.cut(mesh, &leader, &others, Kind::All, true, done);
                done.cut_off(mesh, &leader);
            }
            F::CutLeaderFromEdges => self.cut(mesh, &leader(), &edges, Kind::All, true, done),
            F::CutLeaderFromDynos => {
                for dyno in &dynos {
                    done.incidents.push(Incident::at("cut", &mesh.nodes[*dyno].name, now()));
                }
                self.cut(mesh, &leader(), &dynos, Kind::All, !self.chance.is_multiple_of(3), done);
            }
            F::CutReplica => {
                let one = self.pick(mesh, &replicas);
                let others: Vec<usize> = (0..mesh.nodes.len()).filter(|node| !one.contains(node)).collect();
                self.cut(mesh, &one, &others, Kind::All, true, done);
                done.cut_off(mesh, &one);
            }
            F::CutOneWay => {
                let all: Vec<usize> = (0..mesh.nodes.len()).filter(|node| !dynos.contains(node)).collect();
                let (from, to): (Vec<usize>, Vec<usize>) = all.iter().partition(|node| self.chance >> **node & 1 == 1);
                self.cut(mesh, &from, &to, Kind::All, false, done);
            }
            F::CutControl => {
                let others: Vec<usize> = (0..mesh.nodes.len()).filter(|node| !control.contains(node)).collect();
                self.cut(mesh, &control, &others, Kind::All, true, done);
            }
            F::CutGossip => {
                let (from, to): (Vec<usize>, Vec<usize>) = (0..mesh.nodes.len()).partition(|node| self.chance >> *node & 1 == 1);
                self.cut(mesh, &from, &to, Kind::Datagrams, true, done);
            }
            F::SlowFlush => {
                let nodes = if self.on.is_none() && self.chance & 8 > 0 { of_block } else { self.pick(mesh, &replicas) };
                let most = 2 * MS + self.chance / 16 % (80 * MS);
                self.disk(mesh, &nodes, done, |world, process| {
                    world.disks.slow.insert(process, most);
                });
            }
            F::FailFlush => self.disk(mesh, &self.pick(mesh, &replicas), done, |world, process| world.disks.failing.push(process)),
            F::FullDisk => self.disk(mesh, &self.pick(mesh, &replicas), done, |world, process| world.disks.full.push(process)),
            F::SlowHost => {
                let nodes = self.pick(mesh, &[edges, replicas].concat());
                let most = MS + self.chance / 16 % (40 * MS);
                for node in nodes {
                    let host = mesh.nodes[node].host;
                    done.note(mesh, node, "slow-host");
                    done.hosts.push(host);
                    done.felt = true;
                    with(|world| world.links.slow.push((host, most)));
                }
            }
            F::Loss => {
                done.loss = true;
                with(|world| world.links.loss = 50 + self.chance % 400);
            }
            F::ClockAhead => self
                .step(mesh, &self.pick(mesh, &[edges, replicas, control].concat()), done, |it, chance| it.ahead += chance % (5_000 * MS)),
            F::WallStep => self.step(mesh, &self.pick(mesh, &[edges, replicas, control].concat()), done, |it, chance| {
                let most = i64::try_from(3_600_000 * MS).unwrap_or(0);
                it.wall_offset = i64::try_from(chance >> 1).unwrap_or(0) % most * if chance & 1 == 1 { 1 } else { -1 };
            }),
            F::Move => {
                for node in self.pick(mesh, &dynos) {
                    let id = &mesh.nodes[node].name;
                    let to = if mesh.block_of(id).is_some_and(|block| block == "b1") { "b2" } else { "b1" };
                    done.told += &format!(" {id} to {to}");
                    done.felt = mesh.move_dyno(id, to);
                }
            }
        }
    }

    fn pick(&self, mesh: &Mesh, of: &[usize]) -> Vec<usize> {
        let named = |node: &&usize| self.on.as_ref().is_some_and(|on| *on == mesh.nodes[**node].name);
        of.iter().find(named).copied().or_else(|| self.one(of)).into_iter().collect()
    }

    fn kill(&self, mesh: &Mesh, nodes: &[usize], done: &mut Done) {
        for node in nodes.iter().copied().filter(|node| mesh.runs(*node)) {
            mesh.kill(node);
            done.note(mesh, node, KILL);
            done.killed.push(node);
            done.felt = true;
        }
    }

    /// Cuts the power of hosts, all at once.
    fn power(&self, mesh: &Mesh, nodes: &[usize], done: &mut Done) {
        self.kill(mesh, nodes, done);
        for node in &done.killed {
            let disk = mesh.disk(&mesh.nodes[*node]).display().to_string();
            with(|world| world.cut_power(&disk));
        }
    }

    fn freeze(&self, mesh: &Mesh, nodes: &[usize], done: &mut Done) {
        for node in nodes.iter().copied().filter(|node| mesh.runs(*node)) {
            let process = mesh.nodes[node].process;
            with(|world| world.freeze(process));
            done.note(mesh, node, FREEZE);
            done.frozen.push(process);
            done.felt = true;
        }
    }

    fn cut(&self, mesh: &Mesh, from: &[usize], to: &[usize], kind: Kind, both: bool, done: &mut Done) {
        let hosts = |nodes: &[usize]| nodes.iter().map(|node| mesh.nodes[*node].host).collect::<Vec<u32>>();
        let (from, to) = (hosts(from), hosts(to));
        let told = |hosts: &[u32]| hosts.iter().map(|host| Ipv4Addr::from(*host).to_string()).collect::<Vec<_>>().join(" ");
        done.told += &format!(" {} {} {}", told(&from), if both { "<->" } else { "->" }, told(&to));
        done.incidents.push(Incident::at("partition", &done.told, now()));
        if both {
            done.cuts.push(Cut { from: to.clone(), to: from.clone(), kind });
        }
        done.cuts.push(Cut { from, to, kind });
        with(|world| world.links.cuts.extend(done.cuts.iter().cloned()));
    }

    fn disk(&self, mesh: &Mesh, nodes: &[usize], done: &mut Done, harm: impl Fn(&mut crate::kernel::World, usize)) {
        for node in nodes {
            let process = mesh.nodes[*node].process;
            let name = mesh.nodes[*node].name.clone();
            with(|world| {
                harm(world, process);
                if matches!(self.fault, F::FailFlush | F::FullDisk) {
                    world.disks.owed.push(name);
                }
            });
            done.note(mesh, *node, "disk");
            done.disks.push(process);
        }
    }

    fn step(&self, mesh: &Mesh, nodes: &[usize], done: &mut Done, step: impl Fn(&mut crate::kernel::Process, u64)) {
        for node in nodes {
            let process = mesh.nodes[*node].process;
            with(|world| step(&mut world.processes[process], self.chance));
            done.note(mesh, *node, "clock");
            done.felt = true;
        }
    }
}

// === impl Done ===

impl Done {
    fn note(&mut self, mesh: &Mesh, node: usize, kind: &str) {
        let node = &mesh.nodes[node];
        self.told += &format!(" {}", node.name);
        let block = match &node.role {
            Role::Replica { block } => Some(block.clone()),
            _ => None,
        };
        let silent = matches!(kind, KILL | FREEZE);
        let kind = if silent && node.role == Role::Control { CONTROL_DOWN } else { kind };
        // Of a replica whose id is not known nothing can be said, or it would be said of the whole block.
        let cut_off = silent && node.id.is_some();
        self.incidents.push(Incident { block, replica: node.id, cut_off, ..Incident::at(kind, &node.name, now()) });
    }

    /// These replicas reach nobody of their group.
    fn cut_off(&mut self, mesh: &Mesh, nodes: &[usize]) {
        for node in nodes.iter().map(|node| &mesh.nodes[*node]) {
            let Role::Replica { block } = &node.role else { continue };
            let incident = Incident::at("cut-off", &node.name, now());
            let (block, cut_off) = (Some(block.clone()), node.id.is_some());
            self.incidents.push(Incident { block, replica: node.id, cut_off, ..incident });
        }
    }

    /// Takes it away. What it was, and whether it was felt.
    pub(crate) fn end(self, mesh: &mut Mesh, incidents: &mut Vec<Incident>) -> bool {
        let ended = now();
        incidents.extend(self.incidents.into_iter().map(|incident| {
            // What was frozen or killed may have been started anew by the end of another fault.
            let anew = mesh.nodes.iter().find(|node| node.name == incident.target && node.started > incident.began);
            let anew = anew.filter(|_| matches!(incident.kind.as_str(), KILL | FREEZE | CONTROL_DOWN));
            Incident { ended: Some(anew.map_or(ended, |node| node.started.min(ended))), ..incident }
        }));
        for node in self.killed {
            if !mesh.runs(node) {
                mesh.run(node);
            }
        }
        with(|world| {
            for process in self.frozen {
                world.thaw(process);
            }
            let mine = |cut: &Cut| self.cuts.iter().any(|own| own.from == cut.from && own.to == cut.to && own.kind == cut.kind);
            world.links.cuts.retain(|cut| !mine(cut));
            world.links.slow.retain(|(host, _)| !self.hosts.contains(host));
            if self.loss {
                world.links.loss = 0;
            }
            world.disks.slow.retain(|process, _| !self.disks.contains(process));
            world.disks.failing.retain(|process| !self.disks.contains(process));
            world.disks.full.retain(|process| !self.disks.contains(process));
            self.felt || world.links.stopped > self.before.0 || world.disks.felt > self.before.1
        })
    }
}
