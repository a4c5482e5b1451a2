//! When a lease holds, and in which term.

use super::*;

const LEASE: Span = Span::from_millis(100);

fn at(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

fn leading_three() -> Lease {
    let lease = Lease::default();
    lease.lead(5, 1, vec![BTreeSet::from([1, 2, 3])]);
    lease
}

#[test]
fn the_lease_runs_from_the_send_time_of_what_a_quorum_acknowledged_less_a_fifth() {
    let lease = leading_three();
    assert!(!lease.valid(at(0)));
    lease.acknowledged(5, 2, at(1000), LEASE);
    assert!(lease.valid(at(1079)));
    assert!(!lease.valid(at(1080)));
    lease.acknowledged(5, 3, at(1050), LEASE);
    assert_eq!(lease.end(), at(1130), "one follower and the leader are a quorum of three");
}

#[test]
fn an_older_acknowledgement_never_shortens_and_another_term_never_extends() {
    let lease = leading_three();
    lease.acknowledged(5, 2, at(1000), LEASE);
    lease.acknowledged(5, 2, at(900), LEASE);
    lease.acknowledged(4, 3, at(2000), LEASE);
    assert_eq!(lease.end(), at(1080));
}

#[test]
fn five_voters_need_two_followers() {
    let lease = Lease::default();
    lease.lead(1, 1, vec![(1..=5).collect()]);
    lease.acknowledged(1, 2, at(1000), LEASE);
    assert_eq!(lease.end(), Time::ZERO);
    lease.acknowledged(1, 3, at(500), LEASE);
    assert_eq!(lease.end(), at(580));
}

#[test]
fn a_joint_membership_needs_both_quorums() {
    let lease = Lease::default();
    lease.lead(1, 1, vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 4, 5])]);
    lease.acknowledged(1, 2, at(1000), LEASE);
    assert_eq!(lease.end(), Time::ZERO);
    lease.acknowledged(1, 4, at(900), LEASE);
    assert_eq!(lease.end(), at(980));
}

#[test]
fn a_group_of_one_always_leads_and_a_learner_does_not_count() {
    let lease = Lease::default();
    lease.lead(1, 1, vec![BTreeSet::from([1])]);
    assert_eq!(lease.end(), Time::FAR);
    let lease = leading_three();
    lease.acknowledged(5, 9, at(1000), LEASE);
    assert_eq!(lease.end(), Time::ZERO);
}

#[test]
fn once_renounced_it_never_comes_back_in_that_term() {
    let lease = leading_three();
    lease.acknowledged(5, 2, at(1000), LEASE);
    lease.renounce(Term(5));
    assert!(lease.is_renounced(Term(5)) && !lease.is_renounced(Term(6)));
    assert!(!lease.valid(at(1000)));
    lease.acknowledged(5, 2, at(2000), LEASE);
    lease.lead(5, 1, vec![BTreeSet::from([1, 2, 3])]);
    assert!(!lease.valid(at(2000)));
    lease.lead(6, 1, vec![BTreeSet::from([1, 2, 3])]);
    lease.acknowledged(6, 2, at(3000), LEASE);
    assert!(lease.valid(at(3000)));
}

#[test]
fn renouncing_a_term_spares_later_ones_and_binds_one_that_is_not_led_yet() {
    let lease = leading_three();
    lease.acknowledged(5, 2, at(1000), LEASE);
    lease.renounce(Term(4));
    assert!(lease.valid(at(1000)), "the handover was of an earlier term");
    lease.renounce(Term(6));
    lease.lead(6, 1, vec![BTreeSet::from([1, 2, 3])]);
    lease.acknowledged(6, 2, at(1000), LEASE);
    assert!(!lease.valid(at(1000)), "the handover was of this term, and this replica came to know late that it leads it");
}

/// P4: openraft hands over whatever term it leads when it comes to it. Fails when only the term that was meant is without a lease.
#[test]
fn no_term_has_a_lease_while_a_handover_may_still_act() {
    let lease = leading_three();
    lease.acknowledged(5, 2, at(1000), LEASE);
    let (first, second) = (lease.suspend(), lease.suspend());
    assert!(!lease.valid(at(1000)));
    lease.renounce(Term(5));
    lease.lead(6, 1, vec![BTreeSet::from([1, 2, 3])]);
    lease.acknowledged(6, 2, at(1000), LEASE);
    assert!(!lease.valid(at(1000)), "a later term");
    drop(first);
    assert!(!lease.valid(at(1000)), "another handover may still act");
    drop(second);
    assert!(lease.valid_in(Term(6), at(1000)), "what was acknowledged meanwhile counts");
    lease.follow();
    drop(lease.suspend());
    assert_eq!(lease.end(), Time::ZERO);
}

#[test]
fn no_vote_is_considered_under_a_valid_lease_and_none_is_dispatched_under_a_considered_vote() {
    let lease = leading_three();
    lease.acknowledged(5, 2, at(1000), LEASE);
    assert!(!lease.consider(at(1000)));
    assert!(lease.consider(at(1080)));
    lease.acknowledged(5, 2, at(1100), LEASE);
    assert!(!lease.valid(at(1100)), "renewed while the vote is open");
    lease.considered(false);
    assert!(lease.valid(at(1100)));
    assert!(lease.consider(at(1200)));
    lease.considered(true);
    lease.acknowledged(5, 2, at(1300), LEASE);
    assert!(!lease.valid(at(1300)), "the vote was given away");
}

#[test]
fn a_withheld_lease_runs_out_and_is_renewed_once_allowed() {
    let lease = leading_three();
    lease.acknowledged(5, 2, at(1000), LEASE);
    lease.withhold(true);
    lease.acknowledged(5, 2, at(1050), LEASE);
    assert_eq!(lease.end(), at(1080));
    lease.withhold(false);
    lease.acknowledged(5, 2, at(1060), LEASE);
    assert_eq!(lease.end(), at(1140));
    lease.follow();
    assert_eq!(lease.end(), Time::ZERO);
}

#[test]
fn a_lease_is_that_of_its_term_only() {
    let lease = leading_three();
    lease.acknowledged(5, 2, at(1000), LEASE);
    assert!(lease.valid_in(Term(5), at(1000)));
    assert!(!lease.valid_in(Term(4), at(1000)));
    lease.lead(6, 1, vec![BTreeSet::from([1, 2, 3])]);
    assert!(!lease.valid_in(Term(5), at(1000)) && !lease.valid_in(Term(6), at(1000)), "nothing is acknowledged yet");
    lease.acknowledged(6, 2, at(1000), LEASE);
    assert!(!lease.valid_in(Term(5), at(1000)) && lease.valid_in(Term(6), at(1000)));
}
