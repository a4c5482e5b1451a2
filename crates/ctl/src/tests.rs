//! The command line as it is typed, and what is written for it; what is sent and answered is tested against a fake control plane in
//! `verbs`, `failing` and `waiting`. Commands against a living one are tested with `control`.

use clap::{CommandFactory, Parser};
use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

mod failing;
mod fake;
mod verbs;
mod waiting;

use crate::block::BlockRow;
use crate::client::Client;
use crate::dyno::DynoRow;
use crate::events::utc;
use crate::output::{Row, table};
use crate::{CliError, Command, Format, Global};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

fn parse(line: &str) -> Result<Line, clap::Error> {
    Line::try_parse_from(line.split(' '))
}

#[test]
fn global_options_stand_anywhere() {
    for line in [
        "dynomesh --admin 10.0.0.1:1 -o json dyno list",
        "dynomesh dyno --admin 10.0.0.1:1 -o json list",
        "dynomesh dyno list -o json --admin 10.0.0.1:1",
        "dynomesh -o json dyno list --admin=10.0.0.1:1",
    ] {
        let global = parse(line).unwrap().global;
        assert_eq!((global.admin.as_str(), global.output), ("10.0.0.1:1", Format::Json), "{line}");
    }
}

#[test]
fn every_line_of_the_manual_is_accepted() {
    for line in [
        "dynomesh app create shop --host shop.example",
        "dynomesh app create shop --host a.example --host b.example --max-conns 4 --serial auto --orphans prompt",
        "dynomesh app create shop --host * --serial yes --orphans strict --probe /health --queue-wait 2s --queue-len 5",
        "dynomesh app list",
        "dynomesh app delete shop",
        "dynomesh dyno add shop 127.0.0.1:3000",
        "dynomesh dyno add shop 127.0.0.1:3000 --id a --max-conns 2 --block b1 --wait --timeout 5s",
        "dynomesh dyno list --app shop",
        "dynomesh dyno drain a --wait",
        "dynomesh dyno remove a",
        "dynomesh block list -o json",
        "dynomesh status -o table",
        "dynomesh dyno add --file dynos.toml",
        "dynomesh dyno add shop --addr 127.0.0.1:1 --addr 127.0.0.1:2 --wait",
        "dynomesh dyno list --phase draining --state up",
        "dynomesh dyno move a --to b2 --wait --timeout 5m --expect 7 --key k",
        "dynomesh replica replace b1 --dead 7 --with 127.0.0.1:1",
        "dynomesh replica replace --control --dead 7",
        "dynomesh control recover --yes",
        "dynomesh --admin https://a:1,https://b:1 --ca ca.pem --cert c.pem --cert-key k.pem events --follow --after 3 --subject dyno/a",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn wrong_usage_exits_2() {
    for line in [
        "dynomesh app create shop",
        "dynomesh app create shop --host a --serial maybe",
        "dynomesh app create shop --host a --max-conns many",
        "dynomesh dyno add shop",
        "dynomesh dyno drain",
        "dynomesh dyno add shop 127.0.0.1:1 --wait --timeout 5",
        "dynomesh block list -o yaml",
        "dynomesh dyno add shop 127.0.0.1:1 --addr 127.0.0.1:2",
        "dynomesh dyno add shop --addr 127.0.0.1:2 --id a",
        "dynomesh dyno add --addr 127.0.0.1:2",
        "dynomesh dyno list --phase gone",
        "dynomesh dyno move a",
        "dynomesh block add b1",
        "dynomesh replica replace b1",
        "dynomesh replica replace b1 --control --dead 7",
        "dynomesh settings set rebalance",
        "dynomesh map --kind secrets",
        "dynomesh events --after last",
        "dynomesh block",
    ] {
        assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
    }
}

#[derive(Serialize)]
struct Pair(&'static str, &'static str);

impl Row for Pair {
    const COLUMNS: &'static [&'static str] = &["id", "block"];
    fn cells(&self) -> Vec<String> {
        vec![self.0.into(), self.1.into()]
    }
}

#[test]
fn tables_are_aligned_and_every_line_has_the_same_number_of_words() {
    let text = table(&[Pair("long-name", "b1"), Pair("a", "")]);
    assert_eq!(text, "ID         BLOCK\nlong-name  b1\na          -\n");
    assert_eq!(table::<Pair>(&[]), "ID  BLOCK\n");
}

/// The keys of a row, in the order they are written.
fn keys(row: &impl Serialize) -> String {
    let text = serde_json::to_string(row).unwrap();
    let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut keys: Vec<(usize, &String)> = value.keys().map(|key| (text.find(&format!("\"{key}\":")).unwrap(), key)).collect();
    keys.sort();
    keys.into_iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn json_rows_begin_with_the_documented_keys() {
    let dyno = keys(&DynoRow::from(waiting::adopted(wire::DynoPhase::Active)));
    assert!(dyno.starts_with("id app addr block epoch phase max_conns in_flight"), "{dyno}");
    let block = keys(&BlockRow::from(wire::Block::default()));
    assert!(block.starts_with("name leader term replicas dynos slots in_flight queued"), "{block}");
}

#[test]
fn numbers_and_words_of_a_dyno_are_what_programs_expect() {
    let row = serde_json::to_value(DynoRow::from(waiting::adopted(wire::DynoPhase::Active))).unwrap();
    assert_eq!((&row["epoch"], &row["phase"], &row["in_flight"]), (&7.into(), &"active".into(), &0.into()));
    let block = wire::Block { replicas: vec![wire::Replica::default(); 3], ..Default::default() };
    let row = serde_json::to_value(BlockRow::from(block)).unwrap();
    assert_eq!((&row["replicas"], row["members"].as_array().unwrap().len()), (&3.into(), 3));
}

#[test]
fn the_definition_is_consistent() {
    Line::command().debug_assert();
}

#[tokio::test]
async fn wrong_options_exit_2_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "one\ntwo\n").unwrap();
    let file = file.display();
    for (options, word) in [
        ("--admin nowhere".to_owned(), "HOST:PORT"),
        ("--admin :7070".into(), "HOST:PORT"),
        ("--admin 127.0.0.1:99999".into(), "HOST:PORT"),
        ("--admin 127.0.0.1:1,".into(), "HOST:PORT"),
        ("--admin ftp://127.0.0.1:1".into(), "HOST:PORT"),
        ("--admin https://127.0.0.1:1".into(), "--ca"),
        ("--admin https://127.0.0.1:1 --ca /nowhere/ca.pem".into(), "/nowhere/ca.pem"),
        ("--cert c.pem".into(), "--cert-key"),
        ("--token a --token-file b".into(), "leave one out"),
        ("--token-file /nowhere/token".into(), "/nowhere/token"),
        (format!("--token-file {file}"), "one line"),
        ("-o csv".into(), "json"),
    ] {
        let line = parse(&format!("dynomesh {options} status")).unwrap();
        let error = Client::new(&line.global).err().or(crate::Output::stdout(line.global.output).err()).expect(&options);
        assert!(error.exit_code() == 2 && error.to_string().contains(word), "{options}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn exit_codes_tell_who_has_to_act() {
    let error = |status: tonic::Status| CliError::from_status("127.0.0.1:7070", &status);
    for (status, code, next) in [
        (tonic::Status::not_found("no dyno \"a\""), 1, "no dyno"),
        (tonic::Status::invalid_argument("addr: must be IP:PORT"), 1, "addr"),
        (tonic::Status::failed_precondition("drain it first"), 1, "drain it first"),
        (tonic::Status::out_of_range("events after 7 are forgotten"), 1, "forgotten"),
        (tonic::Status::unavailable("no leader"), 3, "repeated safely"),
        (tonic::Status::resource_exhausted("too many calls"), 3, "repeated safely"),
        (tonic::Status::unimplemented(""), 3, "grpc"),
        (tonic::Status::aborted("app shop has version 3"), 5, "look again"),
        (tonic::Status::unauthenticated("no token"), 6, "--token-file"),
        (tonic::Status::permission_denied("takes the role admin"), 6, "--token-file"),
    ] {
        let error = error(status);
        assert!(error.exit_code() == code && error.to_string().contains(next), "{error}");
        assert!(crate::EXIT_CODES.contains(&format!("{code}  ")));
    }
}

#[test]
fn a_token_is_not_shown_when_options_are() {
    let line = parse("dynomesh --token geheim status").unwrap();
    assert!(!format!("{line:?}").contains("geheim"));
}

#[test]
fn times_of_events_are_dates() {
    for (at_ms, text) in [
        (0, ""),
        (1, "1970-01-01T00:00:00Z"),
        (951_782_399_000, "2000-02-28T23:59:59Z"),
        (951_825_600_000, "2000-02-29T12:00:00Z"),
        (1_735_689_599_999, "2024-12-31T23:59:59Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(utc(at_ms), text);
    }
}
