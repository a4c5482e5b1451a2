//! Live against simulated: does the simulator tell what a real mesh does?
//!
//! One list of requests, each with its time and its work, goes through both. The real mesh is `dynomesh dev` with sample dynos and no
//! faults; how long its cables are, the simulation is told from a measurement made just before (`dynomesh_testkit::cables`), and how
//! the two are compared is `dynomesh_sim::compare`.
//!
//! Tested each time: the method, on a real run that was written down. It must say that the simulation agrees, and that it differs as
//! soon as something else is simulated than what ran. The comparison itself takes six minutes and a machine that does nothing else:
//!
//! `cargo build --release && DYNOMESH_BIN=target/release/dynomesh cargo test -p dynomesh-tests --test simulated -- --ignored --nocapture`
//!
//! `DYNOMESH_SEEDS=4,5` has it use other requests, `DYNOMESH_RECORD=FILE` has it write the last run down.

mod live;
mod model;
mod recording;

use std::path::PathBuf;

use dynomesh_core::dispatch::BlockChoice;
use dynomesh_core::time::Span;
use dynomesh_sim::compare::{Comparison, GATES, Verdict};
use dynomesh_testkit::cluster::{Cluster, Options};

use live::Run;
use model::{DYNOS, Model, Router};
use recording::Recording;

/// Seeds of the requests.
const SEEDS: [u64; 3] = [1, 2, 3];

fn recorded() -> Recording {
    Recording::read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("simulated/recorded.txt"))
        .expect("the recording is part of the project")
}

/// What the recorded mesh is compared with when `change` is made to its model.
fn compared(change: impl FnOnce(&mut Model)) -> Comparison {
    let recording = recorded();
    let work = model::work(&model::requests(recording.seed));
    assert_eq!(work, recording.work, "the seed no longer gives the requests that the real mesh had: record a run anew");
    let mut model = Model::of(recording.seed, recording.cables);
    change(&mut model);
    Comparison::of(&recording.latencies, &model.latencies(), &GATES).expect("both sides have the requests of one list")
}

/// Fails when a rule of the mesh changes in `core` or in the simulation so that simulated latencies are no longer those of the run.
#[test]
fn a_recorded_run_agrees_with_its_simulation() {
    let comparison = compared(|_| ());
    println!("{comparison}");
    assert!(comparison.is_within() && comparison.verdict() < Verdict::Differs, "\n{comparison}");
    assert_eq!(comparison.rows[0].verdict, Verdict::Agrees, "\n{comparison}");
}

#[test]
fn it_differs_from_a_mesh_that_routes_by_chance() {
    let comparison = compared(|model| model.router = Router::Chance);
    assert_eq!(comparison.verdict(), Verdict::Differs, "\n{comparison}");
}

/// The smallest change that is told apart: two blocks drawn and the less loaded one taken, or the first that is drawn.
#[test]
fn it_differs_from_one_whose_edges_choose_blocks_by_chance() {
    let comparison = compared(|model| model.setup.block_choice = BlockChoice::Random);
    assert_eq!(comparison.verdict(), Verdict::Differs, "\n{comparison}");
}

#[test]
fn it_differs_from_one_whose_requests_take_a_tenth_longer_or_shorter() {
    for percent in [90, 110] {
        let comparison = compared(|model| model.stretch_work(percent));
        assert_eq!(comparison.verdict(), Verdict::Differs, "work of {percent} %:\n{comparison}");
    }
}

#[test]
fn it_differs_from_one_with_longer_cables() {
    let longer = Span::from_millis(10);
    let comparison = compared(|model| model.setup.router_cable = model.setup.router_cable + longer);
    assert_eq!(comparison.verdict(), Verdict::Differs, "\n{comparison}");
}

#[test]
fn it_differs_from_one_with_fewer_dynos() {
    let comparison = compared(|model| model.setup.dynos = DYNOS - 2);
    assert_eq!(comparison.verdict(), Verdict::Differs, "\n{comparison}");
}

/// The comparison that `docs/simulator.md` reports.
#[test]
#[ignore = "a measurement of minutes, which wants the machine for itself"]
fn the_simulation_tells_what_a_real_mesh_does() {
    let mut verdicts = Vec::new();
    for seed in live::seeds().unwrap_or(SEEDS.to_vec()) {
        let run = Run::of(&Cluster::with_dynos(Options::default(), DYNOS), seed);
        println!("{run}");
        let comparison = run.compared();
        println!("{comparison}");
        match run.void().as_slice() {
            [] => verdicts.push((seed, comparison.verdict())),
            why => println!("VOID: {}\n", why.join("; ")),
        }
        run.record_if_asked();
    }
    assert!(!verdicts.is_empty(), "every run is void: nothing was compared");
    let differ: Vec<_> = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Differs).collect();
    assert!(differ.is_empty(), "the simulation does not tell what the mesh did: {differ:?}");
}
