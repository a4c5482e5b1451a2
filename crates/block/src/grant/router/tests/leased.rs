//! Leased slots, whose grants come into the log later (P14).

use super::*;

/// A leader of leased slots, and both dynos known to be serial.
fn leasing() -> Router {
    let proposer = Proposer::default();
    let wanted = BlockSettings { slots: SlotsMode::Leased, ..BlockSettings::default() };
    let mut router = Router::new(limits(), wanted, proposer, Metrics::new(&Registry::new("block", "t")), 7);
    router.set_right(Right::Full);
    router.identify(at(0), holder(1, 1));
    let serial = AppSpec { policy: Policy { serial: Serial::Yes, ..spec().policy }, ..spec() };
    let set = Command::SetApp { spec: Box::new(serial), version: Version(1) };
    for (index, command) in [Command::Configure(wanted), set, adopt(1, 2), adopt(2, 1)].into_iter().enumerate() {
        router.apply(at(0), Index(index as u64 + 1), command);
    }
    router.lead(at(0), Term(1), ReplicaId(1));
    for dyno in ["d1", "d2"] {
        router.clear_quarantine(at(0), &app(), &DynoId::new(dyno).unwrap());
    }
    router
}

/// A newer word about d1.
fn word(drain: bool, max_conns: u32) -> Command {
    let Command::Adopt(word) = adopt(1, max_conns) else { panic!("an adoption") };
    Command::Adopt(AdoptDyno { epoch: Epoch(2), drain, ..word })
}

fn granted(command: &Command) -> SlotId {
    let Command::Grant { slot, .. } = command else { panic!("a grant, not {command:?}") };
    *slot
}

#[test]
fn a_leased_slot_is_in_the_log_before_a_word_that_would_refuse_it() {
    for (change, left) in [(word(true, 2), 1), (word(false, 1), 2)] {
        let mut router = leasing();
        assert_eq!(router.prepare(at(1), &change), Some(Vec::new()));
        let mut picks = Vec::new();
        while let Admission::Go(pick) = router.admit(at(1), &ask(&app())) {
            assert!(!pick.commit_first);
            picks.push(pick);
        }
        assert_eq!(picks.len(), left, "{change:?}");
    }
    let mut router = leasing();
    let picks: Vec<Pick> = (0..3).map(|_| go(router.admit(at(1), &ask(&app())))).collect();
    let grants = router.prepare(at(1), &word(true, 2)).unwrap();
    assert_eq!(grants.len(), picks.len());
    for grant in grants {
        assert_eq!(router.apply(at(2), Index(9), grant), Reply::Granted);
    }
    assert_eq!(router.apply(at(3), Index(10), word(true, 2)), Reply::Done);
    let release = Command::Release { dyno: d1(), epoch: Epoch(2) };
    assert!(matches!(router.apply(at(4), Index(11), release), Reply::Refused(_)), "slots remain, and the state knows");
}

#[test]
fn a_leased_slot_that_the_log_refuses_keeps_its_dyno_here_and_is_settled_all_the_same() {
    let mut router = leasing();
    let picks: Vec<Pick> = (0..3).map(|_| go(router.admit(at(1), &ask(&app())))).filter(|pick| pick.dyno == d1()).collect();
    assert_eq!(router.apply(at(2), Index(9), word(true, 2)), Reply::Done, "a word that came behind the slots and before their grants");
    for grant in router.checkpoint(at(3)) {
        router.apply(at(3), Index(10), grant);
    }
    let release = Command::Release { dyno: d1(), epoch: Epoch(2) };
    assert_eq!(router.prepare(at(4), &release), None, "requests run there");
    assert!(router.renewals(at(59_000)).values().flatten().all(|slot| picks.iter().all(|pick| pick.slot != *slot)));
    router.end(at(4), picks[0].slot, Outcome::Done);
    router.end(at(5), picks[1].slot, Outcome::Unknown);
    assert_eq!(router.prepare(at(5), &release), None, "one is in doubt");
    let doubts = router.doubts();
    assert_eq!(
        doubts.iter().map(|doubt| (doubt.slot, doubt.facts.since, doubt.facts.seen)).collect::<Vec<_>>(),
        [(picks[1].slot, at(5), at(1))]
    );
    router.settle(at(6), picks[1].slot);
    assert!(router.prepare(at(6), &release).is_some() && router.doubts().is_empty());
}

#[test]
fn a_step_that_must_wait_takes_no_grant_along() {
    let mut router = leasing();
    let picks: Vec<Pick> = (0..3).map(|_| go(router.admit(at(1), &ask(&app())))).collect();
    assert_eq!(router.prepare(at(1), &Command::Release { dyno: d1(), epoch: Epoch(2) }), None, "requests run there");
    assert_eq!(router.prepare(at(1), &word(true, 2)).map(|grants| grants.len()), Some(picks.len()));
}

#[test]
fn a_leased_grant_that_was_lost_is_proposed_again_and_its_dyno_stays() {
    let mut router = leasing();
    let picks: Vec<Pick> = (0..3).map(|_| go(router.admit(at(1), &ask(&app())))).collect();
    let lost = router.prepare(at(1), &word(true, 2)).unwrap();
    assert_eq!(lost.len(), picks.len());
    assert!(router.checkpoint(at(100)).is_empty(), "they may be on their way");
    assert_eq!(router.apply(at(100), Index(9), word(true, 2)), Reply::Done, "a word that was not lost");
    assert_eq!(router.prepare(at(100), &Command::Release { dyno: d1(), epoch: Epoch(2) }), None, "requests run there");
    let again = router.checkpoint(at(101));
    let slots = |grants: &[Command]| grants.iter().map(granted).collect::<Vec<_>>();
    assert_eq!(slots(&again), slots(&lost));
    let replies: Vec<Reply> = again.into_iter().map(|grant| router.apply(at(102), Index(10), grant)).collect();
    assert_eq!(replies.iter().filter(|reply| **reply == Reply::Granted).count(), 1, "that of d2: {replies:?}");
    assert_eq!(router.checkpoint(at(110)).len(), 2, "refused ones at once");
    assert_eq!(router.checkpoint(at(300)).len(), 2, "the granted one never");
}

#[test]
fn a_leader_that_is_elected_again_counts_what_it_never_put_into_the_log() {
    let wanted = BlockSettings { slots: SlotsMode::Leased, leased_quarantine: false };
    let mut router = leasing();
    router.apply(at(0), Index(8), Command::Configure(wanted));
    let picks: Vec<Pick> = (0..2).map(|_| go(router.admit(at(1), &ask(&app())))).collect();
    router.lead(at(2), Term(2), ReplicaId(2));
    router.lead(at(3), Term(3), ReplicaId(1));
    let more = std::iter::from_fn(|| if let Admission::Go(pick) = router.admit(at(4), &ask(&app())) { Some(pick) } else { None });
    assert_eq!(more.count(), 1, "two of three slots are taken");
    assert_eq!(router.checkpoint(at(5)).len(), 2, "which are to be put into the log");
    router.end(at(6), picks[0].slot, Outcome::Done);
    assert!(matches!(router.admit(at(7), &ask(&app())), Admission::Go(_)), "what ends makes room");
}

/// Others know of it only that its leader granted it: that leader's dynos are in quarantine for as long, and no longer.
#[test]
fn a_leased_slot_that_is_not_in_the_log_is_cut_when_the_quarantine_of_its_dyno_would_end() {
    let mut router = leasing();
    let app = app();
    let long = Ask { deadline: at(300_000), ..ask(&app) };
    let picks: Vec<Pick> = (0..2).map(|_| go(router.admit(at(1), &long))).collect();
    assert!(picks.iter().all(|pick| pick.span > limits().slot_span));
    let grants = router.checkpoint(at(2));
    let logged = granted(&grants[0]);
    router.apply(at(3), Index(9), grants[0].clone());
    router.lead(at(4), Term(2), ReplicaId(2));
    router.renewals(at(60_000));
    assert!(picks.iter().all(|pick| !pick.cut.is_cut()));
    router.renewals(at(60_001));
    assert!(picks.iter().all(|pick| pick.cut.is_cut() != (pick.slot == logged)));
}

/// A leader after this one would find settings under which whatever runs is in the log, and believe it.
#[test]
fn settings_are_proposed_when_the_quarantine_is_over_and_again_if_they_get_lost() {
    let (mut router, proposer) = leading();
    let leased = BlockSettings { slots: SlotsMode::Leased, ..BlockSettings::default() };
    router.apply(at(0), Index(8), Command::Configure(leased));
    router.lead(at(1), Term(2), ReplicaId(1));
    let proposed = || proposer.written.lock().unwrap().iter().filter(|command| matches!(command, Command::Configure(_))).count();
    for (dyno, ms) in [("d1", 1_000), ("d2", 2_000)] {
        router.sweep(at(ms));
        assert_eq!(proposed(), 0, "{dyno} is in quarantine");
        router.clear_quarantine(at(ms), &app(), &DynoId::new(dyno).unwrap());
    }
    for (ms, times) in [(2_001, 1), (3_000, 1), (3_001, 2)] {
        router.sweep(at(ms));
        assert_eq!(proposed(), times, "after {ms} ms");
    }
    router.apply(at(3_002), Index(9), Command::Configure(BlockSettings::default()));
    router.sweep(at(5_000));
    assert_eq!(proposed(), 2, "agreed on");
}

#[test]
fn a_slot_whose_grant_comes_by_a_snapshot_is_in_the_log() {
    let mut router = leasing();
    let pick = go(router.admit(at(1), &ask(&app())));
    let grants = router.checkpoint(at(2));
    let mut state = router.state().clone();
    state.apply(Index(9), grants[0].clone());
    router.load_state(at(3), state);
    assert_eq!(router.leads(), None, "who leads gets no snapshot");
    assert_eq!(router.renewals(at(30_001)).into_values().flatten().collect::<Vec<_>>(), [pick.slot]);
}

/// Nobody would ever ask such a dyno.
#[test]
fn nothing_is_in_doubt_at_a_dyno_that_was_released() {
    let mut router = leasing();
    let picks: Vec<Pick> = (0..3).map(|_| go(router.admit(at(1), &ask(&app())))).filter(|pick| pick.dyno == d1()).collect();
    router.end(at(2), picks[0].slot, Outcome::Unknown);
    router.lead(at(3), Term(2), ReplicaId(2));
    assert_eq!(router.apply(at(4), Index(9), word(true, 2)), Reply::Done);
    assert_eq!(router.apply(at(5), Index(10), Command::Release { dyno: d1(), epoch: Epoch(2) }), Reply::Done);
    assert!(picks[1].cut.is_cut(), "its slot is not known to the block any more");
    router.end(at(6), picks[1].slot, Outcome::Unknown);
    assert!(router.own.values().all(|own| own.dyno != d1()));
}
