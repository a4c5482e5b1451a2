//! Snapshots of meshes in trouble, and the exact plans for them.
//!
//! Each plan stands in a file of its own under `golden`, as an operator would read it. `DYNOMESH_BLESS=1` writes the files anew; the diff is
//! then what the change of the planner means.

use std::path::PathBuf;

use super::town::town;
use crate::plan::{Observation, Standing};
use crate::time::Span;

fn golden(name: &str, mesh: &Observation) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/plan/golden").join(name).with_extension("txt");
    let text = mesh.planned().to_string();
    if std::env::var_os("DYNOMESH_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "\nthe plan for {name} is now\n{text}");
}

#[test]
fn a_skewed_app_gets_dynos_where_its_load_is() {
    let mesh = town().blocks("", &["b1", "b2"]);
    let mesh = mesh.dynos("shop", "b1", 9).dynos("shop", "b2", 31).load("shop", "b1", 9, 8, 3).load("shop", "b2", 31, 3, 0);
    golden("skewed_app", &mesh);
}

#[test]
fn a_lost_zone_is_emptied_as_far_as_it_was_evicted() {
    let mesh = town().blocks("z1", &["b1", "b2"]).blocks("z2", &["b3"]).blocks("z3", &["b4"]);
    let lost = Standing::Lost(mesh.now - Span::from_secs(180));
    let mesh = mesh.standing("b1", Standing::Evicted).standing("b2", lost);
    let mesh = mesh.dynos("shop", "b1", 6).dynos("shop", "b2", 6).dynos("shop", "b3", 6).dynos("shop", "b4", 6);
    let mesh = mesh.load("shop", "b3", 6, 5, 0).load("shop", "b4", 6, 4, 0);
    golden("lost_zone", &mesh);
}

#[test]
fn three_small_apps_are_gathered_on_few_blocks() {
    let blocks = ["b1", "b2", "b3", "b4"];
    let mut mesh = town().blocks("z1", &blocks[..2]).blocks("z2", &blocks[2..]);
    for app in ["blog", "news", "wiki"] {
        for block in blocks {
            mesh = mesh.dynos(app, block, 2).load(app, block, 2, 1, 0);
        }
    }
    golden("three_small_apps", &mesh);
}

#[test]
fn a_new_block_is_filled_by_and_by() {
    let mut mesh = town().blocks("z1", &["b1", "b3", "b5"]).blocks("z2", &["b2", "b4"]);
    for block in ["b1", "b2", "b3", "b4"] {
        mesh = mesh.dynos("shop", block, 25).load("shop", block, 25, 15, 0);
    }
    golden("new_block", &mesh.first_seen("b5", Span::from_secs(150)));
}

#[test]
fn a_draining_block_is_left_by_idle_dynos_first() {
    let mesh = town().blocks("z1", &["b1"]).blocks("z2", &["b2"]).blocks("z3", &["b3"]).standing("b2", Standing::Draining);
    let mesh = mesh.dynos("shop", "b1", 8).dynos("shop", "b2", 8).load("shop", "b1", 8, 4, 0).load("shop", "b2", 8, 4, 0);
    let mesh = ["shop.009", "shop.010", "shop.011", "shop.012"].iter().fold(mesh, |mesh, id| mesh.with(id, |dyno| dyno.in_flight = 1));
    golden("draining_block", &mesh);
}

#[test]
fn a_crowded_block_hands_whole_groups_over() {
    let mut mesh = town().blocks("", &["b1", "b2", "b3"]);
    for app in ["a", "b", "c", "d", "e", "f"] {
        mesh = mesh.dynos(app, "b1", 4).dynos(app, "b2", 4);
    }
    golden("crowded_block", &mesh);
}
