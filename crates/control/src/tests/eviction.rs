//! A block that is lost is given up by an operator's word, and one that is seen is not.

use dynomesh_core::id::GroupId;
use dynomesh_proto::admin::v1 as wire;
use tonic::Code;

use super::obedient::Obedient;
use super::{alone, blocks, dyno, dynos, refused, settled, shop, soon};

fn evict(proof: wire::Proof, confirm: &str) -> wire::EvictBlockRequest {
    wire::EvictBlockRequest { name: "b1".into(), proof: proof.into(), confirm: confirm.into(), options: None }
}

#[tokio::test]
async fn a_lost_block_is_evicted_by_an_operators_word_and_comes_back_with_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let mut listed = blocks(&control, 3).await;
    for (id, port) in [("a", 3000), ("b", 3001)] {
        client.add_dyno(wire::AddDynoRequest { block: "b1".into(), ..dyno(id, port) }).await.unwrap();
        settled(&client, id, "b1").await;
    }
    let before = dynos(&client).await;
    refused(client.evict_block(evict(wire::Proof::Operator, "b1")).await, Code::FailedPrecondition, "b1-1");
    refused(client.evict_block(evict(wire::Proof::Platform, "")).await, Code::FailedPrecondition, "b1-1");
    refused(client.evict_block(evict(wire::Proof::Unspecified, "")).await, Code::InvalidArgument, "confirm: ");
    refused(
        client.evict_block(wire::EvictBlockRequest { name: "b9".into(), ..evict(wire::Proof::Platform, "") }).await,
        Code::NotFound,
        "b9",
    );
    assert_eq!(dynos(&client).await, before);

    drop(listed.remove(0));
    let reader = client.clone();
    let gone = || async {
        let block = reader.clone().get_block(wire::GetBlockRequest { name: "b1".into() }).await.unwrap().into_inner();
        (block.live == 0).then_some(())
    };
    soon(gone).await;
    // What the platform says is not enough for a control plane that has just been elected, or sees no edge.
    refused(client.evict_block(evict(wire::Proof::Platform, "")).await, Code::FailedPrecondition, "b1");
    let evicted = soon(|| async { client.clone().evict_block(evict(wire::Proof::Operator, "b1")).await.ok() }).await.into_inner();
    assert_eq!((evicted.changed, evicted.dynos, evicted.block.unwrap().evicted), (true, 2, true));
    for id in ["a", "b"] {
        let look = || async { dynos(&client).await.into_iter().find(|dyno| dyno.id == id) };
        soon(|| async { look().await.filter(|dyno| dyno.owner == dyno.block && dyno.block != "b1" && dyno.owned_epoch == dyno.epoch) })
            .await;
    }

    // It comes back, hears of it, and gets nothing; said again, the eviction changes nothing though the block is seen.
    let back = Obedient::start("b1", 1, &control);
    back.hears(|view| view.is_evicted(&back.name(), GroupId(1)).then_some(())).await;
    soon(|| async { gone().await.is_none().then_some(()) }).await;
    assert!(!client.evict_block(evict(wire::Proof::Operator, "b1")).await.unwrap().into_inner().changed);
    let to = wire::MoveDynoRequest { id: "a".into(), to: "b1".into(), ..Default::default() };
    refused(client.move_dyno(to).await, Code::FailedPrecondition, "evicted");
    control.stop().await;
}
