//! What must hold of a block's state after every command, and what must not.

use std::collections::BTreeMap;

use super::state::BlockState;
use super::{APPS_MAX, DYNOS_MAX, RECORDS_MAX};
use crate::app::Phase;
use crate::id::DynoId;

impl BlockState {
    /// Panics if the state contradicts itself. Linear in its size: for tests and for states that were just loaded.
    pub fn check_invariants(&self) {
        assert!(self.apps.len() <= APPS_MAX && self.dynos.len() <= DYNOS_MAX, "more apps or dynos than a block may have");
        assert!(self.dynos.len() + self.released.len() <= RECORDS_MAX, "more records than a block may have");
        for (name, app) in &self.apps {
            assert_eq!(*name, app.spec.name, "app filed under another name");
        }

        // All slots of a dyno, and those of its current epoch.
        let mut counts: BTreeMap<&DynoId, (u32, u32)> = BTreeMap::new();
        for (id, slot) in &self.slots {
            let dyno = self.dynos.get(&slot.dyno).unwrap_or_else(|| panic!("slot {id} of {}, which is not owned", slot.dyno));
            assert!(slot.epoch <= dyno.epoch, "slot {id} is of epoch {}, {} is owned under {}", slot.epoch, slot.dyno, dyno.epoch);
            let count = counts.entry(&slot.dyno).or_default();
            count.0 += 1;
            count.1 += u32::from(slot.epoch == dyno.epoch);
        }
        for (id, dyno) in &self.dynos {
            let (all, current) = counts.get(id).copied().unwrap_or_default();
            assert_eq!(*id, dyno.spec.id, "dyno filed under another id");
            assert_eq!(dyno.used, all, "{id} counts other slots than it has");
            // The limit changes with the epoch only, so slots of the current epoch were all granted under the current limit.
            assert!(current <= dyno.spec.max_conns, "cap: {id} has {current} slots of {}", dyno.spec.max_conns);
            assert!(dyno.phase != Phase::Released, "{id} is owned and released");
            assert!(!self.released.contains_key(id), "{id} is owned and promised away");
            assert!(self.apps.contains_key(&dyno.spec.app), "{id} is of an unknown app");
        }
    }
}
