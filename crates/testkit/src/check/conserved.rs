//! `conserved`: no dyno is lost; once faults heal, every assigned dyno is owned by exactly the block it is assigned to.
//!
//! The harness asks the control plane for the list of dynos when everything is healed and every move is done (the census), and then sends
//! bursts of more requests than there are slots. From [`Limits::recovery`] after the heal on, each dyno that is meant to serve must be
//! listed as assigned to a block and as owned by it under that epoch, and every request that it gets must come from that block under that
//! epoch; and it must get some, since a block that only claims a dyno has lost it all the same. A dyno that is not listed was forgotten, for no
//! harness removes one for good; and one that is drained, and so not meant to serve, gets none after the census. Unknown: dynos that got no
//! request where no burst asked for every slot.

use std::collections::BTreeMap;

use dynomesh_agent::demo::journal::{Arrival, Event};
use dynomesh_core::time::Time;

use super::{Limits, Report};
use crate::history::{Census, Diary, History, Listed};

/// Judges every dyno of the history, which needs a census and the time of the heal.
pub fn check(history: &History, limits: &Limits) -> Report {
    let mut report = Report::new("conserved");
    let (Some(census), Some(healed)) = (&history.census, history.healed) else { return report };
    let from = healed + limits.recovery;
    let listed: BTreeMap<&str, &Listed> = census.dynos.iter().map(|listed| (listed.dyno.as_str(), listed)).collect();
    let was_asked = history.bursts.iter().any(|burst| burst.began >= from);
    for listed in census.dynos.iter().filter(|listed| listed.serves) {
        let diary = history.dynos.get(&listed.dyno);
        judge(listed, census, diary.map_or_else(Vec::new, |diary| asked_since(diary, from)), was_asked, &mut report);
    }
    for listed in census.dynos.iter().filter(|listed| !listed.serves) {
        let late = history.dynos.get(&listed.dyno).map_or_else(Vec::new, |diary| asked_since(diary, from.max(census.at)));
        if let Some(start) = late.first() {
            report.violations.push(format!("{} is drained and was used by {}", listed.dyno, block(start)));
        }
    }
    for (dyno, diary) in history.dynos.iter().filter(|(dyno, _)| !listed.contains_key(dyno.as_str())) {
        report.judged += 1;
        report.violations.push(match asked_since(diary, from).first() {
            Some(start) => format!("{dyno} is sent requests by {} and is not listed", block(start)),
            None => format!("{dyno} is not listed"),
        });
    }
    report
}

fn judge(listed: &Listed, census: &Census, starts: Vec<&Arrival>, was_asked: bool, report: &mut Report) {
    let Listed { dyno, block: assigned, epoch, owner, owned_epoch, .. } = listed;
    let at = census.at.as_nanos() / 1_000_000;
    let Some(assigned) = assigned else {
        report.judged += 1;
        report.violations.push(format!("{dyno} was assigned to no block at {at} ms"));
        return;
    };
    if owner.as_ref() != Some(assigned) || owned_epoch != epoch {
        let owner = owner.as_deref().unwrap_or("nobody");
        let told = format!("{dyno} was assigned to {assigned} under {epoch} and owned by {owner} under {owned_epoch} at {at} ms");
        report.violations.push(told);
    }
    let is_foreign = |start: &&&Arrival| start.block.as_ref() != Some(assigned) || start.epoch != Some(*epoch);
    if let Some(start) = starts.iter().find(is_foreign) {
        let under = start.epoch.map_or_else(|| "no epoch".to_owned(), |epoch| epoch.to_string());
        report.violations.push(format!("{dyno} is assigned to {assigned} under {epoch} and was used by {} under {under}", block(start)));
    }
    let is_told = was_asked || !starts.is_empty();
    (report.judged, report.unknown) = (report.judged + usize::from(is_told), report.unknown + usize::from(!is_told));
    if starts.is_empty() && was_asked {
        report.violations.push(format!("{dyno} of {assigned} was given no request, though every slot was asked for"));
    }
}

/// Requests of a dyno from a time on.
fn asked_since(diary: &Diary, from: Time) -> Vec<&Arrival> {
    let late = diary.lines.iter().filter(|line| line.boot_ns >= from.as_nanos());
    late.filter_map(|line| if let Event::Start(start) = &line.event { Some(start) } else { None }).collect()
}

fn block(start: &Arrival) -> &str {
    start.block.as_deref().unwrap_or("no block")
}

#[cfg(test)]
mod tests {
    use dynomesh_core::id::DynoId;

    use super::*;
    use crate::history::Burst;
    use crate::history::invented::at;

    const HEALED: u64 = 1_000;
    const LATE: u64 = HEALED + 10_000;

    fn owned(dyno: &str) -> Listed {
        let dyno = DynoId::new(dyno).unwrap();
        Listed { dyno, block: Some("b1".into()), epoch: 7, owner: Some("b1".into()), owned_epoch: 7, serves: true }
    }

    fn listing(dynos: Vec<Listed>) -> History {
        let census = Some(Census { at: at(LATE), dynos });
        History { census, healed: Some(at(HEALED)), ..History::default() }.dyno("d", 1)
    }

    fn used(history: History, dyno: &str, ms: u64, by: (&str, u64)) -> History {
        history.start_at(dyno, ms, |start| (start.block, start.epoch) = (Some(by.0.into()), Some(by.1)))
    }

    fn judged(history: &History) -> Report {
        check(history, &Limits::default())
    }

    #[test]
    fn a_dyno_that_its_block_owns_and_uses_is_fine_whatever_was_before() {
        let history = used(listing(vec![owned("d")]), "d", HEALED, ("b2", 6));
        let report = judged(&used(history, "d", LATE, ("b1", 7)));
        report.assert_holds();
        assert_eq!((report.judged, report.unknown), (1, 0));
    }

    #[test]
    fn a_dyno_that_another_block_uses_or_that_is_used_under_another_epoch_is_a_violation() {
        for by in [("b2", 7), ("b1", 6)] {
            let report = judged(&used(listing(vec![owned("d")]), "d", LATE, by));
            assert_eq!(report.violations, [format!("d is assigned to b1 under 7 and was used by {} under {}", by.0, by.1)]);
        }
    }

    #[test]
    fn a_dyno_that_nobody_owns_or_the_wrong_block_is_a_violation() {
        for (owner, epoch) in [(None, 0), (Some("b2"), 7), (Some("b1"), 6)] {
            let listed = Listed { owner: owner.map(str::to_owned), owned_epoch: epoch, ..owned("d") };
            let report = judged(&used(listing(vec![listed]), "d", LATE, ("b1", 7)));
            assert_eq!(report.violations.len(), 1, "{report}");
        }
        let nowhere = Listed { block: None, ..owned("d") };
        assert_eq!(judged(&listing(vec![nowhere])).violations, ["d was assigned to no block at 11000 ms"]);
    }

    #[test]
    fn a_dyno_that_is_only_claimed_is_lost() {
        let mut history = used(listing(vec![owned("d")]), "d", HEALED, ("b1", 7));
        assert_eq!((judged(&history).violations.len(), judged(&history).unknown), (0, 1), "nobody asked for its slot");
        history.bursts.push(Burst { began: at(LATE), ended: at(LATE + 100) });
        assert_eq!(judged(&history).violations, ["d of b1 was given no request, though every slot was asked for"]);
        history.census.as_mut().unwrap().dynos[0].serves = false;
        assert_eq!(judged(&history).violations.len(), 0, "a drained dyno is meant to get none");
        assert_eq!(judged(&used(history, "d", LATE + 50, ("b9", 3))).violations, ["d is drained and was used by b9"]);
    }

    #[test]
    fn a_dyno_that_is_not_listed_was_forgotten() {
        let silent = listing(vec![owned("e")]);
        assert_eq!(judged(&silent).violations, ["d is not listed"]);
        assert_eq!(judged(&used(silent, "d", LATE, ("b1", 7))).violations, ["d is sent requests by b1 and is not listed"]);
    }

    #[test]
    fn without_a_census_nothing_is_judged() {
        let history = History { census: None, ..used(listing(vec![owned("d")]), "d", LATE, ("b1", 7)) };
        assert_eq!(judged(&history).judged, 0);
    }
}
