//! When a wait ends, and what it says until then.

use dynomesh_core::time::Span;
use dynomesh_proto::admin::v1 as wire;

use crate::CliError;
use crate::effect::{Effect, Node, block_empty, node_drained};
use crate::wait::{Progress, until};

pub(super) fn adopted(phase: wire::DynoPhase) -> wire::Dyno {
    let mut dyno = wire::Dyno {
        id: "a".into(),
        block: "b1".into(),
        epoch: 7,
        owner: "b1".into(),
        owned_epoch: 7,
        addr: "127.0.0.1:3000".into(),
        ..Default::default()
    };
    dyno.set_phase(phase);
    dyno
}

/// How far, without how things stand.
fn far(effect: Effect, dyno: Option<&wire::Dyno>) -> Progress<()> {
    bare(effect.progress("a", dyno.cloned()))
}

fn bare<T>(progress: Progress<T>) -> Progress<()> {
    match progress {
        Progress::Done(_) => Progress::Done(()),
        Progress::Missing(what) => Progress::Missing(what),
        Progress::Never(what) => Progress::Never(what),
    }
}

#[test]
fn an_added_dyno_is_waited_for_until_it_is_adopted_and_answers() {
    let missing = |dyno: &wire::Dyno| match far(Effect::Serves, Some(dyno)) {
        Progress::Missing(what) => what,
        other => panic!("{other:?}"),
    };
    let homeless = wire::Dyno { block: String::new(), owner: String::new(), ..adopted(wire::DynoPhase::Pending) };
    assert_eq!(missing(&homeless), "dyno a is pending: no block is known yet");
    assert_eq!(missing(&adopted(wire::DynoPhase::Pending)), "dyno a is pending: not yet adopted by b1");
    let mut silent = adopted(wire::DynoPhase::Active);
    silent.set_state(wire::DynoState::Down);
    assert_eq!(missing(&silent), "dyno a is active in b1 and down at 127.0.0.1:3000");
    silent.set_state(wire::DynoState::Up);
    assert_eq!(far(Effect::Serves, Some(&silent)), Progress::Done(()));
    silent.drain = true;
    assert!(matches!(far(Effect::Serves, Some(&silent)), Progress::Never(_)));
}

#[test]
fn a_drained_dyno_is_waited_for_until_nothing_runs_there() {
    let mut dyno = wire::Dyno { in_flight: 1, drain: true, ..adopted(wire::DynoPhase::Draining) };
    assert_eq!(far(Effect::Idle, Some(&dyno)), Progress::Missing("dyno a is draining, 1 in flight".into()));
    dyno.in_flight = 0;
    assert_eq!(far(Effect::Idle, Some(&dyno)), Progress::Done(()));
    // The owner has not heard of the newer assignment: what it reports is about the older one.
    dyno.epoch = 8;
    assert!(matches!(far(Effect::Idle, Some(&dyno)), Progress::Missing(_)));
    assert!(matches!(far(Effect::Idle, None), Progress::Never(_)));
}

#[test]
fn a_removed_dyno_is_waited_for_until_it_is_forgotten() {
    assert!(matches!(far(Effect::Gone, Some(&adopted(wire::DynoPhase::Removing))), Progress::Missing(_)));
    assert_eq!(far(Effect::Gone, None), Progress::Done(()));
}

#[test]
fn a_moved_dyno_is_waited_for_until_its_new_block_owns_it_at_the_new_epoch() {
    let effect = Effect::Adopted { epoch: 8 };
    let missing = |dyno: &wire::Dyno| matches!(far(effect, Some(dyno)), Progress::Missing(_));
    // The answering replica lags: this is the ownership before the move.
    assert!(missing(&adopted(wire::DynoPhase::Active)));
    let moved = wire::Dyno { block: "b2".into(), epoch: 8, ..adopted(wire::DynoPhase::Active) };
    assert!(missing(&moved), "b1 still owns it");
    let waits = wire::Dyno { waits_for: vec!["b1".into()], in_flight: 1, ..moved.clone() };
    let Progress::Missing(what) = far(effect, Some(&waits)) else { panic!() };
    assert_eq!(what, "dyno a is active: not yet adopted by b2, which waits for b1 to let go (1 in flight)");
    let there = wire::Dyno { owner: "b2".into(), owned_epoch: 8, ..moved };
    assert_eq!(far(effect, Some(&there)), Progress::Done(()));
    assert!(matches!(far(effect, Some(&wire::Dyno { epoch: 9, block: "b3".into(), ..there })), Progress::Never(_)));
}

#[test]
fn a_drained_block_is_waited_for_until_it_has_no_dynos() {
    let block = |assigned, dynos| Some(wire::Block { assigned, dynos, drain: true, ..Default::default() });
    let mut most = 0;
    assert_eq!(bare(block_empty("b1", block(25, 24), &mut most)), Progress::Missing("25 of 25 dynos left in block b1".into()));
    // Assigned to others already, and not released yet.
    assert_eq!(bare(block_empty("b1", block(0, 12), &mut most)), Progress::Missing("12 of 25 dynos left in block b1".into()));
    assert_eq!(bare(block_empty("b1", block(0, 0), &mut most)), Progress::Done(()));
    assert_eq!(bare(block_empty("b1", None, &mut most)), Progress::Done(()));
    let kept = wire::Block { assigned: 3, ..Default::default() };
    assert!(matches!(block_empty("b1", Some(kept), &mut most), Progress::Never(_)));
}

#[test]
fn a_drained_process_is_waited_for_until_it_says_so() {
    let node = |state: &str, leader| Some(Node { live: true, state: state.into(), drain: true, leader, in_flight: 2 });
    let missing = |node| match node_drained("b1-1", node) {
        Progress::Missing(what) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(node("serving", true)), "b1-1 still leads");
    assert_eq!(missing(node("draining", false)), "b1-1 is draining, 2 in flight");
    assert_eq!(missing(None), "b1-1 is not listed");
    assert_eq!(bare(node_drained("b1-1", node("drained", false))), Progress::Done(()));
    assert!(matches!(node_drained("b1-1", Some(Node { live: true, ..Node::default() })), Progress::Never(_)));
}

#[tokio::test]
async fn a_control_replica_that_dies_is_part_of_the_wait() {
    let mut looks = 0;
    let there = until(Span::from_secs(5), async || {
        looks += 1;
        match looks {
            1 => Err(CliError::Unreachable { admin: "x".into(), reason: "refused".into() }),
            2 => Ok(Progress::Never("it lags".into())),
            3 => Ok(Progress::Missing("something".into())),
            _ => Ok(Progress::Done(7)),
        }
    });
    assert_eq!(there.await.unwrap(), 7);
}

#[tokio::test]
async fn what_somebody_else_undid_is_not_waited_for_to_the_end() {
    let never = until(Span::from_secs(30), async || Ok(Progress::<()>::Never("it was taken back".into())));
    let error = never.await.unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().as_str()), (1, "committed, but it was taken back"));
    let late = until(Span::from_millis(50), async || Ok(Progress::<()>::Missing("nothing came".into()))).await.unwrap_err();
    assert_eq!(late.exit_code(), 4);
}
