//! Each way to choose a block, through real requests.

use dynomesh_core::dispatch::BlockChoice;

use super::*;

/// Requests per test; enough that chance cannot turn a result round.
const REQUESTS: usize = 400;

async fn shares(choice: BlockChoice, slots: [u32; 2], used: [u32; 2]) -> [usize; 2] {
    let [mut b1, mut b2] = [PlayedBlock::answering("b1").await, PlayedBlock::answering("b2").await];
    (b1.slots, b2.slots) = (slots[0], slots[1]);
    let mut mesh = Mesh::with(&[&b1, &b2], |config| config.block_choice = choice).await;
    mesh.load("b1", slots[0], used[0]);
    mesh.load("b2", slots[1], used[1]);
    for _ in 0..REQUESTS {
        mesh.get("/").await;
    }
    assert_eq!(b1.requests() + b2.requests(), REQUESTS);
    [b1.requests(), b2.requests()]
}

#[test]
fn random_asks_all_blocks_alike() {
    run(async {
        let [b1, b2] = shares(BlockChoice::Random, [1, 9], [0, 9]).await;
        assert!((140..=260).contains(&b1), "{b1} to {b2}");
    });
}

#[test]
fn weighted_asks_by_capacity() {
    run(async {
        let [b1, b2] = shares(BlockChoice::Weighted, [1, 9], [0, 9]).await;
        assert!((10..=85).contains(&b1), "{b1} to {b2}");
    });
}

#[test]
fn two_asks_the_less_loaded() {
    run(async {
        let [b1, b2] = shares(BlockChoice::Two, [4, 4], [3, 1]).await;
        assert_eq!((b1, b2), (0, REQUESTS), "b1 is fuller and its word stays, since it is never asked");
    });
}

#[test]
fn what_a_response_tells_moves_the_next_request() {
    run(async {
        let loaded = |block: &'static str| {
            PlayedBlock::start(block, move |_| async move {
                let mut response = answered(block, "x");
                response.headers_mut().insert("x-dynomesh-load", "4/4/2".parse().unwrap());
                Ok(response)
            })
        };
        let (b1, b2) = (loaded("b1").await, loaded("b2").await);
        let mesh = Mesh::start(&[&b1, &b2]).await;
        mesh.get("/").await;
        mesh.get("/").await;
        assert_eq!((b1.requests(), b2.requests()), (1, 1), "the second goes where nothing was told");
    });
}
