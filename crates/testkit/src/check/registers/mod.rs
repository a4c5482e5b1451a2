//! `registers`: the admin API behaves as if each register were one, read and written by one caller at a time (linearizability).
//!
//! A register holds a value or does not exist, and has a version that only grows: a write gives it a later one, a write of what it holds
//! already changes nothing, and one that does not exist shows version 0. Judged register by register: is there an order of its calls, each
//! at a moment between its begin and its end, in which all answers are right? A call whose outcome is unknown may have taken effect at any
//! time since its begin, also after its caller gave up, or never. One that failed for certain has not, and is left out.
//!
//! The order is searched as Wing and Gong do, with Lowe's memory of what was tried (`search`). What the register held before the first
//! call is unknown as well. A search that takes more than [`Limits::steps_max`] steps is given up and told as inconclusive, never as good.
//!
//! A read that may be behind ([`Operation::ReadBehind`]) only has to tell a state that the register can have had by then: something that
//! was written, by a call that had begun, under that version; and where nothing was broken for [`Limits::recovery`], nothing older than what
//! was the last word [`Limits::behind`] ago. Unknown: calls without an outcome, and reads behind that tell of a time
//! before the first call.

mod search;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use self::search::{Deed, Found, Op};
use super::{Limits, Report};
use crate::history::{Call, History, Incident, Operation, Returned};

/// A value as a small number.
type Value = u32;
/// The value of a register that does not exist.
const ABSENT: Value = 0;
/// The version of a register that does not exist.
const NONE: u64 = 0;

/// Judges every register that a call of the history concerns.
pub fn check(history: &History, limits: &Limits) -> Report {
    let mut report = Report::new("registers");
    let mut registers: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in &history.calls {
        registers.entry(call.register.as_str()).or_default().push(call);
    }
    for (register, calls) in registers {
        judge(register, &calls, &history.incidents, limits, &mut report);
    }
    report
}

fn judge(register: &str, calls: &[&Call], incidents: &[Incident], limits: &Limits, report: &mut Report) {
    let mut words = Words::default();
    let mut done: Vec<Op> = Vec::new();
    let mut maybe: Vec<Op> = Vec::new();
    let mut behind: Vec<Op> = Vec::new();
    let before = report.violations.len();
    for call in calls {
        match op(call, &mut words) {
            Ok(Some(op)) if op.end == u64::MAX => maybe.push(op),
            Ok(Some(op)) if call.operation == Operation::ReadBehind => behind.push(op),
            Ok(Some(op)) => done.push(op),
            Ok(None) => {}
            Err(problem) => report.violations.push(format!("{register}: {problem}")),
        }
        match call.returned {
            Returned::Ok { .. } | Returned::Stale(_) => report.judged += 1,
            Returned::Unknown(_) => report.unknown += 1,
            Returned::Failed(_) => {}
        }
    }
    let told = |op: &Op| format!("{:?} at {} ms", op.deed, op.begin / 1_000_000);
    judge_versions(register, done.iter().chain(&behind), &words, report);
    judge_behind(register, &done, &maybe, &behind, &words, report);
    let broken = |read: &Op| {
        let meets = |incident: &Incident| {
            let over = incident.ended.map_or(u64::MAX, |ended| (ended + limits.recovery).as_nanos());
            incident.began.as_nanos() < read.end && read.begin < over
        };
        incidents.iter().any(meets)
    };
    judge_late(register, &done, &maybe, behind.iter().filter(|read| !broken(read)), limits, &words, report);
    if report.violations.len() > before {
        return;
    }
    match search::run(done, maybe, limits.steps_max) {
        Found::Order => {}
        Found::GaveUp { steps } => {
            report.inconclusive.push(format!("{register}: no order of {} calls was found in {steps} steps", calls.len()))
        }
        Found::None { ordered, stuck } => {
            let stuck: Vec<String> = stuck.iter().take(4).map(|op| words.spell(told(op))).collect();
            let of = calls.len();
            report
                .violations
                .push(format!("{register}: no order explains its {of} calls; {ordered} can be put in one, then: {}", stuck.join("; ")));
        }
    }
}

/// A call as the search takes it; `None` if it says nothing.
fn op(call: &Call, words: &mut Words) -> Result<Option<Op>, String> {
    let (begin, end) = (call.begun.as_nanos(), call.ended.as_nanos());
    let done = |deed| Ok(Some(Op { begin, end, deed }));
    let maybe = |deed| Ok(Some(Op { begin, end: u64::MAX, deed }));
    let wrong = |told: &str| Err(format!("{told}: {:?} was answered {:?}", call.operation, call.returned));
    match (&call.operation, &call.returned) {
        (_, Returned::Failed(_)) | (Operation::Read | Operation::ReadBehind, Returned::Unknown(_)) => Ok(None),
        (_, Returned::Ok { value, version }) if value.is_none() != (*version == NONE) => wrong("a value without a version, or the reverse"),
        (Operation::Read | Operation::ReadBehind, Returned::Ok { value, version }) => {
            done(Deed::Read { value: words.number(value), version: *version })
        }
        (Operation::Write { value: asked } | Operation::CompareAndSet { value: asked, .. }, Returned::Ok { value, .. })
            if asked != value =>
        {
            wrong("another value than was written")
        }
        (Operation::Write { value }, Returned::Ok { version, .. }) => done(Deed::Write { value: words.number(value), version: *version }),
        (Operation::CompareAndSet { expected, value }, Returned::Ok { version, .. }) => {
            done(Deed::Swap { expected: *expected, value: words.number(value), version: *version })
        }
        (Operation::CompareAndSet { expected, .. }, Returned::Stale(_)) => done(Deed::Stale { expected: *expected }),
        (_, Returned::Stale(_)) => wrong("nothing was expected"),
        (Operation::Write { value }, Returned::Unknown(_)) => maybe(Deed::MayWrite { value: words.number(value) }),
        (Operation::CompareAndSet { expected, value }, Returned::Unknown(_)) => {
            maybe(Deed::MaySwap { expected: *expected, value: words.number(value) })
        }
    }
}

/// A version never stands for two values.
fn judge_versions<'a>(register: &str, ops: impl Iterator<Item = &'a Op>, words: &Words, report: &mut Report) {
    let mut values: HashMap<u64, Value> = HashMap::new();
    for (value, version) in ops.filter_map(Op::seen).filter(|(_, version)| *version != NONE) {
        let first = *values.entry(version).or_insert(value);
        if first != value {
            let (first, value) = (words.text(first), words.text(value));
            report.violations.push(format!("{register}: version {version} is both {first} and {value}"));
        }
    }
}

/// What a replica that is behind tells must have been so by then.
fn judge_behind(register: &str, done: &[Op], maybe: &[Op], behind: &[Op], words: &Words, report: &mut Report) {
    // When the first call began that showed a version, or that wrote a value of which no version is known.
    let mut shown: HashMap<u64, u64> = HashMap::new();
    for op in done {
        if let Some((_, version)) = op.seen() {
            shown.entry(version).and_modify(|first| *first = op.begin.min(*first)).or_insert(op.begin);
        }
    }
    let mut written: HashMap<Value, u64> = HashMap::new();
    for op in maybe {
        written.entry(op.writes()).and_modify(|first| *first = op.begin.min(*first)).or_insert(op.begin);
    }
    let oldest = shown.keys().copied().filter(|version| *version != NONE).min().unwrap_or(u64::MAX);
    for (op, (value, version)) in behind.iter().filter_map(|op| Some((op, op.seen()?))) {
        let known = [shown.get(&version), written.get(&value)];
        if known.iter().flatten().any(|first| **first <= op.end) {
            continue;
        }
        // Before the first call the register may have held anything, that too which calls found there.
        if version <= oldest {
            report.judged -= 1;
            report.unknown += 1;
            continue;
        }
        report
            .violations
            .push(format!("{register}: a replica told of {} in version {version}, which nobody had written by then", words.text(value)));
    }
}

/// What a replica tells that nobody keeps from hearing the others is the last word, or was until a moment ago.
fn judge_late<'a>(
    register: &str,
    done: &[Op],
    maybe: &[Op],
    reads: impl Iterator<Item = &'a Op>,
    limits: &Limits,
    words: &Words,
    report: &mut Report,
) {
    let removes = done.iter().filter(|op| op.deed.is_write() && op.seen().is_some_and(|(value, _)| value == ABSENT));
    let gone = removes.chain(maybe.iter().filter(|op| op.writes() == ABSENT)).map(|op| op.begin).min().unwrap_or(u64::MAX);
    for (read, (value, version)) in reads.filter_map(|read| Some((read, read.seen()?))) {
        // A register that somebody may have removed is rightly not there.
        if value == ABSENT && gone <= read.end {
            continue;
        }
        let old = |op: &&Op| op.end.saturating_add(limits.behind.as_nanos()) <= read.begin;
        let newest = done.iter().filter(old).filter_map(Op::seen).map(|(_, version)| version).max();
        if let Some(newest) = newest.filter(|newest| *newest > version) {
            let told = words.text(value);
            let behind = limits.behind;
            report.violations.push(format!(
                "{register}: a replica that nothing was wrong with told of {told} in version {version}, over {behind} after version {newest}"
            ));
        }
    }
}

/// Values and their numbers.
#[derive(Debug, Default)]
struct Words {
    numbers: HashMap<String, Value>,
    texts: Vec<String>,
}

impl Words {
    fn number(&mut self, text: &Option<String>) -> Value {
        let Some(text) = text else { return ABSENT };
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.texts.push(text.clone());
        let number = search::FOREIGN + Value::try_from(self.texts.len()).unwrap_or(Value::MAX - search::FOREIGN);
        self.numbers.insert(text.clone(), number);
        number
    }

    fn text(&self, number: Value) -> String {
        let place = number.checked_sub(search::FOREIGN + 1).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| self.texts.get(place)) {
            Some(text) => format!("{text:?}"),
            None => "nothing".into(),
        }
    }

    /// A told operation with its value as text.
    fn spell(&self, told: String) -> String {
        let Some((head, tail)) = told.split_once("value: ") else { return told };
        let digits = tail.chars().take_while(char::is_ascii_digit).count();
        match tail[..digits].parse() {
            Ok(number) => format!("{head}value: {}{}", self.text(number), &tail[digits..]),
            Err(_) => told,
        }
    }
}
