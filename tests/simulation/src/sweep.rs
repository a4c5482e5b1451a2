//! Many seeds, a program each.

use std::io::Read;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::input::BAD_INPUT;
use crate::kernel::{self, raw, with};
use crate::story::Told;
use crate::sum::{Sum, tell};
use crate::verdict::Verdict;
use crate::{Args, folder};

/// Longest real time of a seed; past it something waits for ever, for even a busy machine takes less.
const SEED_MAX: Duration = Duration::from_secs(400);
/// The exit code of a program that was interrupted, as shells give it.
const INTERRUPTED: u8 = 130;

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

/// Why nothing is known of a seed, and the exit code that says so.
pub(crate) struct Problem {
    pub(crate) told: String,
    code: u8,
}

impl From<String> for Problem {
    fn from(told: String) -> Self {
        Problem { told, code: Verdict::Failed.code() }
    }
}

/// Runs one seed in a program of its own.
fn run(seed: u64, args: &Args, processor: usize) -> Result<Told, Problem> {
    let dir = folder::make().map_err(|error| error.to_string())?;
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
    let mut output = child.stdout.take().ok_or("no output".to_owned())?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if raw::is_interrupted() => {
                end(&mut child);
                return Err(Problem { told: "interrupted".into(), code: INTERRUPTED });
            }
            None if begun.elapsed() > SEED_MAX => {
                end(&mut child);
                return Err(format!("not done within {} s", SEED_MAX.as_secs()).into());
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = reader.join().map_err(|_| "its output was not read".to_owned())?.map_err(|error| error.to_string())?;
    if !status.success() {
        let refused = status.code() == Some(BAD_INPUT.into());
        let code = if refused { BAD_INPUT } else { Verdict::Failed.code() };
        return Err(Problem { told: format!("the program ended with {status}"), code });
    }
    Ok(serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))?)
}

/// Ends the program of a seed, so that nobody writes to its folder any more.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// What is done before any seed is run.
fn prepare() {
    raw::fixed_addresses();
    raw::watch_interrupts();
    folder::remove_left_over();
}

/// Runs one seed and tells all of it.
pub(crate) fn one(seed: u64, args: &Args) -> ExitCode {
    prepare();
    // Some processor, so that several such programs do not all sit on one.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    match run(seed, args, std::process::id() as usize % processors) {
        Ok(told) => {
            tell(&told);
            ExitCode::from(told.verdict().code())
        }
        Err(problem) => {
            println!("seed {seed}: {}", problem.told);
            ExitCode::from(problem.code)
        }
    }
}

/// Sweeps over seeds and says what they came to.
pub(crate) fn all(args: &Args) -> ExitCode {
    prepare();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, sum, begun) = (AtomicU64::new(args.from), Mutex::new(Sum::default()), Instant::now());
    std::thread::scope(|scope| {
        for job in 0..args.jobs.map_or(processors, usize::from) {
            let (next, sum) = (&next, &sum);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.from + args.seeds {
                        return;
                    }
                    let told = run(seed, args, job % processors);
                    if raw::is_interrupted() {
                        return;
                    }
                    sum.lock().expect("nobody panics with it").add(seed, told, begun);
                }
            });
        }
    });
    let sum = sum.into_inner().expect("nobody panics with it");
    sum.conclude(args, begun);
    if raw::is_interrupted() {
        println!("interrupted: seeds that were under way, and those after them, were not judged");
    }
    ExitCode::from(if raw::is_interrupted() { INTERRUPTED } else { sum.verdict().code() })
}
