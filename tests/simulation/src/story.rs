//! What a seed does: boots the mesh, has clients ask in an open loop, breaks things, heals them, demands that all is well again, and
//! judges what clients and dynos saw.

use std::path::Path;
use std::time::Duration;

use dynomesh_core::time::{Span, Time};
use dynomesh_proto::admin::v1::Serial;
use dynomesh_testkit::check::{self, Limits, Report};
use dynomesh_testkit::client::{Arrivals, Ask, Client, Framing, Load, PROBE_PATH};
use dynomesh_testkit::history::{Burst, History, Outcome};
use hyper::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::faults::{self, Done, Planned};
use crate::input;
use crate::kernel::{self, raw, with};
use crate::mesh::{HOST, Mesh, Settings, millis};
use crate::operators::Operators;
use crate::verdict::FAULTS_MIN;

/// Requests per second.
const RATE: f64 = 70.0;
/// One of so many requests must be answered by the app: both blocks may be gone for most of a seed, not for all of it.
const ANSWERED_MIN: usize = 5;
/// How many requests each dyno takes at once.
pub(crate) const DYNOS: [u32; 8] = [1, 1, 1, 1, 1, 1, 1, 4];
/// The mesh's own deadline, see its configuration.
pub(crate) const DEADLINE: Span = Span::from_secs(8);
/// How long clients wait: longer, so that an answer that comes too late is seen.
const PATIENCE: Span = Span::from_secs(12);
/// How long the mesh may take, once nothing is broken, until every dyno is owned again.
const RECOVERY: Duration = Duration::from_secs(15);
/// How long a slot counts at most that nothing proves free: for the longest request that a block runs, a minute, a tenth more, and two
/// seconds (P10).
const DOUBT_MAX: Duration = Duration::from_secs(68);

/// What came of a seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) seed: u64,
    pub(crate) requests: usize,
    pub(crate) ok: usize,
    pub(crate) unknown: usize,
    /// Faults, and when.
    pub(crate) faults: Vec<String>,
    /// How many of them were felt.
    pub(crate) felt: usize,
    /// How many of them must be.
    pub(crate) demanded: usize,
    pub(crate) reports: Vec<Report>,
    /// What must never be, beside violations.
    pub(crate) alarms: Vec<String>,
    /// Simulated milliseconds.
    pub(crate) millis: u64,
}

impl Told {
    /// A seed of which nothing is known yet, and of which so many faults must be felt.
    pub(crate) fn new(seed: u64, demanded: usize) -> Self {
        let (faults, reports, alarms) = (Vec::new(), Vec::new(), Vec::new());
        Told { seed, requests: 0, ok: 0, unknown: 0, faults, felt: 0, demanded, reports, alarms, millis: 0 }
    }
}

/// Runs a seed in this program, which must do nothing else. Its files lie in `dir`.
pub(crate) fn run(seed: u64, dir: &Path, keep: Option<&Path>, plan: Option<Vec<Planned>>) -> Told {
    let demanded = plan.as_ref().map_or(FAULTS_MIN, |written| written.len().max(1));
    let plan = plan.unwrap_or_else(|| faults::plan(seed));
    watch_panics();
    for number in 1..=6 {
        let replica = format!("disk/b{}-{}", 1 + (number - 1) / 3, 1 + (number - 1) % 3);
        std::fs::create_dir_all(dir.join(replica)).expect("a folder can be made");
    }
    std::fs::create_dir_all(dir.join("disk/control-1")).expect("a folder can be made");
    kernel::begin(seed, "story", u32::from(std::net::Ipv4Addr::new(10, 0, 0, 1)));
    // A thread that has drawn random numbers outside would bring them in.
    let inside = || inside(Told::new(seed, demanded), dir, keep, &plan);
    std::thread::scope(|scope| scope.spawn(inside).join()).expect("a panic of the story ends the program")
}

fn inside(mut told: Told, dir: &Path, keep: Option<&Path>, plan: &[Planned]) -> Told {
    let seed = told.seed;
    let mut history = History { whole: true, ..History::default() };
    if let Err(problem) = tell(seed, dir, plan, &mut told, &mut history) {
        told.alarms.push(problem);
    }
    told.requests = history.exchanges.len();
    told.ok = history.exchanges.iter().filter(|exchange| exchange.ok().is_some()).count();
    told.unknown = history.exchanges.iter().filter(|exchange| matches!(exchange.outcome, Outcome::Unknown(_))).count();
    if told.ok * ANSWERED_MIN < told.requests {
        told.alarms.push(format!("only {} of {} requests were answered by the app", told.ok, told.requests));
    }
    let limits = Limits { deadline: DEADLINE, recovery: well(settings(seed)), ..Limits::default() };
    told.reports = check::all(&history, &limits);
    told.millis = millis();
    with(|world| told.alarms.extend(world.alarms.iter().cloned()));
    if let Some(path) = keep
        && let Err(error) = history.save(path)
    {
        eprintln!("{}", input::unwritten(path, &error));
        raw::exit(input::BAD_INPUT.into());
    }
    told
}

fn tell(seed: u64, dir: &Path, plan: &[Planned], told: &mut Told, history: &mut History) -> Result<(), String> {
    let settings = settings(seed);
    let probes = settings.probe.map_or("connects".into(), |path| format!("GET {path}"));
    told.faults.push(format!("slots are {}, {}, probes are {probes}", settings.slots, settings.serial.as_str_name()));
    let mut mesh = Mesh::start(dir, &DYNOS, settings)?;
    let client = Client::new(mesh.edges(), HOST);
    await_routes(&client)?;
    let load = client.load(Load { rate: RATE, arrivals: Arrivals::Poisson(seed), make: asks(seed) });
    let operators = Operators::start(seed, mesh.admin(), mesh.dyno_names());
    break_things(plan, &mut mesh, told, history);
    heal(&mut mesh, told);
    faults::doubt_control_alone(&mut history.incidents);
    let moved = operators.finish(history);
    history.healed = Some(now());
    told.faults.push(format!("operators moved or drained dynos {} times", moved.taken));
    history.exchanges = load.finish();
    let recovered = mesh.await_owned(RECOVERY, true);
    sleep_until((history.healed.unwrap_or_default() + well(settings)).as_nanos());
    if settings.serial == Serial::Auto {
        told.alarms.extend(mesh.await_idle(DOUBT_MAX).err());
    }
    let recovered = recovered.and_then(|()| mesh.await_owned(RECOVERY, false));
    match mesh.census(now()) {
        Ok(census) => {
            told.alarms.extend(mesh.holds_all(&census).err());
            history.census = Some(census);
        }
        Err(problem) => told.alarms.push(format!("no census: {problem}")),
    }
    if recovered.is_ok() {
        burst(&client, history);
    }
    look_at_ends();
    let missing = (0..mesh.nodes.len()).filter(|node| !mesh.runs(*node));
    told.alarms.extend(missing.map(|node| format!("{} did not run any more when all was healed", mesh.nodes[node].name)));
    mesh.read_journals(history)?;
    history.ended = Some(now());
    recovered
}

/// What the mesh of a seed is like. Leased slots keep the same promises where a takeover begins in quarantine, which is the default.
fn settings(seed: u64) -> Settings {
    let slots = if seed.is_multiple_of(4) { "leased" } else { "committed" };
    // Not with leased slots: a quarantine of dynos that prove nothing lasts for the longest request that a block may run (P14), a minute.
    let serial = if slots == "committed" && seed % 5 == 4 { Serial::Auto } else { Serial::Yes };
    // Each of them a request in a place of its dyno.
    let probe = (seed % 3 == 2).then_some(PROBE_PATH);
    Settings { slots, serial, probe }
}

/// How long after the last fault everything must be as if there had been none; then every slot is asked for. A dyno of which the mesh has
/// not found out that it is serial, or that is not, proves nothing: an orphan's slot counts until its deadline and the margin that is added
/// to it (P9, P10), and that of a request which was cut as long as a block runs any; for these it waits before it asks, [`DOUBT_MAX`] at most.
fn well(settings: Settings) -> Span {
    if settings.serial == Serial::Auto { Span::from_secs(12) } else { Span::from_secs(10) }
}

fn now() -> Time {
    Time::from_nanos(with(|world| world.now))
}

/// A panic of a daemon ends its process, as it does outside; one of the story ends everything.
fn watch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let said = format!("thread {} panicked: {panic}", thread.name().unwrap_or("?"));
        let process = kernel::current().map(|thread| with(|world| world.threads[thread].process));
        match process {
            Some(process) if process > 0 => {
                with(|world| {
                    let name = world.processes[process].name.clone();
                    world.alarms.push(format!("{name}: {said}"));
                });
                kernel::calls::end_process("panicked", 101);
            }
            _ => {
                eprintln!("{said}");
                raw::exit(101);
            }
        }
    }));
}

/// Waits until every edge has an answer.
fn await_routes(client: &Client) -> Result<(), String> {
    let mut good = 0;
    for _ in 0..200 {
        let exchange = client.send(Ask::probe().service(Span::from_millis(1)).deadline(PATIENCE));
        good = if exchange.ok().is_some() { good + 1 } else { 0 };
        if good >= 4 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("the edges do not route".into())
}

/// The requests of clients: all methods, short and long services, some large bodies.
fn asks(seed: u64) -> Box<dyn FnMut(u64) -> Ask + Send> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0xa5a5);
    Box::new(move |n| {
        let path = format!("/{n}");
        let service = match rng.random_range(0..20) {
            0 => rng.random_range(200..1_200),
            _ => rng.random_range(2..70),
        };
        let ask = match rng.random_range(0..20) {
            0..8 => Ask::get(&path),
            8..13 => Ask::post(&path),
            13..15 => Ask::new(Method::PUT, &path).body("put"),
            15 => Ask::new(Method::DELETE, &path),
            16 => Ask::new(Method::PATCH, &path).body("patched"),
            17 => Ask::get(&path).content_back(rng.random_range(1..200_000)),
            18 => Ask::new(Method::POST, &path).echo(rng.random_range(1..150_000), Framing::Length),
            _ => Ask::new(Method::POST, &path).echo(rng.random_range(1..30_000), Framing::Chunked),
        };
        ask.service(Span::from_millis(service)).deadline(PATIENCE)
    })
}

/// Does what is planned, each at its time.
fn break_things(plan: &[Planned], mesh: &mut Mesh, told: &mut Told, history: &mut History) {
    let begin = with(|world| world.now);
    let mut steps: Vec<(u64, usize, bool)> = Vec::new();
    for (number, planned) in plan.iter().enumerate() {
        steps.push((planned.begins, number, true));
        steps.push((planned.ends, number, false));
    }
    steps.sort_unstable();
    // Each with its place among what is told.
    let mut under_way: Vec<Option<(Done, usize)>> = plan.iter().map(|_| None).collect();
    for (at, number, begins) in steps {
        sleep_until(begin + at);
        if begins {
            let done = plan[number].begin(number, mesh);
            tracing::info!(fault = done.told, "begins");
            let until = plan[number].ends / kernel::MS;
            told.faults.push(format!("{} to {until} ms: {}", at / kernel::MS, done.told));
            under_way[number] = Some((done, told.faults.len() - 1));
        } else if let Some((done, place)) = under_way[number].take() {
            tracing::info!(fault = done.told, "ends");
            if done.end(mesh, &mut history.incidents) {
                told.felt += 1;
            } else {
                told.faults[place] += ", not felt";
            }
        }
        look_at_ends();
    }
    sleep_until(begin + faults::SPAN);
}

/// Looks at the processes that ended by themselves: that is right only where their disk failed them.
fn look_at_ends() {
    let ended = with(|world| std::mem::take(&mut world.ends));
    for said in ended {
        tracing::info!(said, "process ended");
        let harmed = with(|world| world.disks.harmed(&said));
        if !harmed {
            with(|world| world.alarms.push(said.clone()));
        }
    }
}

fn heal(mesh: &mut Mesh, told: &mut Told) {
    look_at_ends();
    for node in 0..mesh.nodes.len() {
        if !mesh.runs(node) {
            mesh.run(node);
        }
    }
    told.faults.push(format!("healed at {} ms", millis()));
}

fn sleep_until(time: u64) {
    let left = time.saturating_sub(with(|world| world.now));
    std::thread::sleep(Duration::from_nanos(left));
}

/// Asks for every slot at once.
fn burst(client: &Client, history: &mut History) {
    let began = now();
    let slots: u32 = DYNOS.iter().sum();
    let ask = |_| Ask::get("/burst").service(Span::from_millis(300)).deadline(PATIENCE);
    let exchanges = client.send_all((0..2 * slots).map(ask));
    history.exchanges.extend(exchanges);
    history.bursts.push(Burst { began, ended: now() });
}
