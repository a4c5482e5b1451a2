//! A dyno that closes its idle connections just as the next request is written to them.
//!
//! Without keep-alive nothing is written to them, and every request is answered. With it idempotent requests go over connections that
//! were used before: some are swallowed by a close, and go again.

use std::thread;

use super::{get, post};
use crate::answer::{Answer, Answers};
use crate::case::{Act, After, Case, Dyno, Reach, Seen, Step, Told, passed};
use crate::client::Client;
use crate::judge;
use crate::run::{ANSWER_MAX, Judged, Lane, filled, shown};

/// Requests of one case, one after the other.
const TURNS: usize = 12;
/// How long after an answer its connection is closed.
const MICROS: [u64; 12] = [0, 20, 50, 100, 150, 200, 300, 500, 800, 1200, 2000, 5000];
/// Clients of a crowd, and requests of each.
const CROWD: (usize, usize) = (8, 24);
/// Methods of a crowd's and of a mixed case's requests, and whether they have a body.
const MIXED: [(&str, bool); 6] = [("GET", false), ("POST", true), ("DELETE", false), ("GET", false), ("PUT", true), ("POST", false)];

pub(crate) fn cases() -> Vec<Case> {
    MICROS.into_iter().flat_map(|micros| [gets(micros), posts(micros)]).collect()
}

/// What is played where connections are kept.
#[derive(Debug, Clone)]
pub(crate) enum Play {
    One(Box<Case>),
    Crowd(Crowd),
}

/// Clients that ask all at once.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    name: String,
    dyno: Dyno,
}

pub(crate) fn kept() -> Vec<Play> {
    let mut cases = cases();
    cases.extend(MICROS.map(|micros| mixed(format!("all methods, closed {micros} us behind an answer"), Dyno::Idles(micros))));
    cases.extend(tired().into_iter().map(|(name, dyno)| mixed(format!("all methods, {name}"), dyno)));
    cases.into_iter().map(|case| Play::One(Box::new(case))).collect()
}

pub(crate) fn crowds() -> Vec<Play> {
    let idle = MICROS.map(|micros| (format!("closed {micros} us behind an answer"), Dyno::Idles(micros)));
    let tired = swallowing().map(|(name, dyno)| (name.into(), dyno));
    let all = idle.into_iter().chain(tired).chain([("of a good dyno".into(), Dyno::Good)]);
    all.map(|(name, dyno)| Play::Crowd(Crowd { name: format!("a crowd, {name}"), dyno })).collect()
}

/// A request that was answered in part goes again by the edge's word, over a used connection if there is one: so not among many.
fn tired() -> Vec<(&'static str, Dyno)> {
    let half = vec![Act::Say(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()), Act::Close];
    swallowing().into_iter().chain([("a second request answered in part", Dyno::Tires(half))]).collect()
}

/// Dynos whose connections end with the second request, and without a word.
fn swallowing() -> [(&'static str, Dyno); 3] {
    [
        ("a second request swallowed by a close", Dyno::Tires(vec![Act::Close])),
        ("a second request swallowed by a reset", Dyno::Tires(vec![Act::Reset])),
        ("a second request swallowed by a close a little later", Dyno::Tires(vec![Act::Pause(20), Act::Close])),
    ]
}

// === One after the other ===

fn gets(micros: u64) -> Case {
    let seen = Seen::get("/case");
    let gets = turns(format!("GETs, closed {micros} us behind an answer"), "GET", &get(""), &seen, micros);
    let told = vec![vec![Told::Status(&[200])]; TURNS];
    Case { repeats: true, reach: Reach::AtMost(vec![seen; TURNS * 2]), ..gets.each(told) }
}

/// None runs twice, and none meets a connection that may be closing.
fn posts(micros: u64) -> Case {
    let seen = Seen::post("/case", "body");
    let bytes = post("content-length: 4\r\n", "body");
    let posts = turns(format!("POSTs, closed {micros} us behind an answer"), "POST", &bytes, &seen, micros);
    posts.each(vec![vec![Told::Status(&[200])]; TURNS]).reach(Reach::These(vec![seen; TURNS]))
}

fn turns(name: String, method: &'static str, bytes: &str, seen: &Seen, micros: u64) -> Case {
    let case = passed("9.3.1", name, bytes, seen.clone()).methods(&[method; TURNS]).dyno(Dyno::Idles(micros)).after(After::Either);
    (1..TURNS).fold(case, |case, n| case.then(Step::AwaitLast(n)).send(bytes))
}

/// Each request has a target of its own, so that none is taken for another one's second.
fn mixed(name: String, dyno: Dyno) -> Case {
    let asked: Vec<Asked> = (0..TURNS).map(|n| Asked::new(n, &format!("/case/{n}"))).collect();
    let methods: Vec<&'static str> = asked.iter().map(|asked| asked.method).collect();
    let case = passed("9.3.1", name, &asked[0].bytes, Seen::default()).methods(&methods).dyno(dyno).after(After::Either);
    let case = asked.iter().enumerate().skip(1).fold(case, |case, (n, asked)| case.then(Step::AwaitLast(n)).send(&asked.bytes));
    let reach = Reach::Each(asked.into_iter().map(|asked| asked.seen).collect());
    Case { repeats: true, ..case.each(vec![vec![Told::Status(&[200])]; TURNS]).reach(reach) }
}

struct Asked {
    method: &'static str,
    bytes: String,
    seen: Seen,
}

impl Asked {
    fn new(number: usize, target: &str) -> Self {
        let (method, has_body) = MIXED[number % MIXED.len()];
        let body = if has_body { "body" } else { "" };
        let length = if has_body || method == "POST" { format!("content-length: {}\r\n", body.len()) } else { String::new() };
        let bytes = format!("{method} {target} HTTP/1.1\r\nhost: {{host}}\r\n{length}\r\n{body}");
        Asked { method, bytes, seen: Seen { body: body.into(), ..Seen::of(method, target) } }
    }
}

// === All at once ===

impl Crowd {
    fn judge(&self, lane: &Lane) -> Result<(), String> {
        lane.recorder.begin(self.dyno.clone().into());
        let asked = |client: usize| (0..CROWD.1).map(move |n| Asked::new(client + n, &format!("/crowd/{client}/{n}")));
        let told: Vec<String> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CROWD.0).map(|client| scope.spawn(move || ask(lane, asked(client)))).collect();
            clients.into_iter().filter_map(|client| client.join().expect("a client does not panic").err()).collect()
        });
        let reach = Reach::Each((0..CROWD.0).flat_map(asked).map(|asked| asked.seen).collect());
        let faults = [told, judge::reached(&reach, true, &[], &lane.settled(), &lane.host)].concat();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }
}

/// Asks one after the other on one connection; each is answered, and a connection that has ended costs not even an attempt.
fn ask(lane: &Lane, all: impl Iterator<Item = Asked>) -> Result<(), String> {
    let mut client = Client::connect(lane.edge).map_err(|error| format!("connect: {error}"))?;
    for asked in all {
        let from = client.heard.len();
        client.send(&filled(asked.bytes.as_bytes(), b"{host}", &lane.host));
        client.until(ANSWER_MAX, |heard| Answers::read(&heard[from..], &[asked.method], false).whole() > 0);
        let heard = &client.heard[from..];
        let answers = Answers::read(heard, &[asked.method], false);
        let is_once = |answer: &Answer| answer.status == 200 && answer.all("x-dynomesh-attempts").eq(["1"]);
        if !answers.last.first().is_some_and(is_once) {
            return Err(format!("{} {} was told {} ({:?})", asked.method, asked.seen.target, shown(heard), client.state));
        }
    }
    Ok(())
}

impl Judged for Play {
    fn name(&self) -> (&'static str, &str) {
        match self {
            Play::One(case) => case.name(),
            Play::Crowd(crowd) => ("9.3.1", &crowd.name),
        }
    }

    fn judge(&self, lane: &Lane, number: usize) -> Result<(), String> {
        match self {
            Play::One(case) => Judged::judge(&**case, lane, number),
            Play::Crowd(crowd) => crowd.judge(lane),
        }
    }
}
