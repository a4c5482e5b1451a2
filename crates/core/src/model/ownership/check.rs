//! What must hold in every state.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Mesh, World};
use crate::app::Phase;
use crate::id::Address;
use crate::map::fact::PREDECESSORS_MAX;

impl Mesh {
    /// What is wrong with a state as it stands.
    pub(super) fn check_now(&self, world: &World) -> Result<(), String> {
        self.one_owner(world)?;
        self.cap(world)?;
        let crowd = world.directory.dynos().find(|dyno| dyno.after.len() > PREDECESSORS_MAX);
        if let Some(dyno) = crowd {
            return Err(format!("predecessors: {} has {}", dyno.spec.id, dyno.after.len()));
        }
        Ok(())
    }

    /// No dyno, and no address, is owned by two blocks; and no dyno is sent a request under a lower epoch than before.
    fn one_owner(&self, world: &World) -> Result<(), String> {
        let mut owners = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        for (nth, block) in world.blocks.iter().enumerate().filter(|(nth, _)| !world.rest.stopped.contains(nth)) {
            // What a block keeps that came back after its eviction counts only as far as it would grant slots of it.
            let returned = world.rest.returned.contains(&nth);
            for record in block.dynos().filter(|record| !returned || record.phase == Phase::Active) {
                let id = &record.spec.id;
                if let Some(other) = owners.insert(id, nth) {
                    return Err(format!("one-owner: {id} is owned by b{other} and b{nth} at once"));
                }
                if let Some(other) = addresses.insert(record.spec.address, id) {
                    return Err(format!("one-owner: {other} and {id} are owned at one address"));
                }
            }
        }
        match &world.rest.went_back {
            Some((id, epoch)) => Err(format!("one-owner: {id} is sent a request under {epoch} after a higher epoch")),
            None => Ok(()),
        }
    }

    /// At no address run more requests than its dyno may have.
    fn cap(&self, world: &World) -> Result<(), String> {
        let mut running: BTreeMap<Address, u32> = BTreeMap::new();
        for id in world.rest.running.values() {
            let nth = id.as_str()[1..].parse().unwrap();
            let at = running.entry(super::step::address(if self.instance.one_address { 0 } else { nth })).or_default();
            *at += 1;
            if *at > 1 {
                return Err(format!("cap: {id} runs {at} requests of 1"));
            }
        }
        Ok(())
    }

    /// The states' own word about themselves.
    pub(super) fn sound(&self, world: &World) -> Result<(), String> {
        let checked = catch_unwind(AssertUnwindSafe(|| {
            world.directory.check_invariants();
            world.blocks.iter().for_each(|block| block.check_invariants());
        }));
        checked.map_err(|why| format!("sound: {}", why.downcast_ref::<String>().map_or("a state contradicts itself", String::as_str)))
    }
}
