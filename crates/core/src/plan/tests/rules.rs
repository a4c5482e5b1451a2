//! One rule each.

use super::town::{block, dyno, town};
use crate::plan::{DEFAULTS, Gain, Percent, Policy, Reason, Standing, Wait};
use crate::time::Span;

#[test]
fn a_mesh_as_it_should_be_is_left_alone() {
    let mesh = town().blocks("z1", &["b1"]).blocks("z2", &["b2"]).dynos("shop", "b1", 25).dynos("shop", "b2", 25);
    let plan = mesh.load("shop", "b1", 25, 14, 0).load("shop", "b2", 25, 12, 0).planned();
    assert!(plan.is_settled(), "{plan}");
    assert_eq!(plan.to_string(), "nothing to move\n");
    assert!(town().planned().is_settled(), "an empty mesh");
}

#[test]
fn a_gap_within_the_hysteresis_is_left_alone() {
    let mesh = |left, right| town().blocks("z1", &["b1"]).blocks("z2", &["b2"]).dynos("shop", "b1", left).dynos("shop", "b2", right);
    assert!(mesh(27, 23).planned().is_settled());
    assert_eq!(mesh(28, 22).planned().moves.len(), 1, "12 % too many and 12 % too few");
}

#[test]
fn a_waiting_dyno_goes_where_its_app_lacks_it() {
    let mesh = town().blocks("z1", &["b1", "b2"]).blocks("z2", &["b3"]).dynos("shop", "b1", 3).dynos("shop", "b3", 2).dynos("shop", "", 1);
    let plan = mesh.planned();
    assert_eq!(plan.moves.len(), 1, "{plan}");
    assert_eq!((&plan.moves[0].to, &plan.moves[0].reason), (&block("b3"), &Reason::Waiting));
    assert_eq!(plan.moves[0].gain, Gain::Serves { slots: 1 });
}

#[test]
fn a_lost_block_keeps_its_dynos_until_it_is_evicted() {
    let mesh = town().blocks("", &["b1", "b2", "b3"]).dynos("shop", "b1", 8).dynos("shop", "b2", 8);
    let lost = Standing::Lost(mesh.now - Span::from_secs(200));
    let plan = mesh.clone().standing("b2", lost).planned();
    assert!(plan.moves.is_empty(), "{plan}");
    assert_eq!(plan.held_back[0].wait, Wait::Lost { block: block("b2"), silent: Some(Span::from_secs(200)) });
    assert_eq!(plan.held_back[0].dynos, 8);
    let plan = mesh.standing("b2", Standing::Evicted).planned();
    assert_eq!(plan.moves.len(), 8, "dynos that serve nobody do not wait for each other: {plan}");
}

#[test]
fn a_dyno_in_an_unseen_block_stays() {
    let plan = town().blocks("", &["b1", "b2"]).dynos("shop", "b1", 2).dynos("shop", "b9", 2).planned();
    assert!(plan.moves.is_empty() && plan.held_back.len() == 1, "{plan}");
}

#[test]
fn only_a_part_of_an_app_is_on_the_move_at_once() {
    let mesh = town().blocks("", &["b1", "b2", "b3"]).standing("b1", Standing::Draining).dynos("shop", "b1", 4).dynos("shop", "b2", 1);
    let plan = mesh.planned();
    assert_eq!(plan.moves.len(), 1, "{plan}");
    let moving = mesh.with(plan.moves[0].dyno.as_str(), |dyno| (dyno.block, dyno.moving) = (Some(block("b2")), true));
    let plan = moving.planned();
    assert!(plan.moves.is_empty(), "{plan}");
    assert!(plan.held_back.iter().any(|held| matches!(held.wait, Wait::App { most: 1, .. }) && held.dynos == 3), "{plan}");
}

#[test]
fn unfinished_moves_count_against_the_limit() {
    let mut mesh =
        town().blocks("", &["b1", "b2", "b3"]).standing("b1", Standing::Draining).dynos("shop", "b1", 40).dynos("shop", "b2", 40);
    for nth in 41..=46 {
        mesh = mesh.with(&format!("shop.{nth:03}"), |dyno| dyno.moving = true);
    }
    let plan = mesh.planned();
    assert_eq!(plan.moves.len(), 2, "{plan}");
    assert!(plan.held_back.iter().any(|held| held.wait == Wait::Limit { most: 8 } && held.dynos == 38), "{plan}");
}

#[test]
fn a_drained_dyno_stays_unless_its_block_drains() {
    let mesh = town().blocks("", &["b1", "b2", "b3"]).dynos("shop", "b1", 12).dynos("shop", "b2", 4);
    let drained = (1..=12).fold(mesh, |mesh, nth| mesh.with(&format!("shop.{nth:03}"), |dyno| dyno.drain = true));
    let plan = drained.planned();
    assert!(plan.moves.iter().all(|step| step.from != Some(block("b1"))), "{plan}");
    let plan = drained.standing("b1", Standing::Draining).planned();
    assert!(plan.moves.iter().any(|step| step.from == Some(block("b1"))), "{plan}");
}

#[test]
fn a_resting_dyno_is_not_moved_for_balance_but_leaves_a_draining_block() {
    let mesh = town().blocks("", &["b1", "b2"]).dynos("shop", "b1", 2).dynos("shop", "b2", 1);
    let mesh = mesh.dynos("shop", "b1", 5);
    let now = mesh.now;
    let rested = mesh.dynos.keys().cloned().collect::<Vec<_>>();
    let mesh = rested.iter().fold(mesh, |mesh, id| mesh.with(id.as_str(), |dyno| dyno.last_moved = Some(now - Span::from_secs(60))));
    let plan = mesh.planned();
    assert!(plan.moves.is_empty(), "{plan}");
    assert!(plan.held_back.iter().all(|held| matches!(held.wait, Wait::Resting { .. })), "{plan}");
    assert_eq!(mesh.standing("b1", Standing::Draining).planned().moves.len(), 2);
}

#[test]
fn a_block_over_its_room_sheds_dynos() {
    let mesh = town().blocks("", &["b1", "b2"]).room("b1", 20).dynos("shop", "b1", 23).dynos("shop", "b2", 17);
    let plan = mesh.planned();
    assert_eq!(plan.moves.len(), 3, "{plan}");
    assert_eq!(plan.moves[0].reason, Reason::Room { block: block("b1"), dynos: 23, room: 20 });
}

#[test]
fn without_room_anywhere_dynos_wait() {
    let mesh =
        town().blocks("", &["b1", "b2"]).room("b1", 2).room("b2", 2).dynos("shop", "b1", 2).dynos("shop", "b2", 2).dynos("shop", "", 3);
    let plan = mesh.planned();
    assert!(plan.moves.is_empty(), "{plan}");
    assert_eq!((&plan.held_back[0].wait, plan.held_back[0].dynos), (&Wait::NoRoom, 3));
}

#[test]
fn an_app_in_one_zone_gets_a_block_in_another() {
    let mesh = town().blocks("z1", &["b1", "b2"]).blocks("z2", &["b3"]).dynos("shop", "b1", 5).dynos("shop", "b2", 5);
    let plan = mesh.planned();
    assert!(plan.moves.iter().any(|step| step.to == block("b3")), "{plan}");
    assert!(plan.moves.iter().all(|step| step.to != block("b1") && step.to != block("b2")), "{plan}");
    assert!(plan.moves[0].reason.to_string().starts_with("zone z1 holds all of app shop"), "{plan}");
}

#[test]
fn a_zone_with_more_blocks_has_no_more_of_an_app_than_may_be_lost() {
    let mesh = town().blocks("z1", &["b1", "b2"]).blocks("z2", &["b3"]);
    let mesh = mesh.dynos("shop", "b1", 25).dynos("shop", "b2", 25).dynos("shop", "b3", 25);
    let plan = mesh.planned();
    assert_eq!(plan.moves.len(), 5, "from 50 of 75 to 45: {plan}");
    assert!(plan.moves.iter().all(|step| step.to == block("b3")), "{plan}");
    assert_eq!(plan.moves[0].reason.to_string(), "zone z1 holds 67 % of app shop, more than 60 %");
}

#[test]
fn a_dyno_goes_to_its_own_zone_where_there_is_a_choice() {
    let mesh = town().blocks("z1", &["b1"]).blocks("z2", &["b2"]).dynos("shop", "b1", 8).dynos("shop", "b2", 2);
    let mesh = mesh.with("shop.005", |dyno| dyno.zone = super::town::zone("z2"));
    assert_eq!(mesh.planned().moves[0].dyno, dyno("shop.005"));
}

#[test]
fn one_block_of_each_app_is_enough_where_the_operator_says_so() {
    let policy = Policy { blocks_min: 1, ..DEFAULTS };
    let mesh = town().blocks("", &["b1", "b2", "b3"]).dynos("shop", "b1", 4).dynos("shop", "b2", 3);
    let plan = mesh.planned_by(&policy);
    assert!(plan.moves.iter().all(|step| step.from == Some(block("b2")) && step.to == block("b1")), "{plan}");
    assert!(!plan.moves.is_empty() && mesh.planned().is_settled());
}

#[test]
fn load_has_its_say_only_where_it_is_high() {
    let mesh = town().blocks("", &["b1", "b2"]).dynos("shop", "b1", 20).dynos("shop", "b2", 20);
    let idle = mesh.clone().load("shop", "b1", 20, 2, 0).load("shop", "b2", 20, 0, 0);
    assert!(idle.planned().is_settled(), "two requests are chance");
    let busy = mesh.load("shop", "b1", 20, 20, 8).load("shop", "b2", 20, 2, 0).planned();
    assert_eq!(busy.moves[0].to, block("b1"), "{busy}");
    let Gain::Load { before, after, .. } = &busy.moves[0].gain else { panic!("{busy}") };
    assert!(before > after && *before == Percent(140), "{busy}");
}

#[test]
fn an_app_may_want_groups_of_another_size() {
    let mut mesh = town().blocks("", &["b1", "b2", "b3", "b4"]).dynos("shop", "b1", 20).dynos("shop", "b2", 20);
    assert!(mesh.planned().is_settled());
    mesh.apps.entry(super::town::app("shop")).or_default().group = Some(10);
    let plan = mesh.planned();
    assert!(matches!(plan.moves[0].reason, Reason::Large { group: 10, dynos: 40, blocks: 2, .. }), "{plan}");
}
