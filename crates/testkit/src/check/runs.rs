//! What dynos ran, request by request: the lines of a journal put together, which several checkers need.

use std::collections::HashMap;

use dynomesh_agent::demo::journal::{Arrival, Ending, Event};
use dynomesh_core::time::Time;

use crate::history::History;

/// A request at a dyno, from its arrival to the end of its work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    /// The dyno.
    pub(super) dyno: &'a str,
    /// The request as it arrived.
    pub(super) start: &'a Arrival,
    /// When it did.
    pub(super) began: Time,
    /// How it ended and when; `None` if that was not written: the dyno died with it, or still ran it when its journal was read.
    pub(super) end: Option<(&'a Ending, Time)>,
}

/// Every run of a history, dyno by dyno, in the order they began there.
pub(super) fn all(history: &History) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::with_capacity(history.dynos.values().map(|diary| diary.lines.len() / 2).sum());
    for (dyno, diary) in &history.dynos {
        let mut open = HashMap::new();
        for line in &diary.lines {
            let at = Time::from_nanos(line.boot_ns);
            match &line.event {
                // Numbers count anew in each life of a dyno.
                Event::Listen { .. } => open.clear(),
                Event::Start(start) => {
                    open.insert(start.n, runs.len());
                    runs.push(Run { dyno: dyno.as_str(), start, began: at, end: None });
                }
                Event::End(end) => {
                    if let Some(place) = open.remove(&end.n) {
                        runs[place].end = Some((end, at));
                    }
                }
            }
        }
    }
    runs
}

impl<'a> Run<'a> {
    /// The name that its client gave it.
    pub(super) fn key(&self) -> Option<&'a str> {
        self.start.key.as_deref()
    }

    /// The number that the mesh gave the request.
    pub(super) fn number(&self) -> Option<&'a str> {
        self.start.request.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_put_to_their_starts_and_a_new_life_counts_anew() {
        let history = History::default().dyno("d", 2).listen("d").start("d", 1, "a", None).start("d", 2, "b", None).end("d", 2);
        let history = history.listen("d").start("d", 1, "c", None).end("d", 1).end("d", 9);
        let runs = all(&history);
        let told: Vec<_> = runs.iter().map(|run| (run.key().unwrap(), run.end.map(|(_, at)| at.as_nanos()))).collect();
        assert_eq!(told, [("a", None), ("b", Some(3)), ("c", Some(6))]);
    }
}
