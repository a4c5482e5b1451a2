//! Who asked, under which condition, and what is remembered of it.

use super::*;

fn ask(command: Command) -> Ask {
    Ask { caller: "ann".into(), at_ms: 1, key: None, expect: None, app: None, command }
}

fn say(state: &mut DirectoryState, ask: Ask) -> Reply {
    tell(state, Command::Asked(Box::new(ask)))
}

fn drain(id: &str) -> Command {
    Command::DrainDyno { id: dyno(id), cut: None }
}

fn start() -> DirectoryState {
    told([bind("b1", 1), bind("b2", 2), add_to("b1", add("d1", "shop", 1)), add_to("b1", add("d2", "shop", 2))])
}

#[test]
fn of_two_callers_that_saw_the_same_version_one_wins() {
    let mut state = start();
    let seen = state.dyno(&dyno("d1")).unwrap().epoch.0;
    assert!(changed(&say(&mut state, Ask { expect: Some(seen), ..ask(drain("d1")) })));
    let before = state.clone();
    let (kind, sentence) = refusal(say(&mut state, Ask { expect: Some(seen), ..ask(move_to("b2", "d1")) }));
    assert_eq!(kind, Kind::Stale);
    assert!(sentence.contains(&format!("not {seen}")), "{sentence}");
    assert_eq!(state, before, "a refused request changed something");
    assert_eq!(refusal(say(&mut state, Ask { expect: Some(0), ..ask(create("shop")) })).0, Kind::Stale);
    assert_eq!(refusal(say(&mut state, Ask { expect: Some(3), ..ask(create("blog")) })).0, Kind::Stale);
    assert!(changed(&say(&mut state, Ask { expect: Some(0), ..ask(create("blog")) })));
}

#[test]
fn a_keyed_request_has_one_effect_and_one_answer() {
    let mut state = start();
    let keyed = |command| Ask { key: Some("k1".into()), ..ask(command) };
    let first = say(&mut state, keyed(move_to("b2", "d1")));
    tell(&mut state, move_to("b1", "d1"));
    assert_eq!(say(&mut state, keyed(move_to("b2", "d1"))), first, "the repeated request had an effect");
    assert_eq!(belongs(&state, "d1"), Some("b1"));
    assert_eq!(refusal(say(&mut state, keyed(drain("d1")))).0, Kind::Exists);
    // What was refused may be tried again under its key.
    let early = Ask { key: Some("k2".into()), ..ask(drain("d9")) };
    assert_eq!(refusal(say(&mut state, early.clone())).0, Kind::NotFound);
    tell(&mut state, add("d9", "shop", 9));
    assert!(changed(&say(&mut state, early)));
}

#[test]
fn keys_and_events_are_remembered_up_to_their_limits() {
    let mut state = start();
    for n in 0..ask::EVENTS_MAX + 10 {
        let command = if n % 2 == 0 { drain("d1") } else { Command::UndrainDyno { id: dyno("d1") } };
        state.apply(Index(8), Command::Asked(Box::new(Ask { key: Some(format!("k{n}")), ..ask(command) })));
    }
    state.check_invariants();
    let last = state.last_event();
    assert!(state.events_after(0).is_none(), "forgotten events are not told from none");
    let told: Vec<u64> = state.events_after(last - 3).unwrap().map(|event| event.seq).collect();
    assert_eq!(told, [last - 2, last - 1, last]);
    assert_eq!(state.events_after(last).unwrap().count(), 0);
    assert_eq!(state.events_after(u64::MAX).unwrap().count(), 0);
}

#[test]
fn an_event_tells_who_did_what_to_which() {
    let mut state = start();
    let before = state.last_event();
    say(&mut state, ask(move_to("b2", "d1")));
    say(&mut state, ask(move_to("b2", "d1")));
    let epoch = state.dyno(&dyno("d1")).unwrap().after[0].epoch;
    tell(&mut state, released("d1", "b1", epoch));
    let told: Vec<_> = state.events_after(before).unwrap().map(|e| format!("{} {} {} {}", e.caller, e.verb, e.subject, e.detail)).collect();
    assert_eq!(told, ["ann dyno.move dyno/d1 to block b2".into(), format!("mesh dyno.released dyno/d1 by block b1 up to epoch {epoch}")]);
}

#[test]
fn a_dyno_of_another_app_and_the_last_of_its_app_are_not_touched() {
    let mut state = start();
    let blog = Some(AppName::new("blog").unwrap());
    let (kind, sentence) = refusal(say(&mut state, Ask { app: blog, ..ask(drain("d1")) }));
    assert_eq!((kind, sentence.as_str()), (Kind::Precondition, "dyno d1 is of app shop, not of blog"));
    tell(&mut state, Command::RemoveDyno { id: dyno("d1"), force: false });
    let (kind, sentence) = refusal(tell(&mut state, Command::RemoveDyno { id: dyno("d2"), force: false }));
    assert!(kind == Kind::Precondition && sentence.contains("force"), "{sentence}");
    assert!(changed(&tell(&mut state, remove("d2"))));
}

#[test]
fn an_app_is_described_anew_under_a_higher_version() {
    let mut state = told([create("blog")]);
    let first = state.app(&app("shop").name).unwrap().version;
    let host = |text| Host::new(text).unwrap();
    let wider = AppSpec { hosts: vec![host("shop.test"), host("www.shop.test")], ..app("shop") };
    let update = |spec: &AppSpec| Command::UpdateApp { spec: Box::new(spec.clone()) };
    assert!(changed(&tell(&mut state, update(&wider))) && !changed(&tell(&mut state, update(&wider))));
    assert!(state.app(&wider.name).unwrap().version > first);
    let thief = AppSpec { hosts: vec![host("blog.test")], ..app("shop") };
    assert_eq!(refusal(tell(&mut state, update(&thief))).0, Kind::Exists);
    assert_eq!(refusal(tell(&mut state, update(&app("mail")))).0, Kind::NotFound);
    // The host it no longer has is free.
    tell(&mut state, update(&AppSpec { hosts: vec![host("www.shop.test")], ..app("shop") }));
    assert!(changed(&tell(&mut state, update(&AppSpec { hosts: vec![host("shop.test")], ..app("blog") }))));
}

#[test]
fn settings_are_checked_and_versioned() {
    let mut state = told([]);
    let wider = MeshSettings { moves_max: 20, ..MeshSettings::default() };
    let set = |settings| Command::SetSettings { settings };
    assert!(changed(&tell(&mut state, set(wider))) && !changed(&tell(&mut state, set(wider))));
    let (kind, sentence) = refusal(tell(&mut state, set(MeshSettings { moves_max: 0, ..wider })));
    assert!(kind == Kind::Invalid { field: "moves_max".into() } && sentence.contains("from 1 to 1000"), "{sentence}");
    assert_eq!(state.settings(), &wider);
}
