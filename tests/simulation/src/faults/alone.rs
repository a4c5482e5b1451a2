//! When the mesh may be said to have been without its control plane alone.
//!
//! `routes-alone` demands that something is answered in every second without control, whatever else is broken. That is not so where other
//! faults leave edges no block, and a part of a second in which a few requests met full queues proves nothing. Such an incident is told as
//! the death of a process.

use std::collections::BTreeSet;

use dynomesh_core::time::Span;
use dynomesh_testkit::check::routes_alone::CONTROL_DOWN;
use dynomesh_testkit::history::Incident;

use super::KILL;

/// What is judged as a whole.
const SECOND: Span = Span::from_secs(1);

/// Leaves of each time without control whole seconds, and those only in which at most one block was harmed and no way was cut.
pub(crate) fn doubt_control_alone(incidents: &mut [Incident]) {
    let others: Vec<Incident> = incidents.iter().filter(|incident| incident.kind != CONTROL_DOWN).cloned().collect();
    for down in incidents.iter_mut().filter(|incident| incident.kind == CONTROL_DOWN) {
        let Some(ended) = down.ended else { continue };
        let seconds = ended.since(down.began).as_nanos() / SECOND.as_nanos();
        let during = others.iter().filter(|other| other.began < ended && other.ended.is_none_or(|over| down.began < over + SECOND));
        let (blocks, cut) = during.fold((BTreeSet::new(), false), |(mut blocks, cut), other| {
            blocks.extend(other.block.as_deref());
            (blocks, cut || other.kind == "partition")
        });
        if seconds == 0 || cut || blocks.len() > 1 {
            down.kind = KILL.into();
        } else {
            down.ended = Some(down.began + Span::from_secs(seconds));
        }
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_core::time::Time;

    use super::*;

    fn at(ms: u64) -> Time {
        Time::ZERO + Span::from_millis(ms)
    }

    fn down(from: u64, to: u64) -> Incident {
        Incident { ended: Some(at(to)), ..Incident::at(CONTROL_DOWN, "control-1", at(from)) }
    }

    fn of_block(kind: &str, block: Option<&str>) -> Incident {
        let ended = Some(at(2_000));
        Incident { ended, block: block.map(str::to_owned), ..Incident::at(kind, "somebody", at(1_000)) }
    }

    fn judged(others: &[Incident], mut down: Incident) -> Option<Time> {
        let mut all = others.to_vec();
        all.push(down);
        doubt_control_alone(&mut all);
        down = all.pop().unwrap();
        (down.kind == CONTROL_DOWN).then(|| down.ended.unwrap())
    }

    #[test]
    fn only_whole_seconds_in_which_a_block_is_left_count() {
        let [one, other, cut] = [of_block("kill", Some("b1")), of_block("freeze", Some("b2")), of_block("partition", None)];
        assert_eq!(judged(&[], down(0, 2_700)), Some(at(2_000)));
        assert_eq!(judged(&[], down(0, 900)), None);
        assert_eq!(judged(&[one.clone(), one.clone()], down(0, 2_000)), Some(at(2_000)));
        assert_eq!(judged(&[one.clone(), other.clone()], down(0, 2_000)), None);
        assert_eq!(judged(std::slice::from_ref(&cut), down(2_500, 4_000)), None);
        assert_eq!(judged(&[one, other, cut], down(3_100, 4_100)), Some(at(4_100)));
    }
}
