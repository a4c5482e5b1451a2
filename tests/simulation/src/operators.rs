//! Operators: clients of the admin API. Some write and read the same apps, each a register that holds how long its requests may queue;
//! one moves dynos, or drains them and takes that back, as the seed says.
//!
//! What a register's callers are told must fit into one order of all writes and reads, whatever happened to the control plane meanwhile: it
//! has one replica here, so that nobody's read may be behind.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dynomesh_core::time::Time;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_testkit::history::{Call, History, Incident, Operation, Returned};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Status};

use crate::kernel::with;
use crate::mesh::{Api, api};

/// Those who write registers, and how many registers there are.
const OPERATORS: u64 = 3;
const REGISTERS: usize = 3;
/// From one call of an operator to the next, in milliseconds.
const PAUSE: std::ops::Range<u64> = 40..240;
/// From one move or drain to the next.
const MOVE_PAUSE: std::ops::Range<u64> = 150..700;
/// How long a dyno stays drained.
const DRAINED: std::ops::Range<u64> = 50..900;
/// How long what runs at a drained dyno may go on.
const DRAIN_DEADLINE: std::ops::Range<u64> = 20..2_500;
/// How long an operator waits for an answer.
const ANSWER_MAX: Duration = Duration::from_millis(1_000);
/// How often a drain is taken back before it is given up.
const UNDRAINS_MAX: usize = 50;
/// The shortest time a queue may be told to wait; values count up from here, so that no two writes are the same.
const FIRST: u64 = 1_000;

/// What is done to dynos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Nothing,
    Moves,
    Drains,
}

/// The operators of a seed, at work.
pub(crate) struct Operators {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Vec<Call>>>,
    mover: JoinHandle<Moved>,
}

/// What was done to dynos.
#[derive(Default)]
pub(crate) struct Moved {
    /// Moves and drains that the control plane took.
    pub(crate) taken: usize,
    incidents: Vec<Incident>,
}

/// One client of the admin API.
struct Client {
    runtime: Runtime,
    api: Api,
    rng: StdRng,
    stop: Arc<AtomicBool>,
}

struct Writer {
    client: Client,
    values: Arc<AtomicU64>,
    /// The version of each register that it was told last.
    known: [u64; REGISTERS],
    calls: Vec<Call>,
}

struct Mover {
    client: Client,
    dynos: Vec<String>,
    moved: Moved,
    /// Every dyno that it ever drained: an answer that did not come may stand for a drain that was done.
    drained: BTreeSet<String>,
}

// === impl Operators ===

impl Operators {
    /// Has operators begin with the control plane at `admin`.
    pub(crate) fn start(seed: u64, admin: SocketAddr, dynos: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let values = Arc::new(AtomicU64::new(FIRST));
        let writers = (1..=OPERATORS).map(|number| {
            let client = Client::new(seed ^ number << 32, admin, &stop);
            let writer = Writer { client, values: values.clone(), known: [0; REGISTERS], calls: Vec::new() };
            thread::spawn(move || writer.work())
        });
        let writers = writers.collect();
        let mover = Mover { client: Client::new(seed, admin, &stop), dynos, moved: Moved::default(), drained: BTreeSet::new() };
        let mover = thread::spawn(move || mover.work(work(seed)));
        Operators { stop, writers, mover }
    }

    /// Has them end what they are at. Nothing is drained any more; the control plane must run for that.
    pub(crate) fn finish(self, history: &mut History) -> Moved {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            history.calls.extend(writer.join().expect("a panic ends the program"));
        }
        let mut moved = self.mover.join().expect("a panic ends the program");
        history.incidents.append(&mut moved.incidents);
        moved
    }
}

/// What is done to dynos in a seed.
fn work(seed: u64) -> Work {
    match seed % 3 {
        0 => Work::Nothing,
        1 => Work::Moves,
        _ => Work::Drains,
    }
}

fn now() -> Time {
    Time::from_nanos(with(|world| world.now))
}

// === impl Client ===

impl Client {
    fn new(seed: u64, admin: SocketAddr, stop: &Arc<AtomicBool>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let api = api(&runtime, admin, ANSWER_MAX);
        Client { runtime, api, rng: StdRng::seed_from_u64(seed), stop: stop.clone() }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn sleep(&mut self, millis: std::ops::Range<u64>) {
        thread::sleep(Duration::from_millis(self.rng.random_range(millis)));
    }

    /// Makes a call and waits for its answer, though not for long.
    fn call<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, call).await });
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
    }
}

// === impl Writer ===

impl Writer {
    fn work(mut self) -> Vec<Call> {
        while !self.client.is_stopped() {
            self.client.sleep(PAUSE);
            self.step();
        }
        self.calls
    }

    fn step(&mut self) {
        let register = self.client.rng.random_range(0..REGISTERS);
        let known = self.known[register];
        let value = Some(self.values.fetch_add(1, Ordering::Relaxed).to_string());
        let operation = match self.client.rng.random_range(0..3) {
            0 => Operation::Read,
            _ if known == 0 => Operation::CompareAndSet { expected: 0, value },
            1 => Operation::CompareAndSet { expected: known, value },
            _ => Operation::Write { value },
        };
        // Somebody else was faster: look, so that the next one has a chance.
        if matches!(self.call(register, operation), Returned::Stale(_)) {
            self.call(register, Operation::Read);
        }
    }

    /// Makes a call and notes what came of it.
    fn call(&mut self, register: usize, operation: Operation) -> Returned {
        let name = format!("register-{register}");
        let begun = now();
        let returned = returned(self.client.call(ask(self.client.api.clone(), &name, &operation)));
        if let Returned::Ok { version, .. } = &returned {
            self.known[register] = *version;
        }
        self.calls.push(Call { register: format!("app/{name}"), operation, begun, ended: now(), returned: returned.clone() });
        returned
    }
}

/// Asks the admin API for what an operation says.
async fn ask(mut api: Api, name: &str, operation: &Operation) -> Result<wire::App, Status> {
    let expecting = |version| Some(wire::WriteOptions { expect_version: Some(version), ..Default::default() });
    let (value, options) = match operation {
        Operation::Read | Operation::ReadBehind => {
            return api.get_app(wire::GetAppRequest { name: name.into() }).await.map(tonic::Response::into_inner);
        }
        Operation::Write { value } => (value, None),
        Operation::CompareAndSet { expected, value } => (value, expecting(*expected)),
    };
    let wait = value.as_ref().and_then(|value| value.parse().ok());
    let (name, hosts) = (name.to_owned(), vec![format!("{name}.test")]);
    let policy = Some(wire::Policy { queue_wait_ms: wait, ..Default::default() });
    let app = if matches!(operation, Operation::CompareAndSet { expected: 0, .. }) {
        api.create_app(wire::CreateAppRequest { name, hosts, policy, options }).await?.into_inner().app
    } else {
        api.update_app(wire::UpdateAppRequest { name, hosts, policy, options }).await?.into_inner().app
    };
    app.ok_or_else(|| Status::internal("an answer without an app"))
}

/// What an answer says of a register.
fn returned(answer: Result<wire::App, Status>) -> Returned {
    match answer {
        Ok(app) => {
            Returned::Ok { value: app.policy.and_then(|policy| policy.queue_wait_ms).map(|wait| wait.to_string()), version: app.version }
        }
        Err(status) => match status.code() {
            // Only who expects that there is none creates it.
            Code::Aborted | Code::AlreadyExists => Returned::Stale(status.message().into()),
            Code::NotFound => Returned::Ok { value: None, version: 0 },
            _ => Returned::Unknown(status.message().into()),
        },
    }
}

// === impl Mover ===

impl Mover {
    fn work(mut self, work: Work) -> Moved {
        while !self.client.is_stopped() {
            self.client.sleep(MOVE_PAUSE);
            match work {
                Work::Nothing => {}
                Work::Moves => self.move_one(),
                Work::Drains => self.drain_one(),
            }
        }
        for dyno in std::mem::take(&mut self.drained) {
            self.take_back(&dyno);
        }
        self.moved
    }

    fn any(&mut self) -> String {
        self.dynos.choose(&mut self.client.rng).cloned().unwrap_or_default()
    }

    fn move_one(&mut self) {
        let to = if self.client.rng.random() { "b1" } else { "b2" };
        let request = wire::MoveDynoRequest { id: self.any(), to: to.into(), ..Default::default() };
        let mut api = self.client.api.clone();
        let answer = self.client.call(async { api.move_dyno(request).await });
        self.moved.taken += usize::from(answer.is_ok_and(|answer| answer.into_inner().changed));
    }

    /// Drains one dyno and, a while later, takes that back.
    fn drain_one(&mut self) {
        let (dyno, deadline) = (self.any(), self.client.rng.random_range(DRAIN_DEADLINE));
        let mut incident = Incident::at("drain", &format!("a request of {dyno}"), now());
        let request = wire::DrainDynoRequest { id: dyno.clone(), deadline_ms: Some(deadline), ..Default::default() };
        let mut api = self.client.api.clone();
        self.drained.insert(dyno.clone());
        let answer = self.client.call(async { api.drain_dyno(request).await });
        self.moved.taken += usize::from(answer.is_ok());
        self.client.sleep(DRAINED);
        self.take_back(&dyno);
        incident.ended = Some(now());
        self.moved.incidents.push(incident);
    }

    fn take_back(&mut self, dyno: &str) {
        for _ in 0..UNDRAINS_MAX {
            let request = wire::UndrainDynoRequest { id: dyno.into(), ..Default::default() };
            let mut api = self.client.api.clone();
            if self.client.call(async { api.undrain_dyno(request).await }).is_ok() {
                return;
            }
            self.client.sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_for_the_version_is_certain() {
        let app =
            wire::App { policy: Some(wire::Policy { queue_wait_ms: Some(1_001), ..Default::default() }), version: 7, ..Default::default() };
        assert_eq!(returned(Ok(app)), Returned::Ok { value: Some("1001".into()), version: 7 });
        assert_eq!(returned(Err(Status::not_found("no"))), Returned::Ok { value: None, version: 0 });
        assert_eq!(returned(Err(Status::aborted("why"))), Returned::Stale("why".into()));
        assert_eq!(returned(Err(Status::already_exists("why"))), Returned::Stale("why".into()));
        assert_eq!(returned(Err(Status::unavailable("why"))), Returned::Unknown("why".into()));
    }
}
