//! Faults by seed: what is done to the mesh, when, and for how long.
//!
//! A plan is drawn before the mesh runs (`plan`), but for whom it concerns where that is a role: who leads is known only then. What is
//! done is taken away again when its time is over (`done`). Which kinds there are, and whom each may strike, says `kind`.

mod alone;
mod done;
mod kind;
mod plan;

use std::net::Ipv4Addr;

use dynomesh_core::time::Time;
use dynomesh_testkit::history::Incident;
use kind::{Fault, Fault as F, Strikes, Tier};

pub(crate) use alone::doubt_control_alone;
pub(crate) use done::Done;
pub(crate) use plan::{SPAN, plan, read};

use crate::kernel::{Cut, Disks, Kind, MS, Slow, World, with};
use crate::mesh::{Mesh, Role};

/// Kinds of incidents in which a process is silent.
const KILL: &str = "kill";
const FREEZE: &str = "freeze";

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

    /// Does it, as the fault of this number.
    pub(crate) fn begin(&self, number: usize, mesh: &Mesh) -> Done {
        let mut done = Done::nothing_yet(number, format!("{:?}", self.fault));
        self.perform(mesh, &mut done);
        done
    }

    fn perform(&self, mesh: &Mesh, done: &mut Done) {
        let of = |tier: Tier| -> Vec<usize> { (0..mesh.nodes.len()).filter(|node| tier.has(&mesh.nodes[*node])).collect() };
        let [edges, replicas, dynos, control] = [Tier::Edge, Tier::Replica, Tier::Dyno, Tier::Control].map(of);
        let block = match &self.on {
            Some(on) if on == "b1" || on == "b2" => on.clone(),
            _ => format!("b{}", 1 + self.chance / 7 % 2),
        };
        let of_block: Vec<usize> =
            replicas.iter().copied().filter(|node| mesh.nodes[*node].role == Role::Replica { block: block.clone() }).collect();
        let leader = || mesh.leading(&block).into_iter().collect::<Vec<_>>();
        match self.fault {
            F::KillEdge => self.kill(mesh, &self.pick(mesh), done),
            F::KillLeader => self.kill(mesh, &leader(), done),
            F::KillReplica => self.kill(mesh, &self.pick(mesh), done),
            F::KillBlock => self.kill(mesh, &of_block, done),
            F::KillControl => self.kill(mesh, &control, done),
            F::KillDyno => self.kill(mesh, &self.pick(mesh), done),
            F::FreezeEdge => self.freeze(mesh, &self.pick(mesh), done),
            F::FreezeLeader => self.freeze(mesh, &leader(), done),
            F::FreezeLeaderAtCommit => {
                let leader = leader();
                let others: Vec<usize> = of_block.iter().copied().filter(|node| !leader.contains(node)).collect();
                self.freeze_when_told(mesh, &leader, &[&edges, &others], done);
            }
            F::FreezeReplica => self.freeze(mesh, &self.pick(mesh), done),
            F::FreezeControl => self.freeze(mesh, &control, done),
            F::FreezeDyno => self.freeze(mesh, &self.pick(mesh), done),
            F::PowerReplica => self.power(mesh, &self.pick(mesh), done),
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
                let leader = leader();
                for (dyno, leader) in dynos.iter().flat_map(|dyno| leader.iter().map(move |leader| (dyno, leader))) {
                    let replica = mesh.nodes[*leader].id;
                    done.incidents.push(Incident { replica, ..Incident::at("cut", &mesh.nodes[*dyno].name, now()) });
                }
                self.cut(mesh, &leader, &dynos, Kind::All, !self.chance.is_multiple_of(3), done);
            }
            F::CutReplica => {
                let one = self.pick(mesh);
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
                // Whoever is not heard, or does not hear, gets no vote and no acknowledgement.
                let lonely = |node: &&usize| {
                    let group = replicas.iter().filter(|peer| mesh.nodes[**peer].role == mesh.nodes[**node].role);
                    group.clone().filter(|peer| from.contains(peer) == from.contains(node)).count() * 2 <= group.count()
                };
                done.cut_off(mesh, &replicas.iter().filter(lonely).copied().collect::<Vec<_>>());
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
                let nodes = if self.on.is_none() && self.chance & 8 > 0 { of_block } else { self.pick(mesh) };
                let most = 2 * MS + self.chance / 16 % (80 * MS);
                self.disk(mesh, &nodes, done, |disks, fault, process| disks.slow.add(fault, (process, most)));
            }
            F::FailFlush => self.disk(mesh, &self.pick(mesh), done, |disks, fault, process| disks.failing.add(fault, process)),
            F::FullDisk => self.disk(mesh, &self.pick(mesh), done, |disks, fault, process| disks.full.add(fault, process)),
            F::SlowHost => {
                let nodes = self.pick(mesh);
                let most = MS + self.chance / 16 % (40 * MS);
                for node in nodes {
                    let host = mesh.nodes[node].host;
                    done.note(mesh, node, "slow-host");
                    with(|world| world.links.slow.add(done.number, Slow { host, most }));
                }
            }
            F::Loss => with(|world| world.links.losses.add(done.number, 50 + self.chance % 400)),
            F::ClockAhead => {
                self.step(mesh, done, |world, fault, process| world.step_ahead(fault, process, self.chance % (5_000 * MS)));
            }
            F::WallStep => self.step(mesh, done, |world, fault, process| {
                let most = i64::try_from(3_600_000 * MS).unwrap_or(0);
                let offset = i64::try_from(self.chance >> 1).unwrap_or(0) % most * if self.chance & 1 == 1 { 1 } else { -1 };
                world.step_wall(fault, process, offset);
            }),
            F::Move => {
                for node in self.pick(mesh) {
                    let id = &mesh.nodes[node].name;
                    let to = if mesh.block_of(id).is_some_and(|block| block == "b1") { "b2" } else { "b1" };
                    done.told += &format!(" {id} to {to}");
                    done.moved = mesh.move_dyno(id, to);
                }
            }
        }
    }

    /// The process that it concerns: the one that is named, or one by chance.
    fn pick(&self, mesh: &Mesh) -> Vec<usize> {
        let Strikes::One(tiers) = self.fault.strikes() else { return Vec::new() };
        let of = |tier: &Tier| (0..mesh.nodes.len()).filter(|node| tier.has(&mesh.nodes[*node])).collect::<Vec<_>>();
        let all: Vec<usize> = tiers.iter().flat_map(of).collect();
        match &self.on {
            Some(on) => all.into_iter().filter(|node| mesh.nodes[*node].name == *on).collect(),
            None => self.one(&all).into_iter().collect(),
        }
    }

    fn kill(&self, mesh: &Mesh, nodes: &[usize], done: &mut Done) {
        for node in nodes.iter().copied().filter(|node| mesh.runs(*node)) {
            mesh.kill(node);
            done.note(mesh, node, KILL);
            done.killed.push((node, mesh.nodes[node].process));
        }
    }

    /// Cuts the power of hosts, all at once.
    fn power(&self, mesh: &Mesh, nodes: &[usize], done: &mut Done) {
        self.kill(mesh, nodes, done);
        for (node, _) in &done.killed {
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
        done.aimed = true;
        let fault = done.number;
        self.stop(mesh, nodes, done, |world, process| world.freeze_when_told(fault, process, steps.clone()));
    }

    /// Stops processes that no other fault has stopped already, for that one will let them go on.
    fn stop(&self, mesh: &Mesh, nodes: &[usize], done: &mut Done, stop: impl Fn(&mut World, usize)) {
        let free = |node: &usize| mesh.runs(*node) && !with(|world| world.is_frozen(mesh.nodes[*node].process));
        for node in nodes.iter().copied().filter(free) {
            let process = mesh.nodes[node].process;
            with(|world| stop(world, process));
            done.note(mesh, node, FREEZE);
            done.frozen.push(process);
        }
    }

    fn cut(&self, mesh: &Mesh, from: &[usize], to: &[usize], kind: Kind, both: bool, done: &mut Done) {
        let (from, to) = (hosts(mesh, from), hosts(mesh, to));
        let told = |hosts: &[u32]| hosts.iter().map(|host| Ipv4Addr::from(*host).to_string()).collect::<Vec<_>>().join(" ");
        done.told += &format!(" {} {} {}", told(&from), if both { "<->" } else { "->" }, told(&to));
        done.incidents.push(Incident::at("partition", &done.told, now()));
        with(|world| {
            if both {
                world.links.cuts.add(done.number, Cut { from: to.clone(), to: from.clone(), kind });
            }
            world.links.cuts.add(done.number, Cut { from, to, kind });
        });
    }

    fn disk(&self, mesh: &Mesh, nodes: &[usize], done: &mut Done, harm: impl Fn(&mut Disks, usize, usize)) {
        for node in nodes {
            let process = mesh.nodes[*node].process;
            let name = mesh.nodes[*node].name.clone();
            with(|world| {
                harm(&mut world.disks, done.number, process);
                if matches!(self.fault, F::FailFlush | F::FullDisk) {
                    world.disks.owed.push(name);
                }
            });
            done.note(mesh, *node, "disk");
        }
    }

    fn step(&self, mesh: &Mesh, done: &mut Done, step: impl Fn(&mut World, usize, usize)) {
        for node in self.pick(mesh) {
            let process = mesh.nodes[node].process;
            with(|world| step(world, done.number, process));
            done.note(mesh, node, "clock");
        }
    }
}
