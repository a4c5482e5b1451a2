//! The command line as a user meets it: what it refuses, what it says then, and with which exit code.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]

use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dynomesh");

fn dynomesh(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).env_remove("DYNOMESH_ADMIN").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Exit code 2 and what stderr says.
fn refused(args: &[&str]) -> String {
    let output = dynomesh(args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(!said.contains("panicked"), "{args:?}: {said}");
    said
}

fn file(dir: &Path, name: &str, content: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

const GOSSIP: &str = "[gossip]\nlisten = \"127.0.0.1:3\"\nseeds = []\ncluster = \"test\"\n\
                      key = \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"\n";

fn edge() -> String {
    format!("name = \"edge-1\"\nlisten = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\nthreads = 1\n{GOSSIP}")
}

fn block() -> String {
    format!(
        "block = \"b1\"\nreplica = \"b1-1\"\ndata_dir = \"/nowhere\"\nhttp = \"127.0.0.1:4\"\ngrpc = \"127.0.0.1:5\"\nadmin = \"127.0.0.1:2\"\n\
         threads = 1\nslots = \"committed\"\n{GOSSIP}"
    )
}

fn control() -> String {
    format!("name = \"control-1\"\ndata_dir = \"/nowhere\"\ngrpc = \"127.0.0.1:5\"\nadmin = \"127.0.0.1:2\"\n{GOSSIP}")
}

#[test]
fn help_names_every_command() {
    for args in [&["--help"][..], &[]] {
        let output = dynomesh(args);
        let said = text(&output.stdout) + &text(&output.stderr);
        for command in ["dev", "edge", "block", "control", "agent", "app", "dyno", "status", "sim", "check-config"] {
            assert!(said.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "no {command} in {said}");
        }
        assert!(said.contains("DYNOMESH_ADMIN") && !said.contains("reap"), "{said}");
    }
    assert!(text(&dynomesh(&["--version"]).stdout).starts_with("dynomesh "));
}

#[test]
fn bad_arguments_are_refused_with_the_argument_and_what_is_allowed() {
    for (args, named) in [
        (&["frobnicate"][..], &["frobnicate"][..]),
        (&["dev", "--replicas", "2"], &["--replicas", "1, 3, 5 or 7"]),
        (&["dev", "--dynos", "-1"], &["-1"]),
        (&["dev", "--edges", "0"], &["--edges", "1..=64"]),
        (&["dev", "--slots", "borrowed"], &["--slots", "committed", "leased"]),
        (&["dev", "--port", "65536"], &["--port", "65536"]),
        (&["dev", "--unknown"], &["--unknown"]),
        (&["app", "create"], &["NAME", "--host"]),
        (&["app", "create", "shop", "--host", "*", "--serial", "perhaps"], &["--serial", "auto", "yes", "no"]),
        (&["dyno", "add", "shop"], &["ADDR"]),
        (&["dyno", "list", "-o", "xml"], &["xml", "table", "json"]),
        (&["block", "bootstrap"], &["ADDR"]),
        (&["block", "bootstrap", "localhost"], &["localhost", "IP:PORT"]),
        (&["agent"], &["--demo"]),
        (&["agent", "--demo", "--id", "!"], &["--id", "letter or digit"]),
        (&["check-config"], &["FILE"]),
        (&["app", "list", "-o", "csv"], &["dynomesh sim", "-o table"]),
        (&["sim", "table", "--rows", "5,9"], &["--rows", "from 1 to 7"]),
        (&["sim", "table", "--seeds", "0"], &["--seeds", "1..=10000"]),
        (&["sim", "table", "--seeds", "-3"], &["-3"]),
        (&["sim", "table", "--requests", "0"], &["--requests", "10..="]),
        (&["sim", "table", "--check", "--requests", "1000"], &["--check", "--requests"]),
        (&["sim", "run"], &["FILE"]),
        (&["sim", "run", "/nowhere.toml"], &["/nowhere.toml"]),
        (&["sim", "study", "nothing"], &["nothing", "load"]),
    ] {
        let said = refused(args);
        for name in named {
            assert!(said.contains(name), "{args:?} does not name {name}: {said}");
        }
    }
}

#[test]
fn a_control_plane_that_is_not_there_is_named() {
    let output = dynomesh(&["--admin", "127.0.0.1:1", "dyno", "list"]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("127.0.0.1:1"), "{said}");
}

#[test]
fn a_configuration_is_recognised_by_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, content) in [("edge", edge()), ("block", block()), ("control", control())] {
        let path = file(dir.path(), "a.toml", &content);
        for args in [&["check-config", &path][..], &["check-config", &path, "--kind", kind]] {
            let output = dynomesh(args);
            assert!(output.status.success(), "{kind}: {}", text(&output.stderr));
            assert!(text(&output.stdout).contains(kind));
        }
    }
}

#[test]
fn a_bad_configuration_is_refused_with_line_key_and_what_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    for (content, named) in [
        (edge().replace("threads = 1", "thread = 1"), &["bad.toml:4", "thread", "threads"][..]),
        (edge().replace("127.0.0.1:1", "everywhere"), &["bad.toml:2", "listen"]),
        (edge().replace("cluster", "clusters"), &["bad.toml:8", "clusters"]),
        (block().replace("committed", "borrowed"), &["bad.toml:8", "slots", "borrowed", "committed", "leased"]),
        (block().replace("block = \"b1\"", "block = \"B 1\""), &["bad.toml", "block", "B 1", "lower-case"]),
        (control().replace("data_dir = \"/nowhere\"\n", ""), &["bad.toml", "data_dir"]),
        (edge().replace("threads = 1", "threads = "), &["bad.toml:4"]),
        ("colour = 1\n".into(), &["bad.toml", "--kind"]),
        (String::new(), &["bad.toml"]),
    ] {
        let path = file(dir.path(), "bad.toml", &content);
        let said = refused(&["check-config", &path]);
        for name in named {
            assert!(said.contains(name), "{name} is missing in: {said}\n{content}");
        }
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    assert!(refused(&["check-config", "/nowhere/at-all.toml"]).contains("/nowhere/at-all.toml"));
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let dir = tempfile::tempdir().unwrap();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).unwrap();
    let examples: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [edge, tls, block, control] = examples[..] else { panic!("{} examples", examples.len()) };
    // The section for TLS is one of an edge's file.
    let secure = format!("{edge}\n{tls}");
    for (example, kind) in [(edge, "edge"), (&secure, "edge"), (block, "block"), (control, "control")] {
        let output = dynomesh(&["check-config", &file(dir.path(), "example.toml", example)]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(kind));
    }
}

#[test]
fn the_environment_is_checked_with_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "edge.toml", &edge());
    let check = |key: &str, value: &str| Command::new(PROGRAM).args(["check-config", &path]).env(key, value).output().unwrap();
    assert!(check("DYNOMESH_EDGE_GOSSIP__LISTEN", "127.0.0.1:9").status.success());
    for key in ["DYNOMESH_EDGE_LISTEN", "DYNOMESH_EDGE_COLOUR"] {
        let output = check(key, "blue");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(key), "{}", text(&output.stderr));
    }
}

#[test]
fn a_daemon_does_not_start_with_a_bad_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "bad.toml", "colour = 1\n");
    for kind in ["edge", "block", "control"] {
        assert!(refused(&[kind, "--config", &path]).contains("bad.toml"));
        assert!(refused(&[kind, "--config", "/nowhere.toml"]).contains("/nowhere.toml"));
    }
}

#[test]
fn dev_says_which_port_is_taken_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(PROGRAM).args(["dev", "--port", &port]).env("TMPDIR", dir.path()).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("edge-1") && said.contains(&port) && said.contains("--port"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the temporary directory is left");
}

const SCENARIO: &str = "name = \"small\"\ntitle = \"Small\"\nquestion = \"Does it run?\"\nseeds = 2\n[base]\nrequests = 400\nload = 0.3\n";

#[test]
fn a_scenario_is_run_and_nothing_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let (scenario, plot) = (file(dir.path(), "small.toml", SCENARIO), dir.path().join("small.svg").display().to_string());
    for (form, begins) in [("table", "small: Small"), ("markdown", "small: Small"), ("json", "[\n"), ("csv", "variant,requests,seeds,")] {
        let output = dynomesh(&["sim", "run", &scenario, "--quiet", "-o", form]);
        let (said, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && errors.is_empty() && said.starts_with(begins), "{form}: {said}{errors}");
    }
    let drawn = dynomesh(&["sim", "run", &scenario, "--plot", &plot]);
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    let first = std::fs::read_to_string(&plot).unwrap();
    assert!(first.starts_with("<svg"));
    assert!(refused(&["sim", "run", &scenario, "--seeds", "3", "--plot", &plot]).contains("--force"));
    assert_eq!(std::fs::read_to_string(&plot).unwrap(), first);
    assert!(dynomesh(&["sim", "run", &scenario, "--seeds", "3", "--plot", &plot, "--force"]).status.success());
    assert_ne!(std::fs::read_to_string(&plot).unwrap(), first);
}

#[test]
fn a_bad_scenario_is_refused_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let said = refused(&["sim", "run", &file(dir.path(), "bad.toml", &SCENARIO.replace("0.3", "1.3"))]);
    assert!(said.contains("bad.toml:7: load = 1.3") && said.trim_end().lines().count() == 1, "{said}");
}

#[test]
fn the_table_is_an_array_of_rows() {
    let output = dynomesh(&["-o", "json", "sim", "table", "--rows", "3,7", "--seeds", "2", "--requests", "2000"]);
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.iter().map(|row| row["row"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(7)]);
    assert!(rows.iter().all(|row| ["success", "p50", "p95", "p99", "max"].iter().all(|figure| row[figure].as_f64().is_some())), "{rows:?}");
    assert!(text(&output.stderr).contains("a second and core"));
}
