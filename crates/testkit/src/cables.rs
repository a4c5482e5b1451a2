//! What a mesh costs beyond the work of its dynos: the delays that a simulation of it is given as cables.
//!
//! Both are seen from outside, by the client and by the journals of the dynos, and both hold everything that a delay consists of here:
//! the loopback, two routers, the commit of a grant, the connection to the dyno, and how late the dyno's timer is.

use std::collections::HashMap;
use std::fmt;

use dynomesh_agent::demo::journal::{Event, Line};
use dynomesh_core::time::{Span, Time};

use crate::client::Ask;
use crate::cluster::Cluster;
use crate::latency::Latencies;
use crate::wait;

/// Requests sent one by one.
const ALONE: usize = 200;
/// What each of them takes at its dyno.
const ALONE_WORK: Span = Span::from_millis(20);
/// Between them: long enough that nothing of one is left when the next comes.
const ALONE_GAP: Span = Span::from_millis(20);
/// Bursts of twice as many requests as there are slots, so that half of each wait for a slot that is taken.
const BURSTS: usize = 20;
/// Shortest work of a request of a burst.
const BURST_WORK: Span = Span::from_millis(40);

/// Measured delays.
#[derive(Debug)]
pub struct Delays {
    /// What a request takes beyond its work when the mesh has nothing else to do.
    pub trip: Latencies,
    /// From one start to the next at a dyno for which requests wait, without the work of the first: how long a slot is taken in vain.
    pub turn: Latencies,
}

impl Delays {
    /// Measures a mesh that has nothing else to do, for about twenty seconds.
    pub fn measure(cluster: &Cluster) -> Self {
        Delays { trip: trip(cluster), turn: turn(cluster) }
    }
}

fn trip(cluster: &Cluster) -> Latencies {
    let client = cluster.client();
    let mut trip = Latencies::new();
    for _ in 0..ALONE {
        let seen = client.send(Ask::get("/alone").service(ALONE_WORK));
        seen.expect_ok();
        trip.record(seen.latency() - ALONE_WORK);
        wait::pass(ALONE_GAP);
    }
    trip
}

fn turn(cluster: &Cluster) -> Latencies {
    let client = cluster.client();
    let slots: u32 = cluster.dynos().iter().map(|dyno| dyno.max_conns).sum();
    // No two of a burst take the same time, so that dynos do not take their turns all at once, which they do under no real load.
    let work = |place: u32| BURST_WORK + Span::from_millis(u64::from(place * 37 % (2 * slots)) * 3);
    let mut turns = Latencies::new();
    for _ in 0..BURSTS {
        cluster.await_idle();
        let asks: Vec<Ask> = (0..2 * slots).map(|place| Ask::get("/burst").service(work(place))).collect();
        let works: HashMap<String, Span> = asks.iter().zip(0..).map(|(ask, place)| (ask.key.clone(), work(place))).collect();
        client.send_all(asks);
        cluster.dynos().iter().for_each(|dyno| turns_of(&dyno.journal(), &works).for_each(|turn| turns.record(turn)));
    }
    turns
}

/// The turns of one dyno at the requests of `works`.
fn turns_of(journal: &[Line], works: &HashMap<String, Span>) -> impl Iterator<Item = Span> {
    let begun = |line: &Line| match &line.event {
        Event::Start(start) => Some((Time::from_nanos(line.boot_ns), *works.get(start.key.as_ref()?)?)),
        Event::Listen { .. } | Event::End(_) => None,
    };
    let begun: Vec<(Time, Span)> = journal.iter().filter_map(begun).collect();
    let turns: Vec<Span> = begun.windows(2).map(|pair| pair[1].0.since(pair[0].0) - pair[0].1).collect();
    turns.into_iter()
}

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trip: {}\nturn: {}", self.trip, self.turn)
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_agent::demo::journal::Arrival;
    use dynomesh_core::id::DynoId;

    use super::*;

    fn start(ms: u64, key: &str) -> Line {
        let arrival = Arrival { n: 1, method: "GET".into(), path: "/".into(), key: Some(key.into()), ..Arrival::default() };
        let boot_ns = Span::from_millis(ms).as_nanos();
        Line { boot_ns, wall_ns: 0, dyno: DynoId::new("d1").unwrap(), event: Event::Start(arrival) }
    }

    #[test]
    fn a_turn_is_what_lies_between_two_starts_beyond_the_work() {
        let works = HashMap::from([("a".to_owned(), Span::from_millis(50)), ("b".to_owned(), Span::from_millis(70))]);
        let journal = [start(5, "before"), start(100, "a"), start(154, "b"), start(900, "later")];
        let turns: Vec<Span> = turns_of(&journal, &works).collect();
        assert_eq!(turns, [Span::from_millis(4)]);
    }
}
