//! Single steps of the directory.

use super::*;
use crate::app::{AppSpec, Policy};
use crate::id::{Address, AppName, BlockName, DynoId, Epoch, GroupId, Host, Index};
use crate::map::fact::{Fact, Predecessor};

mod asks;
mod blocks;
mod recovery;

pub(super) fn app(name: &str) -> AppSpec {
    let hosts = vec![Host::new(&format!("{name}.test")).unwrap()];
    AppSpec { name: AppName::new(name).unwrap(), hosts, policy: Policy { max_conns: 2, ..Policy::default() } }
}

pub(super) fn create(name: &str) -> Command {
    Command::CreateApp { spec: Box::new(app(name)) }
}

pub(super) fn block(name: &str) -> BlockName {
    BlockName::new(name).unwrap()
}

pub(super) fn bind(name: &str, group: u128) -> Command {
    Command::BindBlock { name: block(name), group: GroupId(group) }
}

pub(super) fn dyno(id: &str) -> DynoId {
    DynoId::new(id).unwrap()
}

pub(super) fn address(port: u16) -> Address {
    format!("10.0.0.1:{port}").parse().unwrap()
}

fn add(id: &str, app: &str, port: u16) -> Command {
    Command::AddDyno { id: Some(dyno(id)), app: AppName::new(app).unwrap(), address: address(port), max_conns: None, block: None }
}

fn add_to(to: &str, command: Command) -> Command {
    match command {
        Command::AddDyno { id, app, address, max_conns, .. } => Command::AddDyno { id, app, address, max_conns, block: Some(block(to)) },
        other => other,
    }
}

fn remove(id: &str) -> Command {
    Command::RemoveDyno { id: dyno(id), force: true }
}

fn move_to(to: &str, id: &str) -> Command {
    Command::MoveDyno { id: dyno(id), to: block(to), why: String::new() }
}

fn released(id: &str, by: &str, epoch: Epoch) -> Command {
    Command::Released { dyno: dyno(id), block: block(by), epoch }
}

/// A directory with the app `shop`, told all of `commands` under one log entry.
fn told(commands: impl IntoIterator<Item = Command>) -> DirectoryState {
    let mut state = DirectoryState::new(0);
    for command in [create("shop")].into_iter().chain(commands) {
        let reply = tell(&mut state, command.clone());
        assert!(!matches!(reply, Reply::Refused(_)), "{command:?} got {reply:?}");
    }
    state
}

fn tell(state: &mut DirectoryState, command: Command) -> Reply {
    let reply = state.apply(Index(7), command);
    state.check_invariants();
    reply
}

fn changed(reply: &Reply) -> bool {
    match reply {
        Reply::Refused(refusal) => panic!("refused: {refusal}"),
        reply => reply.changed(),
    }
}

fn refusal(reply: Reply) -> (Kind, String) {
    match reply {
        Reply::Refused(Refusal { kind, sentence }) => (kind, sentence),
        other => panic!("{other:?} is no refusal"),
    }
}

fn belongs<'a>(state: &'a DirectoryState, id: &str) -> Option<&'a str> {
    state.dyno(&dyno(id)).unwrap().block().map(BlockName::as_str)
}

#[test]
fn asking_twice_changes_nothing_the_second_time() {
    let mut state = told([bind("b1", 1), bind("b2", 2)]);
    let commands = [
        create("blog"),
        add("d1", "shop", 1),
        move_to("b2", "d1"),
        Command::DrainDyno { id: dyno("d1"), cut: None },
        remove("d1"),
        bind("b3", 3),
    ];
    let mut twice = commands.into_iter().chain([Command::DeleteApp { name: app("blog").name }]);
    for command in &mut twice {
        assert!(changed(&tell(&mut state, command.clone())), "{command:?} changed nothing");
        let before = state.clone();
        assert!(!changed(&tell(&mut state, command.clone())), "{command:?} changed something twice");
        assert_eq!(state, before);
    }
}

#[test]
fn the_same_name_with_another_meaning_is_refused() {
    let mut state = told([bind("b1", 1), bind("b2", 2), add_to("b1", add("d1", "shop", 1))]);
    let other = AppSpec { policy: Policy::default(), ..app("shop") };
    let refused = [
        Command::CreateApp { spec: Box::new(other) },
        Command::CreateApp { spec: Box::new(AppSpec { hosts: app("shop").hosts, ..app("blog") }) },
        add("d1", "shop", 2),
        add("d2", "shop", 1),
        add_to("b2", add("d1", "shop", 1)),
        bind("b1", 9),
        bind("b9", 1),
    ];
    for command in refused {
        let before = state.clone();
        let (kind, sentence) = refusal(tell(&mut state, command.clone()));
        assert_eq!(kind, Kind::Exists, "{command:?}: {sentence}");
        assert_eq!(state, before);
    }
}

#[test]
fn what_does_not_exist_is_named() {
    let mut state = told([bind("b1", 1), add("d1", "shop", 1)]);
    let unknown = [
        (add("d2", "nope", 2), "app nope is not known"),
        (add_to("b9", add("d2", "shop", 2)), "block b9 is not known"),
        (move_to("b9", "d1"), "block b9 is not known"),
        (remove("d9"), "dyno d9 is not known"),
        (Command::DrainDyno { id: dyno("d9"), cut: None }, "dyno d9 is not known"),
        (Command::DeleteApp { name: AppName::new("nope").unwrap() }, "app nope is not known"),
    ];
    for (command, sentence) in unknown {
        assert_eq!(refusal(tell(&mut state, command)), (Kind::NotFound, sentence.to_owned()));
    }
}

#[test]
fn bad_values_name_their_field() {
    let mut state = told([]);
    let none = AppSpec { hosts: Vec::new(), ..app("blog") };
    let twice = AppSpec { hosts: [app("blog").hosts, app("blog").hosts].concat(), ..app("blog") };
    let long = |nth: usize| Host::new(&format!("{nth:02}{}.test", "x".repeat(200))).unwrap();
    let large = AppSpec { hosts: (0..60).map(long).collect(), ..app("blog") };
    for spec in [none, twice, large] {
        let (kind, sentence) = refusal(tell(&mut state, Command::CreateApp { spec: Box::new(spec) }));
        assert_eq!(kind, Kind::Invalid { field: "hosts".into() }, "{sentence}");
    }
    let zero = Command::AddDyno { id: None, app: app("shop").name, address: address(1), max_conns: Some(0), block: None };
    assert_eq!(refusal(tell(&mut state, zero)).0, Kind::Invalid { field: "max_conns".into() });
}

#[test]
fn a_dyno_without_an_id_gets_one_once() {
    let mut state = told([bind("b1", 1)]);
    let add = Command::AddDyno { id: None, app: app("shop").name, address: address(1), max_conns: None, block: None };
    let Reply::Dyno { dyno: first, changed: true } = tell(&mut state, add.clone()) else { panic!("not added") };
    assert!(first.spec.id.as_str().starts_with("shop."), "{}", first.spec.id);
    assert_eq!(first.spec.max_conns, 2);
    assert_eq!(tell(&mut state, add), Reply::Dyno { changed: false, dyno: first });
}

#[test]
fn new_dynos_go_where_the_app_has_the_fewest_slots_then_where_fewest_dynos_are() {
    let mut state = told([create("blog"), bind("b1", 1), bind("b2", 2), bind("b3", 3)]);
    for (id, app, block) in [
        ("d1", "shop", "b1"), // all alike: the first by name
        ("d2", "blog", "b2"), // as many slots everywhere, but b1 has a dyno
        ("d3", "shop", "b3"), // b2 has a dyno of another app, b3 has none
        ("d4", "shop", "b2"), // the only one without slots of this app
    ] {
        tell(&mut state, add(id, app, 1 + u16::from(id.as_bytes()[1])));
        assert_eq!(belongs(&state, id), Some(block), "{id}");
    }
    // Slots of a draining dyno are as good as gone.
    tell(&mut state, Command::DrainDyno { id: dyno("d3"), cut: None });
    tell(&mut state, add("d5", "shop", 99));
    assert_eq!(belongs(&state, "d5"), Some("b3"));
}

#[test]
fn dynos_wait_for_the_first_block() {
    let mut state = told([add("d1", "shop", 1), add("d2", "shop", 2)]);
    assert_eq!(belongs(&state, "d1"), None);
    assert!(!state.facts().iter().any(|fact| matches!(fact, Fact::Assigned(_))), "a waiting dyno looks like a removed one");
    tell(&mut state, bind("b1", 1));
    assert_eq!((belongs(&state, "d1"), belongs(&state, "d2")), (Some("b1"), Some("b1")));
}

#[test]
fn stamps_are_unique_within_an_entry_and_rise_over_generations() {
    let state = told([bind("b1", 1), add("d1", "shop", 1), add("d2", "shop", 2)]);
    let epoch = |id| state.dyno(&dyno(id)).unwrap().epoch;
    assert!(epoch("d1") < epoch("d2"));
    let mut next = DirectoryState::new(1);
    let Reply::App { app, .. } = tell(&mut next, create("shop")) else { panic!("not created") };
    assert!(app.version.0 > epoch("d2").0);
}

#[test]
fn every_block_that_may_still_own_a_dyno_stays_its_predecessor() {
    let mut state = told([bind("b1", 1), bind("b2", 2), bind("b3", 3), add_to("b1", add("d1", "shop", 1))]);
    let epoch = |state: &DirectoryState| state.dyno(&dyno("d1")).unwrap().epoch;
    let first = epoch(&state);
    tell(&mut state, move_to("b2", "d1"));
    let second = epoch(&state);
    tell(&mut state, move_to("b3", "d1"));
    let earlier = |name, epoch| Predecessor { block: block(name), epoch };
    assert_eq!(state.dyno(&dyno("d1")).unwrap().after, [earlier("b1", first), earlier("b2", second)]);

    // A promise up to an earlier epoch than the one it was assigned under clears nobody.
    assert!(!changed(&tell(&mut state, released("d1", "b2", first))));
    assert!(changed(&tell(&mut state, released("d1", "b1", first))));
    assert_eq!(state.dyno(&dyno("d1")).unwrap().after, [earlier("b2", second)]);

    // Back to b2, which need not wait for itself, and on again: now it counts under its newest epoch.
    let third = epoch(&state);
    tell(&mut state, move_to("b2", "d1"));
    assert_eq!(state.dyno(&dyno("d1")).unwrap().after, [earlier("b3", third)]);
    let fourth = epoch(&state);
    tell(&mut state, move_to("b1", "d1"));
    assert_eq!(state.dyno(&dyno("d1")).unwrap().after, [earlier("b2", fourth), earlier("b3", third)]);
}

#[test]
fn a_dyno_with_four_predecessors_stays_where_it_is() {
    let blocks = ["b1", "b2", "b3", "b4", "b5", "b6"];
    let mut state = told(blocks.iter().zip(1..).map(|(name, group)| bind(name, group)));
    tell(&mut state, add_to("b1", add("d1", "shop", 1)));
    for to in &blocks[1..5] {
        assert!(changed(&tell(&mut state, move_to(to, "d1"))));
    }
    let before = state.clone();
    for command in [move_to("b6", "d1"), remove("d1")] {
        assert_eq!(refusal(tell(&mut state, command)).0, Kind::Precondition);
        assert_eq!(state, before);
    }
    assert!(changed(&tell(&mut state, move_to("b1", "d1"))), "a move back adds no predecessor");
}

#[test]
fn a_removed_dyno_keeps_its_address_until_it_is_released() {
    let mut state = told([bind("b1", 1), add("d1", "shop", 1)]);
    tell(&mut state, remove("d1"));
    for command in [add("d2", "shop", 1), add("d1", "shop", 1)] {
        let (kind, sentence) = refusal(tell(&mut state, command));
        assert_eq!(kind, Kind::Precondition);
        assert_eq!(sentence, "dyno d1 at 10.0.0.1:1 is removed but not yet released by b1; try again then");
    }
    let removed = state.dyno(&dyno("d1")).unwrap().epoch;
    tell(&mut state, released("d1", "b1", removed));
    assert_eq!(state.dyno(&dyno("d1")), None);
    let tombstone = |fact: &Fact| matches!(fact, Fact::Assigned(f) if f.block.is_none() && f.epoch == removed && f.after.is_empty());
    assert!(state.facts().iter().any(tombstone), "the end of d1 is no longer told");
    assert!(changed(&tell(&mut state, add("d2", "shop", 1))));
    // The id may come back, under a later epoch and with no tombstone beside it.
    assert!(changed(&tell(&mut state, add("d1", "shop", 2))));
    assert!(!state.facts().iter().any(tombstone));
}

#[test]
fn a_word_that_a_block_cannot_keep_is_said_anew() {
    let mut state = told([bind("b1", 1), add("d1", "shop", 1)]);
    let epoch = state.dyno(&dyno("d1")).unwrap().epoch;
    assert!(!changed(&tell(&mut state, released("d1", "b1", Epoch(epoch.0 - 1)))));
    assert!(changed(&tell(&mut state, released("d1", "b1", epoch))));
    let again = state.dyno(&dyno("d1")).unwrap();
    assert!(again.epoch > epoch);
    assert_eq!((again.block(), again.after.len()), (Some(&block("b1")), 0));
    assert!(!changed(&tell(&mut state, released("d1", "b1", epoch))));
}

#[test]
fn a_promise_above_every_stamp_is_not_taken_for_an_answer() {
    let mut state = told([bind("b1", 1), add("d1", "shop", 1)]);
    let before = state.clone();
    let foreign = Epoch(state.last_stamp() + 1);
    assert_eq!(refusal(tell(&mut state, released("d1", "b1", foreign))).0, Kind::Precondition);
    assert_eq!(state, before, "a word that cannot be kept would be said anew for ever");
}

#[test]
fn an_app_with_dynos_is_not_deleted() {
    let mut state = told([bind("b1", 1), add("d1", "shop", 1)]);
    let delete = Command::DeleteApp { name: app("shop").name };
    assert_eq!(refusal(tell(&mut state, delete.clone())).0, Kind::Precondition);
    tell(&mut state, remove("d1"));
    assert!(changed(&tell(&mut state, delete)));
    let deleted = |fact: &Fact| matches!(fact, Fact::App(f) if f.spec.is_none());
    assert!(state.facts().iter().any(deleted));
    assert!(changed(&tell(&mut state, create("shop"))), "its name and host are free again");
    assert!(!state.facts().iter().any(deleted));
}

#[test]
fn the_oldest_tombstones_are_dropped() {
    let mut state = told([]);
    for nth in 0..=TOMBSTONES_MAX {
        let name = format!("app-{nth}");
        tell(&mut state, create(&name));
        tell(&mut state, Command::DeleteApp { name: AppName::new(&name).unwrap() });
    }
    let kept: Vec<_> = state.facts().into_iter().filter(|fact| matches!(fact, Fact::App(f) if f.spec.is_none())).collect();
    assert_eq!(kept.len(), TOMBSTONES_MAX);
    assert!(!kept.iter().any(|fact| fact.key() == "app/app-0"), "the oldest was kept");
}
