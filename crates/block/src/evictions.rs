//! The evictions that this replica has heard of, on its disk.
//!
//! Only the directory says that a block was evicted, and gossip keeps its word for as long as anybody lives who heard it. When everything was
//! stopped and control comes back last, nobody does: a block that was evicted while it was away would hear others, learn nothing from them,
//! and serve what is theirs by now (P16). So each replica writes down what it has heard before it acts on anything that came with it, and says
//! it again after its start: who adopted the dynos of an evicted block can tell it.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use dynomesh_core::gossip::LASTING_MAX;
use dynomesh_core::id::Version;
use dynomesh_core::map::fact::EvictedFact;
use dynomesh_core::map::{Fact, MapView};
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::file;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

/// The file in the replica's folder: one fact on a line, newest first.
const FILE: &str = "evictions";
/// How long what came with an eviction waits until that is on disk.
const WRITE_MAX: Duration = Duration::from_secs(1);
/// How long after a failure it is tried again.
const PAUSE: Span = Span::from_secs(1);

/// What this replica has heard, and what it knew when it started.
pub(crate) struct Evictions {
    file: PathBuf,
    said: Vec<Fact>,
    kept: Mark,
    /// What is being written down.
    writing: Option<(Mark, JoinHandle<io::Result<()>>)>,
    /// When it may be tried again, after it failed.
    again: Option<Time>,
}

/// How many are known, and the newest of them.
type Mark = (usize, Option<Version>);

impl Evictions {
    /// Reads what was kept in `dir`. What a later version wrote there and this one cannot read is left out.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let file = dir.join(FILE);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&bytes);
        let facts = text.lines().filter_map(|line| Fact::read(line).ok());
        let evicted: Vec<EvictedFact> = facts.filter_map(evicted).take(LASTING_MAX).collect();
        let kept = (evicted.len(), evicted.iter().map(|fact| fact.version).max());
        Ok(Evictions { file, said: evicted.into_iter().map(Fact::Evicted).collect(), kept, writing: None, again: None })
    }

    /// What was known when the process started: to be in the view before anything else, and to be said for as long as it lives.
    pub(crate) fn said(&self) -> impl Iterator<Item = Fact> {
        self.said.iter().cloned()
    }

    /// Writes down what the view holds, if that is more than before. A disk that hangs is waited for once, and then left to itself: what is
    /// heard must be obeyed all the same.
    pub(crate) async fn keep(&mut self, now: Time, view: &MapView) {
        let heard = (view.evictions().len(), view.evictions().map(|fact| fact.version).max());
        let (mut writing, wait) = match self.writing.take() {
            Some(writing) => (writing, Duration::ZERO),
            None if heard == self.kept || self.again.is_some_and(|again| now < again) => return,
            None => {
                let (path, text) = (self.file.clone(), written(view));
                let task = tokio::task::spawn_blocking(move || file::replace(&path, text.as_bytes()));
                ((heard, task), WRITE_MAX)
            }
        };
        let Ok(done) = timeout(wait, &mut writing.1).await else {
            self.writing = Some(writing);
            return;
        };
        match done.unwrap_or_else(|ended| Err(io::Error::other(ended))) {
            Ok(()) => (self.kept, self.again) = (writing.0, None),
            Err(error) => {
                if self.again.replace(now + PAUSE).is_none() {
                    warn!(file = %self.file.display(), %error, "evictions are not written down; it will be tried again");
                }
            }
        }
    }
}

fn evicted(fact: Fact) -> Option<EvictedFact> {
    match fact {
        Fact::Evicted(fact) => Some(fact),
        _ => None,
    }
}

/// The newest that the view holds, as many as gossip keeps.
fn written(view: &MapView) -> String {
    let mut facts: Vec<&EvictedFact> = view.evictions().collect();
    facts.sort_by_key(|fact| Reverse(fact.version));
    let lines = facts.into_iter().take(LASTING_MAX).filter_map(|fact| Fact::Evicted(fact.clone()).write().ok());
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use dynomesh_core::id::{BlockName, GroupId};

    use super::*;

    fn fact(nth: u64) -> Fact {
        Fact::Evicted(EvictedFact { block: BlockName::new("b1").unwrap(), group: GroupId(nth.into()), version: Version(nth) })
    }

    #[tokio::test]
    async fn what_was_heard_is_said_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut view = MapView::new();
        let mut evictions = Evictions::open(dir.path()).unwrap();
        evictions.keep(Time::ZERO, &view).await;
        assert!(!dir.path().join(FILE).exists(), "nothing was heard");
        for nth in [7, 3] {
            view.absorb(fact(nth));
            evictions.keep(Time::ZERO, &view).await;
        }
        assert_eq!(evictions.said().count(), 0);
        let next = Evictions::open(dir.path()).unwrap();
        assert_eq!(next.said().collect::<Vec<_>>(), [fact(7), fact(3)]);
        assert_eq!(next.kept, evictions.kept, "it would write the same again");
    }

    #[tokio::test]
    async fn no_more_is_kept_than_gossip_keeps_and_a_line_of_another_version_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut view = MapView::new();
        let max = LASTING_MAX as u64;
        for nth in 0..max + 2 {
            view.absorb(fact(nth));
        }
        Evictions::open(dir.path()).unwrap().keep(Time::ZERO, &view).await;
        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        let strange = [b"{\"v\":2,\"kind\":\"evicted\"}\n\xff\xfe\n", text.as_bytes()].concat();
        fs::write(&path, strange).unwrap();
        let next = Evictions::open(dir.path()).unwrap();
        assert_eq!((next.said().count(), next.said().next()), (LASTING_MAX, Some(fact(max + 1))));
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_tried_again_after_a_pause() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut view = MapView::new();
        view.absorb(fact(7));
        let mut evictions = Evictions::open(&data).unwrap();
        evictions.keep(Time::ZERO, &view).await;
        fs::create_dir(&data).unwrap();
        evictions.keep(Time::ZERO, &view).await;
        assert!(!data.join(FILE).exists(), "it was tried without a pause");
        evictions.keep(Time::ZERO + PAUSE, &view).await;
        assert_eq!(Evictions::open(&data).unwrap().said().collect::<Vec<_>>(), [fact(7)]);
    }
}
