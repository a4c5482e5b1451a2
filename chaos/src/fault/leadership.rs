//! What becomes of the leaders of blocks while a fault lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;

use crate::system::Mesh;
use crate::system::layout::{Member, Role};
use crate::system::question::{Leader, leader_among};

/// How often leaders are asked for.
const LOOK: Span = Span::from_millis(20);

/// Leaders before a fault, and those that came after them.
#[derive(Default)]
pub(super) struct Leadership {
    before: BTreeMap<String, Leader>,
    watch: Option<Watch>,
}

/// A thread that looks for new leaders: a replica that is frozen keeps whoever asks it, and nobody else may wait for that.
struct Watch {
    after: Arc<Mutex<After>>,
    is_over: Arc<AtomicBool>,
}

/// Who led a block in a later term, and how soon that was seen.
type After = BTreeMap<String, (Leader, Span)>;

// === impl Leadership ===

impl Leadership {
    /// Notes who leads the blocks of these processes, all of which are asked at once.
    pub(super) fn note(mesh: &Mesh, names: &[String]) -> Self {
        let block = |name: &String| match &mesh.layout.member(name).ok()?.role {
            Role::Replica(block) => Some(block.clone()),
            _ => None,
        };
        let blocks: BTreeSet<String> = names.iter().filter(|_| mesh.kind.is_mesh()).filter_map(block).collect();
        let groups: Vec<(String, Vec<Member>)> = blocks.into_iter().map(|block| (block.clone(), mesh.group(&block))).collect();
        let before = thread::scope(|scope| {
            let asked: Vec<_> = groups.iter().map(|(block, group)| scope.spawn(|| Some((block.clone(), leader_among(group)?)))).collect();
            asked.into_iter().filter_map(|asked| asked.join().expect("whoever asks does not panic")).collect()
        });
        Leadership { before, watch: None }
    }

    /// From now on time counts, and new leaders are looked for until this is dropped.
    pub(super) fn begin(&mut self, mesh: &Mesh) {
        if self.before.is_empty() {
            return;
        }
        let watched = self.before.iter().map(|(block, before)| (block.clone(), before.term, mesh.group(block))).collect();
        let watch = Watch { after: Arc::default(), is_over: Arc::default() };
        let (after, is_over, began) = (watch.after.clone(), watch.is_over.clone(), clock::now());
        thread::spawn(move || look(watched, &after, &is_over, began));
        self.watch = Some(watch);
    }

    fn after(&self) -> After {
        self.watch.as_ref().map_or_else(After::new, |watch| watch.after.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Whether one of these processes led its block.
    pub(super) fn led(&self, names: &[String]) -> bool {
        self.before.values().any(|leader| names.contains(&leader.name))
    }

    /// Whether every block that one of these processes led has been led in a later term.
    pub(super) fn has_changed(&self, names: &[String]) -> bool {
        let after = self.after();
        self.before.iter().filter(|(_, leader)| names.contains(&leader.name)).all(|(block, _)| after.contains_key(block))
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        let after = self.after();
        let told = |(block, before): (&String, &Leader)| match after.get(block) {
            None => format!("{block} led by {} in term {} throughout", before.name, before.term),
            Some((after, took)) => {
                format!(
                    "{block} led by {} in term {} after {} in term {}, seen within {} ms",
                    after.name,
                    after.term,
                    before.name,
                    before.term,
                    took.as_millis()
                )
            }
        };
        self.before.iter().map(told).collect::<Vec<_>>().join("; ")
    }
}

/// Looks for leaders of later terms until each block has one, or nobody wants to know any more.
fn look(mut watched: Vec<(String, u64, Vec<Member>)>, after: &Mutex<After>, is_over: &AtomicBool, began: Time) {
    while !watched.is_empty() && !is_over.load(Ordering::Relaxed) {
        watched.retain(|(block, term, replicas)| {
            let Some(leader) = leader_among(replicas).filter(|leader| leader.term > *term) else { return true };
            let seen = (leader, clock::now().since(began));
            after.lock().unwrap_or_else(PoisonError::into_inner).insert(block.clone(), seen);
            false
        });
        thread::sleep(LOOK.to_std());
    }
}

// === impl Watch ===

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
