//! Each verb sends what it should, and writes a table or a sentence for people and JSON for programs.

use serde_json::Value;

use super::fake::{Fake, dyno};

/// Lines, the call each makes, what its request holds, and what is written.
const LINES: [(&str, &str, &[&str], &str); 38] = [
    ("app create shop --host shop.test --max-conns 2", "create_app", &["\"shop\"", "shop.test", "max_conns: Some(2)"], "app shop created"),
    (
        "app update shop --host a --queue-wait 2s --expect 3",
        "update_app",
        &["queue_wait_ms: Some(2000)", "expect_version: Some(3)"],
        "updated",
    ),
    ("app get shop", "get_app", &["shop"], "version          3"),
    ("app list", "list_apps", &["page_token: \"second\""], "two   shop.test"),
    ("app delete shop", "delete_app", &["shop"], "app shop deleted"),
    ("dyno add shop 127.0.0.1:3000 --id a --block b1", "add_dyno", &["id: \"a\"", "block: \"b1\""], "dyno a added; block b1"),
    ("dyno add shop --addr x:1 --addr x:2 --key k", "add_dynos", &["\"k-0\"", "\"k-1\"", "x:2", "\"shop\""], "added"),
    ("dyno get a", "get_dyno", &["\"a\""], "owned_epoch  7"),
    ("dyno list --app shop --block b1 --phase active --state up", "list_dynos", &["Active", "Up", "\"b1\"", "\"shop\""], "ID  APP"),
    ("dyno drain a --deadline 30s --app shop", "drain_dyno", &["deadline_ms: Some(30000)", "app: \"shop\""], "dyno a is draining"),
    ("dyno undrain a", "undrain_dyno", &["\"a\""], "take requests again"),
    ("dyno move a --to b2 --expect 7", "move_dyno", &["to: \"b2\"", "Some(7)"], "dyno a moves to block b2, epoch 8"),
    ("dyno remove a --force", "remove_dyno", &["force: true"], "dyno a removed"),
    ("dyno remove a", "remove_dyno", &["force: false"], "dyno a removed"),
    ("block add b1 --replica x:1 --replica x:2", "add_block", &["[\"x:1\", \"x:2\"]"], "block b1 is bound"),
    ("block get b1", "get_block", &["\"b1\""], "replica    9 b1-1 at"),
    ("block list", "list_blocks", &[], "b1    -       0"),
    ("block drain b1", "drain_block", &["\"b1\""], "block b1 is draining; 0 dynos left"),
    ("block drain b1 --wait", "get_block", &["\"b1\""], "block b1 has no dynos left"),
    ("block undrain b1", "undrain_block", &["\"b1\""], "takes dynos again"),
    ("block remove b1", "remove_block", &["\"b1\""], "block b1 removed"),
    ("block evict b2 --confirm b2", "evict_block", &["proof: Operator", "confirm: \"b2\""], "block b2 evicted; 4 of its dynos"),
    ("block evict b2 --proof agents", "evict_block", &["proof: Agents", "confirm: \"\""], "evicted"),
    ("replica list --block b1", "list_replicas", &["block: \"b1\""], "b1-1  b1     9"),
    (
        "replica replace b1 --dead 7 --with x:1",
        "replace_replica",
        &["dead: 7", "replacement: \"x:1\"", "\"b1\""],
        "block b1 has new members",
    ),
    ("replica replace --control --dead 7", "replace_replica", &["block: \"\"", "replacement: \"\""], "the control plane has"),
    ("replica drain b1-1", "drain_replica", &["\"b1-1\""], "hands its leadership over"),
    ("replica drain b1-1 --wait", "list_replicas", &[], "replica b1-1 is drained"),
    ("replica undrain b1-1", "undrain_replica", &["\"b1-1\""], "may lead again"),
    ("edge list", "list_edges", &[], "edge-1  -     drained"),
    ("edge drain edge-1 --wait", "list_edges", &[], "edge edge-1 is drained"),
    ("edge undrain edge-1", "undrain_edge", &["edge-1"], "takes connections again"),
    ("map --kind owned", "get_map", &["\"owned\""], "owned/a  {\"epoch\":7}"),
    ("plan", "get_plan", &[], "a: b1 -> b2, b1 is full"),
    ("rebalance", "rebalance", &[], "1 of 1 moves started"),
    ("settings list", "list_settings", &[], "drain  30s    30s      how long"),
    ("settings set drain=45s rebalance=auto", "set_settings", &["\"drain\": \"45s\"", "\"rebalance\": \"auto\""], "version 6"),
    ("control recover --yes", "recover", &["confirm: true"], "generation 2 with 1 apps and 8 dynos\nleft out: app idle"),
];

#[tokio::test]
async fn each_verb_sends_what_it_should_and_says_what_became_of_it() {
    let fake = Fake::start().await;
    for (line, call, fields, said) in LINES {
        let (written, result) = fake.run(line).await;
        result.unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(written.contains(said), "{line} wrote {written}");
        let asked = fake.asked().pop().unwrap();
        assert_eq!(asked.call, call, "{line}");
        for field in fields {
            assert!(asked.text.contains(field), "{line} sent {} without {field}", asked.text);
        }
    }
}

#[tokio::test]
async fn each_verb_writes_json_for_programs() {
    let fake = Fake::start().await;
    for (line, ..) in LINES {
        let (written, result) = fake.run(&format!("{line} -o json")).await;
        result.unwrap_or_else(|error| panic!("{line}: {error}"));
        let value: Value = serde_json::from_str(&written).unwrap_or_else(|error| panic!("{line} wrote {written}: {error}"));
        assert!(value.is_array() || value.is_object(), "{line}");
    }
}

#[tokio::test]
async fn every_call_has_a_verb() {
    let fake = Fake::start().await;
    for (line, ..) in LINES {
        fake.run(line).await.1.unwrap();
    }
    for line in ["edge drain edge-1", "events", "status"] {
        fake.run(line).await.1.unwrap();
    }
    let asked: std::collections::BTreeSet<String> = fake.asked().iter().map(|asked| asked.call.replace('_', "")).collect();
    let file = include_str!("../../../../proto/dynomesh/admin/v1/admin.proto");
    for line in file.lines().filter_map(|line| line.trim().strip_prefix("rpc ")) {
        let call = line.split('(').next().unwrap().to_lowercase();
        assert!(asked.contains(&call), "no command makes the call {call}");
    }
}

#[tokio::test]
async fn every_write_carries_a_key_of_its_own() {
    let fake = Fake::start().await;
    let mut keys = std::collections::BTreeSet::new();
    let mut writes = 0;
    for (line, ..) in LINES {
        fake.run(line).await.1.unwrap();
        for asked in fake.asked().iter().filter(|asked| asked.text.contains("idempotency_key: \"cli-")) {
            let key = asked.text.split("idempotency_key: \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            keys.insert(key);
        }
        writes = fake.asked().iter().filter(|asked| asked.text.contains("idempotency_key: \"cli-")).count();
    }
    assert_eq!(keys.len(), writes, "two writes shared a key");
    assert!(writes >= 20, "{writes}");
}

#[tokio::test]
async fn a_given_key_and_token_are_sent_as_they_are() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    fake.run(&format!("dyno drain a --key once --token-file {}", file.display())).await.1.unwrap();
    fake.run("status --token s3cret").await.1.unwrap();
    let asked = fake.asked();
    assert!(asked[0].text.contains("idempotency_key: \"once\""), "{}", asked[0].text);
    assert!(asked.iter().all(|asked| asked.token.as_deref() == Some("Bearer s3cret")), "{asked:?}");
}

#[tokio::test]
async fn dynos_of_a_file_stand_or_fall_each_by_itself() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dynos.jsonl");
    std::fs::write(&file, "{\"addr\": \"x:1\", \"id\": \"a\"}\n{\"addr\": \"taken\", \"id\": \"b\", \"app\": \"other\"}\n").unwrap();
    let (written, result) = fake.run(&format!("dyno add shop --file {} --max-conns 3", file.display())).await;
    let error = result.unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().starts_with("1 of 2 dynos were refused")), (1, true), "{error}");
    assert!(written.contains("refused: addr: taken") && written.contains("added"), "{written}");
    let sent = &fake.asked()[0].text;
    assert!(sent.contains("app: \"shop\"") && sent.contains("app: \"other\"") && sent.contains("max_conns: Some(3)"), "{sent}");

    std::fs::write(&file, "{\"addr\": \"x:1\"}\n{\"addr\": 7}\n").unwrap();
    for (line, word) in [
        (format!("dyno add shop --file {}", file.display()), "dynos.jsonl:2:"),
        ("dyno add shop --file /nowhere/dynos".into(), "/nowhere/dynos"),
        (format!("dyno add --file {}", file.display()), "dynos.jsonl:2:"),
    ] {
        let error = fake.run(&line).await.1.unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains(word), "{line}: {error}");
    }
    std::fs::write(&file, "{\"addr\": \"x:1\"}\n").unwrap();
    let error = fake.run(&format!("dyno add --file {}", file.display())).await.1.unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("names no app"), "{error}");
    assert_eq!(fake.asked().len(), 1, "nothing was sent for a wrong file");
}

#[tokio::test]
async fn a_move_is_waited_for_until_the_other_block_owns_the_dyno() {
    let fake = Fake::start().await;
    let moved = dynomesh_proto::admin::v1::Dyno { block: "b2".into(), epoch: 8, ..dyno("a", "b1") };
    let owned = dynomesh_proto::admin::v1::Dyno { owner: "b2".into(), owned_epoch: 8, ..moved.clone() };
    fake.list([dyno("a", "b1"), moved, owned]);
    let (written, result) = fake.run("dyno move a --to b2 --wait").await;
    result.unwrap();
    assert_eq!(written, "dyno a is owned by block b2, epoch 8\n");
    let looks = fake.asked().iter().filter(|asked| asked.call == "list_dynos").count();
    assert_eq!(looks, 3);
}
