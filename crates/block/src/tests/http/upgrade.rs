//! WebSocket through the block: one slot for its whole life.

use super::*;
use crate::tests::replica::pass;

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n";

/// A switched connection: both ends.
fn switched(scene: &Scene) -> (Hop, Said) {
    switched_by(scene, UPGRADE)
}

fn switched_by(scene: &Scene, more: &str) -> (Hop, Said) {
    upgraded(scene, more, "early")
}

/// One on which the dyno says `early` with its answer.
fn upgraded(scene: &Scene, more: &str, early: &str) -> (Hop, Said) {
    let mut hop = scene.replica.begin("GET /ws", more, "").unwrap();
    let mut said = scene.dyno.next();
    let head = said.read_head();
    assert!(
        head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n") && head.contains("sec-websocket-key: k\r\n"),
        "{head}"
    );
    said.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: a\r\n\r\n");
    said.say(early);
    hop.read_until(early);
    let got = hop.got_within(1);
    assert!(
        got.starts_with("HTTP/1.1 101") && got.contains("x-dynomesh-verdict: answered\r\n") && got.contains("sec-websocket-accept: a\r\n"),
        "{got}"
    );
    assert!(got.contains("connection: upgrade\r\n") && got.contains("upgrade: websocket\r\n"), "{got}");
    (hop, said)
}

#[test]
fn bytes_go_both_ways_until_each_side_has_ended() {
    let scene = scene(kept());
    let (mut hop, mut said) = switched(&scene);
    hop.say("ping");
    said.read_to("ping");
    said.say("pong");
    hop.read_until("pong");
    hop.end();
    said.say("a last word");
    said.end();
    assert!(hop.finish().0.ends_with("a last word"));
    said.await_closed();
    scene.answered(scene.get("/next"));
}

/// Fails when the slot is freed with the answer's head.
#[test]
fn a_switched_connection_holds_its_slot_until_it_ends() {
    let scene = scene(kept());
    let (hop, said) = switched(&scene);
    let mut waiting = scene.get("/next");
    assert_eq!(waiting.got_within(300), "");
    assert!(scene.dyno.nobody_came());
    drop(said);
    drop(hop);
    scene.answered(waiting);
}

/// P10: whoever lives longer than a slot's span has it renewed. Fails when only responses are.
#[test]
fn a_switched_connection_outlives_the_span_of_its_slot() {
    let span = Span::from_secs(2);
    let scene = scene_of(kept(), RawDyno::start(1), |config| {
        config.limits.slot_span = span;
        config.limits.deadline = span;
    });
    // Of two deadlines none counts, and the slot is granted for no longer than its span.
    let (mut hop, mut said) = switched_by(&scene, &format!("{UPGRADE}x-dynomesh-deadline-ms: 1\r\n"));
    for turn in 0..4 {
        pass(span.over(2).as_millis());
        hop.say(&format!("ping {turn};"));
        said.read_to(&format!("ping {turn};"));
    }
}

#[test]
fn a_drain_cuts_a_switched_connection_at_its_deadline_and_not_before() {
    let mut scene = scene(kept());
    let (mut hop, mut said) = switched(&scene);
    let epoch = scene.directory.assign_spec(scene.dyno.spec(), Some("b1"), true, Span::from_millis(600));
    scene.directory.await_owned(epoch, Phase::Draining);
    hop.say("still here");
    said.read_to("still here");
    said.await_closed();
    let _ = hop.finish();
    assert_eq!(scene.metric("drain_cuts_total"), 1.0);
}

/// P12. Fails when a drain cuts without a word, or with one in the middle of a frame.
#[test]
fn a_drain_says_good_bye_to_both_sides_of_a_websocket_between_two_frames() {
    for (tail, to_client) in [("", "\u{fffd}\u{2}\u{3}\u{fffd}"), ("\u{1}\u{9}part", "")] {
        let mut scene = scene(kept());
        let (mut hop, mut said) = upgraded(&scene, UPGRADE, "\u{1}\u{5}early");
        said.say(tail);
        hop.read_until(&format!("early{tail}"));
        scene.directory.assign_spec(scene.dyno.spec(), Some("b1"), true, Span::from_millis(200));
        let told = said.bytes_to_end();
        assert_eq!((told.len(), &told[..2]), (8, &[0x88, 0x82][..]), "{told:?}");
        assert_eq!([told[6] ^ told[2], told[7] ^ told[3]], 1001u16.to_be_bytes());
        let got = hop.finish().0;
        assert!(got.ends_with(&format!("early{tail}{to_client}")), "{got:?}");
    }
}

#[test]
fn a_stopping_block_lets_a_switched_connection_go_on_until_the_time_to_finish_is_up() {
    let scene = scene_of(kept(), RawDyno::start(1), |config| config.limits.drain = Span::from_secs(3));
    let (mut hop, mut said) = switched(&scene);
    let Scene { replica, directory: _directory, dyno: _dyno, _dir } = scene;
    let stopping = std::thread::spawn(move || drop(replica));
    // Longer than idle connections are served yet.
    pass(1_000);
    hop.say("still here");
    said.read_to("still here");
    said.await_closed();
    stopping.join().unwrap();
}

#[test]
fn an_answer_that_switches_to_something_else_is_the_dynos_failure_and_another_answer_is_one() {
    let scene = scene(kept());
    let hop = scene.replica.begin("GET /ws", UPGRADE, "").unwrap();
    let mut said = scene.dyno.next();
    said.read_head();
    said.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n");
    let mut hop = hop;
    hop.read_until("x-dynomesh-reason: dyno-failed");
    said.await_closed();
    drop(hop);

    let mut hop = scene.replica.begin("GET /ws", UPGRADE, "").unwrap();
    let mut said = scene.dyno.next();
    said.read_head();
    said.say("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
    hop.read_until("\r\n\r\nno");
    let hop = scene.get("/next");
    said.read_head();
    said.answer("ok");
    assert_ok(hop);
}

/// P13. Nobody saw the dyno end it.
#[test]
fn a_websocket_whose_client_breaks_off_leaves_its_slot_in_doubt_unless_the_dyno_ends_as_well() {
    for dyno_ends in [true, false] {
        let scene = scene(Policy { serial: Serial::No, ..kept() });
        let (hop, mut said) = switched(&scene);
        // What a client has not read when it goes is told to who wrote it.
        said.say("unread");
        pass(100);
        drop(hop);
        said.say("more");
        if dyno_ends {
            said.await_closed();
            drop(said);
            until("its slot is free", || (scene.metric("slots_used") == 0.0).then_some(()));
        } else {
            until("its slot is in doubt", || (scene.metric("slots_orphaned") == 1.0).then_some(()));
        }
    }
}
