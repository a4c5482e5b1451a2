//! What every write may carry besides, batches, limits of time, and what is refused.

use dynomesh_proto::admin::v1 as wire;
use tonic::{Code, Request};

use super::{alone, blocks, dyno, dynos, expecting, keyed, refused, settled, shop, soon, start};

fn moved(id: &str, to: &str) -> wire::MoveDynoRequest {
    wire::MoveDynoRequest { id: id.into(), to: to.into(), ..Default::default() }
}

fn removed(id: &str) -> wire::RemoveDynoRequest {
    wire::RemoveDynoRequest { id: id.into(), ..Default::default() }
}

#[tokio::test]
async fn a_write_under_a_key_takes_effect_once() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let request = wire::AddDynoRequest { options: keyed("k1"), ..dyno("a", 3000) };
    let first = client.add_dyno(request.clone()).await.unwrap().into_inner();
    client.remove_dyno(wire::RemoveDynoRequest { force: true, ..removed("a") }).await.unwrap();
    // The same answer, and not a second effect.
    assert_eq!(client.add_dyno(request.clone()).await.unwrap().into_inner(), first);
    assert!(dynos(&client).await.is_empty());
    let other = wire::AddDynoRequest { options: keyed("k1"), ..dyno("b", 3001) };
    refused(client.add_dyno(other).await, Code::AlreadyExists, "k1");
    let bad = wire::AddDynoRequest { options: keyed("two words"), ..dyno("b", 3001) };
    refused(client.add_dyno(bad).await, Code::InvalidArgument, "options.idempotency_key: ");
    control.stop().await;
}

#[tokio::test]
async fn a_write_that_expects_another_version_is_aborted() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let new = |options| wire::CreateAppRequest { options, ..shop() };
    refused(client.create_app(new(expecting(7))).await, Code::Aborted, "does not exist");
    let app = client.create_app(new(expecting(0))).await.unwrap().into_inner().app.unwrap();
    refused(client.create_app(new(expecting(0))).await, Code::Aborted, "expected not to");
    let got = client.get_app(wire::GetAppRequest { name: "shop".into() }).await.unwrap().into_inner();
    assert_eq!(got, app);
    refused(client.get_app(wire::GetAppRequest { name: "blog".into() }).await, Code::NotFound, "blog");

    let update = |hosts: &[&str], options| wire::UpdateAppRequest {
        name: "shop".into(),
        hosts: hosts.iter().map(|host| (*host).into()).collect(),
        policy: None,
        options,
    };
    let newer = client.update_app(update(&["shop.test"], expecting(app.version))).await.unwrap().into_inner();
    assert!(newer.changed && newer.app.unwrap().version > app.version);
    refused(client.update_app(update(&["x.test"], expecting(app.version))).await, Code::Aborted, "read it again");
    refused(client.update_app(update(&[], None)).await, Code::InvalidArgument, "hosts: ");
    refused(client.update_app(wire::UpdateAppRequest { name: "blog".into(), ..update(&["b.test"], None) }).await, Code::NotFound, "blog");
    assert!(!client.update_app(update(&["shop.test"], None)).await.unwrap().into_inner().changed);
    control.stop().await;
}

#[tokio::test]
async fn a_batch_is_checked_as_a_whole_and_then_each_stands_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let many: Vec<_> = (0..500).map(|n| dyno(&format!("d{n}"), 10_000 + n)).collect();
    let mut bad = many.clone();
    bad[3].addr = "localhost:1".into();
    refused(client.add_dynos(wire::AddDynosRequest { dynos: bad }).await, Code::InvalidArgument, "dynos[3].addr: ");
    refused(client.add_dynos(wire::AddDynosRequest { dynos: vec![] }).await, Code::InvalidArgument, "dynos: ");
    assert!(dynos(&client).await.is_empty(), "something was written before all was checked");

    let mut mixed = many;
    mixed[1].addr = mixed[0].addr.clone();
    mixed[2].app = "blog".into();
    let outcomes = client.add_dynos(wire::AddDynosRequest { dynos: mixed }).await.unwrap().into_inner().dynos;
    let codes: Vec<i32> = outcomes.iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes[..4], [0, Code::AlreadyExists as i32, Code::NotFound as i32, 0]);
    assert!(outcomes[2].error.contains("blog") && outcomes[2].dyno.is_none());
    assert!(outcomes[3].changed && outcomes[3].dyno.as_ref().unwrap().id == "d3");
    assert_eq!(dynos(&client).await.len(), 498);
    control.stop().await;
}

#[tokio::test]
async fn a_dyno_is_moved_drained_and_undrained_while_its_blocks_follow() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let _blocks = blocks(&control, 2).await;
    client.add_dyno(wire::AddDynoRequest { block: "b1".into(), ..dyno("a", 3000) }).await.unwrap();
    settled(&client, "a", "b1").await;
    assert!(!client.move_dyno(moved("a", "b1")).await.unwrap().into_inner().changed, "a move to its own block changes nothing");
    let answer = client.move_dyno(moved("a", "b2")).await.unwrap().into_inner();
    assert!(answer.changed);
    let dyno = answer.dyno.unwrap();
    assert_eq!((dyno.block.as_str(), dyno.waits_for), ("b2", vec!["b1".to_owned()]));
    let there = settled(&client, "a", "b2").await;
    assert_eq!(there.phase(), wire::DynoPhase::Active);

    let drain = wire::DrainDynoRequest { id: "a".into(), deadline_ms: Some(1_500), ..Default::default() };
    let drained = client.drain_dyno(drain.clone()).await.unwrap().into_inner();
    assert_eq!((drained.changed, drained.dyno.unwrap().drain_ms), (true, 1_500));
    let reader = client.clone();
    let in_phase = |phase: wire::DynoPhase| {
        let request = wire::ListDynosRequest { phase: phase.into(), state: wire::DynoState::Up.into(), ..Default::default() };
        let mut client = reader.clone();
        async move { client.list_dynos(request).await.unwrap().into_inner().dynos.len() }
    };
    soon(|| async { (in_phase(wire::DynoPhase::Draining).await == 1).then_some(()) }).await;
    assert_eq!(in_phase(wire::DynoPhase::Active).await, 0);
    let late = wire::DrainDynoRequest { deadline_ms: Some(u64::MAX), ..drain };
    refused(client.drain_dyno(late).await, Code::InvalidArgument, "deadline_ms: ");
    let undrain = wire::UndrainDynoRequest { id: "a".into(), ..Default::default() };
    assert!(client.undrain_dyno(undrain.clone()).await.unwrap().into_inner().changed);
    assert!(!client.undrain_dyno(undrain).await.unwrap().into_inner().changed);
    soon(|| async { (in_phase(wire::DynoPhase::Active).await == 1).then_some(()) }).await;
    let one = client.get_dyno(wire::GetDynoRequest { id: "a".into() }).await.unwrap().into_inner();
    assert_eq!((one.block.as_str(), one.drain), ("b2", false));
    refused(client.get_dyno(wire::GetDynoRequest { id: "ghost".into() }).await, Code::NotFound, "ghost");
    control.stop().await;
}

#[tokio::test]
async fn what_must_not_be_is_refused_by_name_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    let _blocks = blocks(&control, 2).await;
    for (id, port) in [("a", 3000), ("b", 3001)] {
        client.add_dyno(wire::AddDynoRequest { block: "b1".into(), ..dyno(id, port) }).await.unwrap();
        settled(&client, id, "b1").await;
    }
    client.drain_block(wire::DrainBlockRequest { name: "b2".into(), ..Default::default() }).await.unwrap();
    let before = dynos(&client).await;
    refused(client.move_dyno(moved("a", "b9")).await, Code::NotFound, "b9");
    refused(client.move_dyno(moved("ghost", "b2")).await, Code::NotFound, "ghost");
    refused(client.move_dyno(moved("a", "B")).await, Code::InvalidArgument, "to: ");
    refused(client.move_dyno(moved("a", "b2")).await, Code::FailedPrecondition, "b2");
    let elsewhere = wire::MoveDynoRequest { app: "blog".into(), ..moved("a", "b2") };
    refused(client.move_dyno(elsewhere).await, Code::FailedPrecondition, "of app shop");
    let stale = wire::MoveDynoRequest { options: expecting(1), ..moved("a", "b2") };
    refused(client.move_dyno(stale).await, Code::Aborted, "version");
    assert_eq!(dynos(&client).await, before);

    client.remove_dyno(removed("a")).await.unwrap();
    soon(|| async { (dynos(&client).await.len() == 1).then_some(()) }).await;
    refused(client.remove_dyno(removed("b")).await, Code::FailedPrecondition, "force");
    control.stop().await;
}

#[tokio::test]
async fn an_id_is_not_used_again_while_its_owner_has_not_released_it() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    // A block that hears and does nothing.
    let block = super::Block::start("b1", 1, &control);
    client.add_dyno(dyno("a", 3000)).await.unwrap();
    let id = dynomesh_core::id::DynoId::new("a").unwrap();
    block.hears(|view| view.assignment(&id).cloned()).await;
    client.remove_dyno(wire::RemoveDynoRequest { force: true, ..removed("a") }).await.unwrap();
    refused(client.add_dyno(dyno("a", 3001)).await, Code::FailedPrecondition, "released");
    control.stop().await;
}

#[tokio::test]
async fn a_callers_own_limit_ends_a_write_and_it_hears_what_may_have_happened() {
    let dir = tempfile::tempdir().unwrap();
    // Three members, of which one runs: nobody leads.
    let mut controls = super::group::three(dir.path()).await;
    let at = super::group::leader(&controls).await;
    let kept = controls.remove((at + 1) % 3);
    for control in controls {
        control.abandon().await;
    }
    let mut client = super::connect(&kept);
    let mut request = Request::new(shop());
    request.set_timeout(std::time::Duration::from_secs(2));
    let begun = std::time::Instant::now();
    let status = client.create_app(request).await.unwrap_err();
    assert!(begun.elapsed() < std::time::Duration::from_secs(4), "the caller's limit was not heeded");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(status.message().contains("written"), "{status}");
    kept.stop().await;
}

#[tokio::test]
async fn nothing_is_written_to_a_control_plane_that_was_never_founded() {
    let dir = tempfile::tempdir().unwrap();
    let control = start("control-1", dir.path()).await;
    let mut client = super::connect(&control);
    let settings = wire::SetSettingsRequest { settings: [("group".to_owned(), "3".to_owned())].into(), options: None };
    refused(client.set_settings(settings).await, Code::Unavailable, "control bootstrap");
    refused(client.recover(wire::RecoverRequest { confirm: true }).await, Code::Unavailable, "control bootstrap");
    control.stop().await;
}
