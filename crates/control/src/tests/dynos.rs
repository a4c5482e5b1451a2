//! Dynos by the admin API, from the wish over what a block says to the end, with every refusal.

use dynomesh_core::app::Phase;
use dynomesh_core::id::{DynoId, Epoch, Term};
use dynomesh_core::map::Fact;
use dynomesh_core::map::fact::{OwnedFact, ReleasedFact};
use dynomesh_proto::admin::v1 as wire;
use tonic::Code;

use super::{Block, alone, dyno, dynos, refused, shop, soon};

fn id(text: &str) -> DynoId {
    DynoId::new(text).unwrap()
}

fn owned(block: &Block, dyno: &str, epoch: Epoch, phase: Phase, seq: u64) -> Fact {
    let (dyno, block) = (id(dyno), block.name());
    Fact::Owned(OwnedFact { dyno, block, group: None, epoch, term: Term(1), seq, phase, up: Some(true), in_flight: 1 })
}

#[tokio::test]
async fn a_dyno_is_added_once_and_nothing_else_takes_its_id_or_address() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    refused(client.add_dyno(dyno("a", 3000)).await, Code::NotFound, "shop");
    client.create_app(shop()).await.unwrap();
    let first = client.add_dyno(dyno("a", 3000)).await.unwrap().into_inner();
    let again = client.add_dyno(dyno("a", 3000)).await.unwrap().into_inner();
    assert_eq!((first.changed, again.changed), (true, false));
    assert_eq!(first.dyno, again.dyno);

    refused(client.add_dyno(dyno("a", 3001)).await, Code::AlreadyExists, "dyno a");
    refused(client.add_dyno(dyno("b", 3000)).await, Code::AlreadyExists, "127.0.0.1:3000");
    refused(client.add_dyno(dyno("a b", 3001)).await, Code::InvalidArgument, "id: ");
    let bad = |change: &dyn Fn(&mut wire::AddDynoRequest)| {
        let mut request = dyno("b", 3001);
        change(&mut request);
        request
    };
    refused(client.add_dyno(bad(&|it| it.addr = "localhost:3000".into())).await, Code::InvalidArgument, "addr: ");
    refused(client.add_dyno(bad(&|it| it.addr = "127.0.0.1:0".into())).await, Code::InvalidArgument, "addr: ");
    refused(client.add_dyno(bad(&|it| it.max_conns = Some(0))).await, Code::InvalidArgument, "max_conns: ");
    refused(client.add_dyno(bad(&|it| it.block = "B".into())).await, Code::InvalidArgument, "block: ");
    refused(client.add_dyno(bad(&|it| it.block = "b9".into())).await, Code::NotFound, "b9");
    assert_eq!(dynos(&client).await.len(), 1);
    control.stop().await;
}

#[tokio::test]
async fn a_dyno_without_id_is_known_by_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let first = client.add_dyno(dyno("", 3000)).await.unwrap().into_inner().dyno.unwrap();
    let again = client.add_dyno(dyno("", 3000)).await.unwrap().into_inner();
    assert!(!first.id.is_empty() && !again.changed);
    assert_eq!(again.dyno.unwrap().id, first.id);
    let other = client.add_dyno(dyno("", 3001)).await.unwrap().into_inner().dyno.unwrap();
    assert_ne!(other.id, first.id);
    control.stop().await;
}

#[tokio::test]
async fn unknown_dynos_are_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    refused(client.drain_dyno(wire::DrainDynoRequest { id: "ghost".into(), ..Default::default() }).await, Code::NotFound, "ghost");
    refused(client.remove_dyno(wire::RemoveDynoRequest { id: "ghost".into(), ..Default::default() }).await, Code::NotFound, "ghost");
    refused(client.drain_dyno(wire::DrainDynoRequest { id: String::new(), ..Default::default() }).await, Code::InvalidArgument, "id: ");
    refused(client.remove_dyno(wire::RemoveDynoRequest { id: "-".into(), ..Default::default() }).await, Code::InvalidArgument, "id: ");
    control.stop().await;
}

#[tokio::test]
async fn a_dyno_waits_for_a_block_is_adopted_drained_removed_and_released() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let waiting = client.add_dyno(dyno("a", 3000)).await.unwrap().into_inner().dyno.unwrap();
    assert_eq!((waiting.phase(), waiting.block.as_str()), (wire::DynoPhase::Pending, ""));

    // The block is heard of, bound, and given the dyno; app and assignment reach it by gossip.
    let block = Block::start("b1", 1, &control);
    let assigned = block.hears(|view| view.assignment(&id("a")).cloned()).await;
    assert_eq!((assigned.block, assigned.drain), (Some(block.name()), false));
    block.hears(|view| view.app(&assigned.dyno.app)?.spec.clone()).await;
    let listed = dynos(&client).await.remove(0);
    assert_eq!((listed.phase(), listed.block.as_str(), listed.epoch), (wire::DynoPhase::Pending, "b1", assigned.epoch.0));

    block.say(owned(&block, "a", assigned.epoch, Phase::Active, 1));
    let active = soon(|| async { dynos(&client).await.into_iter().find(|dyno| dyno.phase() == wire::DynoPhase::Active) }).await;
    assert_eq!((active.owner.as_str(), active.owned_epoch, active.in_flight), ("b1", assigned.epoch.0, 1));
    assert_eq!(active.state(), wire::DynoState::Up);

    let drain = wire::DrainDynoRequest { id: "a".into(), ..Default::default() };
    assert!(client.drain_dyno(drain.clone()).await.unwrap().into_inner().changed);
    assert!(!client.drain_dyno(drain).await.unwrap().into_inner().changed);
    let drained = block.hears(|view| view.assignment(&id("a")).filter(|fact| fact.drain).cloned()).await;
    assert!(drained.epoch > assigned.epoch);
    block.say(owned(&block, "a", drained.epoch, Phase::Draining, 2));
    soon(|| async { dynos(&client).await.into_iter().find(|dyno| dyno.phase() == wire::DynoPhase::Draining) }).await;

    let remove = wire::RemoveDynoRequest { id: "a".into(), force: true, ..Default::default() };
    assert!(client.remove_dyno(remove.clone()).await.unwrap().into_inner().changed);
    assert_eq!(dynos(&client).await[0].phase(), wire::DynoPhase::Removing);
    refused(client.add_dyno(dyno("b", 3000)).await, Code::FailedPrecondition, "b1");
    let removed = block.hears(|view| view.assignment(&id("a")).filter(|fact| fact.block.is_none()).cloned()).await;
    block.say(Fact::Released(ReleasedFact { dyno: id("a"), block: block.name(), group: None, epoch: removed.epoch }));
    soon(|| async { dynos(&client).await.is_empty().then_some(()) }).await;
    assert!(!client.remove_dyno(remove).await.unwrap().into_inner().changed);
    client.add_dyno(dyno("b", 3000)).await.unwrap();
    control.stop().await;
}

#[tokio::test]
async fn a_new_dyno_goes_to_the_block_with_the_fewest_slots_of_its_app() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let _blocks = [Block::start("b1", 1, &control), Block::start("b2", 2, &control)];
    let bound = |blocks: Vec<wire::Block>| (blocks.iter().filter(|block| block.bound).count() == 2).then_some(blocks);
    let list = || async { client.clone().list_blocks(wire::ListBlocksRequest::default()).await.unwrap().into_inner().blocks };
    let blocks = soon(|| async { bound(list().await) }).await;
    assert_eq!((blocks[0].name.as_str(), blocks[0].leader.as_str(), blocks[0].term), ("b1", "127.0.0.1:8001", 1));

    let big = wire::AddDynoRequest { max_conns: Some(3), ..dyno("big", 3000) };
    assert_eq!(client.add_dyno(big).await.unwrap().into_inner().dyno.unwrap().block, "b1");
    for (name, port) in [("x", 3001), ("y", 3002), ("z", 3003)] {
        assert_eq!(client.add_dyno(dyno(name, port)).await.unwrap().into_inner().dyno.unwrap().block, "b2", "dyno {name}");
    }
    let chosen = wire::AddDynoRequest { block: "b2".into(), ..dyno("w", 3004) };
    assert_eq!(client.add_dyno(chosen).await.unwrap().into_inner().dyno.unwrap().block, "b2");

    let in_b2 = wire::ListDynosRequest { block: "b2".into(), ..Default::default() };
    let ids: Vec<String> = client.list_dynos(in_b2).await.unwrap().into_inner().dynos.into_iter().map(|dyno| dyno.id).collect();
    assert_eq!(ids, ["w", "x", "y", "z"]);
    let one = wire::ListDynosRequest { id: "big".into(), app: "shop".into(), ..Default::default() };
    assert_eq!(client.list_dynos(one).await.unwrap().into_inner().dynos.len(), 1);
    refused(client.list_dynos(wire::ListDynosRequest { app: "_".into(), ..Default::default() }).await, Code::InvalidArgument, "app: ");
    control.stop().await;
}

#[tokio::test]
async fn another_group_under_the_name_of_a_bound_block_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let first = Block::start("b1", 1, &control);
    soon(|| async { (client.clone().get_status(wire::GetStatusRequest {}).await.unwrap().into_inner().blocks_led == 1).then_some(()) })
        .await;
    drop(first);
    let _second = Block::start("b1", 2, &control);
    let twin = Block::start("b2", 1, &control);
    // What is refused once is not proposed for ever: the log stands still.
    soon(|| async { (client.clone().get_status(wire::GetStatusRequest {}).await.unwrap().into_inner().nodes >= 3).then_some(()) }).await;
    twin.hears(|view| view.leader(&twin.name()).cloned()).await;
    client.create_app(shop()).await.unwrap();
    client.add_dyno(dyno("a", 3000)).await.unwrap();
    assert_eq!(twin.hears(|view| view.assignment(&id("a")).cloned()).await.block.unwrap().as_str(), "b1");
    let blocks = client.list_blocks(wire::ListBlocksRequest::default()).await.unwrap().into_inner().blocks;
    assert!(blocks.iter().all(|block| block.bound == (block.name == "b1")), "{blocks:?}");
    control.stop().await;
}
