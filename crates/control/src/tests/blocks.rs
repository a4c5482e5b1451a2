//! Blocks are drained, emptied and removed.

use dynomesh_proto::admin::v1 as wire;
use tonic::Code;

use super::{alone, blocks, dyno, dynos, expecting, refused, settled, shop, soon};

#[tokio::test]
async fn a_drained_block_is_emptied_and_can_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let mut listed = blocks(&control, 3).await;
    for n in 0..6 {
        let id = format!("d{n}");
        client.add_dyno(wire::AddDynoRequest { block: "b1".into(), ..dyno(&id, 3000 + n) }).await.unwrap();
        settled(&client, &id, "b1").await;
    }
    let drain = wire::DrainBlockRequest { name: "b1".into(), ..Default::default() };
    refused(client.drain_block(wire::DrainBlockRequest { name: "b9".into(), ..Default::default() }).await, Code::NotFound, "b9");
    let remove = || wire::RemoveBlockRequest { name: "b1".into(), ..Default::default() };
    refused(client.remove_block(remove()).await, Code::FailedPrecondition, "drain it first");
    let answer = client.drain_block(drain.clone()).await.unwrap().into_inner();
    assert!(answer.changed && answer.block.unwrap().drain);
    assert!(!client.drain_block(drain).await.unwrap().into_inner().changed);

    // Nobody asked for the moves: the rebalancer did, and says why.
    let empty = || async {
        dynos(&client).await.iter().all(|dyno| dyno.block != "b1" && dyno.owner == dyno.block && dyno.waits_for.is_empty()).then_some(())
    };
    soon(empty).await;
    let request = wire::WatchEventsRequest { end: true, subject: "dyno/d0".into(), after: 0 };
    let mut events = client.watch_events(request).await.unwrap().into_inner();
    let mut moves = Vec::new();
    while let Some(event) = events.message().await.unwrap() {
        moves.extend((event.verb == "dyno.move").then_some(event));
    }
    assert_eq!((moves.len(), moves[0].caller.as_str()), (1, "rebalancer"));
    assert!(moves[0].detail.len() > "to block b2: ".len(), "{:?}", moves[0]);
    let blocks = client.list_blocks(wire::ListBlocksRequest::default()).await.unwrap().into_inner().blocks;
    assert_eq!(blocks.iter().map(|block| block.assigned).sum::<u32>(), 6);

    let version = blocks[0].version;
    let stale = wire::RemoveBlockRequest { options: expecting(version + 1), ..remove() };
    refused(client.remove_block(stale).await, Code::Aborted, "b1");
    assert!(client.remove_block(remove()).await.unwrap().into_inner().changed);
    assert!(!client.remove_block(remove()).await.unwrap().into_inner().changed);
    listed.remove(0);
    control.stop().await;
}

#[tokio::test]
async fn an_undrained_block_takes_dynos_again() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let _blocks = blocks(&control, 1).await;
    client.drain_block(wire::DrainBlockRequest { name: "b1".into(), ..Default::default() }).await.unwrap();
    let waiting = client.add_dyno(dyno("a", 3000)).await.unwrap().into_inner().dyno.unwrap();
    assert_eq!(waiting.block, "");
    let undrain = wire::UndrainBlockRequest { name: "b1".into(), ..Default::default() };
    assert!(client.undrain_block(undrain).await.unwrap().into_inner().changed);
    settled(&client, "a", "b1").await;
    control.stop().await;
}
