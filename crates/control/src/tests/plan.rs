//! Plans are told, made by hand, and made automatically.

use dynomesh_proto::admin::v1 as wire;

use super::{Client, alone, blocks, dyno, dynos, settled, shop, soon};

async fn crowded(control: &crate::Control, client: &mut Client) {
    client.create_app(shop()).await.unwrap();
    for n in 0..8 {
        let id = format!("d{n}");
        client.add_dyno(wire::AddDynoRequest { block: "b1".into(), ..dyno(&id, 3000 + n) }).await.unwrap();
        settled(client, &id, "b1").await;
    }
    let _ = control;
}

async fn spread(client: &Client) -> Option<()> {
    let dynos = dynos(client).await;
    let elsewhere = dynos.iter().filter(|dyno| dyno.owner == "b2" && dyno.owned_epoch == dyno.epoch).count();
    (elsewhere >= 2).then_some(())
}

#[tokio::test]
async fn a_plan_says_what_would_be_moved_and_a_round_moves_it() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let _blocks = blocks(&control, 2).await;
    crowded(&control, &mut client).await;
    let plan = client.get_plan(wire::GetPlanRequest {}).await.unwrap().into_inner().plan.unwrap();
    assert!(!plan.moves.is_empty(), "{}", plan.text);
    assert!(plan.moves.iter().all(|step| step.from == "b1" && step.to == "b2" && !step.reason.is_empty() && !step.gain.is_empty()));
    assert!(plan.text.contains("convergence of the map: median"), "{}", plan.text);
    assert!(plan.loads.iter().any(|load| load.block == "b1" && load.dynos_before == 8 && load.dynos_after < 8));
    assert!(dynos(&client).await.iter().all(|dyno| dyno.block == "b1"), "a plan moved something");

    let round = client.rebalance(wire::RebalanceRequest::default()).await.unwrap().into_inner();
    assert_eq!(round.started as usize, round.plan.unwrap().moves.len());
    soon(|| async { dynos(&client).await.iter().any(|dyno| dyno.owner == "b2").then_some(()) }).await;
    control.stop().await;
}

#[tokio::test]
async fn automatic_moves_are_made_when_the_operator_says_so_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let _blocks = blocks(&control, 2).await;
    crowded(&control, &mut client).await;
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
