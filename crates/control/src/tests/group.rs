//! Three replicas: any of them takes writes, all of them answer reads, and the directory outlives its leader.

use dynomesh_consensus::bootstrap_group;
use dynomesh_core::id::{Address, DynoId};
use dynomesh_proto::admin::v1 as wire;

use super::{Block, Client, config, connect, dyno, dynos, shop, soon};
use crate::{Control, Standing};

async fn three(dir: &std::path::Path) -> Vec<Control> {
    let mut controls: Vec<Control> = Vec::new();
    for n in 1..=3 {
        let seeds: Vec<_> = controls.iter().map(Control::gossip).collect();
        let name = format!("control-{n}");
        controls.push(Control::start(config(&name, &dir.join(&name), &seeds)).await.unwrap());
    }
    let addresses: Vec<Address> = controls.iter().map(Control::grpc).collect();
    bootstrap_group(&addresses).await.unwrap();
    controls
}

async fn leader(controls: &[Control]) -> usize {
    soon(|| async { controls.iter().position(|control| control.standing() == Standing::Leads) }).await
}

#[tokio::test]
async fn every_replica_takes_writes_and_sees_them() {
    let dir = tempfile::tempdir().unwrap();
    let controls = three(dir.path()).await;
    let mut clients: Vec<Client> = Vec::new();
    for control in &controls {
        clients.push(connect(control));
    }
    clients[0].create_app(shop()).await.unwrap();
    for (client, port) in clients.iter_mut().zip(3000..) {
        client.add_dyno(dyno("", port)).await.unwrap();
    }
    for client in &clients {
        soon(|| async { (dynos(client).await.len() == 3).then_some(()) }).await;
    }
    let status = clients[1].get_status(wire::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.replicas.len(), 3);
    assert_eq!(status.replicas.iter().filter(|replica| replica.leader).count(), 1);
    assert_eq!(status.replicas.iter().filter(|replica| replica.answering).count(), 1);
    for control in controls {
        control.stop().await;
    }
}

#[tokio::test]
async fn a_stopped_leader_is_followed_by_another_that_publishes_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut controls = three(dir.path()).await;
    let at = leader(&controls).await;
    let mut client = connect(&controls[at]);
    client.create_app(shop()).await.unwrap();
    let first = controls.remove(at);
    first.stop().await;

    let mut client = connect(&controls[0]);
    client.add_dyno(dyno("a", 3000)).await.unwrap();
    let at = leader(&controls).await;
    let block = Block::start("b1", 1, &controls[at]);
    let assigned = block.hears(|view| view.assignment(&DynoId::new("a").unwrap()).cloned()).await;
    assert_eq!(assigned.block, Some(block.name()));
    for control in controls {
        control.stop().await;
    }
}
