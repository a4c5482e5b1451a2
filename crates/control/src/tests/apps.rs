//! Apps by the admin API: every refusal, and that writes may be repeated.

use dynomesh_proto::admin::v1 as wire;
use tonic::Code;

use super::{alone, dyno, refused, shop};

#[tokio::test]
async fn an_app_is_created_once_however_often_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let first = client.create_app(shop()).await.unwrap().into_inner();
    let again = client.create_app(shop()).await.unwrap().into_inner();
    assert_eq!((first.changed, again.changed), (true, false));
    assert_eq!(first.app, again.app);
    let policy = first.app.unwrap().policy.unwrap();
    assert_eq!((policy.max_conns, policy.serial(), policy.orphans()), (Some(1), wire::Serial::Auto, wire::Orphans::Prompt));

    let other = wire::CreateAppRequest { policy: Some(wire::Policy { max_conns: Some(2), ..Default::default() }), ..shop() };
    refused(client.create_app(other).await, Code::AlreadyExists, "shop");
    let thief = wire::CreateAppRequest { name: "blog".into(), ..shop() };
    refused(client.create_app(thief).await, Code::AlreadyExists, "shop.example");
    control.stop().await;
}

#[tokio::test]
async fn what_no_app_may_be_is_refused_with_the_field() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let policy = |policy| wire::CreateAppRequest { policy: Some(policy), ..shop() };
    let hosts: Vec<String> = (0..64).map(|n| format!("{}.{n}", "h".repeat(240))).collect();
    let cases = [
        ("name: ", wire::CreateAppRequest { name: "Shop".into(), ..shop() }),
        ("hosts: ", wire::CreateAppRequest { hosts: vec![], ..shop() }),
        ("hosts: ", wire::CreateAppRequest { hosts: vec!["shop.example:80".into()], ..shop() }),
        // Each host is fine; together they would not fit into a fact.
        ("hosts: ", wire::CreateAppRequest { hosts, ..shop() }),
        ("policy.max_conns: ", policy(wire::Policy { max_conns: Some(0), ..Default::default() })),
        ("policy.probe_path: ", policy(wire::Policy { probe_path: "health".into(), ..Default::default() })),
        ("policy.orphans: ", policy(wire::Policy { orphans: 9, ..Default::default() })),
    ];
    for (field, request) in cases {
        refused(client.create_app(request).await, Code::InvalidArgument, field);
    }
    assert!(client.list_apps(wire::ListAppsRequest::default()).await.unwrap().into_inner().apps.is_empty());
    control.stop().await;
}

#[tokio::test]
async fn an_app_is_deleted_when_it_has_no_dynos() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let delete = |name: &str| wire::DeleteAppRequest { name: name.into(), ..Default::default() };
    refused(client.delete_app(delete("shop")).await, Code::NotFound, "shop");
    refused(client.delete_app(delete("")).await, Code::InvalidArgument, "name: ");
    client.create_app(shop()).await.unwrap();
    client.add_dyno(dyno("a", 3000)).await.unwrap();
    refused(client.delete_app(delete("shop")).await, Code::FailedPrecondition, "shop");
    // No block ever had the dyno, so it is gone at once.
    client.remove_dyno(wire::RemoveDynoRequest { id: "a".into(), ..Default::default() }).await.unwrap();
    assert!(client.delete_app(delete("shop")).await.unwrap().into_inner().changed);
    assert!(!client.delete_app(delete("shop")).await.unwrap().into_inner().changed);
    // A directory that was emptied is still the one that wrote what the map says.
    assert!(client.create_app(shop()).await.unwrap().into_inner().changed);
    control.stop().await;
}

#[tokio::test]
async fn apps_are_listed_by_name_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    for name in ["c", "a", "b"] {
        let request =
            wire::CreateAppRequest { name: name.into(), hosts: vec![format!("{name}.example")], policy: None, ..Default::default() };
        client.create_app(request).await.unwrap();
    }
    client.add_dyno(wire::AddDynoRequest { app: "b".into(), addr: "127.0.0.1:3000".into(), ..Default::default() }).await.unwrap();
    let first = client.list_apps(wire::ListAppsRequest { page_size: 2, page_token: String::new() }).await.unwrap().into_inner();
    let names: Vec<(&str, u32)> = first.apps.iter().map(|app| (app.name.as_str(), app.dynos)).collect();
    assert_eq!((names, first.next_page_token.as_str()), (vec![("a", 0), ("b", 1)], "b"));
    let second = client.list_apps(wire::ListAppsRequest { page_size: 2, page_token: first.next_page_token }).await.unwrap().into_inner();
    assert_eq!((second.apps.len(), second.apps[0].name.as_str(), second.next_page_token.as_str()), (1, "c", ""));
    control.stop().await;
}
