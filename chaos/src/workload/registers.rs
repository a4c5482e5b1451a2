//! Operators that write and read the same things at once: apps, each a register that holds how long its requests may queue.
//!
//! They are told of a write's outcome or not; what they are told must fit into one order of all writes and reads. Where the control plane has
//! several replicas, a read may be answered by one that is behind; in the end, when all is healed, each replica is asked alone for each
//! register until it shows the last version that anybody was told of, and that read may not be behind.

use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use dynomesh_core::time::Span;
use dynomesh_testkit::clock;
use dynomesh_testkit::history::{Call, Exchange, Operation, Returned};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use serde_json::Value;

use super::{Finished, Place, Running, crowd};
use crate::making::spawn;
use crate::program;

/// How long an operator waits for an answer.
const ANSWER_MAX: &str = "4s";
/// Exit code of a write that was refused because the version was another.
const CHANGED: i32 = 5;
/// What is said of a register that does not exist.
const ABSENT: &str = "is not known";
/// How long replicas may take to show the last version, once all is healed.
const BEHIND_MAX: Span = Span::from_secs(10);
/// From one last read to the next.
const LOOK: Span = Span::from_millis(100);
/// The shortest time a queue may be told to wait; values count up from here, so that no two writes are the same.
const FIRST: u64 = 1_000;

/// How many, and how often.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Operators, all of whom know all registers.
    operators: u32,
    /// Registers.
    count: u32,
    /// From one call of an operator to the next.
    interval: Span,
}

impl Spec {
    /// Refuses operators that do nothing.
    pub(super) fn check(&self) -> Result<(), String> {
        crowd("operators", self.operators).and_then(|()| crowd("count", self.count))
    }
}

pub(crate) struct Registers {
    stop: Arc<AtomicBool>,
    operators: Vec<JoinHandle<Operator>>,
}

/// One operator.
struct Operator {
    admin: String,
    program: std::path::PathBuf,
    first: Vec<std::ffi::OsString>,
    rng: StdRng,
    values: Arc<AtomicU64>,
    /// What a read is while faults last.
    read: Operation,
    /// The version of each register that it was told last.
    known: Vec<u64>,
    calls: Vec<Call>,
}

// === impl Registers ===

impl Registers {
    pub(super) fn start(spec: &Spec, place: &Place) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let values = Arc::new(AtomicU64::new(FIRST));
        let (program, first) = program::mesh()?;
        let read = if place.admin.contains(',') { Operation::ReadBehind } else { Operation::Read };
        let operator = |n: u32| {
            let mut operator = Operator {
                admin: place.admin.clone(),
                program: program.clone(),
                first: first.clone(),
                rng: StdRng::seed_from_u64(place.seed ^ u64::from(n)),
                values: values.clone(),
                read: read.clone(),
                known: vec![0; spec.count as usize],
                calls: Vec::new(),
            };
            let (stop, interval) = (stop.clone(), spec.interval);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    operator.call();
                    thread::sleep(interval.to_std());
                }
                operator
            })
        };
        let operators = (0..spec.operators).map(operator).collect();
        Ok(Registers { stop, operators })
    }
}

impl Running for Registers {
    fn take(&mut self) -> Vec<Exchange> {
        Vec::new()
    }

    fn finish(self: Box<Self>) -> Finished {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.operators.into_iter().map(|operator| operator.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let mut operators: Vec<Operator> = joined.collect();
        let told = |register: usize| operators.iter().map(|operator| operator.told(register)).max().unwrap_or_default();
        let last: Vec<u64> = (0..operators.first().map_or(0, |operator| operator.known.len())).map(told).collect();
        let complaints = operators.first_mut().map(|operator| operator.read_last(&last)).unwrap_or_default();
        let calls: Vec<Call> = operators.into_iter().flat_map(|operator| operator.calls).collect();
        let ok = calls.iter().filter(|call| matches!(call.returned, Returned::Ok { .. })).count();
        let unknown = calls.iter().filter(|call| matches!(call.returned, Returned::Unknown(_))).count();
        let told = format!("calls of registers: {} made, {ok} answered, {unknown} unknown", calls.len());
        Finished { calls, told: Some(told), complaints, ..Finished::default() }
    }

    fn rate(&self) -> f64 {
        0.0
    }
}

// === impl Operator ===

impl Operator {
    fn call(&mut self) {
        let register = self.rng.random_range(0..self.known.len());
        let name = format!("register-{register}");
        let value = self.values.fetch_add(1, Ordering::Relaxed);
        let (wait, host, version) = (format!("{value}ms"), format!("{name}.test"), self.known[register].to_string());
        let write = ["--host", &host, "--queue-wait", &wait];
        let held = Some(value.to_string());
        let (operation, line) = match self.rng.random_range(0..3) {
            0 => (self.read.clone(), vec!["app", "get", &name]),
            _ if self.known[register] == 0 => {
                let create = [&["app", "create", &name, "--expect", "0"], &write[..]].concat();
                (Operation::CompareAndSet { expected: 0, value: held }, create)
            }
            1 => {
                let set = [&["app", "update", &name, "--expect", &version], &write[..]].concat();
                (Operation::CompareAndSet { expected: self.known[register], value: held }, set)
            }
            _ => (Operation::Write { value: held }, [&["app", "update", &name], &write[..]].concat()),
        };
        let begun = clock::now();
        let output = self.run(&line);
        let ended = clock::now();
        let returned = output.map_or_else(|error| Returned::Unknown(format!("{error:#}")), |output| returned(&output));
        match &returned {
            Returned::Ok { version, .. } => self.known[register] = *version,
            // Somebody else was faster: look next time.
            Returned::Stale(_) => self.look(register, &name),
            Returned::Failed(_) | Returned::Unknown(_) => {}
        }
        self.calls.push(Call { register: format!("app/{name}"), operation, begun, ended, returned });
    }

    /// Reads what a register holds, which is a call too.
    fn look(&mut self, register: usize, name: &str) {
        let call = self.read(self.read.clone(), name);
        if let Returned::Ok { version, .. } = &call.returned {
            self.known[register] = *version;
        }
        self.calls.push(call);
    }

    fn read(&self, operation: Operation, name: &str) -> Call {
        let begun = clock::now();
        let output = self.run(&["app", "get", name]);
        let returned = output.map_or_else(|error| Returned::Unknown(format!("{error:#}")), |output| returned(&output));
        Call { register: format!("app/{name}"), operation, begun, ended: clock::now(), returned }
    }

    /// The latest version of a register that it was ever told of.
    fn told(&self, register: usize) -> u64 {
        let name = format!("app/register-{register}");
        let version = |call: &Call| match call.returned {
            Returned::Ok { version, .. } if call.register == name => Some(version),
            _ => None,
        };
        self.calls.iter().filter_map(version).max().unwrap_or_default()
    }

    /// Has every replica tell every register until it shows the version that anybody was told of last. Keeps the reads that do; complains of a
    /// replica that does not in time.
    fn read_last(&mut self, last: &[u64]) -> Vec<String> {
        let mut complaints = Vec::new();
        for address in self.admin.clone().split(',') {
            self.admin = address.into();
            for (register, last) in last.iter().enumerate() {
                let name = format!("register-{register}");
                let until = clock::now() + BEHIND_MAX;
                loop {
                    let call = self.read(Operation::Read, &name);
                    if matches!(call.returned, Returned::Ok { version, .. } if version >= *last) {
                        self.calls.push(call);
                        break;
                    }
                    if clock::now() > until {
                        complaints.push(format!("the replica at {address} told {:?} of {name}, not version {last}", call.returned));
                        break;
                    }
                    thread::sleep(LOOK.to_std());
                }
            }
        }
        complaints
    }

    fn run(&self, line: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(&self.first).args(line).args(["-o", "json", "--timeout", ANSWER_MAX]).env("DYNOMESH_ADMIN", &self.admin);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        spawn(&mut command).and_then(Child::wait_with_output).context("run the command line")
    }
}

/// What an answer says of a register.
fn returned(output: &Output) -> Returned {
    let complaint = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.code() == Some(CHANGED) {
        return Returned::Stale(complaint());
    }
    if !output.status.success() {
        let complaint = complaint();
        return if complaint.contains(ABSENT) { Returned::Ok { value: None, version: 0 } } else { Returned::Unknown(complaint) };
    }
    let told: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    // A write's answer holds the app, a read's is the app.
    let app = told.as_ref().map(|told| told.get("app").unwrap_or(told));
    let read = app.and_then(|app| Some((app["queue_wait_ms"].as_u64()?, app["version"].as_u64()?)));
    match read {
        Some((value, version)) => Returned::Ok { value: Some(value.to_string()), version },
        None => Returned::Unknown(format!("an answer without a version: {}", String::from_utf8_lossy(&output.stdout))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn output(code: i32, stdout: &str) -> Output {
        Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.into(), stderr: b"why\n".to_vec() }
    }

    #[test]
    fn only_a_refusal_for_the_version_is_certain() {
        let ok = returned(&output(0, r#"{"name":"a","queue_wait_ms":1001,"version":7}"#));
        assert_eq!(ok, Returned::Ok { value: Some("1001".into()), version: 7 });
        let written = returned(&output(0, r#"{"changed":true,"app":{"queue_wait_ms":1002,"version":8}}"#));
        assert_eq!(written, Returned::Ok { value: Some("1002".into()), version: 8 });
        let absent = Output { stderr: b"dynomesh: app register-0 is not known\n".to_vec(), ..output(1, "") };
        assert_eq!(returned(&absent), Returned::Ok { value: None, version: 0 });
        assert_eq!(returned(&output(5, "")), Returned::Stale("why".into()));
        assert_eq!(returned(&output(3, "")), Returned::Unknown("why".into()));
        assert!(matches!(returned(&output(0, "[]")), Returned::Unknown(_)));
    }
}
