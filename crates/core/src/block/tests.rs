//! Single steps of the block state.

use super::*;
use crate::app::{AppSpec, DynoSpec, Phase, Policy};
use crate::id::{AppName, DynoId, Epoch, Holder, Host, Incarnation, Index, ReplicaId, SlotId, Version};
use crate::time::Span;

pub(super) fn app(nth: u8) -> AppSpec {
    let name = AppName::new(&format!("app-{nth}")).unwrap();
    AppSpec { hosts: vec![Host::new(&format!("{name}.test")).unwrap()], name, policy: Policy::default() }
}

/// Dyno `nth`, of app 0 or 1.
pub(super) fn spec(nth: u8, max_conns: u32) -> DynoSpec {
    let address = format!("10.0.0.1:{}", 3000 + u16::from(nth)).parse().unwrap();
    DynoSpec { id: DynoId::new(&format!("d{nth}")).unwrap(), app: app(nth % 2).name, address, max_conns }
}

pub(super) fn slot(replica: u64, seq: u64) -> SlotId {
    SlotId { holder: Holder { replica: ReplicaId(replica), incarnation: Incarnation(7) }, seq }
}

fn adopt(nth: u8, max_conns: u32, epoch: u64) -> Command {
    Command::Adopt(AdoptDyno { spec: spec(nth, max_conns), epoch: Epoch(epoch), drain: false, cut: crate::map::fact::CUT_DEFAULT })
}

fn grant(seq: u64, nth: u8, epoch: u64) -> Command {
    Command::Grant { slot: slot(1, seq), dyno: spec(nth, 1).id, epoch: Epoch(epoch), span: Span::from_secs(60) }
}

fn drain(nth: u8, epoch: u64) -> Command {
    Command::Drain { dyno: spec(nth, 1).id, epoch: Epoch(epoch), cut: crate::map::fact::CUT_DEFAULT }
}

fn release(nth: u8, epoch: u64) -> Command {
    Command::Release { dyno: spec(nth, 1).id, epoch: Epoch(epoch) }
}

fn forget(nth: u8, epoch: u64) -> Command {
    Command::Forget { dyno: spec(nth, 1).id, epoch: Epoch(epoch) }
}

/// A block that knows both apps and was told all of `commands`.
fn told(commands: impl IntoIterator<Item = Command>) -> BlockState {
    let mut state = BlockState::new();
    for nth in 0..2 {
        assert_eq!(tell(&mut state, Command::SetApp { spec: Box::new(app(nth)), version: Version(1) }), Reply::Done);
    }
    for command in commands {
        let reply = tell(&mut state, command.clone());
        assert!(matches!(reply, Reply::Done | Reply::Granted), "{command:?} got {reply:?}");
    }
    state
}

fn tell(state: &mut BlockState, command: Command) -> Reply {
    let reply = state.apply(Index(1), command);
    state.check_invariants();
    reply
}

#[test]
fn a_dyno_never_has_more_slots_than_its_limit() {
    let mut state = told([adopt(0, 2, 5), grant(1, 0, 5), grant(2, 0, 5)]);
    assert_eq!(tell(&mut state, grant(3, 0, 5)), Reply::Refused(Refusal::Full));
    assert_eq!(tell(&mut state, Command::Free { slots: vec![slot(1, 1), slot(1, 99)] }), Reply::Done);
    assert_eq!(tell(&mut state, Command::Free { slots: vec![slot(1, 1)] }), Reply::Done);
    assert_eq!(tell(&mut state, grant(4, 0, 5)), Reply::Granted);
    assert_eq!(tell(&mut state, grant(5, 0, 5)), Reply::Refused(Refusal::Full));
}

#[test]
fn a_grant_must_know_the_epoch_and_be_new() {
    let mut state = told([adopt(0, 2, 5), grant(1, 0, 5)]);
    for epoch in [4, 6] {
        assert_eq!(tell(&mut state, grant(2, 0, epoch)), Reply::Refused(Refusal::Epoch { has: Epoch(5) }));
    }
    assert_eq!(tell(&mut state, grant(1, 0, 5)), Reply::Refused(Refusal::DuplicateSlot));
    assert_eq!(tell(&mut state, grant(2, 1, 5)), Reply::Refused(Refusal::UnknownDyno));
}

#[test]
fn a_draining_dyno_is_released_only_after_its_last_slot() {
    let mut state = told([adopt(0, 2, 5), grant(1, 0, 5), drain(0, 5)]);
    assert_eq!(tell(&mut state, drain(0, 5)), Reply::Unchanged);
    assert_eq!(tell(&mut state, grant(2, 0, 5)), Reply::Refused(Refusal::Draining));
    assert_eq!(tell(&mut state, release(0, 6)), Reply::Refused(Refusal::SlotsRemain { used: 1 }));
    assert_eq!(tell(&mut state, Command::Free { slots: vec![slot(1, 1)] }), Reply::Done);
    assert_eq!(tell(&mut state, release(0, 4)), Reply::Refused(Refusal::Epoch { has: Epoch(5) }));
    assert_eq!(tell(&mut state, release(0, 6)), Reply::Done);
    assert_eq!(state.released().collect::<Vec<_>>(), [(&spec(0, 1).id, Epoch(6))]);
}

/// P14. It was drained when its release was proposed, and has taken requests since, of which the log may not know yet.
#[test]
fn a_dyno_that_takes_requests_again_is_not_released() {
    let mut state = told([adopt(0, 2, 5), drain(0, 5), adopt(0, 2, 6)]);
    assert_eq!(tell(&mut state, release(0, 7)), Reply::Refused(Refusal::Active));
    assert_eq!(state.dyno(&spec(0, 1).id).map(|own| own.phase), Some(Phase::Active));
}

#[test]
fn adopting_over_an_own_older_epoch_keeps_the_slots() {
    let mut state = told([adopt(0, 2, 5), grant(1, 0, 5), grant(2, 0, 5)]);
    assert_eq!(tell(&mut state, adopt(0, 1, 9)), Reply::Done);
    let dyno = state.dyno(&spec(0, 1).id).unwrap();
    assert_eq!((dyno.epoch, dyno.used, dyno.phase), (Epoch(9), 2, Phase::Active));
    // The limit was lowered to 1: both old slots must end before there is room for a new one.
    tell(&mut state, Command::Free { slots: vec![slot(1, 1)] });
    assert_eq!(tell(&mut state, grant(3, 0, 9)), Reply::Refused(Refusal::Full));
    tell(&mut state, Command::Free { slots: vec![slot(1, 2)] });
    assert_eq!(tell(&mut state, grant(4, 0, 9)), Reply::Granted);
}

#[test]
fn a_repeated_adoption_does_not_undo_a_drain() {
    let mut state = told([adopt(0, 1, 5), drain(0, 5)]);
    assert_eq!(tell(&mut state, adopt(0, 1, 5)), Reply::Unchanged);
    assert_eq!(tell(&mut state, adopt(0, 1, 4)), Reply::Refused(Refusal::Epoch { has: Epoch(5) }));
    assert_eq!(state.dyno(&spec(0, 1).id).unwrap().phase, Phase::Draining);
}

#[test]
fn a_promise_holds_whether_or_not_the_dyno_was_ever_owned() {
    let mut state = told([release(0, 5), adopt(1, 1, 3), drain(1, 3), release(1, 5)]);
    for nth in 0..2 {
        assert_eq!(tell(&mut state, adopt(nth, 1, 5)), Reply::Refused(Refusal::Epoch { has: Epoch(5) }));
        assert_eq!(tell(&mut state, release(nth, 4)), Reply::Unchanged);
        assert_eq!(tell(&mut state, adopt(nth, 1, 6)), Reply::Done);
    }
    assert_eq!(state.released().len(), 0);
}

#[test]
fn a_forgotten_promise_still_holds() {
    let mut state = told([release(0, 5)]);
    assert_eq!(tell(&mut state, forget(0, 4)), Reply::Refused(Refusal::Epoch { has: Epoch(5) }));
    assert_eq!(tell(&mut state, forget(0, 5)), Reply::Done);
    assert_eq!(tell(&mut state, forget(0, 5)), Reply::Unchanged);
    assert_eq!(tell(&mut state, adopt(0, 1, 5)), Reply::Refused(Refusal::Epoch { has: Epoch(5) }));
    // Nor does a fresh record say less than the forgotten one did.
    assert_eq!(tell(&mut state, release(0, 2)), Reply::Done);
    assert_eq!(tell(&mut state, adopt(0, 1, 4)), Reply::Refused(Refusal::Epoch { has: Epoch(5) }));
    assert_eq!(tell(&mut state, adopt(0, 1, 6)), Reply::Done);
}

#[test]
fn an_app_is_known_before_its_dynos_and_stays_as_long_as_they_do() {
    let mut state = BlockState::new();
    assert_eq!(tell(&mut state, adopt(0, 1, 5)), Reply::Refused(Refusal::UnknownApp));
    let set = |version| Command::SetApp { spec: Box::new(app(0)), version: Version(version) };
    let remove = |version| Command::RemoveApp { name: app(0).name, version: Version(version) };
    assert_eq!(tell(&mut state, set(3)), Reply::Done);
    assert_eq!(tell(&mut state, set(3)), Reply::Unchanged);
    assert_eq!(tell(&mut state, set(2)), Reply::Refused(Refusal::StaleVersion { has: Version(3) }));
    assert_eq!(tell(&mut state, adopt(0, 1, 5)), Reply::Done);
    assert_eq!(tell(&mut state, remove(2)), Reply::Refused(Refusal::StaleVersion { has: Version(3) }));
    assert_eq!(tell(&mut state, remove(4)), Reply::Refused(Refusal::DynosRemain));
    assert_eq!((tell(&mut state, drain(0, 5)), tell(&mut state, release(0, 5))), (Reply::Done, Reply::Done));
    assert_eq!(tell(&mut state, remove(4)), Reply::Done);
}

#[test]
fn a_dyno_keeps_its_app_and_address_for_life() {
    let mut state = told([adopt(0, 1, 5)]);
    let moved = DynoSpec { address: spec(1, 1).address, ..spec(0, 1) };
    let reply =
        tell(&mut state, Command::Adopt(AdoptDyno { spec: moved, epoch: Epoch(6), drain: false, cut: crate::map::fact::CUT_DEFAULT }));
    assert_eq!(reply, Reply::Refused(Refusal::OtherDyno));
}

#[test]
fn renewing_names_the_slots_that_are_gone() {
    let mut state = told([adopt(0, 2, 5), grant(1, 0, 5), grant(2, 0, 5), Command::Free { slots: vec![slot(1, 2)] }]);
    let reply = tell(&mut state, Command::Renew { slots: vec![slot(1, 1), slot(1, 2)], span: Span::from_secs(9) });
    assert_eq!(reply, Reply::Missing(vec![slot(1, 2)]));
    assert_eq!(state.slot(slot(1, 1)).unwrap().span, Span::from_secs(9));
}

#[test]
fn the_slots_of_a_holder_are_told_apart() {
    let state = {
        let mut state = told([adopt(0, 3, 5), grant(1, 0, 5), grant(2, 0, 5)]);
        let other = Command::Grant { slot: slot(2, 1), dyno: spec(0, 1).id, epoch: Epoch(5), span: Span::ZERO };
        assert_eq!(tell(&mut state, other), Reply::Granted);
        state
    };
    let of = |replica| state.slots_of(slot(replica, 0).holder).map(|(id, _)| id.seq).collect::<Vec<_>>();
    assert_eq!((of(1), of(2), of(3)), (vec![1, 2], vec![1], vec![]));
}

#[test]
fn a_full_block_adopts_nothing_new_but_can_let_go() {
    let dyno = |nth: usize| DynoSpec { id: DynoId::new(&format!("n{nth}")).unwrap(), ..spec(0, 1) };
    let adopt = |nth| Command::Adopt(AdoptDyno { spec: dyno(nth), epoch: Epoch(5), drain: false, cut: crate::map::fact::CUT_DEFAULT });
    let mut state = told([]);
    for nth in 0..DYNOS_MAX {
        assert_eq!(state.apply(Index(1), adopt(nth)), Reply::Done);
    }
    assert_eq!(tell(&mut state, adopt(DYNOS_MAX)), Reply::Refused(Refusal::Limit));
    for nth in DYNOS_MAX..RECORDS_MAX {
        assert_eq!(state.apply(Index(1), Command::Release { dyno: dyno(nth).id, epoch: Epoch(5) }), Reply::Done);
    }
    assert_eq!(tell(&mut state, Command::Release { dyno: dyno(RECORDS_MAX).id, epoch: Epoch(5) }), Reply::Refused(Refusal::Limit));
    let drain = Command::Drain { dyno: dyno(0).id, epoch: Epoch(5), cut: crate::map::fact::CUT_DEFAULT };
    assert_eq!(tell(&mut state, drain), Reply::Done);
    assert_eq!(tell(&mut state, Command::Release { dyno: dyno(0).id, epoch: Epoch(5) }), Reply::Done);
    let again = Command::Adopt(AdoptDyno { spec: dyno(0), epoch: Epoch(6), drain: false, cut: crate::map::fact::CUT_DEFAULT });
    assert_eq!(tell(&mut state, again), Reply::Done);
}

#[test]
fn commands_and_replies_stay_small() {
    assert!(size_of::<Command>() <= 96, "a command takes {} bytes", size_of::<Command>());
    assert!(size_of::<Reply>() <= 32, "a reply takes {} bytes", size_of::<Reply>());
}
