//! Plans are told, made by hand, and made automatically.

use std::path::Path;

use dynomesh_proto::admin::v1 as wire;

use super::{Client, Obedient, alone, blocks, config, connect, dyno, dynos, settled, shop, soon};
use crate::Control;

/// Two blocks that have long been there, and all eight dynos in the first.
async fn crowded(dir: &Path) -> (Control, Client, Vec<Obedient>) {
    let (control, mut client) = alone(dir).await;
    let nodes = blocks(&control, 2).await;
    client.create_app(shop()).await.unwrap();
    for n in 0..8 {
        let id = format!("d{n}");
        client.add_dyno(wire::AddDynoRequest { block: "b1".into(), ..dyno(&id, 3000 + n) }).await.unwrap();
        settled(&client, &id, "b1").await;
    }
    // To a process that starts now, what is there has always been there: nothing is filled slowly, nothing rests.
    control.stop().await;
    let seeds: Vec<_> = nodes.iter().map(|node| node.gossip.address()).collect();
    let control = Control::start(config("control-1", dir, &seeds)).await.unwrap();
    let client = connect(&control);
    let heard = || async {
        let map = client.clone().get_map(wire::GetMapRequest { kind: "owned".into(), ..Default::default() }).await.ok()?.into_inner();
        (map.facts.len() == 8 && super::bound(&client).await == 2).then_some(())
    };
    soon(heard).await;
    (control, client.clone(), nodes)
}

async fn spread(client: &Client) -> Option<()> {
    let dynos = dynos(client).await;
    let elsewhere = dynos.iter().filter(|dyno| dyno.owner == "b2" && dyno.owned_epoch == dyno.epoch).count();
    (elsewhere >= 2).then_some(())
}

#[tokio::test]
async fn a_plan_says_what_would_be_moved_and_a_round_moves_it() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client, _nodes) = crowded(dir.path()).await;
    let plan = client.get_plan(wire::GetPlanRequest {}).await.unwrap().into_inner().plan.unwrap();
    assert!(!plan.moves.is_empty(), "{}", plan.text);
    assert!(plan.moves.iter().all(|step| step.from == "b1" && step.to == "b2" && !step.reason.is_empty() && !step.gain.is_empty()));
    assert!(plan.text.contains("convergence of the map: not measured yet, taken for 2s"), "{}", plan.text);
    assert!(plan.loads.iter().any(|load| load.block == "b1" && load.dynos_before == 8 && load.dynos_after < 8));
    assert!(dynos(&client).await.iter().all(|dyno| dyno.block == "b1"), "a plan moved something");

    let round = client.rebalance(wire::RebalanceRequest::default()).await.unwrap().into_inner();
    assert_eq!(round.started as usize, round.plan.unwrap().moves.len());
    soon(|| async { dynos(&client).await.iter().any(|dyno| dyno.owner == "b2").then_some(()) }).await;
    // Moves are measured, once the process has had a first look at what was there when it started; on a busy machine that may come after
    // the round.
    let text = || async { client.clone().get_plan(wire::GetPlanRequest {}).await.unwrap().into_inner().plan.unwrap().text };
    soon(|| async {
        let measured = text().await.contains("convergence of the map: median");
        if !measured && let Some(dyno) = dynos(&client).await.into_iter().find(|dyno| dyno.id == "d7" && dyno.owned_epoch == dyno.epoch) {
            let to = if dyno.block == "b1" { "b2" } else { "b1" };
            client.clone().move_dyno(wire::MoveDynoRequest { id: dyno.id, to: to.into(), ..Default::default() }).await.unwrap();
        }
        measured.then_some(())
    })
    .await;
    control.stop().await;
}

#[tokio::test]
async fn automatic_moves_are_made_when_the_operator_says_so_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client, _nodes) = crowded(dir.path()).await;
    let settings = [("rebalance", "auto"), ("pace", "100ms"), ("moves_max", "2")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    client.set_settings(wire::SetSettingsRequest { settings, options: None }).await.unwrap();
    soon(|| spread(&client)).await;
    let mut events = client.watch_events(wire::WatchEventsRequest { end: true, ..Default::default() }).await.unwrap().into_inner();
    let mut by_whom = Vec::new();
    while let Some(event) = events.message().await.unwrap() {
        by_whom.extend((event.verb == "dyno.move").then_some(event.caller));
    }
    assert!(!by_whom.is_empty() && by_whom.iter().all(|caller| caller == "rebalancer"), "{by_whom:?}");
    control.stop().await;
}
