//! What was answered is there after a restart, and what is not there yet is not answered.

use dynomesh_core::app::Phase;
use dynomesh_core::id::{DynoId, Epoch, Term};
use dynomesh_core::map::Fact;
use dynomesh_core::map::fact::OwnedFact;
use dynomesh_proto::admin::v1 as wire;
use tonic::Code;

use super::{Block, alone, connect, dyno, dynos, refused, shop, soon, start};

#[tokio::test]
async fn an_answered_write_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let id = control.id();
    client.create_app(shop()).await.unwrap();
    let added = client.add_dyno(dyno("a", 3000)).await.unwrap().into_inner().dyno.unwrap();
    control.stop().await;

    // The first read after the start already sees it: an empty list would be a lie.
    let control = start("control-1", dir.path()).await;
    let mut client = connect(&control);
    assert_eq!(dynos(&client).await, [added]);
    let apps = client.list_apps(wire::ListAppsRequest::default()).await.unwrap().into_inner().apps;
    assert_eq!((apps.len(), apps[0].name.as_str()), (1, "shop"));
    assert_eq!(control.id(), id);
    assert!(!client.create_app(shop()).await.unwrap().into_inner().changed);
    // Epochs go on where they were (P17).
    let next = client.add_dyno(dyno("b", 3001)).await.unwrap().into_inner().dyno.unwrap();
    assert!(next.epoch > dynos(&client).await[0].epoch);
    control.stop().await;
}

#[tokio::test]
async fn a_write_outlives_a_process_that_ends_in_disorder() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    for port in 3000..3050 {
        client.add_dyno(dyno("", port)).await.unwrap();
    }
    control.abandon().await;

    let control = start("control-1", dir.path()).await;
    assert_eq!(dynos(&connect(&control)).await.len(), 50);
    control.stop().await;
}

#[tokio::test]
async fn facts_are_published_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let block = Block::start("b1", 1, &control);
    client.add_dyno(dyno("a", 3000)).await.unwrap();
    let id = DynoId::new("a").unwrap();
    let before = block.hears(|view| view.assignment(&id).cloned()).await;
    control.stop().await;

    let control = start("control-1", dir.path()).await;
    // A node that never heard the first process.
    let fresh = Block::start("b2", 2, &control);
    let after = fresh.hears(|view| view.assignment(&id).cloned()).await;
    assert_eq!((after.epoch, after.block), (before.epoch, before.block));
    control.stop().await;
}

#[tokio::test]
async fn a_control_plane_that_was_not_bootstrapped_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let control = start("control-1", dir.path()).await;
    let mut client = connect(&control);
    refused(client.create_app(shop()).await, Code::Unavailable, "control bootstrap");
    refused(client.list_apps(wire::ListAppsRequest::default()).await, Code::Unavailable, "control bootstrap");
    let status = client.get_status(wire::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.role, "not bootstrapped");
    assert!(status.warnings[0].contains("control bootstrap"), "{:?}", status.warnings);
    control.stop().await;
}

#[tokio::test]
async fn an_empty_directory_refuses_writes_in_a_mesh_that_others_have_filled() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let block = Block::silent("b1", 1, &control);
    let (dyno, epoch) = (DynoId::new("a").unwrap(), Epoch(9));
    let owned =
        OwnedFact { dyno, block: block.name(), group: None, epoch, term: Term(1), seq: 1, phase: Phase::Active, up: None, in_flight: 0 };
    block.say(Fact::Owned(owned));
    let status = || async { client.clone().get_status(wire::GetStatusRequest {}).await.unwrap().into_inner() };
    soon(|| async { status().await.warnings.iter().any(|warning| warning.contains("control recover")).then_some(()) }).await;
    refused(client.create_app(shop()).await, Code::FailedPrecondition, "control recover");

    // Nor is the block bound: it belongs to another directory.
    block.lead(1);
    let listed = || async {
        let blocks = client.clone().list_blocks(wire::ListBlocksRequest::default()).await.unwrap().into_inner().blocks;
        blocks.into_iter().next()
    };
    assert!(!soon(listed).await.bound);
    refused(client.create_app(shop()).await, Code::FailedPrecondition, "control recover");
    control.stop().await;
}
