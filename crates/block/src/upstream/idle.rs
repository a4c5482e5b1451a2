//! Connections to dynos that wait for their next request.
//!
//! They stand under the router's lock beside the slots, and that keeps their promise simple: open connections to a dyno, idle ones
//! included, are never more than it may have. A link comes here before its slot is freed; whoever is given a slot is given an idle link of
//! that dyno with it, if there is one, and uses or closes it before it opens another. So a dyno's idle links and the slots in use are never
//! more than its slots.

use std::collections::BTreeMap;

use dynomesh_core::id::DynoId;
use dynomesh_core::time::{Span, Time};

use super::Link;

/// See the module.
#[derive(Default)]
pub(crate) struct Idle {
    links: BTreeMap<DynoId, Resting>,
    /// Dynos that are being asked something behind which an idle link would stand in the way, and how often.
    asked: BTreeMap<DynoId, usize>,
}

struct Resting {
    keep: Span,
    links: Vec<Link>,
}

impl Idle {
    /// Keeps a link for at most `keep`.
    pub(crate) fn put(&mut self, now: Time, dyno: &DynoId, mut link: Link, keep: Span) {
        if self.asked.contains_key(dyno) {
            return;
        }
        link.rest(now);
        match self.links.get_mut(dyno) {
            Some(resting) => {
                resting.keep = keep;
                resting.links.push(link);
            }
            None => drop(self.links.insert(dyno.clone(), Resting { keep, links: vec![link] })),
        }
    }

    /// The link used last. It may have ended since; see [`Link::is_good`].
    pub(crate) fn take(&mut self, now: Time, dyno: &DynoId) -> Option<Link> {
        let resting = self.links.get_mut(dyno)?;
        let keep = resting.keep;
        resting.links.pop().filter(|link| now.since(link.since()) < keep)
    }

    /// Whether a dyno holds an idle link open: it needs not be asked whether it accepts connections.
    pub(crate) fn proves_up(&self, dyno: &DynoId) -> bool {
        self.links.get(dyno).is_some_and(|resting| resting.links.iter().any(Link::is_good))
    }

    /// Closes those of one dyno.
    pub(crate) fn close(&mut self, dyno: &DynoId) {
        self.links.remove(dyno);
    }

    /// Closes all.
    pub(crate) fn close_all(&mut self) {
        self.links.clear();
    }

    /// Closes what is too old or has ended.
    pub(crate) fn reap(&mut self, now: Time) {
        self.links.retain(|_, resting| {
            let keep = resting.keep;
            resting.links.retain(|link| now.since(link.since()) < keep && link.freedom() == super::Freedom::Free);
            !resting.links.is_empty()
        });
    }

    /// A question to a dyno begins: until it ends, no link to it rests.
    pub(crate) fn begin_question(&mut self, dyno: &DynoId) {
        self.close(dyno);
        *self.asked.entry(dyno.clone()).or_default() += 1;
    }

    pub(crate) fn end_question(&mut self, dyno: &DynoId) {
        if let Some(count) = self.asked.get_mut(dyno) {
            *count -= 1;
            if *count == 0 {
                self.asked.remove(dyno);
            }
        }
    }

    /// Idle links, to all dynos.
    pub(crate) fn len(&self) -> usize {
        self.links.values().map(|resting| resting.links.len()).sum()
    }
}
