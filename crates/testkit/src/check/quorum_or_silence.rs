//! `quorum-or-silence`: a replica that cannot prove its leadership dispatches nothing.
//!
//! Judged at the dynos by the term and the slot that each request carries, over all dynos of a block together:
//! once a request of a later term has begun, none of an earlier one begins any more ([`Limits::slack`] later; what runs may go on);
//! a term has one leader, so its requests carry slots of one replica;
//! and while the harness knows that a replica, or a whole block, cannot reach a quorum, nothing of it begins, from the end of the lease
//! that it may have had ([`Limits::lease`] and the slack) until the fault is taken away.
//! A mesh whose requests carry these marks sends none without them; where none does, all are unknown. Unknown as well are those that begin at a dyno which was itself frozen or cut off until then, since they may
//! have lain before its door; of a dyno that was cut off from one replica alone, only those that come from there.

use std::collections::{BTreeMap, HashMap};

use dynomesh_core::id::ReplicaId;
use dynomesh_core::time::Time;

use super::runs::{self, Run};
use super::{Limits, Report};
use crate::history::{History, Incident};

/// Judges every request that a dyno of the history got.
pub fn check(history: &History, limits: &Limits) -> Report {
    let mut report = Report::new("quorum-or-silence");
    let mut at_dynos: HashMap<&str, Vec<&Incident>> = HashMap::new();
    for incident in history.incidents.iter().filter(|incident| incident.block.is_none()) {
        at_dynos.entry(incident.target.as_str()).or_default().push(incident);
    }
    let mut blocks: BTreeMap<&str, Vec<(Run<'_>, u64)>> = BTreeMap::new();
    let mut bare = 0;
    for run in runs::all(history) {
        let met = |fault: &&&Incident| fault.replica.is_none() || fault.replica == run.start.replica();
        let lay = at_dynos.get(run.dyno).is_some_and(|faults| faults.iter().filter(met).any(|fault| lasted(fault, run.began, limits)));
        match (&run.start.block, run.start.term) {
            (Some(block), Some(term)) if !lay && run.start.replica().is_some() => blocks.entry(block).or_default().push((run, term)),
            (Some(_), Some(_)) if run.start.replica().is_some() => report.unknown += 1,
            _ => bare += 1,
        }
    }
    match blocks.is_empty() {
        true => report.unknown += bare,
        false if bare > 0 => {
            report.judged += bare;
            report.violations.push(format!("{bare} requests reached dynos without a block, a term or a slot"));
        }
        false => {}
    }
    for (block, mut starts) in blocks {
        report.judged += starts.len();
        starts.sort_by_key(|(run, _)| run.began);
        judge_terms(block, &starts, limits, &mut report);
        judge_leaders(block, &starts, &mut report);
        let cut_off = history.incidents.iter().filter(|incident| incident.cut_off && incident.block.as_deref() == Some(block));
        cut_off.for_each(|incident| judge_incident(block, &starts, incident, limits, &mut report));
    }
    report
}

/// Whether a fault lasted at this time, or shortly before.
fn lasted(incident: &Incident, at: Time, limits: &Limits) -> bool {
    incident.began <= at && incident.ended.is_none_or(|ended| at < ended + limits.slack)
}

fn judge_terms(block: &str, starts: &[(Run<'_>, u64)], limits: &Limits, report: &mut Report) {
    // Each term that was higher than all before it, with its first request. Those in force are a growing list, so the one that counts for a
    // request is the last that is older than the slack.
    let mut rising: Vec<(Time, u64)> = Vec::new();
    let mut in_force = 0;
    for (run, term) in starts {
        while rising.get(in_force).is_some_and(|(first, _)| *first + limits.slack < run.began) {
            in_force += 1;
        }
        let newest = in_force.checked_sub(1).and_then(|place| rising.get(place));
        if let Some((first, newer)) = newest.filter(|(_, newer)| newer > term) {
            let late = run.began.since(*first);
            let (key, dyno) = (run.key().unwrap_or("a request"), run.dyno);
            report.violations.push(format!("{block} began {key} at {dyno} in term {term}, {late} after its first of term {newer}"));
        }
        if rising.last().is_none_or(|(_, highest)| term > highest) {
            rising.push((run.began, *term));
        }
    }
}

fn judge_leaders(block: &str, starts: &[(Run<'_>, u64)], report: &mut Report) {
    let mut leaders: BTreeMap<u64, ReplicaId> = BTreeMap::new();
    for (run, term) in starts {
        let Some(replica) = run.start.replica() else { continue };
        let leader = *leaders.entry(*term).or_insert(replica);
        if leader != replica {
            let key = run.key().unwrap_or("a request");
            report
                .violations
                .push(format!("{block} had two leaders in term {term}: {leader}, and {replica}, which began {key} at {}", run.dyno));
        }
    }
}

fn judge_incident(block: &str, starts: &[(Run<'_>, u64)], incident: &Incident, limits: &Limits, report: &mut Report) {
    let silent = incident.began + limits.lease + limits.slack;
    let first = starts.partition_point(|(run, _)| run.began < silent);
    let during = starts[first..].iter().take_while(|(run, _)| incident.ended.is_none_or(|ended| run.began < ended));
    let of_it = during.filter(|(run, _)| incident.replica.is_none() || run.start.replica() == incident.replica);
    for (run, term) in of_it {
        let (key, late) = (run.key().unwrap_or("a request"), run.began.since(incident.began));
        let Incident { target, kind, .. } = incident;
        let dyno = run.dyno;
        report
            .violations
            .push(format!("{block} began {key} at {dyno} in term {term}, {late} into {kind} of {target}, which had no quorum"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::invented::at;

    /// A dyno of `b1` begins a request of this term from this replica.
    fn began(history: History, ms: u64, term: u64, replica: u64) -> History {
        history.start_at("d", ms, |start| {
            (start.block, start.term, start.slot) = (Some("b1".into()), Some(term), Some(format!("{replica:x}-a-1")));
        })
    }

    fn judged(history: &History) -> Report {
        check(history, &Limits::default())
    }

    fn mesh() -> History {
        History::default().dyno("d", 9)
    }

    #[test]
    fn one_term_after_the_other_is_fine_also_where_a_moment_is_shared() {
        let history = began(began(began(began(mesh(), 0, 4, 1), 900, 5, 2), 1_000, 4, 1), 5_000, 5, 2);
        let report = judged(&history);
        report.assert_holds();
        assert_eq!((report.judged, report.unknown), (4, 0));
    }

    #[test]
    fn an_old_leader_that_dispatches_into_its_successors_time_is_a_violation() {
        let report = judged(&began(began(began(mesh(), 0, 4, 1), 900, 5, 2), 2_000, 4, 1));
        assert_eq!(report.violations.len(), 1, "{report}");
        assert!(report.violations[0].contains("in term 4, 1100ms after its first of term 5"), "{report}");
    }

    #[test]
    fn an_old_leader_is_found_behind_several_terms() {
        // The third term is too fresh to count yet, and the second is not.
        let history = began(began(began(began(mesh(), 0, 4, 1), 900, 5, 2), 1_900, 6, 3), 2_000, 4, 1);
        assert_eq!(judged(&history).violations.len(), 1);
        check(&history, &Limits { slack: dynomesh_core::time::Span::from_secs(2), ..Limits::default() }).assert_holds();
    }

    #[test]
    fn blocks_count_their_terms_each_for_itself() {
        let history = began(began(mesh(), 0, 4, 1), 900, 5, 2);
        let history = history
            .start_at("d", 5_000, |start| (start.block, start.term, start.slot) = (Some("b2".into()), Some(1), Some("1-a-1".into())));
        judged(&history).assert_holds();
    }

    #[test]
    fn two_leaders_of_one_term_are_a_violation() {
        let report = judged(&began(began(mesh(), 0, 4, 1), 1, 4, 2));
        assert!(report.violations[0].starts_with("b1 had two leaders in term 4"), "{report}");
    }

    fn cut_off(mut history: History, replica: Option<u64>) -> History {
        let (block, ended) = (Some("b1".to_owned()), Some(at(9_000)));
        let replica = replica.map(ReplicaId);
        history.incidents.push(Incident { block, replica, ended, cut_off: true, ..Incident::at("partition", "b1-1", at(1_000)) });
        history
    }

    #[test]
    fn a_replica_without_a_quorum_is_silent_once_its_lease_is_over() {
        let quiet = began(began(began(began(mesh(), 500, 4, 1), 1_300, 4, 1), 2_000, 5, 2), 9_500, 5, 2);
        judged(&cut_off(quiet.clone(), Some(1))).assert_holds();
        judged(&cut_off(quiet, Some(3))).assert_holds();
        let loud = began(began(mesh(), 500, 4, 1), 3_000, 4, 1);
        assert_eq!(judged(&cut_off(loud.clone(), Some(1))).violations.len(), 1);
        assert_eq!(judged(&cut_off(loud.clone(), None)).violations.len(), 1, "the whole block");
        let mut harmless = cut_off(loud, Some(1));
        harmless.incidents[0].cut_off = false;
        judged(&harmless).assert_holds();
    }

    #[test]
    fn what_lay_before_a_frozen_dyno_is_unknown() {
        let mut history = began(began(began(mesh(), 0, 4, 1), 900, 5, 2), 5_000, 4, 1);
        history.incidents.push(Incident { ended: Some(at(4_900)), ..Incident::at("freeze", "d", at(800)) });
        let report = judged(&history);
        assert_eq!((report.judged, report.unknown, report.violations.len()), (1, 2, 0));
    }

    #[test]
    fn what_comes_to_a_dyno_that_was_cut_off_from_another_replica_is_judged() {
        let mut history = began(began(began(mesh(), 0, 4, 1), 900, 5, 2), 5_000, 4, 1);
        let cut = |replica| Incident { ended: Some(at(4_900)), replica: Some(ReplicaId(replica)), ..Incident::at("cut", "d", at(800)) };
        history.incidents.push(cut(1));
        let report = judged(&history);
        assert_eq!((report.judged, report.unknown, report.violations.len()), (2, 1, 0));
        history.incidents = vec![cut(3)];
        let report = judged(&history);
        assert_eq!((report.judged, report.unknown, report.violations.len()), (3, 0, 1));
    }

    #[test]
    fn a_request_that_tells_no_term_or_slot_is_unknown() {
        let report = judged(&mesh().start("d", 1, "a", Some(("b1", 4))));
        assert_eq!((report.judged, report.unknown), (0, 1));
        let nameless = mesh().start_at("d", 1, |start| (start.block, start.term) = (Some("b1".into()), Some(4)));
        assert_eq!((judged(&nameless).judged, judged(&nameless).unknown), (0, 1), "of which replica is not told");
    }
}
