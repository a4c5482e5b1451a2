//! Which dynos stand in which block, and of which app they are.

use crate::scenario::{Setup, Spread};
use crate::workload::Apps;

/// Dynos of an app that make one more block worth while.
const GROUP: usize = 25;

/// For each block its dynos by their places, each with its app.
pub(super) fn place(setup: &Setup, apps: &Apps) -> Vec<Vec<(usize, u32)>> {
    let mut blocks: Vec<Vec<(usize, u32)>> = vec![Vec::new(); setup.blocks];
    let mut next = 0;
    for (app, dynos) in (0..).zip(shares(setup.dynos, apps)) {
        let width = match setup.spread {
            Spread::One => 1,
            Spread::Few => dynos.div_ceil(GROUP),
            Spread::All => setup.blocks,
        };
        // The emptiest blocks first; of equally empty ones the first.
        let mut order: Vec<usize> = (0..setup.blocks).collect();
        order.sort_by_key(|block| blocks[*block].len());
        order.truncate(width.clamp(1, setup.blocks));
        for dyno in 0..dynos {
            blocks[order[dyno % order.len()]].push((next, app));
            next += 1;
        }
    }
    blocks
}

/// The block of each dyno, by the places that [`place`] gave.
pub(super) fn homes(blocks: &[Vec<(usize, u32)>]) -> Vec<usize> {
    let mut homes: Vec<(usize, usize)> =
        blocks.iter().enumerate().flat_map(|(block, dynos)| dynos.iter().map(move |(dyno, _)| (*dyno, block))).collect();
    homes.sort_unstable();
    homes.into_iter().map(|(_, block)| block).collect()
}

/// How many dynos each app has: one at least, the others by its share of requests.
fn shares(dynos: usize, apps: &Apps) -> Vec<usize> {
    let count = apps.count();
    let spare = dynos.saturating_sub(count);
    let wanted: Vec<f64> = (0..count).map(|app| (apps.share(app) * dynos as f64 - 1.0).max(0.0)).collect();
    let total: f64 = wanted.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number of dynos")]
    let mut shares: Vec<usize> = wanted.iter().map(|wanted| 1 + (wanted / total * spare as f64).floor() as usize).collect();
    let left = dynos.saturating_sub(shares.iter().sum());
    for place in 0..left {
        shares[place % count] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dyno_is_placed_once_and_apps_are_as_wide_as_told() {
        for (spread, widths) in [(Spread::One, [1, 1]), (Spread::Few, [3, 1]), (Spread::All, [5, 5])] {
            let setup = Setup { dynos: 200, blocks: 5, spread, ..Setup::default() };
            let blocks = place(&setup, &Apps::zipf(20, 1.2));
            assert!(homes(&blocks).iter().enumerate().all(|(dyno, home)| blocks[*home].iter().any(|(place, _)| *place == dyno)));
            let mut places: Vec<usize> = blocks.iter().flatten().map(|(place, _)| *place).collect();
            places.sort_unstable();
            assert_eq!(places, (0..200).collect::<Vec<_>>());
            let width = |app: u32| blocks.iter().filter(|block| block.iter().any(|(_, of)| *of == app)).count();
            assert_eq!([width(0), width(2)], widths, "{spread:?}");
        }
    }

    #[test]
    fn one_app_has_all_dynos_in_equal_parts() {
        let blocks = place(&Setup::default(), &Apps::one());
        assert!(blocks.iter().all(|block| block.len() == 25));
        assert_eq!(shares(7, &Apps::zipf(7, 2.0)), [1; 7], "one at least");
    }
}
