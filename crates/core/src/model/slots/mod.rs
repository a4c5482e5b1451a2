//! One block and one dyno of it: who may free a slot, and when, explored.
//!
//! Replicas of the block freeze, wake, die and take over; requests are granted, written, arrive late or never, run as long as they like, and
//! are cut with unknown outcome. Leaders ask holders whether they live and the dyno whether it is idle, hear stale answers, and
//! free what `block::doubt` lets them free. The dyno takes one request at a time and is to be found out, or takes several
//! and answers every question at once, request or none.
//!
//! Time is a count of beats. A head that was written arrives within the next beat or never, which is what the dyno's sockets are set
//! to; `silent_hold` is two. Nobody's deadline passes while the model runs: past it a slot is freed by definition (P8). The write
//! gate holds (P7): who no longer leads writes nothing.

mod instances;
mod judge;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::explore::Model;
use super::part::{Part, Print, print_of};
use crate::app::{AppSpec, DynoSpec, Policy};
use crate::block::doubt::{Asked, Known};
use crate::block::{AdoptDyno, BlockState, Command, Lessons, Reply};
use crate::id::{AppName, DynoId, Epoch, Holder, Host, Incarnation, Index, ReplicaId, SlotId, Version};
use crate::map::fact::CUT_DEFAULT;
use crate::time::{Span, Time};
use step::Step;

/// Requests that the dyno may have in flight.
const MAX_CONNS: u32 = 1;
/// Beats a written head may take to arrive.
const TRANSIT_MAX: u64 = 1;
/// No slot's deadline passes in a model of a few beats.
const SPAN: Span = Span::from_secs(60);

/// A block, its dyno and what may happen to them.
#[derive(Debug, Clone, Copy)]
struct Instance {
    /// Whether the dyno takes one request at a time, one connection after the other.
    serial: bool,
    /// Whether the block knows that from the start.
    known: bool,
    replicas: usize,
    requests: u8,
    /// Freezes and kills.
    faults: u8,
    beats: u64,
    /// How often a request may end by chance just when a threaded dyno answers.
    flukes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Life {
    Alive,
    Frozen,
    Dead,
}

/// How far a granted slot has come, as its holder sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Claim {
    Granted,
    Written,
    /// Cut with unknown outcome at this beat.
    Cut(u64),
    /// Its end was seen.
    Over,
}

/// What is replicated, what each process knows and what runs at the dyno.
#[derive(Debug, Clone)]
struct Scene {
    state: Part<BlockState>,
    lives: Vec<Life>,
    leader: usize,
    led_since: u64,
    now: u64,
    claims: BTreeMap<SlotId, Claim>,
    /// Heads that were written and have not arrived, with the beat they were written at.
    under_way: BTreeMap<SlotId, u64>,
    /// Requests in flight at the dyno.
    running: BTreeSet<SlotId>,
    question: Option<Question>,
    /// What the leader has heard of holders.
    known: BTreeMap<usize, Known>,
    lessons: Lessons,
    left: Left,
}

/// The leader's last idle question.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    asked: Asked,
    sent: u64,
    /// What stood in the dyno's line before it.
    behind: BTreeSet<SlotId>,
}

/// What may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Left {
    requests: u8,
    faults: u8,
    flukes: u8,
}

fn at(beat: u64) -> Time {
    Time::ZERO + Span::from_millis(beat)
}

fn dyno() -> DynoId {
    DynoId::new("d0").unwrap()
}

fn holder(replica: usize) -> Holder {
    Holder { replica: ReplicaId(replica as u64), incarnation: Incarnation(1) }
}

/// The replica whose run holds a slot.
fn holder_of(slot: SlotId) -> usize {
    usize::try_from(slot.holder.replica.0).unwrap()
}

/// A block that owns the dyno.
fn owning(known: Option<bool>) -> BlockState {
    let name = AppName::new("shop").unwrap();
    let app = AppSpec { hosts: vec![Host::new("shop.test").unwrap()], name: name.clone(), policy: Policy::default() };
    let spec = DynoSpec { id: dyno(), app: name, address: "10.0.0.1:3000".parse().unwrap(), max_conns: MAX_CONNS };
    let adopt = Command::Adopt(AdoptDyno { spec, epoch: Epoch(1), drain: false, cut: CUT_DEFAULT });
    let mut state = BlockState::new();
    let learn = known.map(|serial| Command::Learn { dyno: dyno(), epoch: Epoch(1), serial });
    for command in [Command::SetApp { spec: Box::new(app), version: Version(1) }, adopt].into_iter().chain(learn) {
        assert_eq!(state.apply(Index(1), command), Reply::Done);
    }
    state
}

impl Model for Instance {
    type State = Scene;
    type Step = Step;

    fn start(&self) -> Scene {
        Scene {
            state: Part::new(owning(self.known.then_some(self.serial))),
            lives: vec![Life::Alive; self.replicas],
            leader: 0,
            led_since: 0,
            now: 0,
            claims: BTreeMap::new(),
            under_way: BTreeMap::new(),
            running: BTreeSet::new(),
            question: None,
            known: BTreeMap::new(),
            lessons: Lessons::default(),
            left: Left { requests: self.requests, faults: self.faults, flukes: self.flukes },
        }
    }

    fn next(&self, scene: &Scene) -> Vec<(Step, Scene)> {
        self.steps(scene).into_iter().map(|step| (step, self.take(scene, step))).collect()
    }

    fn print(&self, scene: &Scene) -> Print {
        let Scene { state, lives, leader, led_since, now, claims, under_way, running, question, known, lessons, left } = scene;
        let question = question.as_ref().map(|question| (format!("{:?}", question.asked), question.sent, &question.behind));
        let soft = (question, format!("{known:?} {lessons:?}"), left);
        print_of(&(state.print(), lives, leader, led_since, now, (claims, under_way, running), soft))
    }

    /// The dyno has no more requests in flight than it may have, and no slot stays taken for ever.
    fn check(&self, scene: &Scene) -> Result<(), String> {
        let running = scene.running.len();
        if running > MAX_CONNS as usize {
            return Err(format!("cap: {running} requests of {MAX_CONNS} in flight at the dyno"));
        }
        self.check_leaks(scene)
    }
}
