//! Which requests a fault may excuse: those that were on their way when it took hold, and, where processes were killed or frozen, through one
//! of them: a dyno that had the request had it from that replica, and where none had it that replica sent others to dynos until then. Nobody
//! goes through the control plane, and a move, a drain or a deploy loses nothing but what dynos ran that were restarted under it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use dynomesh_agent::demo::journal::Event;
use dynomesh_core::id::ReplicaId;
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::check::routes_alone::CONTROL_DOWN;
use dynomesh_testkit::history::{Exchange, History, Incident, Outcome};

use crate::run::Told;

/// How long after a fault had taken hold a request may be begun and still have met it.
const MET: Span = Span::from_millis(100);
/// How soon after a request failed at a dyno that is started anew as soon as it is gone that is back.
const RESTARTED: Span = Span::from_millis(500);
/// A replica that had sent nothing to any dyno for so long when it was taken away did not lead: no request waited there.
const LED: Span = Span::from_secs(5);
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
    /// When each replica sent requests to dynos, in order.
    sent: HashMap<ReplicaId, Vec<Time>>,
    /// For each dyno, from its last word to when it was started anew.
    dead: HashMap<&'a str, Vec<(Time, Time)>>,
}

/// Where a request came.
#[derive(Default)]
struct Came<'a> {
    dynos: HashSet<&'a str>,
    /// The blocks that sent it there; a rival's do not say.
    blocks: HashSet<&'a str>,
    /// The replicas that did; not known of a request without a slot.
    replicas: HashSet<ReplicaId>,
    /// Whether a dyno that ran it was started anew before it was done with it.
    died: bool,
}

// === impl InFlight ===

impl<'a> InFlight<'a> {
    /// By the name of each edge that `edges` says the address of.
    pub(super) fn new(history: &'a History, faults: &'a [Told], edges: &'a BTreeMap<SocketAddr, String>) -> Self {
        let mut came: HashMap<&str, Came<'_>> = HashMap::new();
        let mut dead: HashMap<&str, Vec<(Time, Time)>> = HashMap::new();
        let mut sent: HashMap<ReplicaId, Vec<Time>> = HashMap::new();
        for (dyno, diary) in &history.dynos {
            let mut running: HashMap<u64, &str> = HashMap::new();
            for (before, line) in diary.lines.iter().zip(diary.lines.iter().skip(1)) {
                if let Event::Listen { .. } = line.event {
                    dead.entry(dyno.as_str()).or_default().push((Time::from_nanos(before.boot_ns), Time::from_nanos(line.boot_ns)));
                }
            }
            for line in &diary.lines {
                match &line.event {
                    Event::Start(start) => {
                        if let Some(replica) = start.replica() {
                            sent.entry(replica).or_default().push(Time::from_nanos(line.boot_ns));
                        }
                        let Some(key) = &start.key else { continue };
                        let came = came.entry(key).or_default();
                        came.dynos.insert(dyno.as_str());
                        came.blocks.extend(start.block.as_deref());
                        came.replicas.extend(start.replica());
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
        sent.values_mut().for_each(|times| times.sort_unstable());
        InFlight { faults, incidents: &history.incidents, edges, came, sent, dead }
    }

    /// Whether a request was on its way when a fault took hold that may have met it, or ran at a dyno that was restarted under it.
    pub(super) fn may_excuse(&self, exchange: &Exchange) -> bool {
        if self.came.get(exchange.key.as_str()).is_some_and(|came| came.died) || self.died_unseen(exchange) {
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

    /// Whether the dyno that is said to have failed was killed before it could note that it had the request: it has noted nothing since the
    /// request failed, nor before that while it was on its way, and was started anew right afterwards.
    fn died_unseen(&self, exchange: &Exchange) -> bool {
        let Outcome::Failed(answer) = &exchange.outcome else { return false };
        let dead = answer.header("x-dynomesh-dyno").and_then(|dyno| self.dead.get(dyno));
        let fits = |(last, anew): &(Time, Time)| (*last..*anew).contains(&exchange.ended) && anew.since(exchange.ended) <= RESTARTED;
        !self.came.contains_key(exchange.key.as_str()) && dead.is_some_and(|dead| dead.iter().any(fits))
    }

    /// Whether a replica sent a request to a dyno shortly before it was taken away.
    fn led(&self, replica: ReplicaId, taken: Time) -> bool {
        let times = self.sent.get(&replica).map_or(&[][..], Vec::as_slice);
        let before = times.partition_point(|at| *at <= taken);
        before.checked_sub(1).is_some_and(|last| taken.since(times[last]) <= LED)
    }

    /// Unknown is where a request was that no dyno saw: it may have waited at any replica that led.
    fn may_have_gone_through(&self, exchange: &Exchange, taken: &Incident) -> bool {
        let through = |name: &str| exchange.edge.and_then(|edge| self.edges.get(&edge)).is_none_or(|edge| edge == name);
        let came = self.came.get(exchange.key.as_str());
        let of_block = |block: &str| match taken.replica {
            Some(replica) => match came {
                Some(came) if !came.replicas.is_empty() => came.replicas.contains(&replica),
                _ => self.led(replica, taken.began),
            },
            None => came.is_none_or(|came| came.blocks.is_empty() || came.blocks.contains(block)),
        };
        match &taken.block {
            _ if self.edges.values().any(|edge| *edge == taken.target) => through(&taken.target),
            Some(block) => of_block(block),
            None => came.is_none_or(|came| came.dynos.contains(taken.target.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_agent::demo::journal::{Arrival, Ending, Line, Outcome};
    use dynomesh_core::id::DynoId;
    use dynomesh_testkit::history::{Diary, Outcome as HistoryOutcome};

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

    /// A POST whose client heard nothing, and what of it dynos wrote, when a replica was killed.
    #[test]
    fn the_death_of_a_replica_excuses_what_it_had_sent_and_not_what_another_of_its_block_had() {
        let slot = |replica: &str| format!("{replica}-1-1");
        let excused = |start: Option<Arrival>| {
            let dyno = DynoId::new("d1").unwrap();
            let line = |ms, start| Line { boot_ns: at(ms).as_nanos(), wall_ns: 0, dyno: dyno.clone(), event: Event::Start(start) };
            let other = Arrival { key: Some("1".into()), block: Some("b1".into()), slot: Some(slot("a")), ..Arrival::default() };
            let lines = [Some(line(800, other)), start.map(|start| line(950, start))].into_iter().flatten().collect();
            let mut history = History::default();
            history.dynos.insert(dyno.clone(), Diary { max_conns: 1, lines });
            [0xa, 0xb].map(|replica| {
                let kill = Incident { replica: Some(ReplicaId(replica)), ..taken("kill", "b1-1", Some("b1")) };
                let history = History { incidents: vec![Incident { began: at(1_010), ..kill }], ..history.clone() };
                InFlight::new(&history, &[fault("kill")], &edges()).may_excuse(&get(900, 200))
            })
        };
        let of =
            |replica| Some(Arrival { key: Some("900".into()), block: Some("b1".into()), slot: Some(slot(replica)), ..Arrival::default() });
        assert_eq!(excused(of("a")), [true, false]);
        assert_eq!(excused(of("b")), [false, true]);
        assert_eq!(excused(None), [true, false], "nobody went through a replica that sent nothing to any dyno");
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

    /// Killed between taking a connection and noting what came by it.
    #[test]
    fn what_a_dyno_took_that_was_killed_before_it_noted_that_is_excused() {
        let dyno = DynoId::new("d1").unwrap();
        let line = |ms: u64, event| Line { boot_ns: at(ms).as_nanos(), wall_ns: 0, dyno: dyno.clone(), event };
        let start = |ms, key: &str| line(ms, Event::Start(Arrival { key: Some(key.into()), ..Arrival::default() }));
        let listen = |ms| line(ms, Event::Listen { address: "127.0.0.1:1".parse().unwrap(), pid: 1 });
        // It failed at 9,200.
        let mut failed = get(9_000, 200);
        if let HistoryOutcome::Ok(mut answer) = failed.outcome {
            answer.headers.insert("x-dynomesh-dyno", "d1".parse().unwrap());
            failed.outcome = HistoryOutcome::Failed(answer);
        }
        let excused = |exchange: &Exchange, lines: &[Line]| {
            let mut history = History::default();
            history.dynos.insert(dyno.clone(), Diary { max_conns: 1, lines: lines.to_vec() });
            InFlight::new(&history, &[], &edges()).may_excuse(exchange)
        };
        assert!(excused(&failed, &[start(9_190, "1"), listen(9_250)]));
        assert!(!excused(&failed, &[start(9_190, "1"), start(9_210, "2"), listen(9_250)]), "it lived on");
        assert!(!excused(&failed, &[start(9_190, "1"), listen(9_800)]), "that was long afterwards");
        assert!(!excused(&failed, &[start(9_190, "1"), listen(9_195), start(9_300, "2")]), "and that before");
        assert!(!excused(&failed, &[listen(9_250)]), "it had not lived before");
        let noted = [
            start(9_100, "9000"),
            line(9_150, Event::End(Ending { n: 0, outcome: Outcome::Done, status: None, received: None, sent: None })),
        ];
        assert!(!excused(&failed, &[&noted[..], &[listen(9_250)]].concat()), "the dyno had done it");
        assert!(!excused(&get(9_000, 200), &[start(9_190, "1"), listen(9_250)]), "nothing was lost");
        let elsewhere = Exchange { outcome: HistoryOutcome::Unknown("reset".into()), ..failed };
        assert!(!excused(&elsewhere, &[start(9_190, "1"), listen(9_250)]), "nobody says that it was there");
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
