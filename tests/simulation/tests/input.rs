//! What is wrong with what was given is told before any seed runs, with an exit code of its own.

use std::fs;
use std::process::Command;

/// Runs one seed with these arguments, which must be refused; what was said.
fn refused(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynomesh-simulation"));
    let output = command.args(["--seed", "1"]).args(args).output().expect("the program starts");
    let said = String::from_utf8(output.stderr).expect("it says text");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn files_that_cannot_be_used_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("faults.toml");
    let faults = file.to_str().unwrap();
    assert!(refused(&["--faults", faults]).contains(faults));
    for (text, told) in [
        ("fault = 7", "fault = 7"),
        ("[[fault]]\nkind = 'kill-dyno'\non = 'd33'\nbegins = '1s'\nends = '2s'", "\"d33\": `on` is one of d1, d2"),
        ("[[fault]]\nkind = 'kill-leader'\non = 'b1-2'\nbegins = '1s'\nends = '2s'", "\"b1-2\": `on` is one of b1, b2"),
        ("[[fault]]\nkind = 'loss'\nbegins = '2s'\nends = '1s'", "it ends at 1s and begins at 2s"),
    ] {
        fs::write(&file, text).unwrap();
        let said = refused(&["--faults", faults]);
        assert!(said.contains(told), "{said}");
    }
    let history = dir.path().join("no/history.json");
    assert!(refused(&["--history", history.to_str().unwrap()]).contains("no/history.json"));
}
