//! Each bug planted in the core turns a check red, and the check names the invariant that broke.
//!
//! Every bug is a feature, so each costs a build of this package: `cargo test -p dynomesh-core --test planted -- --ignored --nocapture`.

use std::process::Command;

/// A bug and what the check that goes red says first: the invariant, or a unit test where no model reaches it.
const PLANTED: [(&str, &str); 6] = [
    ("plant-adopt-without-released", "one-owner"),
    ("plant-epoch-not-raised", "conserved"),
    ("plant-release-with-slots", "cap"),
    ("plant-evict-without-fence", "one-owner"),
    ("plant-probe-frees-silent", "cap"),
    ("plant-stale-answer", "test block::doubt::tests::an_answer_from_before_the_cut_says_nothing_about_an_own_request ... FAILED"),
];

#[test]
#[ignore = "builds this package once for every bug"]
fn every_planted_bug_is_found() {
    for (feature, invariant) in PLANTED {
        let (red, told) = explore(feature);
        assert!(red, "{feature} was not found:\n{told}");
        assert!(told.lines().any(|line| line.starts_with(invariant)), "{feature} broke something else than {invariant}:\n{told}");
        // What broke, and after how many states or with which seed.
        println!("{feature}");
        let figures = |line: &&str| line.starts_with(invariant) || line.starts_with("after ") || line.starts_with("seed ");
        told.lines().filter(figures).for_each(|line| println!("    {line}"));
    }
}

/// Runs the model, the map's sweep and the tests of doubtful slots with a bug in them; whether that failed, and what it said.
fn explore(feature: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "test",
        "--locked",
        "--lib",
        "-p",
        "dynomesh-core",
        "--features",
        feature,
        "--",
        "model::",
        "map::sweep",
        "block::doubt",
    ]);
    let output = command.env("RUST_BACKTRACE", "0").env_remove("DYNOMESH_SEED").output().expect("cargo runs, for it runs this test");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("test result: "), "{feature} was not tested:\n{told}");
    (!output.status.success(), told)
}
