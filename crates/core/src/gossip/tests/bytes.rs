//! Messages from whomever: nothing panics, nothing grows, nothing changes that should not.

use super::*;
use crate::sweep::sweep;

/// A node that knows another, and one message of each kind.
fn pair() -> (World, Vec<Vec<u8>>) {
    let mut world = mesh(9, 2);
    world.publish(0, &[app(1), assigned("d0", 4, 0, &[])]);
    world.run(Span::from_secs(3));
    let item = world.nodes[0].items().next().unwrap().clone();
    let carried = Carried { item, age: 3, hops: 1 };
    let messages = vec![
        Message::Hello { item: carried.clone(), answer: true },
        Message::Summary { roots: vec![(Scope::Mesh, 5), (Scope::Private, 7)] },
        Message::Same,
        Message::Sums { scope: Scope::Mesh, range: exchange::Range::ALL, sums: Box::new([9; exchange::SUMS]) },
        Message::Lists { scope: Scope::Mesh, lists: vec![Listed { range: exchange::Range::ALL, items: vec![(1, 2), (3, 4)] }] },
        Message::Want { ids: vec![1, 2, 3] },
        Message::Push { items: vec![carried.clone(), carried], more: Some(Scope::Load) },
        Message::Ask { node: NodeName::new("b0-1").unwrap() },
        Message::Heard { node: NodeName::new("b0-1").unwrap() },
    ];
    (world, messages.iter().map(wire::write).collect())
}

#[test]
fn random_bytes_never_panic_and_change_no_view() {
    let (world, messages) = pair();
    let world = std::cell::RefCell::new(world);
    sweep("random_bytes_never_panic_and_change_no_view", 20_000, |rng| {
        let mut bytes = match rng.random_range(0..3) {
            0 => (0..rng.random_range(0..200)).map(|_| rng.random()).collect(),
            _ => messages[rng.random_range(0..messages.len())].clone(),
        };
        for _ in 0..rng.random_range(0..4) {
            match (rng.random_range(0..3), bytes.is_empty()) {
                (0, false) => {
                    let at = rng.random_range(0..bytes.len());
                    bytes[at] = rng.random();
                }
                (1, _) => bytes.push(rng.random()),
                (_, _) => bytes.truncate(rng.random_range(0..=bytes.len())),
            }
        }
        if let Some(message) = wire::read(&bytes) {
            let world = &mut *world.borrow_mut();
            let (now, from) = (world.now, NodeName::new("b0-1").unwrap());
            let before = world.nodes[2].items().count();
            world.nodes[2].receive(now, rng, address(3), &from, message);
            let sent: usize = world.nodes[2]
                .outputs(now, rng, true)
                .iter()
                .map(|output| match output {
                    Output::Send { message, .. } => wire::write(message).len(),
                    _ => 0,
                })
                .sum();
            assert!(sent < 2 * ANSWER_LEN, "{sent} bytes are answered");
            // A changed name or text may make another fact or node, never more than the message has.
            assert!(world.nodes[2].items().count() <= before + 2);
        }
    });
    world.borrow().check();
}

#[test]
fn every_limit_is_kept_when_reading() {
    let count = |tag: &[u8], count: u64| {
        let mut bytes = tag.to_vec();
        let mut left = count;
        while left >= 0x80 {
            bytes.push(left.to_le_bytes()[0] | 0x80);
            left >>= 7;
        }
        bytes.push(left.to_le_bytes()[0]);
        bytes
    };
    for (tag, limit, len) in [(&[1_u8][..], 3, 9), (&[5], exchange::IDS_MAX as u64, 8), (&[4, 0], exchange::SUMS as u64, 10)] {
        let filled = |number: u64| [count(tag, number), vec![0; usize::try_from(number).unwrap() * len]].concat();
        assert!(wire::read(&filled(limit)).is_some(), "{tag:?}: {limit} are allowed");
        assert!(wire::read(&filled(limit + 1)).is_none(), "{tag:?}: {limit} and one");
        assert!(wire::read(&count(tag, u64::from(u32::MAX))).is_none(), "{tag:?}: a number without what it counts");
    }
    assert!(Item::received(1, vec![Topic::mesh()], &"x".repeat(FACT_LEN_MAX + 1)).is_none());
    assert!(Item::received(1, vec![Topic::mesh(); TOPICS_MAX + 1], "x").is_none());
    assert!(Topic::read(&"t".repeat(TOPIC_LEN_MAX + 1)).is_none() && Topic::read("*").is_none() && Topic::read("").is_none());
}

#[test]
fn items_that_are_not_what_their_id_says_are_refused() {
    let (mut world, _) = pair();
    let (now, from) = (world.now, NodeName::new("b0-1").unwrap());
    let good = Item::fact(&app(9), vec![Topic::mesh()]).unwrap();
    for (id, body) in [(good.id() ^ 1, good.body()), (5, "{\"v\":1}"), (6, "nonsense"), (7, "{\"member\":{}}")] {
        let item = Arc::new(Item::received(id, vec![Topic::mesh()], body).unwrap());
        let push = Message::Push { items: vec![Carried { item, age: 0, hops: 0 }], more: None };
        world.nodes[2].receive(now, &mut StdRng::seed_from_u64(1), address(3), &from, push);
    }
    assert_eq!(world.nodes[2].refused().unreadable, 4);
    world.run(Span::from_secs(2));
    assert_eq!(world.views[2].app(&AppName::new("shop").unwrap()).unwrap().version, Version(1));
    world.check();
}

#[test]
fn a_word_about_oneself_that_is_not_one_s_own_is_outbid() {
    let (mut world, _) = pair();
    let now = world.now;
    let lie = Member { seq: 70, silent: true, ..world.nodes[2].me().clone() };
    let push = Message::Push { items: vec![Carried { item: Arc::new(Item::member(lie)), age: 0, hops: 0 }], more: None };
    world.nodes[2].receive(now, &mut StdRng::seed_from_u64(1), address(3), &NodeName::new("b0-1").unwrap(), push);
    assert_eq!((world.nodes[2].me().seq, world.nodes[2].me().silent), (71, false));
}

#[test]
fn a_word_about_oneself_that_cannot_be_outbid_is_survived() {
    let (mut world, _) = pair();
    let (now, mut rng) = (world.now, StdRng::seed_from_u64(1));
    for silent in [false, true] {
        let lie = Member { seq: u64::MAX, silent, ..world.nodes[2].me().clone() };
        let push = Message::Push { items: vec![Carried { item: Arc::new(Item::member(lie)), age: 0, hops: 0 }], more: None };
        world.nodes[2].receive(now, &mut rng, address(3), &NodeName::new("b0-1").unwrap(), push);
        assert_eq!((world.nodes[2].me().seq, world.nodes[2].me().silent), (u64::MAX, false));
    }
}

#[test]
fn what_a_stranger_tells_is_news_if_it_is_wanted() {
    let (mut world, _) = pair();
    let (now, mut rng) = (world.now, StdRng::seed_from_u64(1));
    let facts = [app(9), assigned("d9", 4, 0, &[])];
    let items = facts.iter().map(|fact| Item::fact(fact, topics(fact, &MapView::new())).unwrap());
    let items = items.map(|item| Carried { item: Arc::new(item), age: 0, hops: 0 }).collect();
    let stranger = NodeName::new("stranger").unwrap();
    world.nodes[2].receive(now, &mut rng, address(90), &stranger, Message::Push { items, more: None });
    let news = world.nodes[2].outputs(now, &mut rng, false).into_iter().filter(|output| matches!(output, Output::News(_))).count();
    assert_eq!((news, world.nodes[2].refused().unwanted), (1, 1));
}
