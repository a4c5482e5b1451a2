//! The stream of changes: in order, resumed, filtered, ended.

use dynomesh_proto::admin::v1 as wire;
use tonic::Code;

use super::group::three;
use super::{Client, alone, connect, dyno, shop};

async fn until_now(client: &Client, after: u64, subject: &str) -> Vec<wire::Event> {
    let request = wire::WatchEventsRequest { after, end: true, subject: subject.into() };
    let mut stream = client.clone().watch_events(request).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        events.push(event);
    }
    events
}

#[tokio::test]
async fn events_tell_who_did_what_and_a_reader_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    client.add_dyno(dyno("a", 3000)).await.unwrap();
    client.add_dyno(dyno("a", 3000)).await.unwrap();
    client.add_dyno(dyno("ab", 3001)).await.unwrap();
    let all = until_now(&client, 0, "").await;
    let told: Vec<(u64, &str, &str)> = all.iter().map(|event| (event.seq, event.verb.as_str(), event.subject.as_str())).collect();
    assert_eq!(told, [(1, "app.create", "app/shop"), (2, "dyno.add", "dyno/a"), (3, "dyno.add", "dyno/ab")]);
    assert!(all.iter().all(|event| event.caller == "anonymous" && event.at_ms > 0 && event.version > 0));
    assert_eq!(until_now(&client, 2, "").await, all[2..]);
    assert_eq!(until_now(&client, 0, "dyno").await, all[1..]);
    assert_eq!(until_now(&client, 0, "dyno/a").await, all[1..2]);

    // One that follows hears what comes, and is told to resume when the replica stops.
    let request = wire::WatchEventsRequest { after: 3, end: false, subject: String::new() };
    let mut stream = client.watch_events(request).await.unwrap().into_inner();
    client.add_dyno(dyno("c", 3002)).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap().subject, "dyno/c");
    let (ended, ()) = tokio::join!(stream.message(), control.stop());
    let status = ended.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("resume after 4"), "{status}");
}

#[tokio::test]
async fn every_replica_tells_the_same_under_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let controls = three(dir.path()).await;
    let mut client = connect(&controls[0]);
    let mut streams = Vec::new();
    for control in &controls {
        streams.push(connect(control).watch_events(wire::WatchEventsRequest::default()).await.unwrap().into_inner());
    }
    client.create_app(shop()).await.unwrap();
    for port in 3000..3003 {
        client.add_dyno(dyno("", port)).await.unwrap();
    }
    let mut told = Vec::new();
    for stream in &mut streams {
        let mut events = Vec::new();
        for _ in 0..4 {
            events.push(stream.message().await.unwrap().unwrap());
        }
        told.push(events);
    }
    assert!(told.iter().all(|events| *events == told[0]));
    drop(streams);
    for control in controls {
        control.stop().await;
    }
}
