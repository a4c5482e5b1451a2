//! What sizing recommends and what it refuses.

use std::sync::Mutex;

use clap::Parser;
use dynomesh_core::time::Span;

use super::candidate::block_counts;
use super::*;
use crate::parallel::cores;
use crate::report::Estimate;
use crate::stack;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: SizeArgs,
}

/// A question as it stands on the command line.
fn asked(line: &str) -> Result<Ask, SizeError> {
    let words = std::iter::once("size").chain(line.split_ascii_whitespace());
    Command::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).args.ask()
}

fn error(line: &str) -> String {
    let error = match asked(line) {
        Ok(ask) => size(&ask, cores(), &|| ()).err().unwrap_or_else(|| panic!("{line:?} passed")),
        Err(error) => error,
    };
    error.to_string()
}

#[test]
fn nonsense_is_refused_with_its_name_its_value_and_what_would_be_right() {
    for (line, name, value) in [
        ("--dynos 0 --rps 100", "--dynos", "0"),
        ("--dynos 100001 --rps 100", "--dynos", "100001"),
        ("--dynos 10 --rps -5", "--rps", "-5"),
        ("--dynos 10 --rps 0", "--rps", "0"),
        ("--dynos 10 --rps NaN", "--rps", "NaN"),
        ("--dynos 10 --rps inf", "--rps", "inf"),
        ("--dynos 10 --rps 50 --max-conns 0", "--max-conns", "0"),
        ("--dynos 10 --rps 50 --service-ms 0", "--service-ms", "0s"),
        ("--dynos 10 --rps 50 --mtbf 1s --mttr 2s", "--mttr", "2s"),
        ("--dynos 10 --rps 50 --router-mtbf 1s --router-mttr 2s", "--router-mttr", "2s"),
        ("--dynos 10 --rps 50 --p99-ms nan", "--p99-ms", "NaN"),
        ("--dynos 10 --rps 50 --p99-ms -1", "--p99-ms", "-1"),
        ("--dynos 10 --rps 50 --seeds 0", "--seeds", "0"),
        ("--dynos 10 --rps 50 --requests 1", "--requests", "1"),
        ("--dynos 10 --rps 50 --within -1", "--within", "-1"),
        ("--dynos 10 --rps 50 --blast 0", "--blast", "0"),
        ("--dynos 10 --rps 50 --edge-rps 0", "--edge-rps", "0"),
        ("--dynos 10 --rps 50 --block-rps nan", "--block-rps", "NaN"),
    ] {
        let told = error(line);
        assert!(told.starts_with(&format!("{name} is {value}: it must ")), "{line}: {told}");
    }
}

#[test]
fn how_a_trace_is_read_makes_no_sense_without_one() {
    for option in ["--speed 2", "--skip-bad 1", "--trace-seed 2"] {
        let words = ["size", "--dynos", "10", "--rps", "5"].into_iter().chain(option.split(' '));
        let told = Command::try_parse_from(words).err().unwrap_or_else(|| panic!("{option} passed")).to_string();
        assert!(told.contains("cannot be used with") && told.contains("--rps"), "{told}");
    }
}

#[test]
fn a_load_above_capacity_is_said_with_the_dynos_it_needs() {
    // A request takes 124 ms, a dyno is up 20 of 21 s: 7.68 requests/s each.
    let told = error("--dynos 100 --rps 1000");
    assert!(told.starts_with("1000 requests/s are more than 100 dynos can serve"), "{told}");
    assert!(told.contains("serve 768 at most. At least 131 dynos are needed, and 163 for a load of 80 %"), "{told}");
    assert!(error("--p99-ms 600 --rps 1000000").contains("130855 dynos and more"), "{}", error("--p99-ms 600 --rps 1000000"));
}

#[test]
fn a_target_below_the_time_of_requests_themselves_is_said() {
    let told = error("--p99-ms 100 --rps 20 --requests 1000");
    assert!(told.starts_with("no number of dynos has a p99 of 100 ms"), "{told}");
}

#[test]
fn blocks_are_tried_from_one_to_blocks_of_five() {
    assert_eq!(block_counts(800), [1, 2, 3, 4, 5, 8, 11, 16, 23, 32, 40, 53, 80, 160]);
    assert_eq!(block_counts(7), [1, 2]);
    assert_eq!(block_counts(1), [1]);
    for dynos in [1, 2, 3, 9, 99, 1_001, 5_000, 33_333, 100_000] {
        let counts = block_counts(dynos);
        assert!(!counts.is_empty(), "{dynos}");
        assert!(counts.iter().all(|blocks| *blocks <= 1_000 && dynos.div_ceil(*blocks) <= 1_000), "{dynos}: {counts:?}");
    }
}

#[test]
fn a_slice_of_a_large_mesh_has_its_blocks_and_its_load() {
    let ask = asked("--dynos 100000 --rps 500000").unwrap();
    for blocks in [100, 1000] {
        let setup = candidate::setup(&ask, 100_000, blocks);
        assert_eq!(setup.dynos / setup.blocks, 100_000 / blocks);
        assert!(setup.dynos <= 8_000 && setup.blocks >= candidate::SLICE_BLOCKS, "{setup:?}");
        assert!((stack::rate(&setup) / stack::capacity(&setup) - 0.6).abs() < 0.01);
    }
    let whole = candidate::setup(&asked("--dynos 800 --rps 5000").unwrap(), 800, 53);
    assert_eq!((whole.dynos, whole.blocks, whole.rps, whole.requests), (800, 53, 5000.0, 100_000));
}

fn candidate(blocks: usize, dynos: usize, p99: f64) -> Candidate {
    let (one, p99) = (Estimate { mean: 1.0, half: 0.0 }, Estimate { mean: p99, half: 0.0 });
    let dynos_each = dynos / blocks;
    let blast = 1.0 / blocks as f64;
    Candidate {
        blocks,
        dynos_each,
        replicas: 3 * blocks,
        p50: one,
        p95: one,
        p99,
        success: one,
        retries: 0.0,
        queued: 0.0,
        outage: 0.0,
        blast,
    }
}

#[test]
fn the_fewest_blocks_that_keep_all_rules_are_recommended_and_else_what_comes_nearest() {
    let slow_when_small = [candidate(1, 800, 480.0), candidate(8, 800, 482.0), candidate(16, 800, 490.0), candidate(160, 800, 600.0)];
    let chosen = |line: &str, candidates: &[Candidate]| {
        let advice = Advice::of(&asked(&format!("--dynos 800 --rps 5000 {line}")).unwrap(), 800, candidates, None);
        (advice.blocks, advice.reasons[0].clone())
    };
    let (blocks, reason) = chosen("", &slow_when_small);
    assert_eq!(blocks, 16);
    assert_eq!(
        reason,
        "16 blocks of 50 dynos, 48 replicas: the fewest blocks whose p99 (490 ms) is within 3 % of the best (480 ms with 1 block) and of which \
         one's death touches at most 10.0 % of the traffic (6.2 %)."
    );
    assert_eq!(chosen("--blast 20", &slow_when_small).0, 8);
    assert_eq!(chosen("--blast 1 --p99-ms 700", &slow_when_small).0, 160);
    let (blocks, reason) = chosen("--blast 1", &slow_when_small);
    assert!(blocks == 16 && reason.contains("no number of blocks does so and keeps the death of one under 1.0 %"), "{reason}");
    let (blocks, reason) = chosen("--p99-ms 400", &slow_when_small);
    assert!(blocks == 16 && reason.contains("nothing meets 400 ms"), "{reason}");
    // Fast but often in vain is not good.
    let mut failing = slow_when_small;
    failing[2].success.mean = 0.9;
    assert_ne!(chosen("", &failing).0, 16);
}

#[test]
fn an_answer_is_the_same_on_any_number_of_threads_and_its_runs_are_told() {
    let ask = asked("--dynos 30 --rps 150 --requests 1000 --seeds 2").unwrap();
    let told = Mutex::new(0);
    let on = |threads: usize| size(&ask, NonZero::new(threads).unwrap(), &|| *told.lock().unwrap() += 1).unwrap();
    let (one, three) = (on(1), on(3));
    assert_eq!(one.candidates, three.candidates);
    assert_eq!(one.advice, three.advice);
    assert_eq!(*told.lock().unwrap(), 2 * ask.runs_max());
    assert_eq!(one.candidates.iter().map(|candidate| candidate.blocks).collect::<Vec<_>>(), [1, 2, 3, 6]);
}

#[test]
fn as_many_dynos_as_a_target_needs_are_found() {
    let ask = asked("--p99-ms 650 --rps 150 --requests 4000 --seeds 1").unwrap();
    let sizing = size(&ask, cores(), &|| ()).unwrap();
    assert!((20..=35).contains(&sizing.dynos) && sizing.load < 1.0, "{} dynos", sizing.dynos);
    let less = asked("--p99-ms 5000 --rps 150 --requests 4000 --seeds 1").unwrap();
    assert!(size(&less, cores(), &|| ()).unwrap().dynos <= sizing.dynos);
}

#[test]
fn edges_and_threads_follow_from_the_load() {
    assert_eq!(asked("--dynos 9 --rps 10").unwrap().edges(), (2, 1));
    assert_eq!(asked("--dynos 9 --rps 5000").unwrap().edges(), (2, 1));
    assert_eq!(asked("--dynos 9 --rps 90000").unwrap().edges(), (9, 2));
    let ask = asked("--dynos 9 --rps 50000").unwrap();
    assert_eq!((ask.block_threads(1), ask.block_threads(10), ask.block_threads(100)), (10, 1, 1));
}

#[test]
fn a_trace_takes_the_place_of_rate_and_service_times() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let line = |n: u64| format!("{{\"ts\":{},\"total_ms\":100,\"service_ms\":50}}\n", 1000.0 + n as f64 * 0.01);
    std::fs::write(&file, (0..500).map(line).collect::<String>()).unwrap();
    let ask =
        asked(&format!("--dynos 20 --trace {} --speed 2 --requests 1000 --seeds 1 --mtbf 0s --router-mtbf 0s", file.display())).unwrap();
    assert!((ask.rps() - 200.0).abs() < 1e-3, "{}", ask.rps());
    assert!((ask.capacity().slot - 0.054).abs() < 1e-9);
    let sizing = size(&ask, cores(), &|| ()).unwrap();
    assert!(sizing.candidates.iter().all(|candidate| (50.0..300.0).contains(&candidate.p50.mean)), "{:?}", sizing.candidates);
    assert!(sizing.advice.reasons.iter().any(|reason| reason.contains("500 requests in 5.0 s")), "{:?}", sizing.advice.reasons);
    let none = asked(&format!("--dynos 20 --trace {}/none", dir.path().display())).unwrap_err();
    assert!(none.to_string().starts_with("cannot open the trace"), "{none}");
    assert_eq!(ask.setup.trace.unwrap().services().unwrap()[0], Span::from_millis(50));
}

/// Run it alone, since it asks how much memory the process has had: `cargo test -p dynomesh-sim fit_in_two -- --ignored --nocapture`.
#[test]
#[ignore = "takes a while, and has to be the only test of its process"]
fn a_hundred_thousand_dynos_in_a_thousand_blocks_fit_in_two_gigabytes() {
    let setup = crate::scenario::Setup {
        dynos: 100_000,
        blocks: 1_000,
        edges: 100,
        load: 0.8,
        requests: 1_000_000,
        ..crate::scenario::Setup::default()
    };
    let outcome = stack::run(&setup, 1);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    let megabytes: u64 = most.parse::<u64>().unwrap() / 1024;
    println!("{megabytes} MB at most for {:.1} s of {:.0} requests/s", outcome.length.as_secs_f64(), stack::rate(&setup));
    assert!(outcome.tally.counted() == 500_000 && megabytes < 2_000, "{megabytes} MB");
}
