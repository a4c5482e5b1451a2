//! Which of a sender's datagrams have been seen, so that none is taken twice (P20).

/// How far behind the newest a datagram may arrive. A sender counts its datagrams to all nodes together, so that this is a few
/// seconds of a busy sender.
const LEN: u64 = 1024;

/// Numbers seen of one run of one sender.
#[derive(Debug, Clone)]
pub(super) struct Window {
    newest: u64,
    /// One bit for each of the last [`LEN`] numbers, at its remainder.
    seen: [u64; (LEN / 64) as usize],
}

impl Window {
    /// A window in which only `first` has been seen; what is older than that may still come.
    pub(super) fn new(first: u64) -> Self {
        let mut window = Window { newest: first, seen: [0; (LEN / 64) as usize] };
        window.mark(first);
        window
    }

    /// Whether `number` is new; from now on it is not.
    pub(super) fn admit(&mut self, number: u64) -> bool {
        if number > self.newest {
            if number - self.newest >= LEN {
                self.seen.fill(0);
            } else {
                (self.newest + 1..number).for_each(|skipped| self.clear(skipped));
            }
            self.newest = number;
            self.mark(number);
            return true;
        }
        if self.newest - number >= LEN || self.is_marked(number) {
            return false;
        }
        self.mark(number);
        true
    }

    fn mark(&mut self, number: u64) {
        let (word, bit) = place(number);
        self.seen[word] |= bit;
    }

    fn clear(&mut self, number: u64) {
        let (word, bit) = place(number);
        self.seen[word] &= !bit;
    }

    fn is_marked(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.seen[word] & bit != 0
    }
}

fn place(number: u64) -> (usize, u64) {
    let within = number % LEN;
    (usize::try_from(within / 64).expect("smaller than the window"), 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn a_window_agrees_with_a_set_of_all_numbers_seen() {
        for seed in 0..200 {
            let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
            let mut newest = rng.random_range(0..3000_u64);
            let mut window = Window::new(newest);
            let mut seen = BTreeSet::from([newest]);
            for _ in 0..500 {
                let number = match rng.random_range(0..10) {
                    0 => newest + rng.random_range(0..3000),
                    1..4 => newest + 1,
                    _ => newest.saturating_sub(rng.random_range(0..1500)),
                };
                let expected = !seen.contains(&number) && number + LEN > newest;
                assert_eq!(window.admit(number), expected, "seed {seed}, number {number}, newest {newest}");
                seen.insert(number);
                newest = newest.max(number);
            }
        }
    }
}
