//! Dynos change blocks while requests run, and the word of it comes late and out of order.
//!
//! They change places in pairs, so that blocks keep their size and what is seen is what moving itself costs. The last quarter of a run
//! has no moves: who owns a dyno twice at the end does so for ever.

mod blind;
mod epochs;
mod owners;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use dynomesh_core::time::{Span, Time};
use rand::RngExt;

use super::block::Block;
use crate::engine::World;
use crate::scenario::Setup;
use crate::stack;
use crate::workload::{Draw, nanos_of};

use blind::Blind;
use epochs::Register;
pub(super) use owners::Owners;

/// How a move is made known.
enum Protocol {
    /// By facts with epochs, which the blocks act on by the production rules.
    Epochs(Rc<Register>),
    /// By orders to take and to leave.
    Blind(Rc<Blind>),
}

/// Starts the moves of a setup, if it has any. `homes` is the block of each dyno.
pub(super) fn start(world: &World, setup: &Setup, blocks: &Rc<[Rc<Block>]>, homes: Vec<usize>) -> Option<Rc<Owners>> {
    if setup.moves_per_second <= 0.0 {
        return None;
    }
    let owners = Rc::new(Owners::new(homes.len()));
    let protocol = match setup.epochs {
        true => Protocol::Epochs(Register::new(setup, blocks, &homes, &owners)),
        false => Protocol::Blind(Blind::new(setup, blocks, &homes, &owners)),
    };
    let pairs = Draw::exponential(Span::from_nanos(nanos_of(2e9 / setup.moves_per_second)));
    let last = Time::ZERO + Span::from_nanos(nanos_of(0.75e9 * setup.requests as f64 / stack::rate(setup)));
    world.spawn(drive(world.clone(), protocol, owners.clone(), homes, pairs, last));
    Some(owners)
}

async fn drive(world: World, protocol: Protocol, owners: Rc<Owners>, mut homes: Vec<usize>, pairs: Draw, last: Time) {
    loop {
        let pause = world.chance(|rng| pairs.draw(rng));
        world.sleep(pause).await;
        if world.now() > last {
            return;
        }
        let (one, other) = world.chance(|rng| {
            let one = rng.random_range(0..homes.len());
            loop {
                let other = rng.random_range(0..homes.len());
                if homes[other] != homes[one] {
                    break (one, other);
                }
            }
        });
        for (dyno, to) in [(one, homes[other]), (other, homes[one])] {
            let accepted = match &protocol {
                Protocol::Epochs(register) => register.assign(&world, dyno, to),
                Protocol::Blind(blind) => blind.assign(&world, dyno, homes[dyno], to),
            };
            if accepted {
                owners.moved();
                homes[dyno] = to;
            }
        }
    }
}
