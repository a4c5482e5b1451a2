//! Whole replicas in one process, with a directory that is played: the test says in the map what a directory would, and hears what the
//! block answers there. Requests come as an edge sends them, and a dyno knows what ran.

mod directory;
mod drain;
mod dyno;
mod evicted;
mod http;
mod replica;
mod wedged;

use std::time::{Duration, Instant};

use directory::PlayedDirectory;
use dyno::PlayedDyno;
use replica::{Hop, Running, found};

/// Longest wait for anything.
const TEST_TIME_MAX: Duration = Duration::from_secs(30);

/// Waits until there is something to see.
#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < TEST_TIME_MAX, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
