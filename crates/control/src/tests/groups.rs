//! Blocks are made of replicas that wait, and bound once.

use std::path::Path;

use dynomesh_consensus::{Options, Replica};
use dynomesh_core::id::{Address, GroupId, Version};
use dynomesh_core::map::Fact;
use dynomesh_core::map::fact::BoundFact;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::shutdown::{self, Trigger};
use dynomesh_runtime::{grpc, net};
use tonic::Code;
use tonic::service::Routes;

use super::{Block, alone, refused, soon};
use crate::directory::{Directory, DirectoryMachine};

/// A replica that was set up for the block `name`; what it replicates is of no interest here.
struct Waiting {
    address: Address,
    replica: Replica<DirectoryMachine>,
    _stop: Trigger,
}

async fn waiting(name: &str, dir: &Path) -> Waiting {
    let listener = net::listen("127.0.0.1:0".parse().unwrap(), "grpc").unwrap();
    let address = Address::new(listener.local_addr().unwrap()).unwrap();
    let options = Options::new(dir, "block", name, address, address, Clock::system(), rand::random());
    let (replica, peers) = Replica::start(options, Directory::new().1).await.unwrap();
    let (stop, stopping) = shutdown::channel();
    tokio::spawn(grpc::serve(listener, Routes::new(peers), stopping));
    Waiting { address, replica, _stop: stop }
}

fn add(name: &str, replicas: &[&Waiting]) -> wire::AddBlockRequest {
    let replicas = replicas.iter().map(|replica| replica.address.to_string()).collect();
    wire::AddBlockRequest { name: name.into(), replicas, options: None }
}

#[tokio::test]
async fn replicas_that_wait_become_a_block_once() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(&dir.path().join("control")).await;
    let mut replicas = Vec::new();
    for n in 1..=3 {
        replicas.push(waiting("b1", &dir.path().join(format!("b1-{n}"))).await);
    }
    let stranger = waiting("b2", &dir.path().join("b2-1")).await;
    let [one, two, three] = &replicas[..] else { unreachable!() };

    refused(client.add_block(add("b1", &[])).await, Code::InvalidArgument, "replicas: ");
    refused(client.add_block(add("b1", &[one, one])).await, Code::InvalidArgument, "replicas[1]: ");
    refused(client.add_block(add("b1", &[one, &stranger])).await, Code::InvalidArgument, "replicas[1]: ");
    refused(client.add_block(add("b9", &[one])).await, Code::InvalidArgument, "b9");
    let nobody = wire::AddBlockRequest { name: "b1".into(), replicas: vec!["127.0.0.1:1".into()], options: None };
    refused(client.add_block(nobody).await, Code::Unavailable, "127.0.0.1:1");
    assert!(replicas.iter().all(|it| it.replica.is_pristine()), "a refused call founded something");

    let added = client.add_block(add("b1", &[one, two, three])).await.unwrap().into_inner();
    let block = added.block.unwrap();
    assert!(added.changed && block.bound && !block.group.is_empty());
    let again = client.add_block(add("b1", &[one, two, three])).await.unwrap().into_inner();
    assert_eq!((again.changed, again.block.unwrap().group), (false, block.group));
    // One that belongs to no group cannot be slipped in.
    let late = waiting("b1", &dir.path().join("b1-4")).await;
    refused(client.add_block(add("b1", &[one, two, &late])).await, Code::FailedPrecondition, "replica replace");

    // Nor is a second group founded under the name: it would stand there, and be nobody's.
    refused(client.add_block(add("b1", &[&late])).await, Code::AlreadyExists, "is bound to group");
    assert!(late.replica.is_pristine(), "a group was founded whose name is another's");

    let nothing = wire::ReplaceReplicaRequest { block: "b1".into(), ..Default::default() };
    refused(client.replace_replica(nothing.clone()).await, Code::InvalidArgument, "dead: ");
    let unknown = wire::ReplaceReplicaRequest { block: "b9".into(), dead: 1, ..nothing };
    refused(client.replace_replica(unknown).await, Code::NotFound, "b9");
    control.stop().await;
}

/// The directory was lost, and nobody of the block is heard: its name is its own all the same.
#[tokio::test]
async fn no_group_is_founded_under_a_name_that_an_earlier_directory_bound() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(&dir.path().join("control")).await;
    let block = Block::silent("b1", 1, &control);
    let fact = BoundFact { block: block.name(), group: GroupId(7), version: Version(9) };
    block.say(Fact::Bound(fact));
    let late = waiting("b1", &dir.path().join("b1-1")).await;
    let recovered = || async { client.clone().recover(wire::RecoverRequest { confirm: true }).await.ok() };
    soon(|| async {
        client.clone().add_block(add("b1", &[&late])).await.is_err_and(|e| e.message().contains("control recover")).then_some(())
    })
    .await;
    soon(recovered).await;
    refused(client.add_block(add("b1", &[&late])).await, Code::AlreadyExists, "is group");
    assert!(late.replica.is_pristine(), "a group was founded whose name is another's");
    control.stop().await;
}

#[tokio::test]
async fn a_replica_of_the_control_plane_is_added_and_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(&dir.path().join("control-1")).await;
    let second = super::start("control-2", &dir.path().join("control-2")).await;
    let add = wire::ReplaceReplicaRequest { replacement: second.grpc().to_string(), ..Default::default() };
    let added = client.replace_replica(add.clone()).await.unwrap().into_inner();
    assert_eq!((added.changed, added.replicas.len()), (true, 2));
    assert!(!client.replace_replica(add).await.unwrap().into_inner().changed);
    let out = wire::ReplaceReplicaRequest { dead: second.id().0, ..Default::default() };
    let left = client.replace_replica(out).await.unwrap().into_inner();
    assert_eq!((left.changed, left.replicas.len()), (true, 1));
    second.stop().await;
    control.stop().await;
}
