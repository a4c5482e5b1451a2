//! The same work for many seeds on all cores, with results in the order of the work, whoever did it.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// As many threads as the machine has cores.
pub fn cores() -> NonZero<usize> {
    thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// Does `work` for each of `items` on `threads` threads. Results stand in the order of the items. `done` is told of each that ended.
pub fn map<I: Sync, R: Send>(items: &[I], threads: NonZero<usize>, done: impl Fn() + Sync, work: impl Fn(&I) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let worker = || {
        while let Some((place, item)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|place| Some((place, items.get(place)?))) {
            let result = work(item);
            results.lock().expect("no worker panics while it holds the lock")[place] = Some(result);
            done();
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.get().min(items.len()) {
            scope.spawn(worker);
        }
    });
    let results = results.into_inner().expect("no worker panics while it holds the lock");
    results.into_iter().map(|result| result.expect("every item was worked on")).collect()
}
