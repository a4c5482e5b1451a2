//! The retry rule, sentence by sentence of the protocol, and over every combination of its inputs.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const CLASSES: [Class; 3] = [Class::Safe, Class::Idempotent, Class::Unsafe];
const VERDICTS: [Verdict; 3] = [Verdict::NotDispatched, Verdict::Over, Verdict::Unknown];
const BOTH: [bool; 2] = [false, true];

/// One attempt made and failed; all of the request was sent and can be sent again.
const FAILED: Attempted = Attempted {
    class: Class::Safe,
    verdict: Verdict::Unknown,
    lost: false,
    earlier: false,
    body_begun: true,
    replayable: true,
    answering: false,
    attempts: 1,
    dyno_attempts: 1,
    spills: 0,
    doubts: 0,
    doubted: false,
    left: Span::from_secs(50),
    untried: true,
};

fn decide(request: Attempted) -> Retry {
    retry(&request, &RetryLimits::default())
}

fn after(class: Class, verdict: Verdict) -> Attempted {
    Attempted { class, verdict, ..FAILED }
}

/// Every combination of the inputs, at and around each limit.
fn every_request() -> impl Iterator<Item = Attempted> {
    let facts = CLASSES.into_iter().flat_map(|class| VERDICTS.map(move |verdict| after(class, verdict)));
    let facts = facts.flat_map(|request| BOTH.map(move |body_begun| Attempted { body_begun, ..request }));
    let facts = facts.flat_map(|request| BOTH.map(move |lost| Attempted { lost: lost && request.verdict == Verdict::Unknown, ..request }));
    let facts =
        facts.flat_map(|request| BOTH.map(move |earlier| Attempted { earlier: earlier && request.class == Class::Idempotent, ..request }));
    let facts = facts.flat_map(|request| BOTH.map(move |replayable| Attempted { replayable, ..request }));
    let facts = facts.flat_map(|request| BOTH.map(move |answering| Attempted { answering, ..request }));
    let facts = facts.flat_map(|request| BOTH.map(move |untried| Attempted { untried, ..request }));
    let facts = facts.flat_map(|request| {
        [(0, false), (1, false), (1, true), (3, true)].map(move |(doubts, doubted)| Attempted { doubts, doubted, ..request })
    });
    let counts = facts.flat_map(|request| [1, 2, 4, 5, 6].map(move |attempts| Attempted { attempts, ..request }));
    let counts = counts.flat_map(|request| [0, 5, 6, 7].map(move |dyno_attempts| Attempted { dyno_attempts, ..request }));
    let counts = counts.flat_map(|request| [0, 1, 2, 3].map(move |spills| Attempted { spills, ..request }));
    counts.flat_map(|request| [Span::ZERO, Span::from_nanos(1), Span::from_secs(9)].map(move |left| Attempted { left, ..request }))
}

// --- nothing runs twice

#[test]
fn a_request_that_is_not_idempotent_is_tried_again_only_when_nothing_can_have_run() {
    let mut tried = 0;
    for request in every_request().filter(|request| request.class == Class::Unsafe) {
        let nothing_ran = !request.body_begun || request.verdict == Verdict::NotDispatched;
        let again = !matches!(decide(request), Retry::Never(_));
        assert!(!again || nothing_ran, "may run twice: {request:?}");
        tried += u32::from(again);
    }
    assert!(tried > 0, "the rule refuses everything");
}

#[test]
fn an_idempotent_request_never_runs_beside_itself() {
    for request in every_request().filter(|request| request.class == Class::Idempotent) {
        let last_may_run = request.body_begun && request.verdict == Verdict::Unknown;
        // One that was let go behind an earlier one began when that was over.
        let earlier_may_run = request.earlier && (!request.body_begun || request.verdict == Verdict::NotDispatched);
        let decision = decide(request);
        assert!(
            !(last_may_run || earlier_may_run) || matches!(decision, Retry::Never(_) | Retry::Behind),
            "a delayed duplicate: {request:?}"
        );
        let provable = request.lost || request.verdict != Verdict::Unknown;
        assert!(decision != Retry::Behind || provable, "a block that does not know is asked again: {request:?}");
    }
}

#[test]
fn nothing_is_tried_again_beyond_a_limit_or_without_its_body_or_once_the_client_has_an_answer() {
    for request in every_request() {
        let spent = (request.body_begun || request.earlier) && !request.replayable;
        let beyond = request.attempts >= 5 || request.dyno_attempts >= 6 || request.spills > 2 || request.left == Span::ZERO;
        if spent || beyond || request.answering {
            assert!(matches!(decide(request), Retry::Never(_)), "{request:?}");
        }
    }
}

#[test]
fn whatever_no_rule_forbids_is_tried_again() {
    for request in every_request() {
        let unsent = !request.body_begun || request.verdict == Verdict::NotDispatched;
        let idempotent = request.class == Class::Idempotent && (request.verdict == Verdict::Over || request.lost);
        let told = request.earlier && request.verdict == Verdict::Unknown && !request.lost;
        let harmless = (unsent || request.class == Class::Safe || idempotent) && !told;
        let sendable = !(request.body_begun || request.earlier) || request.replayable;
        let within = request.attempts < 5 && request.dyno_attempts < 6 && request.spills <= 2 && request.left > Span::ZERO;
        let again = !matches!(decide(request), Retry::Never(_));
        assert_eq!(again, harmless && sendable && within && !request.answering, "{request:?}");
    }
}

// --- protocol P22, P23; design section 3, step 7

#[test]
fn what_was_not_dispatched_is_tried_elsewhere_whatever_it_is() {
    for class in CLASSES {
        assert_eq!(decide(after(class, Verdict::NotDispatched)), Retry::Elsewhere, "{class:?}");
    }
}

#[test]
fn no_body_byte_sent_is_not_dispatched_whatever_happened_to_the_block() {
    for class in CLASSES {
        for verdict in VERDICTS {
            let request = Attempted { body_begun: false, replayable: false, ..after(class, verdict) };
            assert_eq!(decide(request), Retry::Elsewhere, "a {class:?} request queued at a dead block, {verdict:?}");
        }
    }
}

#[test]
fn a_body_that_was_let_go_must_be_buffered_to_be_sent_again() {
    for verdict in VERDICTS {
        let request = Attempted { replayable: false, ..after(Class::Safe, verdict) };
        assert_eq!(decide(request), Retry::Never(Reason::BodySpent));
    }
}

#[test]
fn after_an_unknown_outcome_only_safe_methods_are_tried_again() {
    assert_eq!(decide(after(Class::Safe, Verdict::Unknown)), Retry::Elsewhere);
    assert_eq!(decide(after(Class::Idempotent, Verdict::Unknown)), Retry::Never(Reason::MayStillRun));
    assert_eq!(decide(after(Class::Unsafe, Verdict::Unknown)), Retry::Never(Reason::MayHaveRun));
}

#[test]
fn put_and_delete_are_tried_again_only_when_the_attempt_is_provably_over() {
    for method in ["PUT", "DELETE"] {
        assert_eq!(decide(after(Class::of(method, false), Verdict::Over)), Retry::Elsewhere);
        assert_eq!(decide(after(Class::of(method, false), Verdict::Unknown)), Retry::Never(Reason::MayStillRun));
    }
    assert_eq!(decide(after(Class::of("POST", false), Verdict::Over)), Retry::Never(Reason::MayHaveRun));
}

#[test]
fn an_idempotent_request_that_was_lost_with_its_leader_runs_again_behind_what_that_began() {
    let lost = Attempted { lost: true, ..after(Class::Idempotent, Verdict::Unknown) };
    assert_eq!(decide(lost), Retry::Behind);
    assert_eq!(decide(Attempted { body_begun: false, ..lost }), Retry::Elsewhere, "nothing of it was let go");
    assert_eq!(decide(Attempted { class: Class::Unsafe, ..lost }), Retry::Never(Reason::MayHaveRun));
    assert_eq!(decide(Attempted { class: Class::Safe, ..lost }), Retry::Elsewhere);
    assert_eq!(decide(Attempted { replayable: false, ..lost }), Retry::Never(Reason::BodySpent));
}

#[test]
fn what_may_run_on_is_waited_for_until_it_is_over_or_nobody_will_know() {
    let behind = Attempted { earlier: true, attempts: 2, ..after(Class::Idempotent, Verdict::NotDispatched) };
    for body_begun in BOTH {
        assert_eq!(decide(Attempted { body_begun, ..behind }), Retry::Behind, "not dispatched, but the earlier one was");
    }
    let lost_again = Attempted { verdict: Verdict::Unknown, lost: true, ..behind };
    assert_eq!(decide(Attempted { body_begun: false, ..lost_again }), Retry::Behind);
    assert_eq!(decide(lost_again), Retry::Behind);
    assert_eq!(decide(Attempted { verdict: Verdict::Over, ..behind }), Retry::Elsewhere, "it began when the earlier one was over");
    for body_begun in BOTH {
        let told = Attempted { verdict: Verdict::Unknown, body_begun, ..behind };
        assert_eq!(decide(told), Retry::Never(Reason::MayStillRun), "the block will not know");
    }
}

#[test]
fn a_key_that_the_app_honours_makes_a_post_wait_for_the_first_ones_end() {
    let post = Class::of("POST", true);
    assert_eq!(decide(after(post, Verdict::Over)), Retry::Elsewhere);
    assert_eq!(decide(after(post, Verdict::Unknown)), Retry::Never(Reason::MayStillRun));
}

#[test]
fn once_the_client_has_part_of_a_response_nothing_is_tried_again() {
    for verdict in VERDICTS {
        let request = Attempted { answering: true, ..after(Class::Safe, verdict) };
        assert_eq!(decide(request), Retry::Never(Reason::Answering));
    }
}

// --- limits: design section 3, step 6; protocol P25

#[test]
fn a_request_has_five_attempts_at_blocks_and_six_at_dynos() {
    let made = (1..).take_while(|attempts| decide(Attempted { attempts: *attempts, ..FAILED }) == Retry::Elsewhere).count();
    assert_eq!(made, 4, "retries after the first attempt");
    assert_eq!(decide(Attempted { attempts: 5, ..FAILED }), Retry::Never(Reason::Attempts));
    assert_eq!(decide(Attempted { dyno_attempts: 5, ..FAILED }), Retry::Elsewhere);
    assert_eq!(decide(Attempted { dyno_attempts: 6, ..FAILED }), Retry::Never(Reason::DynoAttempts));
}

#[test]
fn past_the_deadline_nothing_is_tried_again() {
    assert_eq!(decide(Attempted { left: Span::ZERO, ..FAILED }), Retry::Never(Reason::Deadline));
}

#[test]
fn after_two_spills_the_request_must_queue_and_after_a_third_it_is_refused() {
    let spilled = |spills| decide(Attempted { spills, dyno_attempts: 0, ..after(Class::Unsafe, Verdict::NotDispatched) });
    assert_eq!([1, 2, 3].map(spilled), [Retry::Elsewhere, Retry::MustQueue, Retry::Never(Reason::Full)]);
}

#[test]
fn a_request_sent_away_for_doubt_looks_at_two_other_blocks_and_then_waits() {
    let doubted = |doubts, untried| decide(Attempted { doubts, doubted: true, untried, ..after(Class::Unsafe, Verdict::NotDispatched) });
    assert_eq!([1, 2, 3].map(|doubts| doubted(doubts, true)), [Retry::Elsewhere, Retry::Elsewhere, Retry::MustQueue]);
    assert_eq!(doubted(1, false), Retry::MustQueue, "no other block is left");
    let since = Attempted { doubts: 1, untried: false, ..after(Class::Unsafe, Verdict::NotDispatched) };
    assert_eq!(decide(since), Retry::MustQueue, "the last failed otherwise, and the one in doubt is not tried twice before it waits there");
    assert_eq!(decide(Attempted { untried: true, ..since }), Retry::Elsewhere);
}

#[test]
fn the_last_attempt_of_a_request_sent_away_for_doubt_is_one_that_waits() {
    let limits = |attempts| RetryLimits { attempts, ..RetryLimits::default() };
    let looks = Attempted { doubts: 1, attempts: 0, ..after(Class::Unsafe, Verdict::NotDispatched) };
    assert_eq!(retry(&Attempted { doubted: true, ..looks }, &limits(1)), Retry::MustQueue, "else another's refusal were its only attempt");
    assert_eq!(retry(&Attempted { doubted: true, ..looks }, &limits(2)), Retry::Elsewhere);
    assert_eq!(retry(&Attempted { attempts: 1, spills: 1, ..looks }, &limits(2)), Retry::MustQueue);
    assert_eq!(retry(&Attempted { attempts: 1, spills: 1, ..looks }, &limits(3)), Retry::Elsewhere);
}

#[test]
fn a_request_that_must_queue_still_must_after_another_kind_of_failure() {
    assert_eq!(decide(Attempted { spills: 2, untried: false, ..FAILED }), Retry::MustQueue);
}

#[test]
fn limits_are_settings() {
    let limits = RetryLimits { attempts: 2, dyno_attempts: 9, spills: 0 };
    assert_eq!(retry(&Attempted { dyno_attempts: 8, ..FAILED }, &limits), Retry::Elsewhere);
    assert_eq!(retry(&Attempted { attempts: 2, ..FAILED }, &limits), Retry::Never(Reason::Attempts));
    assert_eq!(retry(&Attempted { spills: 1, ..FAILED }, &limits), Retry::Never(Reason::Full));
}

#[test]
fn with_no_block_left_untried_one_is_asked_again_after_a_pause() {
    assert_eq!(decide(Attempted { untried: false, ..FAILED }), Retry::Again);
    let mut rng = StdRng::seed_from_u64(7);
    let pauses: Vec<Span> = (0..1000).map(|_| pause(&mut rng, 0)).collect();
    assert!(pauses.iter().all(|pause| (PAUSE_MIN..=PAUSE_MAX).contains(pause)));
    let distinct: std::collections::BTreeSet<_> = pauses.iter().collect();
    assert!(distinct.len() > 990, "requests that failed together come back one by one");
}

#[test]
fn the_pauses_of_all_attempts_outlast_an_election() {
    let mut rng = StdRng::seed_from_u64(7);
    let outlasting = (0..1000).filter(|_| {
        let all: u64 = (0..ATTEMPTS_MAX - 1).map(|pauses| pause(&mut rng, pauses).as_millis()).sum();
        all >= 300
    });
    assert!(outlasting.count() > 850, "300 ms is the median");
    assert!(pause(&mut rng, 1000) <= PAUSE_MAX.times(8), "pauses do not grow for ever");
}

// --- within a block

#[test]
fn a_block_tries_another_dyno_only_while_nothing_was_sent_and_three_times_at_most() {
    let left = Span::from_secs(1);
    assert!(another_dyno(Verdict::NotDispatched, 1, 1, DYNO_ATTEMPTS_PER_BLOCK_MAX, left));
    assert!(!another_dyno(Verdict::Over, 1, 1, DYNO_ATTEMPTS_PER_BLOCK_MAX, left));
    assert!(!another_dyno(Verdict::Unknown, 1, 1, DYNO_ATTEMPTS_PER_BLOCK_MAX, left));
    assert!(another_dyno(Verdict::NotDispatched, 2, 5, DYNO_ATTEMPTS_PER_BLOCK_MAX, left));
    assert!(!another_dyno(Verdict::NotDispatched, 3, 3, DYNO_ATTEMPTS_PER_BLOCK_MAX, left), "three here");
    assert!(!another_dyno(Verdict::NotDispatched, 1, 6, DYNO_ATTEMPTS_PER_BLOCK_MAX, left), "six in all");
    assert!(!another_dyno(Verdict::NotDispatched, 1, 1, DYNO_ATTEMPTS_PER_BLOCK_MAX, Span::ZERO), "too late");
}
