//! What can happen next.

use std::collections::{BTreeMap, BTreeSet};

use super::{Claim, Instance, Life, Question, SPAN, Scene, TRANSIT_MAX, at, dyno, holder, holder_of};
use crate::block::doubt::{Asked, Known, Verdict};
use crate::block::{Command, Lessons, Reply};
use crate::id::{Epoch, Index, SlotId};

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The leader has a slot granted.
    Grant,
    /// The leader writes the head of a request.
    Write(SlotId),
    /// A head reaches the dyno.
    Arrive(SlotId),
    /// A head is lost, and its connection with it.
    Lose(SlotId),
    /// A request ends at the dyno.
    End(SlotId),
    /// A holder cuts a request, of which nobody can say how far it came.
    Cut(SlotId),
    /// A living holder gives back a slot that is over or was never written.
    Free(SlotId),
    /// A replica falls silent.
    Freeze(usize),
    /// A silent replica goes on as if nothing had been.
    Wake(usize),
    /// A replica dies.
    Kill(usize),
    /// A replica takes over from a leader that is silent or dead.
    Lead(usize),
    /// The leader finds out about a holder.
    Hear(usize),
    /// The leader asks the dyno whether it is idle.
    Ask,
    /// The dyno answers.
    Answer,
    /// The dyno does not accept the question.
    Refuse,
    /// The leader frees a slot in doubt.
    Judge(SlotId),
    /// The leader learns something about the dyno from a running request.
    Learn(bool),
    /// A beat passes.
    Beat,
}

impl Instance {
    /// Everything that can happen now.
    pub(super) fn steps(&self, scene: &Scene) -> Vec<Step> {
        let mut steps = Vec::new();
        let leads = scene.lives[scene.leader] == Life::Alive;
        self.lives(scene, leads, &mut steps);
        self.requests(scene, leads, &mut steps);
        if leads {
            self.findings(scene, &mut steps);
        }
        let arrived = scene.under_way.values().all(|written| scene.now < written + TRANSIT_MAX);
        if scene.now < self.beats && arrived {
            steps.push(Step::Beat);
        }
        steps
    }

    fn lives(&self, scene: &Scene, leads: bool, steps: &mut Vec<Step>) {
        for (nth, life) in scene.lives.iter().enumerate() {
            if *life == Life::Alive && scene.left.faults > 0 {
                steps.extend([Step::Freeze(nth), Step::Kill(nth)]);
            }
            if *life == Life::Frozen {
                steps.push(Step::Wake(nth));
                steps.extend((scene.left.faults > 0).then_some(Step::Kill(nth)));
            }
            if *life == Life::Alive && !leads {
                steps.push(Step::Lead(nth));
            }
        }
    }

    fn requests(&self, scene: &Scene, leads: bool, steps: &mut Vec<Step>) {
        if leads && scene.left.requests > 0 {
            steps.push(Step::Grant);
        }
        for (slot, claim) in &scene.claims {
            let (slot, alive) = (*slot, scene.lives[holder_of(*slot)] == Life::Alive);
            match claim {
                Claim::Granted if alive => {
                    steps.push(Step::Free(slot));
                    // The write gate: only who leads, and only a slot that is still its own.
                    let open = holder_of(slot) == scene.leader && scene.state.slot(slot).is_some();
                    steps.extend(open.then_some(Step::Write(slot)));
                }
                Claim::Written if alive => steps.push(Step::Cut(slot)),
                // Through whoever leads.
                Claim::Over if alive && leads && scene.state.slot(slot).is_some() => steps.push(Step::Free(slot)),
                _ => {}
            }
        }
        steps.extend(scene.under_way.keys().flat_map(|slot| [Step::Arrive(*slot), Step::Lose(*slot)]));
        steps.extend(scene.running.iter().map(|slot| Step::End(*slot)));
    }

    fn findings(&self, scene: &Scene, steps: &mut Vec<Step>) {
        let doubts = scene.doubts();
        let holders: BTreeSet<usize> = doubts.iter().filter(|(_, doubt)| !doubt.own).map(|(slot, _)| holder_of(*slot)).collect();
        steps.extend(holders.into_iter().map(Step::Hear));
        for (slot, doubt) in &doubts {
            match scene.judge(*slot, doubt, at(scene.now)) {
                Verdict::Free(_) => steps.push(Step::Judge(*slot)),
                Verdict::Ask => steps.push(Step::Ask),
                Verdict::Wait => {}
            }
        }
        if let Some(Question { asked: Asked::Waiting, behind, .. }) = &scene.question {
            let in_line = behind.iter().any(|slot| scene.running.contains(slot) || scene.under_way.contains_key(slot));
            steps.extend((!self.serial || !in_line).then_some(Step::Answer));
            steps.push(Step::Refuse);
        }
        let unknown = scene.state.dyno(&dyno()).is_some_and(|record| record.serial.is_none());
        if unknown && scene.running.iter().any(|slot| holder_of(*slot) == scene.leader) {
            steps.extend((self.serial || scene.left.flukes > 0).then_some(Step::Learn(true)));
            steps.extend((!self.serial).then_some(Step::Learn(false)));
        }
    }

    /// The scene after a step.
    pub(super) fn take(&self, scene: &Scene, step: Step) -> Scene {
        let mut next = scene.clone();
        match step {
            Step::Grant => next.grant(),
            Step::Write(slot) => {
                next.claims.insert(slot, Claim::Written);
                next.under_way.insert(slot, next.now);
            }
            Step::Arrive(slot) => {
                next.under_way.remove(&slot);
                next.running.insert(slot);
            }
            Step::Lose(slot) => {
                next.under_way.remove(&slot);
                next.seen(slot);
            }
            Step::End(slot) => {
                next.running.remove(&slot);
                next.seen(slot);
            }
            Step::Cut(slot) => drop(next.claims.insert(slot, Claim::Cut(next.now))),
            Step::Free(slot) => next.free(slot),
            Step::Freeze(nth) => next.fails(nth, Life::Frozen),
            Step::Kill(nth) => next.fails(nth, Life::Dead),
            Step::Wake(nth) => next.lives[nth] = Life::Alive,
            Step::Lead(nth) => {
                (next.leader, next.led_since, next.question) = (nth, next.now, None);
                (next.known, next.lessons) = (BTreeMap::new(), Lessons::default());
            }
            Step::Hear(nth) => next.hear(nth),
            Step::Ask => {
                let behind = next.running.iter().chain(next.under_way.keys()).copied().collect();
                next.question = Some(Question { asked: Asked::Waiting, sent: next.now, behind });
            }
            Step::Answer => next.answered(Asked::IdleSince),
            Step::Refuse => next.answered(|_| Asked::Failed),
            Step::Judge(slot) => {
                next.claims.remove(&slot);
                next.apply(Command::Free { slots: vec![slot] });
            }
            Step::Learn(serial) => {
                next.left.flukes -= u8::from(serial && !self.serial);
                next.lessons.begin(dyno());
                if let Some(serial) = next.lessons.note(&dyno(), Some(serial)) {
                    next.apply(Command::Learn { dyno: dyno(), epoch: Epoch(1), serial });
                }
            }
            Step::Beat => next.now += 1,
        }
        next
    }
}

impl Scene {
    fn apply(&mut self, command: Command) -> Reply {
        self.state.edit(|state| state.apply(Index(1), command))
    }

    fn grant(&mut self) {
        self.left.requests -= 1;
        let slot = SlotId { holder: holder(self.leader), seq: u64::from(self.left.requests) };
        if self.apply(Command::Grant { slot, dyno: dyno(), epoch: Epoch(1), span: SPAN }) == Reply::Granted {
            self.claims.insert(slot, Claim::Granted);
        }
    }

    /// The holder sees the end of what it wrote, unless it has cut it; a frozen one when it wakes.
    fn seen(&mut self, slot: SlotId) {
        if self.claims.get(&slot) == Some(&Claim::Written) {
            self.claims.insert(slot, Claim::Over);
        }
    }

    fn free(&mut self, slot: SlotId) {
        self.claims.remove(&slot);
        self.apply(Command::Free { slots: vec![slot] });
    }

    fn fails(&mut self, nth: usize, life: Life) {
        self.left.faults -= 1;
        self.lives[nth] = life;
        if life == Life::Dead {
            self.claims.retain(|slot, _| holder_of(*slot) != nth);
        }
    }

    fn hear(&mut self, nth: usize) {
        let known = match self.lives[nth] {
            Life::Alive => Known::Alive,
            Life::Frozen => Known::Silent,
            Life::Dead => Known::Dead(at(self.now)),
        };
        // The proof of a death is had once.
        if !matches!(self.known.get(&nth), Some(Known::Dead(_))) {
            self.known.insert(nth, known);
        }
    }

    fn answered(&mut self, asked: impl Fn(crate::time::Time) -> Asked) {
        if let Some(question) = &mut self.question {
            question.asked = asked(at(question.sent));
            question.behind.clear();
        }
    }
}
