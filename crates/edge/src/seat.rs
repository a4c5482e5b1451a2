//! Who leads each block, as this edge knows it, and whether that leader can be used now.
//!
//! A seat learns from three sources: the map, corrections on responses ("leader is X"), and the answers to beats. Whatever the source,
//! a leader replaces another only when it is newer by (term, replica) (P24), so a late or repeated word can never lead the edge back.
//! A leader that failed us makes the seat vacant at once for all data threads; only a newer leader, or a beat that the same leader
//! answers as leader, fills it again. The map alone never does: its word about a dead leader may be older than the death.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use dynomesh_core::id::{BlockName, GroupId};
use dynomesh_core::map::fact::{LeaderFact, ReplicaFact};
use dynomesh_runtime::http::headers::Leader;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

use crate::metrics::Metrics;

/// What is known about a block's replicas.
#[derive(Debug, Clone)]
pub(crate) struct Seating {
    /// Identity of the block; leaders of another identity do not compare.
    pub(crate) group: Option<GroupId>,
    /// The newest leader known.
    pub(crate) leader: Option<Leader>,
    /// Whether the leader failed us since we learned of it.
    pub(crate) vacant: bool,
    /// The members of the group by the map.
    pub(crate) replicas: Arc<[ReplicaFact]>,
}

/// A block's seat.
#[derive(Debug)]
pub(crate) struct Seat {
    name: BlockName,
    seating: ArcSwap<Seating>,
    /// Whether some data thread looks for a leader now.
    searched: AtomicBool,
    /// Counts its answers; found once.
    answered: OnceLock<Counter>,
    changes: Arc<Changes>,
}

/// All seats, and word of their changes.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    entries: DashMap<BlockName, Arc<Seat>>,
    changes: Arc<Changes>,
}

/// Wakes requests that wait for a leader.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    notify: Notify,
    leaders: AtomicU64,
}

fn newer(found: &Leader, known: &Leader) -> bool {
    (found.term, found.replica) > (known.term, known.replica)
}

fn same(found: &Leader, known: &Leader) -> bool {
    (found.term, found.replica) == (known.term, known.replica)
}

// === impl Seat ===

impl Seat {
    fn new(name: BlockName, changes: Arc<Changes>) -> Self {
        let seating = Seating { group: None, leader: None, vacant: true, replicas: Arc::new([]) };
        Seat { name, seating: ArcSwap::from_pointee(seating), searched: AtomicBool::new(false), answered: OnceLock::new(), changes }
    }

    /// The block.
    pub(crate) fn name(&self) -> &BlockName {
        &self.name
    }

    /// Counts an answer of one of its dynos.
    pub(crate) fn count_answer(&self, metrics: &Metrics) {
        self.answered.get_or_init(|| metrics.attempts_at(&self.name, None)).inc();
    }

    /// All that is known now.
    pub(crate) fn seating(&self) -> Arc<Seating> {
        self.seating.load_full()
    }

    /// The leader, if it can be used.
    pub(crate) fn leader(&self) -> Option<Leader> {
        let seating = self.seating.load();
        seating.leader.filter(|_| !seating.vacant)
    }

    /// Takes the map's word. Returns whether the leader changed.
    pub(crate) fn absorb(&self, fact: &LeaderFact) -> bool {
        let Some(http) = fact.replicas.iter().find(|replica| replica.id == fact.leader).map(|replica| replica.http) else {
            return false;
        };
        let found = Leader { term: fact.term, replica: fact.leader, http };
        let known = self.seating.load();
        let is_old = known.leader.is_some_and(|leader| !newer(&found, &leader));
        if is_old && known.group == Some(fact.group) && *known.replicas == fact.replicas[..] {
            return false;
        }
        drop(known);
        self.change(|seating| {
            if seating.group.is_some_and(|group| group != fact.group) {
                (seating.leader, seating.vacant) = (None, true);
            }
            seating.group = Some(fact.group);
            if *seating.replicas != fact.replicas[..] {
                seating.replicas = fact.replicas.clone().into();
            }
            take(seating, found)
        })
    }

    /// Takes a correction. Returns whether it was newer than what we knew; an older one is not to be followed.
    pub(crate) fn correct(&self, found: Leader) -> bool {
        self.change(|seating| take(seating, found))
    }

    /// Takes a leader's own word that it leads. Returns whether the seat was filled by it.
    pub(crate) fn confirm(&self, found: Leader) -> bool {
        self.change(|seating| match &seating.leader {
            Some(known) if same(&found, known) => std::mem::take(&mut seating.vacant),
            _ => take(seating, found),
        })
    }

    /// Makes the seat vacant because `failed` cannot be used; nothing happens when a newer leader is known. Returns whether it
    /// became vacant by this call.
    pub(crate) fn fail(&self, failed: &Leader) -> bool {
        let mut became = false;
        self.seating.rcu(|seating| {
            let hit = !seating.vacant && seating.leader.is_some_and(|known| same(failed, &known));
            became = hit;
            let mut seating = Seating::clone(seating);
            seating.vacant |= hit;
            seating
        });
        became
    }

    /// Claims the search for a leader; the claimant calls [`Seat::search_ended`].
    pub(crate) fn begin_search(&self) -> bool {
        !self.searched.swap(true, Ordering::AcqRel)
    }

    /// Ends the search that [`Seat::begin_search`] claimed.
    pub(crate) fn search_ended(&self) {
        self.searched.store(false, Ordering::Release);
    }

    /// Applies `edit`, which returns whether the seat has got a usable leader by it.
    fn change(&self, edit: impl Fn(&mut Seating) -> bool) -> bool {
        let mut filled = false;
        self.seating.rcu(|seating| {
            let mut next = Seating::clone(seating);
            filled = edit(&mut next);
            next
        });
        if filled {
            self.changes.leaders.fetch_add(1, Ordering::Relaxed);
            self.changes.notify.notify_waiters();
        }
        filled
    }
}

/// Seats `found` if it is newer than the leader known.
fn take(seating: &mut Seating, found: Leader) -> bool {
    let newer = seating.leader.is_none_or(|known| newer(&found, &known));
    if newer {
        seating.leader = Some(found);
        seating.vacant = false;
    }
    newer
}

// === impl Seats ===

impl Seats {
    /// The seat of `block`, made on first use.
    pub(crate) fn of(&self, block: &BlockName) -> Arc<Seat> {
        self.entries.entry(block.clone()).or_insert_with(|| Arc::new(Seat::new(block.clone(), self.changes.clone()))).clone()
    }

    /// Completes when any seat gets a leader after this call.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.changes.notify.notified()
    }

    /// Leaders learned so far.
    pub(crate) fn changes_total(&self) -> u64 {
        self.changes.leaders.load(Ordering::Relaxed)
    }

    /// How many blocks have a usable leader, of how many.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let filled = self.entries.iter().filter(|seat| seat.leader().is_some()).count();
        (filled, self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_core::id::{ReplicaId, Term};

    use super::*;

    fn leader(term: u64, replica: u64) -> Leader {
        let http = format!("127.0.0.1:{}", 8000 + replica).parse().unwrap();
        Leader { term: Term(term), replica: ReplicaId(replica), http }
    }

    fn fact(group: u128, term: u64, replica: u64) -> LeaderFact {
        let replicas = (1..=3).map(|id| ReplicaFact { id: ReplicaId(id), http: leader(1, id).http, grpc: leader(1, id + 50).http });
        LeaderFact {
            block: BlockName::new("b1").unwrap(),
            group: GroupId(group),
            term: Term(term),
            seq: 1,
            leader: ReplicaId(replica),
            replicas: replicas.collect(),
            zone: None,
        }
    }

    fn seat() -> Arc<Seat> {
        Seats::default().of(&BlockName::new("b1").unwrap())
    }

    #[test]
    fn only_newer_leaders_are_followed() {
        let seat = seat();
        assert!(seat.absorb(&fact(1, 5, 2)));
        assert!(!seat.correct(leader(4, 3)), "an older term");
        assert!(!seat.correct(leader(5, 2)), "the same leader again");
        assert!(seat.correct(leader(6, 1)));
        assert!(!seat.absorb(&fact(1, 5, 2)), "the map lags");
        assert_eq!(seat.leader(), Some(leader(6, 1)));
    }

    #[test]
    fn a_failed_leader_is_back_only_by_its_own_word_or_a_newer_leader() {
        let seat = seat();
        seat.absorb(&fact(1, 5, 2));
        assert!(seat.fail(&leader(5, 2)));
        assert!(!seat.fail(&leader(5, 2)), "once is enough");
        assert_eq!(seat.leader(), None);
        seat.absorb(&fact(1, 5, 2));
        assert_eq!(seat.leader(), None, "the map does not know that it died");
        assert!(seat.confirm(leader(5, 2)));
        assert_eq!(seat.leader(), Some(leader(5, 2)));
        seat.fail(&leader(5, 2));
        assert!(seat.correct(leader(6, 3)));
        assert!(!seat.fail(&leader(5, 2)), "a late failure of the old leader does not touch the new one");
        assert_eq!(seat.leader(), Some(leader(6, 3)));
    }

    #[test]
    fn a_block_that_was_made_anew_starts_over() {
        let seat = seat();
        seat.absorb(&fact(1, 50, 2));
        assert!(seat.absorb(&fact(2, 1, 1)));
        assert_eq!(seat.leader(), Some(leader(1, 1)));
    }

    #[tokio::test]
    async fn waiting_requests_wake_when_a_leader_is_found() {
        let seats = Seats::default();
        let seat = seats.of(&BlockName::new("b1").unwrap());
        let waiting = seats.changed();
        seat.correct(leader(1, 1));
        tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await.unwrap();
        assert_eq!(seats.counts(), (1, 1));
    }
}
