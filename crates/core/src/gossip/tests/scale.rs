//! What must not grow with the mesh.

use super::*;

#[test]
fn rumours_reach_all_but_very_few_and_the_rest_is_found() {
    let mut world = World::new(11);
    for nth in 0..200 {
        world.add(&format!("n{nth}"), Interest::edge());
    }
    world.until(|world| world.nodes.iter().all(|node| node.peers().count() == 199));
    world.loss = 0.02;
    for version in 1..6 {
        world.publish(7, &[app(version)]);
        let name = AppName::new("shop").unwrap();
        let heard = |world: &World| world.views.iter().filter(|view| view.app(&name).is_some_and(|app| app.version.0 == version)).count();
        let took = world.until(|world| heard(world) >= 198);
        assert!(took <= Span::from_millis(50), "version {version} took {took} for all but two");
        let took = world.until(|world| heard(world) == 200);
        assert!(took <= Span::from_secs(2), "version {version} took {took} more");
    }
}

#[test]
fn an_idle_node_spends_as_little_in_a_large_mesh_as_in_a_small_one() {
    let idle = |count: usize| {
        let mut world = World::new(12);
        for nth in 0..count {
            world.add(&format!("n{nth}"), Interest::edge());
        }
        world.until(|world| world.nodes.iter().all(|node| node.peers().count() + 1 == count));
        world.run(Span::from_secs(5));
        world.bytes.fill(0);
        world.run(Span::from_secs(20));
        world.bytes.iter().sum::<usize>() / count / 20
    };
    let (small, large) = (idle(5), idle(150));
    assert!(large <= small * 2 && large < 400, "{small} and {large} bytes per second");
}

#[test]
fn pauses_of_soft_facts_grow_with_the_mesh() {
    assert_eq!((load_pause(5), count_pause(5)), (Span::from_millis(200), Span::from_millis(200)));
    assert_eq!((load_pause(3103), count_pause(3103)), (Span::from_millis(31_030), Span::from_millis(310_300)));
}

#[test]
fn a_new_leader_that_says_all_again_says_it_by_and_by() {
    let mut world = mesh(13, 3);
    let facts: Vec<_> = (0..200).map(|nth| assigned(&format!("d{nth}"), 5, nth % 3, &[])).collect();
    world.publish(0, &facts);
    world.run(Span::from_secs(15 * 60));
    world.publish(0, &[]);
    world.bytes.fill(0);
    world.publish(1, &facts);
    world.run(Span::from_secs(1));
    assert!(world.bytes[1] < 5_000, "{} bytes at once", world.bytes[1]);
    world.run(EXPIRY + Span::from_secs(300));
    assert_eq!(world.nodes[3].items().filter(|item| matches!(item.content(), Some(Content::Fact(_)))).count(), 67);
}
