//! The questions that are asked of a simulated mesh.

use dynomesh_core::gossip::{count_pause, load_pause};
use dynomesh_core::id::Epoch;
use dynomesh_core::map::fact::ReleasedFact;
use dynomesh_core::map::{Fact, MapView};
use dynomesh_core::time::{Span, Time};
use rand::RngExt;

use super::network::{Network, Traffic};
use super::{Role, Scale, facts};

/// How long traffic is counted.
const COUNTED: Span = Span::from_secs(20);
/// Leaders that change, one after the other.
const CHANGES: usize = 20;
/// Edges that start, one after the other.
const FRESH: usize = 5;
/// Moves, one after the other.
const MOVES: usize = 20;
/// Given up after this.
const PATIENCE: Span = Span::from_secs(60);

/// Times in milliseconds and bytes a second.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// How many nodes there were.
    pub nodes: usize,
    /// Until an edge that has just started has every leader and app.
    pub edge_routes: Vec<f64>,
    /// Until it has every load as well.
    pub edge_loads: Vec<f64>,
    /// Until half of the nodes know of a change of leader.
    pub leader_median: Vec<f64>,
    /// Until all do.
    pub leader_all: Vec<f64>,
    /// From an assignment to both blocks' replicas and control.
    pub assigned: Vec<f64>,
    /// From a promise to the replicas of the block that waits for it.
    pub released: Vec<f64>,
    /// Sent and received by a node of each kind each second, mean and most, when no fact changes.
    pub quiet: [Bytes; 3],
    /// The same while every load and count changes whenever it may.
    pub busy: [Bytes; 3],
}

/// Bytes a second of one kind of node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bytes {
    /// Mean of what is sent.
    pub sent: f64,
    /// Mean of what is received.
    pub received: f64,
    /// Sent by the one that sends most.
    pub sent_max: f64,
}

/// Builds a mesh and asks it everything; `said` is told what comes next.
pub fn measure(scale: &Scale, said: impl Fn(&str)) -> Findings {
    said("a settled mesh is built");
    let mut network = Network::settled(scale.clone());
    network.run(Span::from_secs(2));
    network.take_traffic();
    said("nothing changes");
    network.run(COUNTED);
    let quiet = bytes(scale, &network.take_traffic());
    said("loads change");
    soften(&mut network, COUNTED);
    let busy = bytes(scale, &network.take_traffic());
    let mut findings = Findings { nodes: scale.nodes(), quiet, busy, ..Findings::default() };
    said("leaders change");
    for nth in 0..CHANGES {
        change_leader(&mut network, nth, &mut findings);
    }
    said("dynos move");
    for nth in 0..MOVES {
        move_dyno(&mut network, nth, &mut findings);
    }
    said("edges start");
    for _ in 0..FRESH {
        start_edge(&mut network, &mut findings);
    }
    findings
}

/// Every leader says anew what its load is whenever it may, each at its own time.
fn soften(network: &mut Network, span: Span) {
    let scale = network.scale.clone();
    let (load, count) = (load_pause(scale.nodes()), count_pause(scale.nodes()));
    let begun = network.now;
    let mut due: Vec<(Time, Time, u64)> = (0..scale.blocks)
        .map(|_| {
            let mut within = |pause: Span| begun + Span::from_nanos(network.rng.random_range(0..pause.as_nanos()));
            (within(load), within(count), 0)
        })
        .collect();
    while network.now.since(begun) < span {
        network.run(Span::from_millis(50));
        let now = network.now;
        for (of, (load_at, count_at, seq)) in due.iter_mut().enumerate() {
            let mut facts = Vec::new();
            if *load_at <= now {
                (*load_at, *seq) = (*load_at + load, *seq + 1);
                facts.extend(facts::loads(&scale, of, *seq));
            }
            if *count_at <= now {
                (*count_at, *seq) = (*count_at + count, *seq + 1);
                facts.extend(facts::owned(&scale, of, *seq));
            }
            if !facts.is_empty() {
                let items: Vec<_> = facts.iter().map(|fact| facts::item(fact, &MapView::new())).collect();
                network.publish(scale.leader(of), &items);
            }
        }
    }
}

fn change_leader(network: &mut Network, nth: usize, findings: &mut Findings) {
    let scale = network.scale.clone();
    let of = network.rng.random_range(0..scale.blocks);
    let item = facts::item(&facts::leader(&scale, of, 8 + nth as u64), &MapView::new());
    network.watch(&item);
    let begun = network.now;
    network.publish(scale.leader(of) + 1, &[item]);
    let all = until(network, |network| network.heard()[..scale.nodes()].iter().all(Option::is_some));
    let mut heard: Vec<f64> = network.heard().iter().flatten().map(|at| ms(at.since(begun))).collect();
    heard.sort_by(f64::total_cmp);
    findings.leader_median.push(heard[heard.len() / 2]);
    findings.leader_all.push(if all.is_some() { heard[heard.len() - 1] } else { f64::INFINITY });
}

fn move_dyno(network: &mut Network, nth: usize, findings: &mut Findings) {
    let scale = network.scale.clone();
    let from = network.rng.random_range(0..scale.blocks);
    let to = (from + 1) % scale.blocks;
    let epoch = 1 + nth as u64;
    let fact = facts::assigned(&scale, from, nth % scale.dynos, to, epoch);
    let replicas = |of: usize| scale.leader(of)..scale.leader(of) + scale.replicas;
    let item = facts::item(&fact, &MapView::new());
    network.watch(&item);
    network.publish(0, &[item]);
    let concerned: Vec<usize> = replicas(from).chain(replicas(to)).chain(0..scale.control).collect();
    findings.assigned.push(took(until(network, |network| concerned.iter().all(|nth| network.heard()[*nth].is_some()))));
    let mut view = MapView::new();
    view.absorb(fact);
    let dyno = facts::dyno(from, nth % scale.dynos);
    let promise = Fact::Released(ReleasedFact { dyno, block: facts::block(from), group: None, epoch: Epoch((1 << 48) + epoch) });
    let item = facts::item(&promise, &view);
    network.watch(&item);
    network.publish(scale.leader(from), &[item]);
    findings.released.push(took(until(network, |network| replicas(to).all(|nth| network.heard()[nth].is_some()))));
}

fn start_edge(network: &mut Network, findings: &mut Findings) {
    let scale = network.scale.clone();
    let id = |fact: &Fact| facts::item(fact, &MapView::new()).id();
    let mut needed: Vec<u64> = (0..scale.blocks).map(|of| id(&facts::leader(&scale, of, 1))).collect();
    needed.extend((0..scale.blocks).flat_map(|of| facts::apps_of(&scale, of)).map(|nth| id(&facts::app_fact(nth))));
    let loads: Vec<u64> = (0..scale.blocks).flat_map(|of| facts::loads(&scale, of, 0)).map(|fact| id(&fact)).collect();
    let pause = Span::from_millis(network.rng.random_range(0..1000));
    network.run(pause);
    let (begun, edge) = (network.now, network.add_edge());
    let has = |network: &Network, ids: &[u64]| ids.iter().all(|id| network.node(edge).item(*id).is_some());
    let routes = until(network, |network| has(network, &needed));
    findings.edge_routes.push(took(routes));
    let loaded = until(network, |network| has(network, &loads));
    findings.edge_loads.push(loaded.map_or(f64::INFINITY, |_| ms(network.now.since(begun))));
}

/// Lets time pass until `done`; tells how long that took.
fn until(network: &mut Network, done: impl Fn(&Network) -> bool) -> Option<Span> {
    let begun = network.now;
    while !done(network) {
        if network.now.since(begun) > PATIENCE {
            return None;
        }
        network.run(Span::from_millis(1));
    }
    Some(network.now.since(begun))
}

fn took(span: Option<Span>) -> f64 {
    span.map_or(f64::INFINITY, ms)
}

fn ms(span: Span) -> f64 {
    span.as_millis_f64()
}

fn bytes(scale: &Scale, traffic: &[Traffic]) -> [Bytes; 3] {
    let seconds = COUNTED.as_secs_f64();
    let of = |kind: fn(Role) -> bool| {
        let mut all = Bytes::default();
        let theirs: Vec<&Traffic> = traffic.iter().enumerate().filter(|(nth, _)| kind(scale.role(*nth))).map(|(_, one)| one).collect();
        let count = theirs.len().max(1) as f64;
        for one in theirs {
            all.sent += one.sent as f64 / seconds / count;
            all.received += one.received as f64 / seconds / count;
            all.sent_max = all.sent_max.max(one.sent as f64 / seconds);
        }
        all
    };
    [of(|role| role == Role::Control), of(|role| role == Role::Edge), of(|role| matches!(role, Role::Replica(_)))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_mesh_keeps_the_promises_of_the_large_one() {
        let scale = Scale { blocks: 30, dynos: 20, edges: 5, ..Scale::default() };
        let found = measure(&scale, |_| {});
        let worst = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
        assert!(worst(&found.edge_routes) < 2_000.0, "a fresh edge routes after {:?} ms", found.edge_routes);
        assert!(worst(&found.leader_all) < 1_000.0, "changes of leaders are everywhere after {:?} ms", found.leader_all);
        assert!(worst(&found.assigned) < 1_000.0 && worst(&found.released) < 1_000.0, "{:?} {:?}", found.assigned, found.released);
        for kind in found.quiet {
            assert!(kind.sent_max < 5_000.0, "{:?}", found.quiet);
        }
    }
}
