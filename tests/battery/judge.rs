//! What is right: the judgement on one case, from bytes alone.

use crate::answer::{Answer, Answers, End};
use crate::case::{After, Case, Reach, Told};
use crate::client::State;
use crate::dyno::{Connection, saying};
use crate::reading::{self, Request, Rest};

/// A well-formed request that follows a case.
#[derive(Debug, Clone)]
pub(crate) struct Good {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) body: String,
}

/// What was seen of a case.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) answers: Answers,
    pub(crate) state: State,
    /// How the well-formed requests behind it fared.
    pub(crate) next: Result<(), String>,
    pub(crate) good: Vec<Good>,
    pub(crate) connections: Vec<Connection>,
}

/// Whether the dyno waits for more of a request, so that there is more to see.
pub(crate) fn is_unsettled(connections: &[Connection]) -> bool {
    connections.iter().any(|connection| !connection.closed && reading::PLAIN.stream(&connection.bytes).rest == Rest::Partial)
}

/// All that is wrong with a case.
pub(crate) fn of(case: &Case, seen: &Seen, host: &str) -> Vec<String> {
    let mut faults = Vec::new();
    told(case, seen, &mut faults);
    faults.extend(of_leaver(case, seen, host));
    faults
}

/// The same for a client that did not wait for an answer.
pub(crate) fn of_leaver(case: &Case, seen: &Seen, host: &str) -> Vec<String> {
    let mut faults: Vec<String> = seen.next.clone().err().into_iter().collect();
    faults.extend(reached(&case.reach, case.repeats, &seen.good, &seen.connections, host));
    faults
}

// === The client's side ===

fn told(case: &Case, seen: &Seen, faults: &mut Vec<String>) {
    let answers = &seen.answers;
    faults.extend(answers.fault.iter().map(|fault| format!("the client was told what no server may say: {fault}")));
    if !answers.rest.is_empty() {
        faults.push(format!("the client was told more than it asked for: \"{}\"", answers.rest.escape_ascii()));
    }
    faults.extend(answers.interim.iter().chain(&answers.last).flat_map(Answer::faults));
    let interim: Vec<u16> = answers.interim.iter().map(|answer| answer.status).collect();
    if !case.interim.contains(&interim) {
        faults.push(format!("interim answers {interim:?}, none of {:?}", case.interim));
    }
    let mut cut = false;
    for (n, allowed) in case.told.iter().enumerate() {
        let answer = answers.last.get(n);
        // Behind an answer that closes there is nothing more.
        if answer.is_none() && cut {
            continue;
        }
        if !allowed.iter().any(|told| is_told(told, answer, seen.state)) {
            let what = answer.map_or_else(|| format!("no answer ({:?})", seen.state), Answer::to_string);
            faults.push(format!("request {} was told {what}, none of {allowed:?}", n + 1));
        }
        cut |= answer.is_none_or(|answer| answer.closes() || answer.end != End::Told);
    }
    match (case.after, seen.state) {
        (After::Closed, State::Open) => faults.push("the connection stays open".into()),
        (After::Open, State::Ended | State::Reset) if answers.last.last().is_none_or(|answer| answer.end == End::Told) => {
            faults.push("the connection is closed".into());
        }
        _ => {}
    }
    if let Some(answer) = answers.last.last() {
        fields(case, answer, faults);
    }
}

fn fields(case: &Case, answer: &Answer, faults: &mut Vec<String>) {
    for (name, value) in &case.with {
        if !answer.all(name).any(|known| known == value) {
            faults.push(format!("the answer lacks {name}: {value}"));
        }
    }
    for name in &case.without {
        if answer.all(name).next().is_some() || answer.trailers.iter().any(|(known, _)| known == name) {
            faults.push(format!("the answer has {name}"));
        }
    }
}

fn is_told(told: &Told, answer: Option<&Answer>, state: State) -> bool {
    let Some(answer) = answer else { return matches!(told, Told::Closed) && state != State::Open };
    let whole = answer.end != End::Missing;
    match told {
        Told::Status(statuses) => whole && statuses.contains(&answer.status),
        Told::Mesh(statuses) => whole && answer.is_of_the_mesh() && statuses.contains(&answer.status),
        Told::Whole { status, body } => whole && !answer.is_of_the_mesh() && answer.status == *status && answer.body == *body,
        Told::Broken => !whole && state != State::Open,
        Told::Closed => false,
    }
}

// === The dyno's side ===

/// All that is wrong with what reached the dyno.
pub(crate) fn reached(reach: &Reach, repeats: bool, good: &[Good], connections: &[Connection], host: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut came: Vec<Request> = Vec::new();
    for connection in connections {
        faults.extend(reading::faults(&connection.bytes).into_iter().map(|fault| format!("the dyno was sent what none may send: {fault}")));
        match reading::agreed(&connection.bytes) {
            Err(fault) => faults.push(format!("readings differ: {fault}")),
            Ok(stream) => {
                match stream.rest {
                    Rest::Clean => {}
                    // A request that breaks off with its connection has not been made.
                    Rest::Partial if connection.closed => {}
                    Rest::Partial => faults.push("the dyno waits for the rest of a request".into()),
                    Rest::Bad(why) => faults.push(format!("the dyno was sent {why}")),
                }
                came.extend(stream.requests);
            }
        }
    }
    let (kept, mut came): (Vec<Request>, Vec<Request>) = came.into_iter().partition(|request| request.target.starts_with("/good/"));
    for request in kept {
        let known =
            good.iter().any(|good| good.method == request.method && good.target == request.target && good.body.as_bytes() == request.body);
        if !known {
            faults.push(format!("the dyno was sent {request}, which nobody sent"));
        }
    }
    if let Reach::Each(wanted) = reach {
        came.sort_by_key(|request| wanted.iter().position(|wanted| wanted.method == request.method && wanted.target == request.target));
    }
    if repeats {
        came.dedup_by(|later, earlier| {
            later.method != "POST" && later.method == earlier.method && later.target == earlier.target && later.body == earlier.body
        });
    }
    let (wanted, most) = match reach {
        Reach::Nothing => (&[][..], true),
        Reach::Each(wanted) => (&wanted[..], false),
        Reach::These(wanted) => (&wanted[..], false),
        Reach::AtMost(wanted) => (&wanted[..], true),
        Reach::Any => return faults,
    };
    for (n, request) in came.iter().enumerate() {
        match wanted.get(n) {
            None => faults.push(format!("the dyno was sent {request}, which is one too many")),
            Some(wanted) => {
                faults.extend(differences(wanted, request, host).into_iter().map(|fault| format!("the dyno was sent {request}: {fault}")))
            }
        }
    }
    if came.len() < wanted.len() && !most {
        faults.push(format!("the dyno was sent {} of {} requests", came.len(), wanted.len()));
    }
    faults
}

fn differences(wanted: &crate::case::Seen, request: &Request, host: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if request.method != wanted.method || request.target != wanted.target {
        faults.push(format!("it should be {} {}", wanted.method, wanted.target));
    }
    let wanted_host = wanted.host.as_deref().unwrap_or("{host}").replace("{host}", host);
    if !request.one("host").is_some_and(|host| host.eq_ignore_ascii_case(&wanted_host)) {
        faults.push(format!("its host is {:?}", request.one("host")));
    }
    if request.body != wanted.body {
        faults.push(format!("its body should be \"{}\"", wanted.body.escape_ascii()));
    }
    for (name, value) in &wanted.with {
        let any = value == "*" && request.all(name).next().is_some();
        if !any && request.one(name).or_else(|| trailer(request, name)) != Some(value) {
            faults.push(format!("it lacks {name}: {value}"));
        }
    }
    for name in &wanted.without {
        // A name alone, or with the value that it may not have.
        let has = match name.split_once(": ") {
            Some((name, value)) => request.all(name).any(|known| known == value),
            None => request.all(name).next().is_some() || trailer(request, name).is_some(),
        };
        if has {
            faults.push(format!("it has {name}"));
        }
    }
    faults
}

fn trailer<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.trailers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

// === impl Good ===

impl Good {
    /// On the wire.
    pub(crate) fn bytes(&self, host: &str) -> Vec<u8> {
        let length = if self.body.is_empty() { String::new() } else { format!("content-length: {}\r\n", self.body.len()) };
        format!("{} {} HTTP/1.1\r\nhost: {host}\r\n{length}\r\n{}", self.method, self.target, self.body).into_bytes()
    }

    /// Its answer is its own, and nothing is behind it.
    pub(crate) fn judge(&self, heard: &[u8]) -> Result<(), String> {
        let answers = Answers::read(heard, &[self.method], false);
        let wanted = saying(self.method, &self.target, self.body.as_bytes());
        let right = answers.last.first().is_some_and(|answer| answer.status == 200 && answer.end == End::Told && answer.body == wanted);
        let alone = answers.interim.is_empty() && answers.rest.is_empty() && answers.fault.is_none();
        if right && alone { Ok(()) } else { Err(format!("{} {} was told \"{}\"", self.method, self.target, heard.escape_ascii())) }
    }
}

#[cfg(test)]
mod tests;
