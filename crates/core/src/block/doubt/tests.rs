//! Single verdicts.

use super::*;

const LIMITS: DoubtLimits = DoubtLimits { orphan_hold: Span::from_secs(2), silent_hold: Span::from_secs(1) };

fn at(secs: u64) -> Time {
    Time::ZERO + Span::from_secs(secs)
}

/// A slot granted at 10 s, in doubt since 20 s, with 60 s to run.
fn doubt(serial: Option<bool>) -> Doubt {
    Doubt { own: false, serial, orphans: Orphans::Strict, since: at(20), seen: at(10), span: Span::from_secs(60) }
}

#[test]
fn a_living_holder_keeps_its_slot_past_every_deadline() {
    let idle = Some(Asked::IdleSince(at(900)));
    assert_eq!(verdict(&doubt(Some(true)), Known::Alive, idle, at(1000), LIMITS), Verdict::Wait);
}

#[test]
fn a_serial_dyno_proves_itself_idle_by_an_answer_to_a_later_question() {
    let judge = |known, asked, now| verdict(&doubt(Some(true)), known, asked, at(now), LIMITS);
    let dead = Known::Dead(at(20));
    assert_eq!(judge(dead, None, 20), Verdict::Ask);
    assert_eq!(judge(dead, Some(Asked::Waiting), 21), Verdict::Wait);
    assert_eq!(judge(dead, Some(Asked::IdleSince(at(19))), 21), Verdict::Ask);
    assert_eq!(judge(dead, Some(Asked::IdleSince(at(20))), 21), Verdict::Free(Why::Idle));
    // What a silent holder wrote last may still be on its way.
    assert_eq!(judge(Known::Silent, None, 20), Verdict::Wait);
    assert_eq!(judge(Known::Silent, Some(Asked::IdleSince(at(20))), 21), Verdict::Ask);
    assert_eq!(judge(Known::Silent, Some(Asked::IdleSince(at(21))), 22), Verdict::Free(Why::Idle));
}

#[test]
fn an_answer_of_any_other_dyno_proves_nothing() {
    for serial in [None, Some(false)] {
        for known in [Known::Silent, Known::Dead(at(20))] {
            let judge = |now| verdict(&doubt(serial), known, Some(Asked::IdleSince(at(30))), at(now), LIMITS);
            assert_eq!(judge(77), Verdict::Wait);
            assert_eq!(judge(78), Verdict::Free(Why::Deadline));
        }
    }
}

#[test]
fn the_dead_are_not_waited_for_where_no_proof_can_be_had_and_the_app_allows_it() {
    let judge = |serial, known, asked, now| {
        let doubt = Doubt { orphans: Orphans::Prompt, ..doubt(serial) };
        verdict(&doubt, known, asked, at(now), LIMITS)
    };
    let dead = Known::Dead(at(20));
    assert_eq!(judge(Some(false), dead, None, 21), Verdict::Wait);
    assert_eq!(judge(Some(false), dead, None, 22), Verdict::Free(Why::HolderDead));
    assert_eq!(judge(Some(false), Known::Silent, None, 70), Verdict::Wait);
    // A serial dyno can prove it, unless it does not even accept the question.
    assert_eq!(judge(Some(true), dead, Some(Asked::Waiting), 22), Verdict::Wait);
    assert_eq!(judge(Some(true), dead, Some(Asked::Failed), 21), Verdict::Ask);
    assert_eq!(judge(Some(true), dead, Some(Asked::Failed), 22), Verdict::Free(Why::HolderDead));
}

#[test]
fn an_answer_from_before_the_cut_says_nothing_about_an_own_request() {
    let own = |serial| Doubt { own: true, orphans: Orphans::Prompt, ..doubt(serial) };
    let judge = |asked| verdict(&own(Some(true)), Known::Silent, asked, at(40), LIMITS);
    assert_eq!(judge(Some(Asked::IdleSince(at(15)))), Verdict::Ask);
    assert_eq!(judge(Some(Asked::IdleSince(at(20)))), Verdict::Free(Why::Idle));
    assert_eq!(verdict(&own(Some(false)), Known::Silent, None, at(40), LIMITS), Verdict::Wait);
}

/// P8. Its leader may have frozen, or have been cut off, with heads on their way.
#[test]
fn a_quarantine_ends_by_an_answer_from_when_nothing_can_be_on_its_way() {
    let judge = |all_known, asked, now| quarantine_verdict(&doubt(Some(true)), all_known, asked, at(now), LIMITS);
    let idle = |secs| Some(Asked::IdleSince(at(secs)));
    assert_eq!((judge(true, None, 20), judge(true, idle(20), 20)), (Verdict::Ask, Verdict::Free(Why::Idle)));
    assert_eq!((judge(false, None, 20), judge(false, idle(20), 20)), (Verdict::Wait, Verdict::Wait));
    assert_eq!((judge(false, idle(20), 21), judge(false, idle(21), 22)), (Verdict::Ask, Verdict::Free(Why::Idle)));
    // Any other dyno proves nothing, and waits for the time of the longest slot.
    let other = |now| quarantine_verdict(&doubt(None), true, idle(30), at(now), LIMITS);
    assert_eq!((other(77), other(78)), (Verdict::Wait, Verdict::Free(Why::Deadline)));
}
