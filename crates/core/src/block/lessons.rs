//! How a block learns whether a dyno takes one request at a time.
//!
//! A question is sent behind a running request. A dyno that takes several at a time answers while the request goes on and on; one that
//! takes one at a time answers just as the request ends. A request may end by chance just when a threaded dyno answers, so the same
//! lesson must come several times in a row before it decides anything; what lies between says nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::DynoId;

/// The same lesson so often in a row decides.
pub const LESSONS_MIN: u32 = 3;

/// What is being learned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lessons {
    busy: BTreeSet<DynoId>,
    /// The last lesson and how often it came.
    seen: BTreeMap<DynoId, (bool, u32)>,
}

impl Lessons {
    /// Dynos with a question open.
    pub fn busy(&self) -> &BTreeSet<DynoId> {
        &self.busy
    }

    /// A question is sent to this dyno.
    pub fn begin(&mut self, dyno: DynoId) {
        self.busy.insert(dyno);
    }

    /// Counts what a question showed: `Some(true)`, the answer waited for the request; `Some(false)`, the request outlasted the answer;
    /// `None`, nothing. The same lesson so many times in a row decides, and is returned.
    pub fn note(&mut self, dyno: &DynoId, lesson: Option<bool>) -> Option<bool> {
        self.busy.remove(dyno);
        let lesson = lesson?;
        let (last, times) = self.seen.entry(dyno.clone()).or_insert((lesson, 0));
        *times = if *last == lesson { *times + 1 } else { 1 };
        *last = lesson;
        if *times < LESSONS_MIN {
            return None;
        }
        self.seen.remove(dyno);
        Some(lesson)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dyno_is_known_after_the_same_lesson_three_times_in_a_row() {
        let dyno = DynoId::new("d1").unwrap();
        let mut lessons = Lessons::default();
        for lesson in [Some(true), Some(true), None, Some(false), Some(true), Some(true)] {
            assert_eq!(lessons.note(&dyno, lesson), None);
        }
        assert_eq!(lessons.note(&dyno, Some(true)), Some(true));
        let told: Vec<_> = (0..3).map(|_| lessons.note(&dyno, Some(false))).collect();
        assert_eq!(told, [None, None, Some(false)]);
    }
}
