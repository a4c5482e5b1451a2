//! How many slots of an app each of its blocks should have.
//!
//! Edges choose blocks by capacity, so equal parts see equal load, as long as nothing tells blocks apart. Where something does for long (slow dynos,
//! pins, edges that reach one block only), load per slot differs, and capacity follows it. It follows only in part: a block that has just got
//! its first dyno of an app has no load to show for it, and would never get a second one.

use std::collections::{BTreeMap, BTreeSet};

use super::mesh::{App, Mesh, Nth};
use super::policy::Policy;

/// With this share of the slots in use load has its full say.
const BUSY: f64 = 0.5;
/// Weights are whole numbers of this part, so that two sums of them are equal or they are not.
const GRAIN: f64 = 1e9;

impl Mesh<'_> {
    /// Slots for each block of `keep`; together they are the app's slots. The same for the same load, whatever moves from one of these
    /// blocks to another meanwhile.
    pub(super) fn wish(&self, app: Nth, keep: &BTreeSet<Nth>, policy: &Policy) -> BTreeMap<Nth, u64> {
        let of = &self.apps[app];
        let mut weights = weights(of, keep, policy);
        self.level_zones(&mut weights, policy);
        apportion(of, &weights)
    }

    /// Lowers zones that have more than they may, in favour of the others.
    fn level_zones(&self, weights: &mut BTreeMap<Nth, f64>, policy: &Policy) {
        let zone = |block: &Nth| self.blocks[*block].zone;
        let zones: BTreeSet<Nth> = weights.keys().map(zone).collect();
        let most = (f64::from(policy.zone_max.0) / 100.0).max(1.0 / zones.len().max(1) as f64);
        let mut fixed: BTreeSet<Nth> = BTreeSet::new();
        while fixed.len() < zones.len() {
            let held = |zone_of: Nth, weights: &BTreeMap<Nth, f64>| {
                weights.iter().filter(|(block, _)| zone(block) == zone_of).map(|(_, weight)| *weight).sum::<f64>()
            };
            let over = zones.iter().copied().find(|zone| !fixed.contains(zone) && held(*zone, weights) > most + 1.0 / GRAIN);
            let Some(over) = over else { return };
            fixed.insert(over);
            let free: f64 = zones.iter().filter(|zone| !fixed.contains(zone)).map(|zone| held(*zone, weights)).sum();
            let had = held(over, weights);
            for (block, weight) in weights.iter_mut() {
                if zone(block) == over {
                    *weight *= most / had;
                } else if !fixed.contains(&zone(block)) {
                    *weight *= (free + had - most) / free;
                }
            }
        }
    }
}

fn weights(app: &App<'_>, keep: &BTreeSet<Nth>, policy: &Policy) -> BTreeMap<Nth, f64> {
    let told = |block: &Nth| app.demand_in(*block).map(|demand| demand as f64);
    let demands: Vec<f64> = keep.iter().filter_map(told).collect();
    // A block that has said nothing is taken to be as busy as the others are on average.
    let usual = demands.iter().sum::<f64>() / demands.len().max(1) as f64;
    let demand_of = |block: &Nth| told(block).unwrap_or(usual);
    let all: f64 = keep.iter().map(demand_of).sum();
    let busy = (all / app.slots.max(1) as f64 / BUSY).min(1.0);
    let say = if all > 0.0 { f64::from(policy.load_say.0) / 100.0 * busy } else { 0.0 };
    let even = (1.0 - say) / keep.len().max(1) as f64;
    keep.iter().map(|block| (*block, even + if say > 0.0 { say * demand_of(block) / all } else { 0.0 })).collect()
}

/// Whole slots by weight, at least one each, so that no block is emptied for balance; what is left over goes to the largest remainders, of equal ones to blocks that have more already.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "weights are from 0 to 1")]
fn apportion(app: &App<'_>, weights: &BTreeMap<Nth, f64>) -> BTreeMap<Nth, u64> {
    let grains: BTreeMap<Nth, u128> = weights.iter().map(|(block, weight)| (*block, (weight * GRAIN).round() as u128)).collect();
    let all = grains.values().sum::<u128>().max(1);
    let least = u64::from(app.slots >= weights.len() as u64);
    let shared = u128::from(app.slots - least * weights.len() as u64);
    let part = |grain: u128| (shared * grain / all, shared * grain % all);
    let mut wish: BTreeMap<Nth, u64> = grains.iter().map(|(block, grain)| (*block, least + part(*grain).0 as u64)).collect();
    let mut by_remainder: Vec<Nth> = wish.keys().copied().collect();
    by_remainder.sort_by_key(|block| (std::cmp::Reverse(part(grains[block]).1), std::cmp::Reverse(app.slots_in(*block)), *block));
    let left = app.slots - wish.values().sum::<u64>();
    for block in by_remainder.into_iter().take(left as usize) {
        wish.entry(block).and_modify(|slots| *slots += 1);
    }
    wish
}
