//! `one-owner`: at most one block may dispatch to a dyno at any instant, and the ownership epoch a dyno sees never goes back.
//!
//! Judged at the dyno by the block and epoch that each request carries: epochs only grow, also over restarts of the dyno's process;
//! an epoch belongs to one block; and requests of two blocks are never in flight together, since a block releases a dyno only when
//! nothing of its own is left there. A mesh whose requests carry these marks sends none without them; where none does, all are unknown.

use std::collections::BTreeMap;

use dynomesh_agent::demo::journal::{Arrival, Event};

use super::Report;
use crate::history::{Diary, History};

/// Judges every dyno of the history.
pub fn check(history: &History) -> Report {
    let mut report = Report::new("one-owner");
    for (dyno, diary) in &history.dynos {
        judge(dyno.as_str(), diary, &mut report);
    }
    if report.judged > 0 {
        let bare = std::mem::take(&mut report.unknown);
        report.judged += bare;
        report.violations.extend((bare > 0).then(|| format!("{bare} requests reached dynos without a block or an epoch")));
    }
    report
}

fn judge(dyno: &str, diary: &Diary, report: &mut Report) {
    let mut newest = 0;
    let mut owners: BTreeMap<u64, &str> = BTreeMap::new();
    let mut in_flight: BTreeMap<u64, &str> = BTreeMap::new();
    for line in &diary.lines {
        match &line.event {
            Event::Listen { .. } => in_flight.clear(),
            Event::End(end) => {
                in_flight.remove(&end.n);
            }
            Event::Start(Arrival { n, block: Some(block), epoch: Some(epoch), .. }) => {
                report.judged += 1;
                if *epoch < newest {
                    report.violations.push(format!("{dyno} saw epoch {epoch} of {block} after {newest}"));
                }
                newest = newest.max(*epoch);
                let owner = *owners.entry(*epoch).or_insert(block);
                if owner != block {
                    report.violations.push(format!("{dyno} saw epoch {epoch} of both {owner} and {block}"));
                }
                if let Some(other) = in_flight.values().find(|other| *other != block) {
                    report.violations.push(format!("{dyno} had requests of {other} and {block} in flight together"));
                }
                in_flight.insert(*n, block);
            }
            Event::Start(_) => report.unknown += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dyno() -> History {
        History::default().dyno("d", 2).listen("d")
    }

    #[test]
    fn a_move_that_waits_for_the_last_request_is_fine() {
        let history = dyno().start("d", 1, "a", Some(("b1", 4))).end("d", 1).start("d", 2, "b", Some(("b2", 5)));
        check(&history).assert_holds();
        check(&history.end("d", 2).start("d", 3, "c", Some(("b1", 6)))).assert_holds();
    }

    #[test]
    fn an_epoch_that_goes_back_is_a_violation_also_after_a_restart() {
        let history = dyno().start("d", 1, "a", Some(("b2", 5))).end("d", 1).listen("d").start("d", 1, "b", Some(("b1", 4)));
        assert_eq!(check(&history).violations, ["d saw epoch 4 of b1 after 5"]);
    }

    #[test]
    fn one_epoch_of_two_blocks_is_a_violation() {
        let history = dyno().start("d", 1, "a", Some(("b1", 4))).end("d", 1).start("d", 2, "b", Some(("b2", 4)));
        assert_eq!(check(&history).violations, ["d saw epoch 4 of both b1 and b2"]);
    }

    #[test]
    fn requests_of_two_blocks_in_flight_together_are_a_violation() {
        let history = dyno().start("d", 1, "a", Some(("b1", 4))).start("d", 2, "b", Some(("b2", 5)));
        assert_eq!(check(&history).violations, ["d had requests of b1 and b2 in flight together"]);
    }

    #[test]
    fn requests_that_did_not_come_through_the_mesh_are_unknown() {
        let report = check(&dyno().start("d", 1, "a", None));
        assert_eq!((report.judged, report.unknown, report.violations.len()), (0, 1, 0));
    }
}
