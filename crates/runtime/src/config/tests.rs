//! What an operator reads after a slip.

use dynomesh_core::time::Span;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileConfig {
    name: String,
    #[serde(default)]
    threads: Option<u32>,
    #[serde(default)]
    seeds: Vec<String>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    #[serde(default)]
    hold: Span,
}

fn load_text(text: &str, env: &[(&str, &str)]) -> Result<FileConfig, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("edge.toml");
    std::fs::write(&path, text).unwrap();
    let env = env.iter().map(|(name, value)| (name.into(), value.into()));
    let loaded = load_with(Some(&path), "DYNOMESH_EDGE_", env);
    loaded.map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

fn load_env(env: &[(&str, &str)]) -> Result<FileConfig, String> {
    load_with(None, "DYNOMESH_EDGE_", env.iter().map(|(name, value)| (name.into(), value.into()))).map_err(|error| error.to_string())
}

#[test]
fn unknown_key_names_line_key_and_what_is_allowed() {
    let error = load_text("name = \"e\"\nthread = 2\n", &[]).unwrap_err();
    assert_eq!(error, "edge.toml:2:1: `thread`: unknown field `thread`, expected one of `name`, `threads`, `seeds`, `limits`");
    let error = load_text("name = \"e\"\n\n[limits]\nholt = \"1s\"\n", &[]).unwrap_err();
    assert_eq!(error, "edge.toml:4:1: `limits.holt`: unknown field `holt`, expected `hold`");
}

#[test]
fn wrong_value_names_line_key_and_what_is_allowed() {
    let error = load_text("name = \"e\"\n[limits]\nhold = \"1 parsec\"\n", &[]).unwrap_err();
    assert!(error.starts_with("edge.toml:3:8: `limits.hold`: "), "{error}");
    assert!(error.contains("for example 250ms"), "{error}");
    let error = load_text("name = \"e\"\nthreads = \"two\"", &[]).unwrap_err();
    assert!(error.starts_with("edge.toml:2:11: `threads`: invalid type: string \"two\", expected u32"), "{error}");
}

#[test]
fn broken_syntax_and_missing_keys_are_placed() {
    let error = load_text("name = \"e\"\nthreads = = 2\n", &[]).unwrap_err();
    assert!(error.starts_with("edge.toml:2:11: "), "{error}");
    let error = load_text("threads = 1\n", &[]).unwrap_err();
    assert!(error.contains("missing field `name`"), "{error}");
    let error = load_with::<FileConfig>(Some(Path::new("/nowhere/e.toml")), "X_", []).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/e.toml: No such file"), "{error}");
}

#[test]
fn environment_wins_over_the_file() {
    let env = [
        ("DYNOMESH_EDGE_NAME", "edge-7"),
        ("DYNOMESH_EDGE_THREADS", "3"),
        ("DYNOMESH_EDGE_SEEDS", "[\"a:1\", \"b:2\"]"),
        ("DYNOMESH_EDGE_LIMITS__HOLD", "250ms"),
        ("DYNOMESH_BLOCK_NAME", "other"),
    ];
    let config = load_text("name = \"e\"\nthreads = 1\n[limits]\nhold = \"1s\"\n", &env).unwrap();
    assert_eq!((config.name.as_str(), config.threads, config.limits.hold), ("edge-7", Some(3), Span::from_millis(250)));
    assert_eq!(config.seeds, ["a:1", "b:2"]);
    assert_eq!(load_env(&env).unwrap().limits.hold, Span::from_millis(250));
}

#[test]
fn environment_errors_name_the_variable() {
    let error = load_text("name = \"e\"\n", &[("DYNOMESH_EDGE_THREAD", "2")]).unwrap_err();
    assert_eq!(
        error,
        "environment variable DYNOMESH_EDGE_THREAD: `thread`: unknown field `thread`, expected one of `name`, `threads`, `seeds`, `limits`"
    );
    let error = load_env(&[("DYNOMESH_EDGE_NAME", "e"), ("DYNOMESH_EDGE_THREADS", "many")]).unwrap_err();
    assert!(error.starts_with("environment variable DYNOMESH_EDGE_THREADS: `threads`: invalid type"), "{error}");
    let error = load_env(&[("DYNOMESH_EDGE_NAME", "e"), ("DYNOMESH_EDGE_LIMITS__HOLD", "1")]).unwrap_err();
    assert!(error.starts_with("environment variable DYNOMESH_EDGE_LIMITS__HOLD: `limits.hold`: "), "{error}");
    let error = load_env(&[("DYNOMESH_EDGE_NAME", "e"), ("DYNOMESH_EDGE_NAME__X", "1")]).unwrap_err();
    assert_eq!(error, "environment variable DYNOMESH_EDGE_NAME__X: `name.x`: `name` is not a table");
    assert_eq!(load_env(&[]).unwrap_err(), "environment: missing field `name`");
}

#[test]
fn line_breaks_in_a_variable_smuggle_nothing_in() {
    let config = load_env(&[("DYNOMESH_EDGE_NAME", "\"a\"\nthreads = 9")]).unwrap();
    assert_eq!((config.name.as_str(), config.threads), ("\"a\"\nthreads = 9", None));
}
