//! A directory that lost what it once said takes it back from the map, and writes nothing before.

use std::path::Path;

use dynomesh_core::directory::Command;
use dynomesh_core::map::Fact;
use dynomesh_core::map::fact::OwnedFact;
use dynomesh_proto::admin::v1 as wire;
use tonic::Code;

use super::{Client, alone, blocks, connect, dyno, dynos, refused, settled, shop, soon, start};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Facts of a kind that this replica has heard.
async fn heard(client: &Client, kind: &str) -> usize {
    let request = wire::GetMapRequest { kind: kind.into(), ..Default::default() };
    client.clone().get_map(request).await.unwrap().into_inner().facts.len()
}

async fn warned(client: &Client) {
    let warned = || async {
        let status = client.clone().get_status(wire::GetStatusRequest {}).await.unwrap().into_inner();
        status.warnings.iter().any(|warning| warning.contains("control recover")).then_some(())
    };
    soon(warned).await;
}

#[tokio::test]
async fn a_directory_restored_from_a_backup_cannot_lower_an_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let (live, backup) = (dir.path().join("live"), dir.path().join("backup"));
    let (control, mut client) = alone(&live).await;
    client.create_app(shop()).await.unwrap();
    let nodes = blocks(&control, 2).await;
    client.add_dyno(wire::AddDynoRequest { block: "b1".into(), ..dyno("a", 3000) }).await.unwrap();
    settled(&client, "a", "b1").await;
    control.stop().await;
    copy(&live, &backup);

    // After the backup was made the dyno moves, and another comes.
    let control = Box::pin(start_again(&live, &nodes)).await;
    let mut client = connect(&control);
    client.move_dyno(wire::MoveDynoRequest { id: "a".into(), to: "b2".into(), ..Default::default() }).await.unwrap();
    let moved = settled(&client, "a", "b2").await;
    let later = client.add_dyno(dyno("b", 3001)).await.unwrap().into_inner().dyno.unwrap();
    let later = settled(&client, "b", &later.block).await;
    control.stop().await;

    let control = Box::pin(start_again(&backup, &nodes)).await;
    let mut client = connect(&control);
    warned(&client).await;
    soon(|| async { (heard(&client, "assigned").await == 2).then_some(()) }).await;
    let drain = wire::DrainDynoRequest { id: "a".into(), ..Default::default() };
    refused(client.drain_dyno(drain.clone()).await, Code::FailedPrecondition, "control recover");
    refused(client.recover(wire::RecoverRequest { confirm: false }).await, Code::InvalidArgument, "confirm: ");
    let back = client.recover(wire::RecoverRequest { confirm: true }).await.unwrap().into_inner();
    assert_eq!((back.generation, back.apps, back.dynos), (1, 1, 2));
    assert!(back.left_out.is_empty(), "{:?}", back.left_out);
    let is = dynos(&client).await;
    assert_eq!((is[0].block.as_str(), is[0].epoch), ("b2", moved.epoch));
    assert_eq!((is[1].id.as_str(), is[1].epoch), ("b", later.epoch));
    let drained = client.drain_dyno(drain).await.unwrap().into_inner().dyno.unwrap();
    assert!(drained.epoch > moved.epoch.max(later.epoch), "an epoch went back");
    // Said again, it finds that there is nothing to do.
    assert_eq!(client.recover(wire::RecoverRequest { confirm: true }).await.unwrap().into_inner().generation, 1);
    control.stop().await;
}

/// A control replica on this disk that hears these nodes.
async fn start_again(dir: &Path, nodes: &[super::Obedient]) -> crate::Control {
    let seeds: Vec<_> = nodes.iter().map(|node| node.gossip.address()).collect();
    crate::Control::start(super::config("control-1", dir, &seeds)).await.unwrap()
}

#[tokio::test]
async fn a_wiped_directory_takes_everything_back_even_if_it_stops_half_way() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(&dir.path().join("first")).await;
    client.create_app(shop()).await.unwrap();
    let nodes = blocks(&control, 2).await;
    for n in 0..5 {
        client.add_dyno(dyno(&format!("d{n}"), 3000 + n)).await.unwrap();
    }
    soon(|| async { dynos(&client).await.iter().all(|dyno| dyno.owned_epoch == dyno.epoch).then_some(()) }).await;
    let before = dynos(&client).await;
    control.stop().await;
    // Apps are told by blocks too, and one block owns something that nobody else knows of.
    let owner = nodes[0].hears(|view| view.owned().next().cloned()).await;
    let orphan = dynomesh_core::id::DynoId::new("orphan").unwrap();
    nodes[0].say(Fact::Owned(OwnedFact { dyno: orphan.clone(), block: nodes[0].name(), seq: 99, ..owner }));
    let app = nodes[0].hears(|view| view.apps().next().cloned()).await;
    nodes[0].say(Fact::App(app));

    let control = Box::pin(start_again(&dir.path().join("second"), &nodes)).await;
    dynomesh_consensus::bootstrap_group(&[control.grpc()]).await.unwrap();
    let mut client = connect(&control);
    // The very first write waits for the map.
    refused(client.create_app(shop()).await, Code::FailedPrecondition, "control recover");
    warned(&client).await;

    // Half of it is written, then the process dies.
    let begun = Command::Recover { generation: 1, apps: Vec::new(), dynos: Vec::new(), evicted: Vec::new(), last: false };
    soon(|| async { control.consensus.replica.propose(begun.clone()).await.ok() }).await;
    refused(client.create_app(shop()).await, Code::FailedPrecondition, "control recover");
    control.abandon().await;
    let control = Box::pin(start_again(&dir.path().join("second"), &nodes)).await;
    let mut client = connect(&control);
    warned(&client).await;
    soon(|| async {
        (heard(&client, "assigned").await == 5 && heard(&client, "app").await == 1 && heard(&client, "owned").await == 6).then_some(())
    })
    .await;
    let back = client.recover(wire::RecoverRequest { confirm: true }).await.unwrap().into_inner();
    assert_eq!((back.generation, back.apps, back.dynos), (2, 1, 5));
    assert!(back.left_out.len() == 1 && back.left_out[0].contains("orphan") && back.left_out[0].contains("b1"), "{:?}", back.left_out);
    let after = dynos(&client).await;
    let held = |dynos: &[wire::Dyno]| dynos.iter().map(|dyno| (dyno.id.clone(), dyno.block.clone(), dyno.epoch)).collect::<Vec<_>>();
    assert_eq!(held(&after), held(&before));
    client.add_dyno(dyno("new", 4000)).await.unwrap();
    control.stop().await;
    let _ = start;
}
