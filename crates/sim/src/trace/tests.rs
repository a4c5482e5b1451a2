//! Logs as they come: whole, broken, hostile.

use std::cell::RefCell;
use std::rc::Rc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::engine::World;
use crate::part::{Answer, Part};
use crate::scenario::Setup;
use crate::stack;
use crate::workload::Request;

const APACHE: &str = r#"10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 23 "-" "agent" 123000"#;
const NGINX: &str = r#"10.0.0.1 - - [10/Oct/2000:13:55:37 -0700] "GET / HTTP/1.1" 200 23 "-" "agent" 1.500"#;
const DATED: &str = r#"10.0.0.1 - - [10/Oct/2000:13:55:39 -0700] "GET / HTTP/1.1" 200 23 "-" "agent""#;

fn read(log: impl AsRef<[u8]>, options: &TraceOptions) -> Result<Trace, TraceError> {
    Trace::read_from(log.as_ref(), Path::new("access.log"), options)
}

fn as_is(log: impl AsRef<[u8]>) -> Result<Trace, TraceError> {
    read(log, &TraceOptions::default())
}

fn error(log: impl AsRef<[u8]>) -> String {
    as_is(log).unwrap_err().to_string()
}

fn line(ended: f64, total: f64, service: f64) -> String {
    format!("{{\"ts\":{ended},\"total_ms\":{total},\"service_ms\":{service}}}\n")
}

fn millis(spans: &[Span]) -> Vec<u64> {
    spans.iter().map(|span| (span.as_nanos() + 500_000) / 1_000_000).collect()
}

#[test]
fn lines_in_the_order_of_ends_become_a_trace_in_the_order_of_arrivals() {
    // Arrivals at 10.1, 10.0 and 10.4, the second of them a slow one.
    let log = [line(10.2, 100.0, 70.0), line(10.3, 300.0, 280.0), line(10.5, 100.0, 90.0)].concat();
    let trace = as_is(log).unwrap();
    assert_eq!(millis(&trace.gaps()), [200, 100, 300]);
    assert_eq!(millis(&trace.services().unwrap()), [280, 70, 90]);
    assert!((trace.rate() - 5.0).abs() < 1e-6, "{}", trace.rate());
}

#[test]
fn a_trace_replayed_twice_as_fast_has_twice_the_rate_and_the_same_service_times() {
    let log = [line(10.0, 0.0, 70.0), line(10.2, 0.0, 80.0), line(10.6, 0.0, 90.0)].concat();
    let trace = read(log, &TraceOptions { speed: 2.0, ..TraceOptions::default() }).unwrap();
    assert_eq!(millis(&trace.gaps()), [150, 100, 200]);
    assert_eq!(millis(&trace.services().unwrap()), [70, 80, 90]);
    assert!((trace.story().seconds - 0.6).abs() < 1e-6);
}

/// Notes when requests come and what they take.
struct Notes(Rc<RefCell<Vec<(u64, u64)>>>);

impl Part for Notes {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        let at = world.now().since(Time::ZERO);
        self.0.borrow_mut().push((millis(&[at])[0], millis(&[request.service])[0]));
        Answer::Served
    }
}

#[test]
fn a_replay_goes_on_over_runs_and_begins_again_at_its_end() {
    let trace = as_is([line(10.0, 0.0, 70.0), line(10.1, 0.0, 80.0), line(10.4, 0.0, 90.0)].concat()).unwrap();
    let setup = Setup { trace: Some(Arc::new(trace)), requests: 4, ..Setup::default() };
    let seen = |seed| {
        let notes = Rc::new(RefCell::default());
        stack::workload(&setup).run(seed, |_| Notes(notes.clone()));
        notes.take()
    };
    // The gap before the first is the mean of the others.
    assert_eq!(seen(1), [(200, 70), (300, 80), (600, 90), (800, 70)]);
    assert_eq!(seen(2), [(100, 80), (400, 90), (600, 70), (700, 80)]);
}

#[test]
fn requests_of_one_second_are_spread_over_it_by_seed() {
    let log = [DATED; 1000].join("\n");
    let trace = as_is(&log).unwrap();
    assert_eq!(trace, as_is(&log).unwrap());
    assert_ne!(trace, read(&log, &TraceOptions { trace_seed: 2, ..TraceOptions::default() }).unwrap());
    let length: f64 = trace.gaps()[1..].iter().map(|gap| gap.as_secs_f64()).sum();
    assert!((0.98..1.0).contains(&length), "{length}");
    assert_eq!((trace.services(), trace.story().unserved), (None, 1000));
    assert!(trace.story().to_string().contains("no service times in it"), "{}", trace.story());
}

#[test]
fn a_date_at_the_end_of_a_request_is_taken_back_to_its_start() {
    // 36 to 37 at its start, 37 to 38 at its end 1.5 s later, 39 to 40: the second came between 35.5 and 36.5.
    let trace = as_is([APACHE, NGINX, DATED].join("\n")).unwrap();
    let length: f64 = trace.gaps()[1..].iter().map(|gap| gap.as_secs_f64()).sum();
    assert!((2.0..4.5).contains(&length), "{length}");
    assert_eq!(trace.story().unserved, 1);
    assert!(millis(&trace.services().unwrap()).iter().all(|millis| [123, 1500].contains(millis)));
}

#[test]
fn bad_lines_are_errors_that_name_the_line_unless_they_are_let_pass() {
    let log = format!("{APACHE}\n\n{NGINX}\nnonsense\n{DATED}\n{{}}\n");
    assert!(error(&log).starts_with("access.log, line 4: expected `host ident user"), "{}", error(&log));
    assert!(error(&log).ends_with("found \"nonsense\""), "{}", error(&log));
    let skipping = |skip_bad| read(&log, &TraceOptions { skip_bad, ..TraceOptions::default() });
    assert!(skipping(1).unwrap_err().to_string().starts_with("access.log, line 6: "));
    let trace = skipping(2).unwrap();
    assert_eq!((trace.story().requests, trace.story().skipped), (3, 2));
}

#[test]
fn a_log_without_a_rate_is_refused() {
    assert_eq!(error(""), "access.log has no requests");
    assert_eq!(error("\n \n"), "access.log has no requests");
    assert!(error(line(1.0, 0.0, 1.0)).starts_with("the 1 requests of access.log came at one moment"));
    assert!(error(line(1.0, 0.0, 1.0).repeat(5)).starts_with("the 5 requests of access.log came at one moment"));
    let pause = error([line(1.0, 0.0, 1.0), line(2.0, 0.0, 1.0), line(1e6, 0.0, 1.0)].concat());
    assert_eq!(pause, "access.log has a pause of 278 hours after its request number 2; at most 24 can be replayed: cut the log there");
    for speed in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        let log = [line(1.0, 0.0, 1.0), line(2.0, 0.0, 1.0)].concat();
        let error = read(log, &TraceOptions { speed, ..TraceOptions::default() }).unwrap_err();
        assert!(matches!(error, TraceError::Speed(_)), "{speed}: {error}");
    }
}

#[test]
fn an_unreadable_log_is_an_error_that_names_it() {
    let missing = Trace::read(Path::new("no/such.log"), &TraceOptions::default()).unwrap_err();
    assert!(missing.to_string().starts_with("cannot open the trace no/such.log: "), "{missing}");
    let dir = tempfile::tempdir().unwrap();
    let error = Trace::read(dir.path(), &TraceOptions::default()).unwrap_err();
    assert!(matches!(error, TraceError::Open { .. } | TraceError::Read { .. }), "{error}");
}

#[test]
fn long_lines_and_lines_that_are_no_text_are_bad_lines() {
    let long = [line(1.0, 0.0, 1.0).into_bytes(), vec![b'x'; 1 << 20], b"\n".to_vec()].concat();
    assert!(error(long).starts_with("access.log, line 2: expected a line of at most 65536 bytes, found \"xxx"));
    let binary = [line(1.0, 0.0, 1.0).as_bytes(), b"{\"ts\":\xff\xfe}"].concat();
    assert!(error(binary).starts_with("access.log, line 2: expected text in UTF-8, found "));
}

#[test]
fn a_scenario_names_a_trace_and_how_to_read_it() {
    #[derive(Debug, Deserialize)]
    struct Scenario {
        trace: Trace,
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.log");
    std::fs::write(&file, [line(10.0, 0.0, 70.0), line(11.0, 0.0, 80.0)].concat()).unwrap();
    let scenario = |rest: &str| toml::from_str::<Scenario>(&format!("trace = {{ file = '{}'{rest} }}", file.display()));
    assert!((scenario(", speed = 2").unwrap().trace.rate() - 2.0).abs() < 1e-6);
    assert!(scenario(", speed = 0").unwrap_err().to_string().contains("the speed 0 is not a number"));
    assert!(scenario(", sped = 2").unwrap_err().to_string().contains("unknown field `sped`"));
}

/// Whatever is done to lines, reading them ends in a trace or in an error that names a line or says what the log lacks.
#[test]
fn mutated_logs_never_panic_and_errors_name_the_line() {
    let mesh = line(1_700_000_000.25, 250.5, 120.125);
    for seed in 0..3000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let good = [mesh.trim_end(), APACHE, NGINX, DATED][rng.random_range(0..4)];
        let mut log = [good; 6].join("\n").into_bytes();
        for _ in 0..rng.random_range(1..5) {
            let at = rng.random_range(0..log.len());
            match rng.random_range(0..5) {
                0 => log[at] = rng.random(),
                1 => log.truncate(at.max(1)),
                2 => log.insert(at, b"\"\\[]{}:.-+eE9\n\0 "[rng.random_range(0..16)]),
                3 => {
                    log.remove(at);
                }
                _ => log.extend_from_within(at..(at + rng.random_range(0..80)).min(log.len())),
            }
        }
        match as_is(&log) {
            Ok(trace) => {
                assert!(trace.rate() > 0.0 && trace.rate().is_finite(), "seed {seed}");
                assert_eq!(trace.gaps().len() as u64, trace.story().requests, "seed {seed}");
            }
            Err(TraceError::Line { line, .. }) => {
                let lines = log.split(|byte| *byte == b'\n').count() as u64;
                assert!((1..=lines).contains(&line), "seed {seed}: line {line} of {lines}");
            }
            Err(TraceError::Empty { .. } | TraceError::Moment { .. } | TraceError::Pause { .. }) => {}
            Err(other) => panic!("seed {seed}: {other}"),
        }
    }
}
