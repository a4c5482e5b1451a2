//! A dyno that closes its idle connections just as the next request is written to them.

use super::{get, post};
use crate::case::{After, Case, Dyno, Reach, Seen, Step, Told, passed};

/// Requests of one case, one after the other.
const TURNS: usize = 12;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for micros in [0, 20, 50, 100, 150, 200, 300, 500, 800, 1200, 2000, 5000] {
        let gets = turns(format!("GETs, closed {micros} us behind an answer"), "GET", &get(""), &Seen::get("/case"), micros);
        let each = vec![vec![Told::Status(&[200])]; TURNS];
        cases.push(Case { repeats: true, reach: Reach::AtMost(vec![Seen::get("/case"); TURNS * 2]), ..gets.each(each) });
        let seen = Seen::post("/case", "body");
        let posts =
            turns(format!("POSTs, closed {micros} us behind an answer"), "POST", &post("content-length: 4\r\n", "body"), &seen, micros);
        // None may run twice; one that was written as its connection closed may have run or not, and nobody can say which.
        let mut told = vec![Told::Status(&[200])];
        told.extend((micros > 0).then_some(Told::Mesh(&[502])));
        cases.push(posts.each(vec![told; TURNS]).reach(Reach::AtMost(vec![seen; TURNS])));
    }
    cases
}

fn turns(name: String, method: &'static str, bytes: &str, seen: &Seen, micros: u64) -> Case {
    let case = passed("9.3.1", name, bytes, seen.clone()).methods(&[method; TURNS]).dyno(Dyno::Idles(micros)).after(After::Either);
    (1..TURNS).fold(case, |case, n| case.then(Step::AwaitLast(n)).send(bytes))
}
