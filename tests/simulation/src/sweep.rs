//! Many seeds, a program each.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::Args;
use crate::kernel::{self, raw, with};
use crate::story::Told;

/// Where the files of a seed lie: in memory, for it flushes in simulated time only.
const FILES: &str = "/dev/shm";
/// Longest real time of a seed; past it something waits for ever, for even a busy machine takes less.
const SEED_MAX: Duration = Duration::from_secs(400);
/// Seeds between two words about how it goes.
const SAY_EVERY: u64 = 50;

/// Logs to stderr with the time and the process of the simulation.
pub(crate) fn trace() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| "info,dynomesh=debug,dynomesh_runtime::gossip=info".into());
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_timer(Simulated).with_env_filter(filter).init();
}

struct Simulated;

impl FormatTime for Simulated {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        let Some(thread) = kernel::current() else { return Ok(()) };
        let (now, name) = with(|world| (world.now - kernel::BEGIN, world.processes[world.threads[thread].process].name.clone()));
        write!(to, "{:>9.3} ms {name:>9}", now as f64 / kernel::MS as f64)
    }
}

/// Runs one seed in a program of its own.
fn run(seed: u64, args: &Args, processor: usize) -> Result<Told, String> {
    let dir = tempfile::Builder::new().prefix("dynomesh-").tempdir_in(FILES).map_err(|error| error.to_string())?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.env_clear().args(["--seed", &seed.to_string(), "--processor", &processor.to_string(), "--dir"]).arg(dir.path());
    if let Some(history) = &args.history {
        command.arg("--history").arg(history);
    }
    if let Some(faults) = &args.faults {
        command.arg("--faults").arg(faults);
    }
    if args.trace {
        command.arg("--trace");
        if let Some(filter) = std::env::var_os("RUST_LOG") {
            command.env("RUST_LOG", filter);
        }
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let mut output = child.stdout.take().ok_or("no output")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if begun.elapsed() > SEED_MAX => {
                // It is reaped with us.
                let _ = child.kill();
                return Err(format!("not done within {} s", SEED_MAX.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = reader.join().map_err(|_| "its output was not read")?.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("the program ended with {status}"));
    }
    serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))
}

/// Runs one seed and tells all of it.
pub(crate) fn one(seed: u64, args: &Args) -> ExitCode {
    raw::fixed_addresses();
    // Some processor, so that several such programs do not all sit on one.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    match run(seed, args, std::process::id() as usize % processors) {
        Ok(told) => {
            tell(&told);
            if told.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            println!("seed {seed}: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn tell(told: &Told) {
    let Told { seed, requests, ok, unknown, felt, millis, .. } = told;
    println!("seed {seed}: {requests} requests, {ok} answered by dynos, {unknown} unknown, {felt} faults felt, {millis} ms");
    for fault in &told.faults {
        println!("  {fault}");
    }
    for report in &told.reports {
        println!("  {report}");
    }
    for alarm in &told.alarms {
        println!("  alarm: {alarm}");
    }
}

/// What all seeds came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    requests: usize,
    ok: usize,
    unknown: usize,
    felt: usize,
    few: u64,
    /// By invariant: judged, unknown, violations.
    reports: BTreeMap<String, (usize, usize, usize)>,
    bad: Vec<u64>,
}

/// Sweeps over seeds and says what they came to.
pub(crate) fn all(args: &Args) -> ExitCode {
    raw::fixed_addresses();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, sum, begun) = (AtomicU64::new(args.from), Mutex::new(Sum::default()), Instant::now());
    std::thread::scope(|scope| {
        for job in 0..args.jobs.unwrap_or(processors) {
            let (next, sum) = (&next, &sum);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.from + args.seeds {
                        return;
                    }
                    let told = run(seed, args, job % processors);
                    sum.lock().expect("nobody panics with it").add(seed, told, begun);
                }
            });
        }
    });
    let sum = sum.into_inner().expect("nobody panics with it");
    sum.say(begun);
    for (invariant, (judged, unknown, violations)) in &sum.reports {
        println!("  {invariant}: {judged} judged, {unknown} unknown, {violations} violations");
    }
    for seed in &sum.bad {
        let faults = args.faults.as_ref().map(|file| format!(" --faults {}", file.display())).unwrap_or_default();
        println!("replay: cargo run --release -p dynomesh-simulation -- --seed {seed}{faults} --trace");
    }
    if sum.bad.is_empty() && sum.seeds > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Sum {
    fn add(&mut self, seed: u64, told: Result<Told, String>, begun: Instant) {
        self.seeds += 1;
        match told {
            Err(problem) => {
                println!("seed {seed}: {problem}");
                self.bad.push(seed);
            }
            Ok(told) => {
                self.requests += told.requests;
                self.ok += told.ok;
                self.unknown += told.unknown;
                self.felt += told.felt;
                self.few += u64::from(told.felt < 3 || told.requests < 500);
                for report in &told.reports {
                    let (judged, unknown, violations) = self.reports.entry(report.invariant.clone()).or_default();
                    *judged += report.judged;
                    *unknown += report.unknown;
                    *violations += report.violations.len();
                }
                if !told.is_clean() {
                    tell(&told);
                    self.bad.push(seed);
                }
            }
        }
        if self.seeds.is_multiple_of(SAY_EVERY) {
            self.say(begun);
        }
    }

    fn say(&self, begun: Instant) {
        let Sum { seeds, requests, ok, unknown, felt, few, bad, .. } = self;
        let hourly = *seeds as f64 * 3600.0 / begun.elapsed().as_secs_f64();
        println!(
            "{seeds} seeds, {hourly:.0} an hour: {requests} requests, {ok} answered by dynos, {unknown} unknown; {felt} faults felt, {few} seeds \
             with fewer than 3 faults or 500 requests; {} seeds failed",
            bad.len()
        );
    }
}
