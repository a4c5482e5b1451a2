//! Three replicas: any of them takes writes, all of them answer reads, and the directory outlives its leader.

use dynomesh_consensus::bootstrap_group;
use dynomesh_core::id::{Address, DynoId};
use dynomesh_proto::admin::v1 as wire;
use tonic::Code;

use super::{Block, Client, config, connect, dyno, dynos, expecting, shop, soon};
use crate::{Control, Standing};

pub(super) async fn three(dir: &std::path::Path) -> Vec<Control> {
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

pub(super) async fn leader(controls: &[Control]) -> usize {
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

#[tokio::test]
async fn of_two_writers_at_different_replicas_exactly_one_wins_and_no_update_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let controls = three(dir.path()).await;
    let leader = leader(&controls).await;
    let addresses: Vec<Address> = controls.iter().map(Control::grpc).collect();
    let clients: Vec<Client> = controls.iter().map(connect).collect();
    let [one, other] = [(leader + 1) % 3, (leader + 2) % 3].map(|at| clients[at].clone());
    let mut version = one.clone().create_app(shop()).await.unwrap().into_inner().app.unwrap().version;

    // Both look at the same version and write at once, at two followers.
    for round in 0..10u32 {
        let update = |mut client: Client, max_conns| {
            let policy = Some(wire::Policy { max_conns: Some(max_conns), ..Default::default() });
            let request = wire::UpdateAppRequest { name: "shop".into(), hosts: shop().hosts, policy, options: expecting(version) };
            async move { client.update_app(request).await }
        };
        let (first, second) = tokio::join!(update(one.clone(), 10 + 2 * round), update(other.clone(), 11 + 2 * round));
        let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
        assert_eq!(lost.unwrap_err().code(), Code::Aborted);
        version = won.unwrap().into_inner().app.unwrap().version;
    }

    // Both add, each its own, while the leader dies: what was answered is there.
    let adding = |client: Client, from: u16| async move {
        let mut answered = Vec::new();
        for port in from..from + 30 {
            answered.push(client.clone().add_dyno(dyno("", port)).await.unwrap().into_inner().dyno.unwrap().id);
        }
        answered
    };
    let mut controls = controls;
    let dying = controls.remove(leader);
    let (mut all, more, ()) = tokio::join!(adding(one.clone(), 3000), adding(other.clone(), 4000), dying.abandon());
    all.extend(more);
    let listed: Vec<String> = dynos(&one).await.into_iter().map(|dyno| dyno.id).collect();
    assert!(all.iter().all(|id| listed.contains(id)), "an answered write is lost");

    // One that comes back catches up.
    let name = format!("control-{}", leader + 1);
    let seeds: Vec<_> = controls.iter().map(Control::gossip).collect();
    let mut config = config(&name, &dir.path().join(&name), &seeds);
    config.grpc = addresses[leader].socket();
    let back = Control::start(config).await.unwrap();
    let client = connect(&back);
    soon(|| async { (dynos_if(&client).await? == 60).then_some(()) }).await;
    back.stop().await;
    for control in controls {
        control.stop().await;
    }
}

async fn dynos_if(client: &Client) -> Option<usize> {
    Some(client.clone().list_dynos(wire::ListDynosRequest::default()).await.ok()?.into_inner().dynos.len())
}
