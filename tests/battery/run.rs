//! Runs cases on a mesh, several at once, and tells of them.
//!
//! Each lane is an app with a dyno of its own and runs one case at a time, so that all bytes at its dyno belong to that case. Behind
//! every case two well-formed requests show that nothing of it is left over: one on its own connection, if that is open, and a POST on
//! a new one, which meets it in the connections between edge, block and dyno.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use dynomesh_testkit::cluster::Cluster;

use crate::answer::{Answers, find};
use crate::case::{After, Case, Step};
use crate::client::{Client, State};
use crate::dyno::{Connection, Recorder};
use crate::judge::{self, Good, Seen};

/// How long an answer may take.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(6);
/// How long a close may take that must come.
pub(crate) const CLOSE_MAX: Duration = Duration::from_secs(3);
/// Cases at once.
pub(crate) const LANES: usize = 8;
/// Bytes of each side that are shown of a failure.
const SHOWN_MAX: usize = 1500;

/// A family of cases.
pub(crate) struct Family<J> {
    pub(crate) name: &'static str,
    pub(crate) cases: Vec<J>,
}

/// An app with a dyno of its own.
pub(crate) struct Lane {
    pub(crate) edge: SocketAddr,
    pub(crate) host: String,
    pub(crate) recorder: Recorder,
}

/// How a lane's app treats its dyno where nothing else is asked for.
pub(crate) const FRESH: &[&str] = &["--max-conns", "16"];

/// Makes lanes on a mesh, their apps with these settings, and waits until they are routed.
pub(crate) fn lanes(cluster: &Cluster, count: usize, settings: &[&str]) -> Vec<Lane> {
    let edge = cluster.ready().edges[0].http;
    let lanes: Vec<Lane> = (0..count)
        .map(|n| {
            let (app, host, dyno) = (format!("lane-{n}"), format!("lane-{n}.test"), format!("recorder-{n}"));
            let recorder = Recorder::start();
            cluster.run(&[&["app", "create", &app, "--host", &host, "--serial", "no"], settings].concat()).expect_ok();
            cluster.run(&["dyno", "add", &app, &recorder.address().to_string(), "--id", &dyno]).expect_ok();
            Lane { edge, host, recorder }
        })
        .collect();
    lanes.iter().for_each(|lane| cluster.await_routed(&lane.host));
    lanes
}

/// What became of one case.
struct Outcome {
    family: &'static str,
    section: &'static str,
    told: Option<String>,
}

/// Something that a lane can judge.
pub(crate) trait Judged: Send {
    /// From which RFC and section it is, and its name.
    fn name(&self) -> (&'static str, &str);
    /// Plays it and says what is wrong.
    fn judge(&self, lane: &Lane, number: usize) -> Result<(), String>;
}

impl Judged for Case {
    fn name(&self) -> (&'static str, &str) {
        (self.section, &self.name)
    }

    fn judge(&self, lane: &Lane, number: usize) -> Result<(), String> {
        lane.judge(self, number)
    }
}

/// Runs all cases and prints the table; panics if one failed. `BATTERY` in the environment picks the cases whose name contains it.
#[track_caller]
pub(crate) fn run<J: Judged>(lanes: &[Lane], families: Vec<Family<J>>) {
    let picked = std::env::var("BATTERY").unwrap_or_default();
    let cases = families.into_iter().flat_map(|family| family.cases.into_iter().map(move |case| (family.name, case)));
    let due: Vec<(usize, (&'static str, J))> =
        cases.enumerate().filter(|(_, (family, case))| format!("{family}: {}", case.name().1).contains(&picked)).collect();
    let due = Mutex::new(due.into_iter());
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for lane in lanes {
            scope.spawn(|| {
                loop {
                    let next = due.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((number, (family, case))) = next else { return };
                    let (section, name) = case.name();
                    let told = case.judge(lane, number).err().map(|told| {
                        format!(
                            "--- {family}: {name} [{section}]
{told}"
                        )
                    });
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(Outcome { family, section, told });
                }
            });
        }
    });
    tell(outcomes.into_inner().unwrap_or_else(PoisonError::into_inner));
}

#[track_caller]
fn tell(outcomes: Vec<Outcome>) {
    table("family", &outcomes, |outcome| outcome.family.into());
    table("section", &outcomes, |outcome| {
        // A section alone is one of RFC 9112.
        let alone = outcome.section.starts_with(|c: char| c.is_ascii_digit()) && !outcome.section.contains(' ');
        if alone { format!("9112 {}", outcome.section) } else { outcome.section.into() }
    });
    let mut failed: Vec<&String> = outcomes.iter().filter_map(|outcome| outcome.told.as_ref()).collect();
    failed.sort();
    failed.iter().for_each(|told| println!("\n{told}"));
    println!("\n{} of {} cases passed", outcomes.len() - failed.len(), outcomes.len());
    assert!(failed.is_empty(), "{} of {} cases failed", failed.len(), outcomes.len());
}

fn table(title: &str, outcomes: &[Outcome], row: impl Fn(&Outcome) -> String) {
    let mut rows: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for outcome in outcomes {
        let (cases, passed) = rows.entry(row(outcome)).or_default();
        *cases += 1;
        *passed += u32::from(outcome.told.is_none());
    }
    println!("\n| {title} | cases | passed |\n|---|---|---|");
    rows.iter().for_each(|(name, (cases, passed))| println!("| {name} | {cases} | {passed} |"));
}

impl Lane {
    /// Plays a case and judges it.
    fn judge(&self, case: &Case, number: usize) -> Result<(), String> {
        let marker = format!("/smuggled-{number}");
        self.recorder.begin(case.dyno.clone());
        let mut client = Client::connect(self.edge).map_err(|error| format!("connect: {error}"))?;
        let mut sent = Vec::new();
        for step in &case.sent {
            if self.play(&mut client, step, &marker, &mut sent, case) {
                break;
            }
        }
        let left = matches!(case.sent.last(), Some(Step::Leave));
        if left {
            drop(client);
            let told = self.good_on_new(number);
            let seen = Seen {
                answers: Answers::default(),
                state: State::Open,
                next: told.map(drop),
                good: vec![good_post(number)],
                connections: self.settled(),
            };
            return self.tell(judge::of_leaver(case, &seen, &self.host), &sent, &[], &seen);
        }
        client.until(ANSWER_MAX, |heard| {
            let answers = Answers::read(heard, &case.methods, false);
            answers.whole() >= case.methods.len() || answers.fault.is_some() || !answers.rest.is_empty()
        });
        let told_close = client.answers(&case.methods).last.last().is_some_and(|answer| answer.closes() || answer.status == 101);
        if case.after == After::Closed || told_close {
            client.until(CLOSE_MAX, |_| false);
        }
        let answers = client.answers(&case.methods);
        let heard = client.heard.clone();
        let mut good = vec![good_post(number)];
        let mut next = Ok(());
        if client.state == State::Open && case.after != After::Closed && answers.whole() >= case.methods.len() {
            let asked = good_get(number);
            good.push(asked.clone());
            next = self.good_on_same(&mut client, heard.len(), &asked, case.after == After::Either);
        }
        let state = client.state;
        drop(client);
        let next = next.and(self.good_on_new(number));
        let seen = Seen { answers, state, next, good, connections: self.settled() };
        self.tell(judge::of(case, &seen, &self.host), &sent, &heard, &seen)
    }

    fn play(&self, client: &mut Client, step: &Step, marker: &str, sent: &mut Vec<u8>, case: &Case) -> bool {
        match step {
            Step::Send(bytes) => {
                let bytes = filled(&filled(bytes, b"{host}", &self.host), b"{marker}", marker);
                client.send(&bytes);
                sent.extend_from_slice(&bytes);
            }
            Step::Pause(millis) => {
                client.until(Duration::from_millis(*millis), |_| false);
            }
            Step::Await(status) => {
                client.until(ANSWER_MAX, |heard| {
                    let answers = Answers::read(heard, &case.methods, false);
                    !answers.last.is_empty() || answers.interim.iter().any(|answer| answer.status == *status)
                });
            }
            Step::AwaitLast(count) => {
                client.until(ANSWER_MAX, |heard| Answers::read(heard, &case.methods, false).whole() >= *count);
            }
            Step::Shut => client.shut(),
            Step::Leave => return true,
        }
        false
    }

    fn good_on_same(&self, client: &mut Client, from: usize, good: &Good, may_close: bool) -> Result<(), String> {
        client.send(&good.bytes(&self.host));
        client.until(ANSWER_MAX, |heard| Answers::read(&heard[from..], &[good.method], false).whole() > 0);
        let heard = &client.heard[from..];
        if heard.is_empty() && client.state != State::Open && may_close {
            return Ok(());
        }
        good.judge(heard).map_err(|told| format!("the next request of its connection: {told}"))
    }

    pub(crate) fn good_on_new(&self, number: usize) -> Result<(), String> {
        let good = good_post(number);
        let mut client = Client::connect(self.edge).map_err(|error| format!("connect: {error}"))?;
        client.send(&good.bytes(&self.host));
        client.until(ANSWER_MAX, |heard| Answers::read(heard, &[good.method], false).whole() > 0);
        good.judge(&client.heard).map_err(|told| format!("the next request on a new connection: {told}"))
    }

    /// What came at the dyno, once it has all come: a request that was left unfinished is given up a little later.
    pub(crate) fn settled(&self) -> Vec<Connection> {
        let patience = std::time::Instant::now() + CLOSE_MAX;
        loop {
            let connections = self.recorder.seen();
            if std::time::Instant::now() > patience || !judge::is_unsettled(&connections) {
                return connections;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn tell(&self, faults: Vec<String>, sent: &[u8], heard: &[u8], seen: &Seen) -> Result<(), String> {
        if faults.is_empty() {
            return Ok(());
        }
        let mut told = String::new();
        for fault in faults {
            let _ = writeln!(told, "  * {fault}");
        }
        let _ = writeln!(told, "  sent:   {}\n  heard:  {} ({:?})", shown(sent), shown(heard), seen.state);
        for connection in &seen.connections {
            let _ = writeln!(told, "  dyno:   {}{}", shown(&connection.bytes), if connection.closed { " (closed)" } else { "" });
        }
        Err(told)
    }
}

fn good_get(number: usize) -> Good {
    Good { method: "GET", target: format!("/good/{number}"), body: String::new() }
}

pub(crate) fn good_post(number: usize) -> Good {
    Good { method: "POST", target: format!("/good/new-{number}"), body: format!("good {number}") }
}

pub(crate) fn shown(bytes: &[u8]) -> String {
    let cut = if bytes.len() > SHOWN_MAX { format!("... ({} bytes)", bytes.len()) } else { String::new() };
    format!("\"{}\"{cut}", bytes[..bytes.len().min(SHOWN_MAX)].escape_ascii())
}

pub(crate) fn filled(bytes: &[u8], slot: &[u8], text: &str) -> Vec<u8> {
    let mut filled = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = find(rest, slot) {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(text.as_bytes());
        rest = &rest[at + slot.len()..];
    }
    filled.extend_from_slice(rest);
    filled
}
