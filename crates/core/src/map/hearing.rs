//! Whether a process that has just started has heard enough of the map: a block's to give out slots, the directory's to be written.
//!
//! A block that was evicted while it was away still owns its dynos by its own log, and another block owns them by now (P16). Only the map
//! tells it. So a fresh process that comes to lead waits for the map, but not for ever: with nobody there to tell, it serves what it has
//! (`routes-alone`). The wait counts from the start of the process, so a replica that takes over while it runs never waits.
//!
//! A directory that lost its disks or was restored from a backup cannot tell before it hears words that it never said (P17, P19). It waits
//! likewise for anybody but its own kind, who know no more than it does.

use super::MapView;
use super::fact::NodeRole;
use crate::id::BlockName;
use crate::time::{Span, Time};

/// What ended the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The directory's leader has told of itself, long enough ago for all else it says to have come too: facts come in any order.
    Directory,
    /// Somebody outside of the block has, long enough ago for what he passes on to have come too.
    Others,
    /// Nobody has, in all the time there was.
    Nobody,
}

/// The wait of one process.
#[derive(Debug, Clone)]
pub struct Hearing {
    started: Time,
    wait: Span,
    settle: Span,
    outside: Option<Time>,
    heard: Option<Heard>,
}

impl Hearing {
    /// Waits from `started` for at most `wait`. What somebody passes on takes up to `settle` to come.
    pub fn new(started: Time, wait: Span, settle: Span) -> Self {
        Hearing { started, wait, settle, outside: None, heard: None }
    }

    /// Looks at what was heard since the process started; an end of the wait is for good.
    pub fn look(&mut self, now: Time, me: &BlockName, view: &MapView) -> Option<Heard> {
        self.look_beyond(now, |role| matches!(role, NodeRole::Block { block, .. } if block == me), view)
    }

    /// The same for a process of the directory.
    pub fn look_beyond_control(&mut self, now: Time, view: &MapView) -> Option<Heard> {
        self.look_beyond(now, |role| matches!(role, NodeRole::Control { .. }), view)
    }

    fn look_beyond(&mut self, now: Time, own: impl Fn(&NodeRole) -> bool, view: &MapView) -> Option<Heard> {
        if self.heard.is_none() {
            self.heard = self.judge(now, own, view);
        }
        self.heard
    }

    fn judge(&mut self, now: Time, own: impl Fn(&NodeRole) -> bool, view: &MapView) -> Option<Heard> {
        let directory = view.nodes().any(|node| matches!(node.role, NodeRole::Control { leads: true, .. }));
        if self.outside.is_none() && view.nodes().any(|node| !own(&node.role)) {
            self.outside = Some(now);
        }
        match self.outside {
            Some(outside) if now.since(outside) >= self.settle => Some(if directory { Heard::Directory } else { Heard::Others }),
            _ => (now.since(self.started) >= self.wait).then_some(Heard::Nobody),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{NodeName, ReplicaId};
    use crate::map::Fact;
    use crate::map::fact::{NodeFact, NodeState};

    const ADDRESS: &str = "127.0.0.1:1";

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn me() -> BlockName {
        BlockName::new("b1").unwrap()
    }

    fn node(name: &str, role: NodeRole) -> Fact {
        Fact::Node(NodeFact {
            node: NodeName::new(name).unwrap(),
            run: 1,
            seq: 1,
            version: "0".into(),
            zone: None,
            admin: ADDRESS.parse().unwrap(),
            state: NodeState::Serving,
            in_flight: 0,
            keys: Vec::new(),
            role,
        })
    }

    fn control(leads: bool) -> Fact {
        node("control-1", NodeRole::Control { replica: ReplicaId(1), grpc: ADDRESS.parse().unwrap(), leads })
    }

    fn edge() -> Fact {
        node("edge-1", NodeRole::Edge { http: ADDRESS.parse().unwrap() })
    }

    fn replica(block: &str) -> Fact {
        let (http, grpc) = (ADDRESS.parse().unwrap(), ADDRESS.parse().unwrap());
        let block = BlockName::new(block).unwrap();
        node("b-2", NodeRole::Block { block, group: None, replica: ReplicaId(2), http, grpc, leads: false })
    }

    fn hearing() -> Hearing {
        Hearing::new(at(100), Span::from_millis(1_000), Span::from_millis(300))
    }

    fn view(facts: impl IntoIterator<Item = Fact>) -> MapView {
        let mut view = MapView::new();
        facts.into_iter().for_each(|fact| assert!(view.absorb(fact)));
        view
    }

    #[test]
    fn the_directorys_leader_is_enough_when_all_it_says_has_come_too() {
        let (mut hearing, view) = (hearing(), view([control(true)]));
        assert_eq!((hearing.look(at(100), &me(), &view), hearing.look(at(399), &me(), &view)), (None, None));
        assert_eq!(hearing.look(at(400), &me(), &view), Some(Heard::Directory));
    }

    #[test]
    fn others_are_enough_when_what_they_pass_on_has_come_too() {
        for other in [edge(), replica("b2"), control(false)] {
            let (mut hearing, view) = (hearing(), view([other]));
            assert_eq!(hearing.look(at(200), &me(), &view), None);
            assert_eq!(hearing.look(at(499), &me(), &view), None);
            assert_eq!(hearing.look(at(500), &me(), &view), Some(Heard::Others));
        }
    }

    #[test]
    fn the_blocks_own_replicas_know_no_more_and_the_wait_ends() {
        let (mut hearing, view) = (hearing(), view([replica("b1")]));
        assert_eq!(hearing.look(at(1_099), &me(), &view), None);
        assert_eq!(hearing.look(at(1_100), &me(), &view), Some(Heard::Nobody));
    }

    #[test]
    fn the_directory_is_told_by_blocks_and_edges_not_by_its_own_replicas() {
        let (mut waits, others) = (hearing(), view([control(true), replica("b1")]));
        assert_eq!((waits.look_beyond_control(at(200), &others), waits.look_beyond_control(at(499), &others)), (None, None));
        assert_eq!(waits.look_beyond_control(at(500), &others), Some(Heard::Directory));
        let (mut waits, own) = (hearing(), view([control(false)]));
        assert_eq!(waits.look_beyond_control(at(1_099), &own), None);
        assert_eq!(waits.look_beyond_control(at(1_100), &own), Some(Heard::Nobody));
    }

    #[test]
    fn a_process_that_has_run_for_longer_does_not_wait() {
        assert_eq!(hearing().look(at(5_000), &me(), &MapView::new()), Some(Heard::Nobody));
    }
}
