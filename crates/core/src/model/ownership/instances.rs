//! The instances that are explored, and what is thereby known.

use super::super::explore::{Report, explore};
use super::{Instance, Mesh, Word};

/// Two blocks and a dyno, which is added, moved and moved on, while one request runs and one proposal lands late.
const SMALL: Instance =
    Instance { blocks: 2, dynos: 1, one_address: false, words: 3, may: &[Word::Drain, Word::Remove], requests: 2, asides: 1 };

/// A dyno that wanders over three blocks, moved on before it was adopted.
const WANDER: Instance = Instance { blocks: 3, dynos: 1, one_address: false, words: 4, may: &[], requests: 1, asides: 0 };

/// A dyno is removed and another one comes to its address.
const AGAIN: Instance = Instance { blocks: 2, dynos: 2, one_address: true, words: 4, may: &[Word::Remove], requests: 2, asides: 0 };

/// A block is stopped for good and evicted, wherever the dyno's move stands.
const EVICT: Instance = Instance { blocks: 3, dynos: 1, one_address: false, words: 3, may: &[Word::Evict], requests: 2, asides: 0 };

/// An evicted block comes back with all it knew.
const RETURN: Instance = Instance { may: &[Word::Evict, Word::Return], ..EVICT };

fn all_of(name: &str, instance: Instance, states_max: usize) -> Report {
    explore(name, &Mesh::new(instance), states_max)
}

#[test]
fn every_state_of_a_small_mesh_is_sound_and_heals() {
    all_of("small", SMALL, 3_000_000);
}

#[test]
fn every_state_of_a_wandering_dyno_is_sound_and_heals() {
    all_of("wander", WANDER, 3_000_000);
}

#[test]
fn every_state_of_an_address_used_again_is_sound_and_heals() {
    all_of("again", AGAIN, 3_000_000);
}

#[test]
fn every_state_of_an_eviction_is_sound_and_heals() {
    all_of("evict", EVICT, 3_000_000);
}

#[test]
fn every_state_of_a_block_that_comes_back_after_its_eviction_is_sound_and_heals() {
    all_of("return", RETURN, 3_000_000);
}

/// More of everything at once.
const LARGE: Instance =
    Instance { blocks: 3, dynos: 1, one_address: false, words: 4, may: &[Word::Drain, Word::Remove], requests: 2, asides: 1 };

/// Two dynos that wander apart, so that the promises about one stand in the way of the other (P18).
const PAIR: Instance = Instance { blocks: 2, dynos: 2, one_address: false, words: 4, may: &[], requests: 0, asides: 0 };

#[test]
fn every_state_of_two_dynos_is_sound_and_heals() {
    all_of("pair", PAIR, 3_000_000);
}

#[test]
#[ignore = "minutes, and gigabytes of memory"]
fn every_state_of_a_large_mesh_is_sound_and_heals() {
    all_of("large", LARGE, 50_000_000);
}
