//! Whether edges route that are started while the control plane is away.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dynomesh_core::time::Span;
use dynomesh_testkit::check::routes_alone::CONTROL_DOWN;
use dynomesh_testkit::history::History;

/// How long an edge may take until it routes.
const START_MAX: Span = Span::from_secs(3);

/// Complains of each edge that came back while control was away, stayed so for longer than an edge may take, and answered nothing until then.
pub(super) fn idle_edges(history: &History, edges: &BTreeMap<SocketAddr, String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for away in history.incidents.iter().filter(|incident| incident.kind == CONTROL_DOWN) {
        let Some(control_back) = away.ended else { continue };
        for (address, name) in edges {
            let of_it = history.incidents.iter().filter(|incident| incident.target == *name && incident.kind == "kill");
            let back = of_it.filter_map(|incident| incident.ended).filter(|back| *back >= away.began && *back + START_MAX < control_back);
            for back in back {
                let answers = history.exchanges.iter().filter(|exchange| {
                    exchange.edge == Some(*address) && exchange.ok().is_some() && exchange.begun > back && exchange.ended < control_back
                });
                if answers.count() == 0 {
                    let waited = control_back.since(back);
                    complaints.push(format!("{name} was started without a control plane and answered nothing for {waited}"));
                }
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use dynomesh_core::time::Time;
    use dynomesh_testkit::history::{Exchange, Incident};

    use super::*;
    use crate::figures::tests::{at, get};

    #[test]
    fn an_edge_that_came_back_without_control_must_answer() {
        let address = SocketAddr::from(([10, 0, 0, 1], 80));
        let edges = BTreeMap::from([(address, "edge-1".to_owned())]);
        let lasts = |kind: &str, target: &str, from: Time, to: Time| Incident { ended: Some(to), ..Incident::at(kind, target, from) };
        let complaints = |edge_back: u64, asked: Option<u64>| {
            let away = lasts(CONTROL_DOWN, "control", at(1_000), at(9_000));
            let killed = lasts("kill", "edge-1", at(2_000), at(edge_back));
            let mut history = History { incidents: vec![away, killed], ..History::default() };
            history.exchanges.extend(asked.map(|ms| Exchange { edge: Some(address), ..get(ms, 100) }));
            idle_edges(&history, &edges).len()
        };
        assert_eq!((complaints(4_000, Some(5_000)), complaints(4_000, None)), (0, 1));
        assert_eq!(complaints(4_000, Some(3_500)), 1, "that was the one before");
        assert_eq!(complaints(4_000, Some(8_950)), 1, "control was back when it answered");
        assert_eq!(complaints(7_000, None), 0, "control was back too soon to tell");
    }
}
