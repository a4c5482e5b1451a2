//! What happens when a control replica does not answer, dies, or says no.

use std::time::{Duration, Instant};

use dynomesh_proto::admin::v1 as wire;
use tonic::Status;

use super::fake::{Fake, Script, run};
use crate::confirm::typed;

/// An address where nobody listens.
fn nobody() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn an_address_where_nobody_listens_exits_3_at_once_and_says_what_to_do() {
    let (first, second) = (nobody(), nobody());
    let start = Instant::now();
    let error = run(&format!("{first},{second}"), "dyno list").await.1.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let text = error.to_string();
    assert_eq!(error.exit_code(), 3, "{text}");
    for word in ["refused", "--admin", &first, &second] {
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn the_next_address_is_asked_when_one_does_not_answer() {
    let fake = Fake::start().await;
    let (written, result) = run(&format!("{}, {}", nobody(), fake.address).replace(", ", ","), "app list").await;
    result.unwrap();
    assert!(written.contains("one") && written.contains("two"), "{written}");
}

#[tokio::test]
async fn a_write_is_sent_again_elsewhere_under_the_same_key() {
    let (first, second) = (Fake::start().await, Fake::start().await);
    first.fail([Status::unavailable("no leader is known; the write may have happened")]);
    let (written, result) = run(&format!("{},{}", first.address, second.address), "dyno drain a --expect 7").await;
    result.unwrap();
    assert!(written.starts_with("dyno a is draining"), "{written}");
    let (before, after) = (first.asked(), second.asked());
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_eq!(before[0].text, after[0].text);
    assert!(before[0].text.contains("cli-") && before[0].text.contains("Some(7)"), "{}", before[0].text);
}

#[tokio::test]
async fn a_control_plane_without_a_leader_is_asked_again_until_the_time_is_up() {
    let fake = Fake::start().await;
    fake.fail((0..3).map(|_| Status::unavailable("no leader")));
    fake.run("dyno drain a").await.1.unwrap();
    assert_eq!(fake.asked().len(), 4);

    fake.fail((0..100).map(|_| Status::unavailable("no leader")));
    let error = fake.run("dyno drain a --timeout 500ms --key mine").await.1.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("--key mine"), "the next step keeps the key: {error}");
    let error = fake.run("dyno list --timeout 200ms").await.1.unwrap_err();
    assert!(error.to_string().ends_with("no leader; commands may be repeated safely"), "{error}");
}

#[tokio::test]
async fn a_refusal_is_told_once_and_not_asked_again() {
    let fake = Fake::start().await;
    for (status, code) in [
        (Status::not_found("no dyno a"), 1),
        (Status::failed_precondition("a is the last dyno of shop; remove it with force"), 1),
        (Status::aborted("dyno a has epoch 9, not 7"), 5),
        (Status::unauthenticated("no token"), 6),
        (Status::permission_denied("takes the role admin"), 6),
    ] {
        let before = fake.asked().len();
        fake.fail([status.clone()]);
        let (written, result) = fake.run("dyno remove a --expect 7").await;
        let error = result.unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(error.to_string().starts_with(status.message()) && !error.to_string().contains('\n'), "{error}");
        assert_eq!((written.as_str(), fake.asked().len()), ("", before + 1));
    }
}

#[tokio::test]
async fn a_server_that_is_no_admin_api_is_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let error = run(&address.to_string(), "status --timeout 2s").await.1.unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
    assert!(error.to_string().contains("is not a dynomesh admin API"), "{error}");
}

#[tokio::test]
async fn nothing_is_evicted_or_recovered_without_a_word() {
    let fake = Fake::start().await;
    // A test has no terminal to ask at, or one that nobody answers at.
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        for (line, words) in [
            ("block evict b2", &["if any replica of b2 still runs, two blocks dispatch", "max_conns is broken", "--confirm b2"][..]),
            ("control recover", &["lost its directory", "--yes"]),
        ] {
            let error = fake.run(line).await.1.unwrap_err();
            assert_eq!(error.exit_code(), 2);
            words.iter().for_each(|word| assert!(error.to_string().contains(word), "{error}"));
        }
    }
    assert!(fake.asked().is_empty());
    assert!(typed("b2", &mut "b2\n".as_bytes()).is_ok());
    for wrong in ["b1\n", "yes\n", "\n", ""] {
        assert_eq!(typed("b2", &mut wrong.as_bytes()).unwrap_err().exit_code(), 2);
    }
}

fn event(seq: u64) -> wire::Event {
    wire::Event {
        seq,
        at_ms: 1_735_689_599_999,
        caller: "ada".into(),
        verb: "dyno.move".into(),
        subject: "dyno/a".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn events_that_are_remembered_are_told_and_then_it_ends() {
    let fake = Fake::start().await;
    fake.stream([vec![Ok(event(5)), Ok(event(6))]]);
    let (written, result) = fake.run("events --after 4 --subject dyno/a").await;
    result.unwrap();
    assert!(written.starts_with("5       2024-12-31T23:59:59Z  ada           dyno.move"), "{written}");
    assert_eq!(written.lines().count(), 2);
    let asked = wire::WatchEventsRequest { after: 4, end: true, subject: "dyno/a".into() };
    assert_eq!(fake.watched(), [asked]);
}

#[tokio::test]
async fn a_dropped_stream_goes_on_after_the_last_event_at_another_replica() {
    let (first, second) = (Fake::start().await, Fake::start().await);
    first.stream([vec![Ok(event(1)), Ok(event(2)), Err(Status::unavailable("stopping"))]]);
    let forgotten: Script = vec![Ok(event(3)), Err(Status::out_of_range("events after 3 are forgotten"))];
    second.stream([forgotten]);
    let (written, result) = run(&format!("{},{}", first.address, second.address), "events --follow -o json").await;
    assert_eq!(result.unwrap_err().exit_code(), 1);
    let seqs: Vec<u64> =
        written.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(second.watched(), [wire::WatchEventsRequest { after: 2, end: false, subject: String::new() }]);
}
