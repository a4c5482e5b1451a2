//! Faults by seed: what is done to the mesh, when, and for how long.
//!
//! A plan is drawn before the mesh runs (`plan`), but for whom it concerns where that is a role: who leads is known only then. What is
//! done is taken away again when its time is over (`done`).

mod alone;
mod done;
mod plan;

use std::net::Ipv4Addr;

use dynomesh_core::time::Time;
use dynomesh_testkit::history::Incident;
use serde::Deserialize;

pub(crate) use alone::doubt_control_alone;
pub(crate) use done::Done;
pub(crate) use plan::{SPAN, plan, read};

use crate::kernel::{Cut, Kind, MS, with};
use crate::mesh::{Mesh, Role};

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
    /// When it has just heard of a quorum for what an edge asked, and has not written to a dyno yet.
    FreezeLeaderAtCommit,
    FreezeReplica,
    FreezeControl,
    FreezeDyno,
    PowerReplica,
    PowerBlock,
    PowerControl,
    CutLeader,
    CutLeaderFromEdges,
    CutLeaderFromDynos,
    CutReplica,
    /// All replicas of a block from each other: who leads keeps the edges and dynos, and nobody can take over.
    CutApart,
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

fn now() -> Time {
    Time::from_nanos(with(|world| world.now))
}

fn hosts(mesh: &Mesh, nodes: &[usize]) -> Vec<u32> {
    nodes.iter().map(|node| mesh.nodes[*node].host).collect()
}

impl Planned {
    fn one<T: Copy>(&self, of: &[T]) -> Option<T> {
        let len = of.len() as u64;
        (len > 0).then(|| of[usize::try_from(self.chance % len).unwrap_or(0)])
    }

    /// Does it.
    pub(crate) fn begin(&self, mesh: &Mesh) -> Done {
        let mut done = Done::nothing_yet(format!("{:?}", self.fault));
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
            F::FreezeLeaderAtCommit => {
                let leader = leader();
                let others: Vec<usize> = of_block.iter().copied().filter(|node| !leader.contains(node)).collect();
                self.freeze_when_told(mesh, &leader, &[&edges, &others], done);
            }
            F::FreezeReplica => self.freeze(mesh, &self.pick(mesh, &replicas), done),
            F::FreezeControl => self.freeze(mesh, &control, done),
            F::FreezeDyno => self.freeze(mesh, &self.pick(mesh, &dynos), done),
            F::PowerReplica => self.power(mesh, &self.pick(mesh, &replicas), done),
            F::PowerBlock => self.power(mesh, &of_block, done),
            F::PowerControl => self.power(mesh, &control, done),
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
            F::CutApart => {
                self.cut(mesh, &of_block, &of_block, Kind::All, false, done);
                done.cut_off(mesh, &of_block);
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
                let nodes =
                    if self.on.is_none() && self.chance & 8 > 0 { of_block } else { self.pick(mesh, &[replicas, control].concat()) };
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
        self.stop(mesh, nodes, done, |world, process| world.freeze(process));
    }

    /// Freezes processes just after nodes of each of these sets have sent them something.
    fn freeze_when_told(&self, mesh: &Mesh, nodes: &[usize], by: &[&[usize]], done: &mut Done) {
        let steps: Vec<Vec<u32>> = by.iter().map(|nodes| hosts(mesh, nodes)).collect();
        self.stop(mesh, nodes, done, |world, process| world.freeze_when_told(process, steps.clone()));
    }

    /// Stops processes that no other fault has stopped already, for that one will let them go on.
    fn stop(&self, mesh: &Mesh, nodes: &[usize], done: &mut Done, stop: impl Fn(&mut crate::kernel::World, usize)) {
        let free = |node: &usize| mesh.runs(*node) && !with(|world| world.is_frozen(mesh.nodes[*node].process));
        for node in nodes.iter().copied().filter(free) {
            let process = mesh.nodes[node].process;
            with(|world| stop(world, process));
            done.note(mesh, node, FREEZE);
            done.frozen.push(process);
            done.felt = true;
        }
    }

    fn cut(&self, mesh: &Mesh, from: &[usize], to: &[usize], kind: Kind, both: bool, done: &mut Done) {
        let (from, to) = (hosts(mesh, from), hosts(mesh, to));
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
