//! Which block an edge asks next.
//!
//! An edge knows little and knows it late: the choice is by chance, bent by capacity and by the last load heard. It refuses to look for
//! the best block: many edges that all find the same best one make it the worst.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// How a block is chosen among equals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockChoice {
    /// Each as likely as the other.
    Random,
    /// By capacity.
    Weighted,
    /// Two different ones drawn by capacity; the one less loaded for its capacity wins.
    #[default]
    Two,
}

/// How good a block looks for this request, best first. While there is a better one, no worse one is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Believed to work, and not yet tried for this request.
    HealthyUntried,
    /// Believed to work.
    Healthy,
    /// Believed not to work, not yet tried for this request.
    Untried,
    /// Any block that has the app.
    Any,
}

impl Tier {
    /// The tier of a block.
    pub fn of(healthy: bool, tried: bool) -> Tier {
        match (healthy, tried) {
            (true, false) => Tier::HealthyUntried,
            (true, true) => Tier::Healthy,
            (false, false) => Tier::Untried,
            (false, true) => Tier::Any,
        }
    }

    fn healthy(self) -> bool {
        matches!(self, Tier::HealthyUntried | Tier::Healthy)
    }
}

/// A block that may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Slots of the app in the block. One without slots is chosen only if no block of its tier has any.
    pub capacity: u32,
    /// Used and queued there by its last word, plus this edge's own requests since.
    pub load: u32,
    /// How good it looks.
    pub tier: Tier,
}

/// The place in `candidates` of the block to ask; `None` if there is none.
pub fn choose(rng: &mut impl Rng, candidates: &[Candidate], choice: BlockChoice) -> Option<usize> {
    let best = candidates.iter().map(|candidate| candidate.tier).min()?;
    let urn = Urn::new(candidates, |tier| tier == best);
    match choice {
        BlockChoice::Random => urn.draw_evenly(rng),
        BlockChoice::Weighted => urn.draw(rng, None),
        BlockChoice::Two => {
            let first = urn.draw(rng, None)?;
            let Some(second) = urn.draw(rng, Some(first)) else { return Some(first) };
            Some(urn.less_loaded(rng, first, second))
        }
    }
}

/// The place of the block that is least full for its capacity, healthy ones first, tried or not; ties by chance. For a request that was
/// sent away often enough and must now queue (P25).
pub fn least_full(rng: &mut impl Rng, candidates: &[Candidate]) -> Option<usize> {
    let healthy = candidates.iter().any(|candidate| candidate.tier.healthy());
    let urn = Urn::new(candidates, |tier| tier.healthy() == healthy);
    let mut least: Option<usize> = None;
    let mut tied = 1;
    for at in urn.places() {
        let order = least.map(|least| urn.compare(at, least));
        tied = if order == Some(std::cmp::Ordering::Equal) { tied + 1 } else { 1 };
        let better = match order {
            None | Some(std::cmp::Ordering::Less) => true,
            Some(std::cmp::Ordering::Equal) => rng.random_range(0..tied) == 0,
            Some(std::cmp::Ordering::Greater) => false,
        };
        if better {
            least = Some(at);
        }
    }
    least
}

/// The candidates to draw from, each with its weight.
struct Urn<'a, F> {
    candidates: &'a [Candidate],
    eligible: F,
    /// Whether no eligible candidate has capacity: then all weigh the same.
    all_empty: bool,
}

impl<'a, F: Fn(Tier) -> bool> Urn<'a, F> {
    fn new(candidates: &'a [Candidate], eligible: F) -> Self {
        let all_empty = !candidates.iter().any(|candidate| candidate.capacity > 0 && eligible(candidate.tier));
        Urn { candidates, eligible, all_empty }
    }

    fn weight(&self, at: usize) -> u64 {
        let candidate = &self.candidates[at];
        match (self.eligible)(candidate.tier) {
            true if self.all_empty => 1,
            true => u64::from(candidate.capacity),
            false => 0,
        }
    }

    fn places(&self) -> impl Iterator<Item = usize> {
        (0..self.candidates.len()).filter(|at| self.weight(*at) > 0)
    }

    fn draw_evenly(&self, rng: &mut impl Rng) -> Option<usize> {
        let count = self.places().count();
        if count == 0 { None } else { self.places().nth(rng.random_range(0..count)) }
    }

    /// Draws one by weight, but not `except`.
    fn draw(&self, rng: &mut impl Rng, except: Option<usize>) -> Option<usize> {
        let others = || self.places().filter(|at| Some(*at) != except);
        let total: u64 = others().map(|at| self.weight(at)).sum();
        if total == 0 {
            return None;
        }
        let mut left = rng.random_range(0..total);
        others().find(|at| {
            let weight = self.weight(*at);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        })
    }

    /// Compares load by capacity, without dividing.
    fn compare(&self, a: usize, b: usize) -> std::cmp::Ordering {
        let load = |at: usize| u64::from(self.candidates[at].load);
        (load(a) * self.weight(b)).cmp(&(load(b) * self.weight(a)))
    }

    fn less_loaded(&self, rng: &mut impl Rng, a: usize, b: usize) -> usize {
        match self.compare(a, b) {
            std::cmp::Ordering::Less => a,
            std::cmp::Ordering::Greater => b,
            std::cmp::Ordering::Equal => [a, b][usize::from(rng.random_bool(0.5))],
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::sweep::sweep;

    const CHOICES: [BlockChoice; 3] = [BlockChoice::Random, BlockChoice::Weighted, BlockChoice::Two];

    fn block(capacity: u32, load: u32) -> Candidate {
        Candidate { capacity, load, tier: Tier::HealthyUntried }
    }

    /// How often each candidate is chosen in ten thousand.
    fn shares(candidates: &[Candidate], choice: BlockChoice) -> Vec<u32> {
        let mut rng = StdRng::seed_from_u64(7);
        let mut shares = vec![0; candidates.len()];
        for _ in 0..10_000 {
            shares[choose(&mut rng, candidates, choice).unwrap()] += 1;
        }
        shares
    }

    fn near(share: u32, expected: u32) -> bool {
        share.abs_diff(expected) < 250
    }

    #[test]
    fn random_is_even_whatever_capacity_and_load() {
        let shares = shares(&[block(1, 9), block(10, 0), block(100, 50)], BlockChoice::Random);
        assert!(shares.iter().all(|share| near(*share, 3_333)), "{shares:?}");
    }

    #[test]
    fn weighted_follows_capacity() {
        let shares = shares(&[block(1, 0), block(3, 9), block(6, 0)], BlockChoice::Weighted);
        assert!(near(shares[0], 1_000) && near(shares[1], 3_000) && near(shares[2], 6_000), "{shares:?}");
    }

    #[test]
    fn of_two_the_less_loaded_for_its_capacity_wins() {
        assert_eq!(shares(&[block(4, 3), block(8, 5)], BlockChoice::Two), [0, 10_000]);
        assert_eq!(shares(&[block(1, 1), block(1, 0)], BlockChoice::Two), [0, 10_000]);
        let even = shares(&[block(4, 2), block(8, 4)], BlockChoice::Two);
        assert!(near(even[0], 5_000), "a tie is broken by chance: {even:?}");
        let three = shares(&[block(1, 0), block(1, 1), block(1, 2)], BlockChoice::Two);
        assert!(near(three[0], 6_667) && near(three[1], 3_333) && three[2] == 0, "the two differ, and by chance: {three:?}");
    }

    #[test]
    fn two_are_drawn_by_capacity() {
        // The small block is drawn first once in ten, else second once in one; the idle one of two equals wins.
        let shares = shares(&[block(2, 0), block(9, 9), block(9, 9)], BlockChoice::Two);
        let drawn = 10_000.0 * (2.0 / 20.0 + 18.0 / 20.0 * 2.0 / 11.0);
        assert!((f64::from(shares[0]) - drawn).abs() < 250.0, "{shares:?}, expected {drawn}");
    }

    #[test]
    fn tiers_are_tried_in_order() {
        let tiers = [Tier::of(false, true), Tier::of(false, false), Tier::of(true, true), Tier::of(true, false)];
        assert_eq!(tiers, [Tier::Any, Tier::Untried, Tier::Healthy, Tier::HealthyUntried]);
        let candidates = tiers.map(|tier| Candidate { tier, ..block(1, 0) });
        for choice in CHOICES {
            let mut rng = StdRng::seed_from_u64(7);
            for left in (0..4).rev() {
                assert_eq!(choose(&mut rng, &candidates[..=left], choice), Some(left), "{choice:?}");
            }
            assert_eq!(choose(&mut rng, &[], choice), None);
        }
    }

    #[test]
    fn a_block_without_slots_is_chosen_only_if_none_has_any() {
        for choice in CHOICES {
            assert_eq!(shares(&[block(0, 0), block(5, 5)], choice), [0, 10_000], "{choice:?}");
            let even = shares(&[block(0, 0), block(0, 0)], choice);
            assert!(near(even[0], 5_000), "{choice:?}: {even:?}");
        }
    }

    #[test]
    fn the_least_full_block_may_be_one_that_was_tried_but_not_one_that_is_ill() {
        let mut rng = StdRng::seed_from_u64(7);
        let tried = Candidate { tier: Tier::Healthy, ..block(8, 8) };
        let ill = Candidate { tier: Tier::Untried, ..block(8, 0) };
        assert_eq!(least_full(&mut rng, &[block(4, 5), tried, ill]), Some(1));
        assert_eq!(least_full(&mut rng, &[ill]), Some(0));
        assert_eq!(least_full(&mut rng, &[]), None);
        let mut shares = [0; 3];
        for _ in 0..3_000 {
            shares[least_full(&mut rng, &[tried, block(2, 2), tried]).unwrap()] += 1;
        }
        assert!(shares.iter().all(|share| (850..1150).contains(share)), "ties are even: {shares:?}");
    }

    #[test]
    fn choices_are_settings_in_lower_case() {
        for (text, choice) in [("random", BlockChoice::Random), ("weighted", BlockChoice::Weighted), ("two", BlockChoice::Two)] {
            assert_eq!(serde_json::from_str::<BlockChoice>(&format!("{text:?}")).unwrap(), choice);
        }
        assert_eq!(BlockChoice::default(), BlockChoice::Two);
    }

    #[test]
    fn any_candidates_give_one_of_the_best_tier_with_room_for_all_numbers() {
        sweep("any_candidates_give_one_of_the_best_tier", 2_000, |rng| {
            let number = |rng: &mut StdRng| [0, 1, 7, 300, u32::MAX][rng.random_range(0..5)];
            let candidates: Vec<Candidate> = (0..rng.random_range(0..6))
                .map(|_| Candidate { capacity: number(rng), load: number(rng), tier: Tier::of(rng.random(), rng.random()) })
                .collect();
            let best = candidates.iter().map(|candidate| candidate.tier).min();
            for choice in CHOICES {
                let chosen = choose(rng, &candidates, choice).map(|at| candidates[at]);
                assert_eq!(chosen.map(|candidate| candidate.tier), best, "{choice:?} of {candidates:?}");
                let any_slots = candidates.iter().any(|candidate| Some(candidate.tier) == best && candidate.capacity > 0);
                assert!(chosen.is_none_or(|candidate| candidate.capacity > 0 || !any_slots), "{choice:?} of {candidates:?}");
            }
            assert_eq!(least_full(rng, &candidates).is_some(), !candidates.is_empty());
        });
    }
}
