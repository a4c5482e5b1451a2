//! Which requests a fault may excuse: those that were on their way when it took hold, and, where processes were killed or frozen, through one
//! of them or its block. Nobody goes through the control plane, and a move, a drain or a deploy loses nothing but what dynos ran that were
//! restarted under it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use dynomesh_agent::demo::journal::Event;
use dynomesh_core::time::Span;
use dynomesh_testkit::check::routes_alone::CONTROL_DOWN;
use dynomesh_testkit::history::{Exchange, History, Incident};

use crate::run::Told;

/// How long after a fault had taken hold a request may be begun and still have met it.
const MET: Span = Span::from_millis(100);
/// The kinds of faults of which is known whom they took away.
const TAKEN: [&str; 4] = ["kill", "freeze", "evict", "torn-log"];
/// Those that take nobody away.
const HARMLESS: [&str; 3] = ["moves", "drains", "deploy"];

/// What is known of the ways of requests.
pub(super) struct InFlight<'a> {
    faults: &'a [Told],
    incidents: &'a [Incident],
    edges: &'a BTreeMap<SocketAddr, String>,
    /// By the names of requests.
    came: HashMap<&'a str, Came<'a>>,
}

/// Where a request came.
#[derive(Default)]
struct Came<'a> {
    dynos: HashSet<&'a str>,
    /// The blocks that sent it there; a rival's do not say.
    blocks: HashSet<&'a str>,
    /// Whether a dyno that ran it was started anew before it was done with it.
    died: bool,
}

// === impl InFlight ===

impl<'a> InFlight<'a> {
    /// By the name of each edge that `edges` says the address of.
    pub(super) fn new(history: &'a History, faults: &'a [Told], edges: &'a BTreeMap<SocketAddr, String>) -> Self {
        let mut came: HashMap<&str, Came<'_>> = HashMap::new();
        for (dyno, diary) in &history.dynos {
            let mut running: HashMap<u64, &str> = HashMap::new();
            for line in &diary.lines {
                match &line.event {
                    Event::Start(start) => {
                        let Some(key) = &start.key else { continue };
                        let came = came.entry(key).or_default();
                        came.dynos.insert(dyno.as_str());
                        came.blocks.extend(start.block.as_deref());
                        running.insert(start.n, key);
                    }
                    Event::End(end) => drop(running.remove(&end.n)),
                    Event::Listen { .. } => {
                        for (_, key) in running.drain() {
                            came.entry(key).or_default().died = true;
                        }
                    }
                }
            }
        }
        InFlight { faults, incidents: &history.incidents, edges, came }
    }

    /// Whether a request was on its way when a fault took hold that may have met it, or ran at a dyno that was restarted under it.
    pub(super) fn may_excuse(&self, exchange: &Exchange) -> bool {
        if self.came.get(exchange.key.as_str()).is_some_and(|came| came.died) {
            return true;
        }
        let met = self.faults.iter().filter(|fault| exchange.begun <= fault.held + MET && exchange.ended >= fault.began);
        met.filter(|fault| !HARMLESS.contains(&fault.kind.as_str())).any(|fault| {
            let mut of_it = self.incidents.iter().filter(|incident| incident.began == fault.held);
            match TAKEN.contains(&fault.kind.as_str()) {
                true => of_it.any(|incident| incident.kind != CONTROL_DOWN && self.may_have_gone_through(exchange, incident)),
                // Of others is not known whom they met, but for a control plane that was cut from all who route.
                false => !of_it.any(|incident| incident.kind == CONTROL_DOWN),
            }
        })
    }

    /// Unknown is where a request was that no dyno saw: it may have waited anywhere behind its edge.
    fn may_have_gone_through(&self, exchange: &Exchange, taken: &Incident) -> bool {
        let through = |name: &str| exchange.edge.and_then(|edge| self.edges.get(&edge)).is_none_or(|edge| edge == name);
        let came = self.came.get(exchange.key.as_str());
        match &taken.block {
            _ if self.edges.values().any(|edge| *edge == taken.target) => through(&taken.target),
            Some(block) => came.is_none_or(|came| came.blocks.is_empty() || came.blocks.contains(block.as_str())),
            None => came.is_none_or(|came| came.dynos.contains(taken.target.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_agent::demo::journal::{Arrival, Ending, Line, Outcome};
    use dynomesh_core::id::DynoId;
    use dynomesh_testkit::history::Diary;

    use super::super::tests::{at, get};
    use super::*;

    fn fault(kind: &str) -> Told {
        let (title, evidence) = (String::new(), String::new());
        Told { kind: kind.into(), title, began: at(1_000), held: at(1_010), ended: at(3_000), is_drawn: false, is_felt: true, evidence }
    }

    fn edges() -> BTreeMap<SocketAddr, String> {
        (1..=2).map(|n| (SocketAddr::from(([10, 0, 0, n], 80)), format!("edge-{n}"))).collect()
    }

    /// A request that was on its way through the first edge and that `d1` had from `b1`, when something was killed.
    fn excused(kind: &str, taken: Incident) -> bool {
        let start = Arrival { key: Some("900".into()), block: Some("b1".into()), ..Arrival::default() };
        let dyno = DynoId::new("d1").unwrap();
        let line = Line { boot_ns: 0, wall_ns: 0, dyno: dyno.clone(), event: Event::Start(start) };
        let mut history = History { incidents: vec![Incident { began: at(1_010), ..taken }], ..History::default() };
        history.dynos.insert(dyno, Diary { max_conns: 1, lines: vec![line] });
        let (faults, edges) = ([fault(kind)], edges());
        let exchange = Exchange { edge: edges.keys().next().copied(), ..get(900, 200) };
        InFlight::new(&history, &faults, &edges).may_excuse(&exchange)
    }

    fn taken(kind: &str, target: &str, block: Option<&str>) -> Incident {
        Incident { block: block.map(str::to_owned), ..Incident::at(kind, target, at(0)) }
    }

    #[test]
    fn only_what_was_on_its_way_has_met_a_fault() {
        let (history, faults, edges) = (History::default(), [fault("flush")], edges());
        let in_flight = InFlight::new(&history, &faults, &edges);
        assert!(in_flight.may_excuse(&get(900, 200)) && in_flight.may_excuse(&get(1_050, 10)));
        assert!(!in_flight.may_excuse(&get(900, 50)) && !in_flight.may_excuse(&get(1_200, 10)));
    }

    #[test]
    fn what_a_dyno_ran_that_was_restarted_under_it_is_excused_at_any_time() {
        let dyno = DynoId::new("d1").unwrap();
        let line = |event| Line { boot_ns: 0, wall_ns: 0, dyno: dyno.clone(), event };
        let start = line(Event::Start(Arrival { n: 1, key: Some("9000".into()), ..Arrival::default() }));
        let end = line(Event::End(Ending { n: 1, outcome: Outcome::Done, status: None, received: None, sent: None }));
        let listen = line(Event::Listen { address: "127.0.0.1:1".parse().unwrap(), pid: 1 });
        let excused = |lines: &[&Line]| {
            let mut history = History::default();
            history.dynos.insert(dyno.clone(), Diary { max_conns: 1, lines: lines.iter().map(|line| (*line).clone()).collect() });
            InFlight::new(&history, &[], &edges()).may_excuse(&get(9_000, 200))
        };
        assert!(excused(&[&start, &listen]));
        assert!(!excused(&[&start, &end, &listen]) && !excused(&[&listen, &start]));
    }

    #[test]
    fn only_what_may_have_gone_through_a_process_is_excused_by_its_death_or_sleep() {
        for kind in TAKEN {
            for (target, block) in [("edge-1", None), ("b1-2", Some("b1")), ("d1", None)] {
                assert!(excused(kind, taken(kind, target, block)), "{kind} {target}");
            }
            for (target, block) in [("edge-2", None), ("b2-1", Some("b2")), ("d2", None), ("control-1", None)] {
                assert!(!excused(kind, taken(kind, target, block)), "{kind} {target}");
            }
            assert!(!excused(kind, taken(CONTROL_DOWN, "control", None)), "nobody goes through the control plane");
        }
        assert!(excused("partition", taken("partition", "edge-2", None)), "of a cut is not known whom it met");
        assert!(!excused("partition", taken(CONTROL_DOWN, "control", None)), "but of this one");
        for kind in HARMLESS {
            assert!(!excused(kind, taken(kind, "d1", None)), "{kind}");
        }
    }
}
