//! When a process says something new about itself.
//!
//! Every word travels to every node, so a process speaks when its state or role changes, and of requests in flight only now and then and
//! only if their number has changed by something that matters.

use super::fact::{NodeFact, NodeRole, NodeState};
use crate::gossip::count_pause;
use crate::id::{Address, NodeName, Zone};
use crate::time::{Span, Time};

/// Requests in flight are told at most this often, in larger meshes less often still.
const IN_FLIGHT_EVERY: Span = Span::from_millis(500);
/// A change of less than one part in so many is not told.
const IN_FLIGHT_PARTS: u32 = 10;

/// The words of one process about itself.
#[derive(Debug, Clone)]
pub struct NodeTelling {
    node: NodeName,
    run: u64,
    version: String,
    zone: Option<Zone>,
    admin: Address,
    keys: Vec<String>,
    in_flight_every: Span,
    said: Option<(Time, NodeFact)>,
}

impl NodeState {
    /// The state of a process that has served or not, is wanted drained or not, and has something left to do or not.
    pub fn of(served: bool, wanted_drained: bool, busy: bool) -> Self {
        match (wanted_drained, busy) {
            (true, true) => NodeState::Draining,
            (true, false) => NodeState::Drained,
            (false, _) if served => NodeState::Serving,
            (false, _) => NodeState::Starting,
        }
    }
}

impl NodeTelling {
    /// Of the run `run` of `node`, whose program has this version.
    pub fn new(node: NodeName, run: u64, version: &str, zone: Option<Zone>, admin: Address) -> Self {
        NodeTelling { node, run, version: version.to_owned(), zone, admin, keys: Vec::new(), in_flight_every: IN_FLIGHT_EVERY, said: None }
    }

    /// Takes note of the gossip keys that this process opens with, and of how many processes hear what it says.
    pub fn hear(&mut self, keys: &[String], nodes: usize) {
        if self.keys != keys {
            self.keys = keys.to_vec();
        }
        self.in_flight_every = count_pause(nodes).max(IN_FLIGHT_EVERY);
    }

    /// What is to be published now: the last word if that is still good enough, else a new one.
    pub fn tell(&mut self, now: Time, state: NodeState, in_flight: u32, role: NodeRole) -> NodeFact {
        let seq = match &self.said {
            Some((at, said)) if said.state == state && said.role == role && said.keys == self.keys => {
                if !matters(said.in_flight, in_flight) || now.since(*at) < self.in_flight_every {
                    return said.clone();
                }
                said.seq + 1
            }
            Some((_, said)) => said.seq + 1,
            None => 1,
        };
        let fact = NodeFact {
            node: self.node.clone(),
            run: self.run,
            seq,
            version: self.version.clone(),
            zone: self.zone.clone(),
            admin: self.admin,
            state,
            in_flight,
            keys: self.keys.clone(),
            role,
        };
        self.said = Some((now, fact.clone()));
        fact
    }
}

/// Whether a change is worth a word: to or from nothing, or by a part of what was told.
fn matters(told: u32, now: u32) -> bool {
    told != now && (told == 0 || now == 0 || told.abs_diff(now).saturating_mul(IN_FLIGHT_PARTS) >= told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn telling() -> NodeTelling {
        NodeTelling::new(NodeName::new("edge-1").unwrap(), 7, "0.1.0", None, "127.0.0.1:1".parse().unwrap())
    }

    fn role(port: u16) -> NodeRole {
        NodeRole::Edge { http: format!("127.0.0.1:{port}").parse().unwrap() }
    }

    #[test]
    fn a_change_of_state_or_role_is_told_at_once() {
        let mut telling = telling();
        assert_eq!(telling.tell(at(0), NodeState::Starting, 0, role(1)).seq, 1);
        assert_eq!(telling.tell(at(1), NodeState::Serving, 0, role(1)).seq, 2);
        assert_eq!(telling.tell(at(2), NodeState::Serving, 0, role(2)).seq, 3);
        assert_eq!(telling.tell(at(3), NodeState::Serving, 0, role(2)).seq, 3);
    }

    #[test]
    fn requests_in_flight_are_told_seldom_and_only_when_it_matters() {
        let mut telling = telling();
        let mut tell = |ms, in_flight| {
            let fact = telling.tell(at(ms), NodeState::Serving, in_flight, role(1));
            (fact.seq, fact.in_flight)
        };
        assert_eq!(tell(0, 100), (1, 100));
        assert_eq!(tell(499, 200), (1, 100), "too soon");
        assert_eq!(tell(500, 200), (2, 200));
        assert_eq!(tell(2_000, 219), (2, 200), "hardly a change");
        assert_eq!(tell(2_000, 220), (3, 220));
        assert_eq!(tell(3_000, 0), (4, 0));
        assert_eq!(tell(4_000, 1), (5, 1));
    }

    #[test]
    fn a_wanted_drain_is_over_when_nothing_is_left_to_do() {
        assert_eq!(NodeState::of(false, false, true), NodeState::Starting);
        assert_eq!(NodeState::of(true, false, false), NodeState::Serving);
        assert_eq!(NodeState::of(true, true, true), NodeState::Draining);
        assert_eq!(NodeState::of(true, true, false), NodeState::Drained);
    }
}
