//! Settings of the whole mesh.

use std::collections::HashMap;

use dynomesh_proto::admin::v1 as wire;
use tonic::Code;

use super::{alone, expecting, refused};

fn set(settings: &[(&str, &str)]) -> wire::SetSettingsRequest {
    let settings: HashMap<String, String> = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    wire::SetSettingsRequest { settings, options: None }
}

fn value(settings: &[wire::Setting], name: &str) -> String {
    settings.iter().find(|setting| setting.name == name).unwrap().value.clone()
}

#[tokio::test]
async fn settings_are_listed_with_meaning_and_changed_all_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let list = client.list_settings(wire::ListSettingsRequest {}).await.unwrap().into_inner();
    assert!(list.settings.iter().all(|setting| setting.value == setting.default && !setting.meaning.is_empty()));
    assert_eq!((value(&list.settings, "rebalance"), list.version), ("manual".into(), 0));

    let changed = client.set_settings(set(&[("rebalance", "auto"), ("drain", "5m"), ("rest", "500ms")])).await.unwrap().into_inner();
    assert!(changed.changed && changed.version > 0);
    assert_eq!((value(&changed.settings, "rebalance"), value(&changed.settings, "drain")), ("auto".into(), "5m".into()));
    let again = client.set_settings(set(&[("drain", "300s")])).await.unwrap().into_inner();
    assert_eq!((again.changed, again.version), (false, changed.version));

    for (name, bad) in [("drain", "5"), ("group", "0"), ("rebalance", "yes"), ("speed", "1"), ("evict_after", "1s")] {
        let request = set(&[("moves_max", "3"), (name, bad)]);
        refused(client.set_settings(request).await, Code::InvalidArgument, &format!("settings[{name}]: "));
    }
    refused(client.set_settings(set(&[])).await, Code::InvalidArgument, "settings: ");
    let stale = wire::SetSettingsRequest { options: expecting(changed.version + 9), ..set(&[("moves_max", "3")]) };
    refused(client.set_settings(stale).await, Code::Aborted, "settings");
    let list = client.list_settings(wire::ListSettingsRequest {}).await.unwrap().into_inner();
    assert_eq!((value(&list.settings, "moves_max"), list.version), ("8".into(), changed.version));
    control.stop().await;
}
