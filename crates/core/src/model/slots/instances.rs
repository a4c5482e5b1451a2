//! The instances that are explored.

use super::super::explore::explore;
use super::Instance;

/// A dyno of each sort, two replicas that fail twice, and two requests to overlap.
const THREADED: Instance = Instance { serial: false, known: false, replicas: 2, requests: 2, faults: 2, beats: 4, flukes: 2 };
const SERIAL: Instance = Instance { serial: true, flukes: 0, ..THREADED };

#[test]
fn no_slot_of_a_threaded_dyno_is_freed_under_a_running_request() {
    explore("threaded", &THREADED, 3_000_000);
}

#[test]
fn no_slot_of_a_serial_dyno_is_freed_under_a_running_request() {
    explore("serial", &Instance { known: true, ..SERIAL }, 3_000_000);
}

#[test]
fn no_slot_is_freed_under_a_running_request_while_the_dyno_is_found_out() {
    explore("found out", &SERIAL, 3_000_000);
}

#[test]
#[ignore = "a minute or two"]
fn no_slot_is_freed_under_a_running_request_with_three_replicas() {
    for (name, instance) in [("threaded", THREADED), ("serial", Instance { known: true, ..SERIAL }), ("found out", SERIAL)] {
        explore(&format!("{name}, three replicas"), &Instance { replicas: 3, ..instance }, 20_000_000);
    }
}
