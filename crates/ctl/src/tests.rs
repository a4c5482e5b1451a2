//! The command line as it is typed, and what is written for it. Commands against a living control plane are tested with `control`.

use clap::Parser;
use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::block::BlockRow;
use crate::dyno::DynoRow;
use crate::output::{Row, table};
use crate::wait::{Effect, Progress};
use crate::{CliError, Client, Command, Format, Global};

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
    let dyno = keys(&DynoRow::from(adopted(wire::DynoPhase::Active)));
    assert!(dyno.starts_with("id app addr block epoch phase max_conns in_flight"), "{dyno}");
    let block = keys(&BlockRow::from(wire::Block::default()));
    assert!(block.starts_with("name leader term replicas dynos slots in_flight queued"), "{block}");
}

#[test]
fn numbers_and_words_of_a_dyno_are_what_programs_expect() {
    let row = serde_json::to_value(DynoRow::from(adopted(wire::DynoPhase::Active))).unwrap();
    assert_eq!((&row["epoch"], &row["phase"], &row["in_flight"]), (&7.into(), &"active".into(), &0.into()));
    let block = wire::Block { replicas: vec![wire::Replica::default(); 3], ..Default::default() };
    let row = serde_json::to_value(BlockRow::from(block)).unwrap();
    assert_eq!((&row["replicas"], row["members"].as_array().unwrap().len()), (&3.into(), 3));
}

fn adopted(phase: wire::DynoPhase) -> wire::Dyno {
    let mut dyno = wire::Dyno {
        id: "a".into(),
        block: "b1".into(),
        epoch: 7,
        owner: "b1".into(),
        owned_epoch: 7,
        addr: "127.0.0.1:3000".into(),
        ..Default::default()
    };
    dyno.set_phase(phase);
    dyno
}

#[test]
fn an_added_dyno_is_waited_for_until_it_is_adopted_and_answers() {
    let missing = |dyno: &wire::Dyno| match Effect::Serves.progress("a", Some(dyno)) {
        Progress::Missing(what) => what,
        other => panic!("{other:?}"),
    };
    let homeless = wire::Dyno { block: String::new(), owner: String::new(), ..adopted(wire::DynoPhase::Pending) };
    assert_eq!(missing(&homeless), "dyno a is pending: no block is known yet");
    assert_eq!(missing(&adopted(wire::DynoPhase::Pending)), "dyno a is pending: not yet adopted by b1");
    let mut silent = adopted(wire::DynoPhase::Active);
    silent.set_state(wire::DynoState::Down);
    assert_eq!(missing(&silent), "dyno a is active in b1 and down at 127.0.0.1:3000");
    silent.set_state(wire::DynoState::Up);
    assert_eq!(Effect::Serves.progress("a", Some(&silent)), Progress::Done);
    silent.drain = true;
    assert!(matches!(Effect::Serves.progress("a", Some(&silent)), Progress::Never(_)));
}

#[test]
fn a_drained_dyno_is_waited_for_until_nothing_runs_there() {
    let mut dyno = wire::Dyno { in_flight: 1, drain: true, ..adopted(wire::DynoPhase::Draining) };
    assert_eq!(Effect::Idle.progress("a", Some(&dyno)), Progress::Missing("dyno a is draining, 1 in flight".into()));
    dyno.in_flight = 0;
    assert_eq!(Effect::Idle.progress("a", Some(&dyno)), Progress::Done);
    // The owner has not heard of the newer assignment: what it reports is about the older one.
    dyno.epoch = 8;
    assert!(matches!(Effect::Idle.progress("a", Some(&dyno)), Progress::Missing(_)));
    assert!(matches!(Effect::Idle.progress("a", None), Progress::Never(_)));
}

#[test]
fn a_removed_dyno_is_waited_for_until_it_is_forgotten() {
    assert!(matches!(Effect::Gone.progress("a", Some(&adopted(wire::DynoPhase::Removing))), Progress::Missing(_)));
    assert_eq!(Effect::Gone.progress("a", None), Progress::Done);
}

#[tokio::test]
async fn an_address_where_nobody_listens_exits_3_and_says_what_to_do() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Client::connect(&free.to_string()).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    let text = error.to_string();
    assert!(text.contains("refused") && text.contains("--admin"), "{text}");
    for wrong in ["nowhere", ":7070", "127.0.0.1:99999", "a b:1"] {
        assert_eq!(Client::connect(wrong).await.unwrap_err().exit_code(), 2, "{wrong}");
    }
}

#[test]
fn a_refusal_is_told_apart_from_a_control_plane_that_cannot_answer() {
    let code = |status: tonic::Status| CliError::from_status("127.0.0.1:7070", &status).exit_code();
    assert_eq!(code(tonic::Status::not_found("no dyno \"a\"")), 1);
    assert_eq!(code(tonic::Status::invalid_argument("addr: must be IP:PORT")), 1);
    assert_eq!(code(tonic::Status::unavailable("no leader")), 3);
    assert_eq!(code(tonic::Status::unimplemented("")), 3);
}
