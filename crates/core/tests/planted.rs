//! Each bug planted in the core turns a check red, and the check names the invariant that broke.
//!
//! Every bug is a feature, so each costs a build of this package: `cargo test -p dynomesh-core --test planted -- --ignored --nocapture`.

use std::process::Command;

/// A bug and the invariant whose check must go red.
const PLANTED: [(&str, &str); 6] = [
    ("plant-adopt-without-released", "one-owner"),
    ("plant-epoch-not-raised", "conserved"),
    ("plant-release-with-slots", "cap"),
    ("plant-evict-without-fence", "one-owner"),
    ("plant-probe-frees-silent", "cap"),
    ("plant-stale-answer", "cap"),
];

#[test]
#[ignore = "builds this package once for every bug"]
fn every_planted_bug_is_found() {
    for (feature, invariant) in PLANTED {
        let (red, told) = explore(feature);
        assert!(red, "{feature} was not found:\n{told}");
        let broken = format!("{invariant}: ");
        assert!(told.lines().any(|line| line.starts_with(&broken)), "{feature} broke something else than {invariant}:\n{told}");
        // What broke, and after how many states or with which seed.
        println!("{feature}");
        let figures = |line: &&str| line.starts_with(&broken) || line.starts_with("after ") || line.starts_with("seed ");
        told.lines().filter(figures).for_each(|line| println!("    {line}"));
    }
}

/// Runs the model and the map's sweep with a bug in them; whether that failed, and what it said.
fn explore(feature: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--locked", "--lib", "-p", "dynomesh-core", "--features", feature, "--", "model::", "map::sweep"]);
    let output = command.env("RUST_BACKTRACE", "0").env_remove("DYNOMESH_SEED").output().expect("cargo runs, for it runs this test");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("test result: "), "{feature} was not tested:\n{told}");
    (!output.status.success(), told)
}
