//! Replicas and edges: listed as they speak of themselves, and drained under the right name only.

use dynomesh_core::id::NodeName;
use dynomesh_core::map::fact::NodeRole;
use dynomesh_proto::admin::v1 as wire;
use tonic::Code;

use super::{Block, alone, blocks, refused, soon};

/// A process that says it is an edge; its name in the gossip is `edge-1`.
fn edge(control: &crate::Control) -> Block {
    let node = Block::silent("edge", 1, control);
    node.introduce(1, |_| NodeRole::Edge { http: "127.0.0.1:8080".parse().unwrap() });
    node
}

#[tokio::test]
async fn replicas_and_edges_are_listed_and_drained_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let listed = blocks(&control, 2).await;
    let edge = edge(&control);
    let reader = client.clone();
    let replicas = |block: &str| {
        let (mut client, request) = (reader.clone(), wire::ListReplicasRequest { block: block.into(), ..Default::default() });
        async move { client.list_replicas(request).await.unwrap().into_inner().replicas }
    };
    let edges = || async { reader.clone().list_edges(wire::ListEdgesRequest::default()).await.unwrap().into_inner().edges };
    let seen = soon(|| async { edges().await.into_iter().find(|edge| edge.live) }).await;
    assert_eq!((seen.node.as_str(), seen.http.as_str(), seen.state.as_str()), ("edge-1", "127.0.0.1:8080", "serving"));
    let all = soon(|| async { Some(replicas("").await).filter(|all| all.len() == 3) }).await;
    let names: Vec<(&str, bool, bool)> = all.iter().map(|it| (it.node.as_str(), it.live, it.leader)).collect();
    assert_eq!(names, [("b1-1", true, true), ("b2-2", true, true), ("control-1", true, true)]);
    assert_eq!(replicas("b2").await.len(), 1);
    let block = client.get_block(wire::GetBlockRequest { name: "b1".into() }).await.unwrap().into_inner();
    assert_eq!((block.live, block.bound, block.replicas[0].version.as_str()), (1, true, "1.2.3"));
    refused(client.get_block(wire::GetBlockRequest { name: "b9".into() }).await, Code::NotFound, "b9");

    let drain = |node: &str| wire::DrainEdgeRequest { node: node.into(), ..Default::default() };
    refused(client.drain_edge(drain("b1-1")).await, Code::NotFound, "replica drain b1-1");
    refused(client.drain_edge(drain("ghost")).await, Code::NotFound, "ghost");
    refused(client.drain_edge(drain("-")).await, Code::InvalidArgument, "node: ");
    let replica = |node: &str| wire::DrainReplicaRequest { node: node.into(), ..Default::default() };
    refused(client.drain_replica(replica("edge-1")).await, Code::NotFound, "edge drain edge-1");
    assert!(client.drain_edge(drain("edge-1")).await.unwrap().into_inner().changed);
    assert!(!client.drain_edge(drain("edge-1")).await.unwrap().into_inner().changed);
    edge.hears(|view| view.wants_drained(&NodeName::new("edge-1").unwrap()).then_some(())).await;
    let wished = edges().await.remove(0);
    assert!(wished.drain && wished.wish_version > 0);
    assert!(client.drain_replica(replica("b1-1")).await.unwrap().into_inner().changed);
    let undrain = wire::UndrainEdgeRequest { node: "edge-1".into(), ..Default::default() };
    assert!(client.undrain_edge(undrain).await.unwrap().into_inner().changed);

    // One that is gone is listed, and said to be silent.
    drop(listed);
    soon(|| async { replicas("b1").await.into_iter().find(|it| it.node == "b1-1" && !it.live && it.drain) }).await;
    control.stop().await;
}

#[tokio::test]
async fn the_map_is_told_fact_by_fact() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(super::shop()).await.unwrap();
    let _blocks = blocks(&control, 1).await;
    client.add_dyno(super::dyno("a", 3000)).await.unwrap();
    super::settled(&client, "a", "b1").await;
    let (mut keys, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = wire::GetMapRequest { page_size: 2, page_token, ..Default::default() };
        let page = client.get_map(request).await.unwrap().into_inner();
        assert!(page.facts.iter().all(|fact| fact.json.starts_with("{\"v\":1")));
        keys.extend(page.facts.into_iter().map(|fact| fact.key));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(keys, ["app/shop", "assigned/a", "bound/b1", "leader/b1", "node/b1-1", "node/control-1", "owned/a"]);
    let nodes = wire::GetMapRequest { kind: "node".into(), ..Default::default() };
    assert_eq!(client.get_map(nodes).await.unwrap().into_inner().facts.len(), 2);
    refused(client.get_map(wire::GetMapRequest { kind: "x".into(), ..Default::default() }).await, Code::InvalidArgument, "kind: ");
    control.stop().await;
}
